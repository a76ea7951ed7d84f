/* fuzz_record_query.c - parameters of the list of decisions (lines `name=value`) and, behind
 * an empty line, a feedback. Laws: what is taken is in its range; an error names itself. */
#include "tests/fuzz/fuzz.h"

#include "gateway/domain/record_query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const int64_t now_us = INT64_C(1769860800000000);
    struct str input = { (const char *)data, n }, line, name;
    struct api_error error = { .code = API_OK };
    struct record_feedback feedback;
    struct record_query query;
    enum api_err err = API_OK;

    record_query_init(&query);
    while (err == API_OK && str_cut(&input, '\n', &line) && line.n > 0) {
        (void)str_cut(&line, '=', &name);
        err = record_query_take(&query, name, line, now_us, &error);
    }
    if (err == API_OK)
        err = record_query_end(&query, &error);
    LAW((err != API_OK) == (error.code != API_OK));
    LAW(query.limit >= 1 && query.limit <= RECORD_QUERY_LIMIT_MAX);
    LAW(query.since_us >= 0 && query.until_us >= 0);
    LAW(query.expert.n <= RECORD_QUERY_TEXT_MAX);
    LAW((query.given >> RECORD_PARAM_COUNT) == 0);
    error = (struct api_error){ .code = API_OK };
    err = record_feedback_read(input, &feedback, &error);
    LAW((err != API_OK) == (error.code != API_OK));
    if (err == API_OK)
        LAW(feedback.score >= 0 && feedback.score <= 1 && feedback.weight > 0 &&
            feedback.weight <= 1);
    return 0;
}
