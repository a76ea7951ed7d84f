/* test_record_query.c - tests/cases/records: lines `name=value`, an empty line, the body of
 * a feedback. */
#include "tests/unit/domain/cases.h"

#include <inttypes.h>

#include "gateway/domain/record_query.h"

static void put_line(struct buf *out, const char *name, struct str value)
{
    if (value.p == NULL)
        return;
    buf_putf(out, "%s ", name);
    buf_put_json(out, value);
    buf_put(out, "\n");
}

static void put_error(const struct api_error *error, struct buf *out)
{
    buf_putf(out, "%d ", api_error_status(error->code));
    api_error_body(error, out);
    buf_put(out, "\n");
}

static void put_query(const struct record_query *q, struct buf *out)
{
    buf_putf(out, "since %" PRId64 " until %" PRId64 " limit %" PRId64 "\n", q->since_us,
             q->until_us, q->limit);
    put_line(out, "expert", q->expert);
    put_line(out, "policy", q->policy);
    put_line(out, "key", q->key);
    put_line(out, "tag", q->tag_name);
    put_line(out, "is", q->tag_value);
    put_line(out, "before", q->before);
    put_line(out, "after", q->after);
    put_line(out, "request_id", q->request_id);
    put_line(out, "response_id", q->response_id);
}

static void print_records(struct str input, struct buf *out)
{
    const int64_t now_us = INT64_C(1769860800000000); /* 2026-01-31T12:00:00Z */
    struct api_error error = { 0 };
    struct record_feedback feedback;
    struct record_query query;
    struct str line, name;

    record_query_init(&query);
    while (str_cut(&input, '\n', &line) && line.n > 0) {
        (void)str_cut(&line, '=', &name);
        if (record_query_take(&query, name, line, now_us, &error) != API_OK)
            break;
    }
    if (error.code == API_OK && record_query_end(&query, &error) == API_OK)
        put_query(&query, out);
    else
        put_error(&error, out);
    if (str_trim(input).n == 0)
        return;
    error = (struct api_error){ 0 };
    if (record_feedback_read(str_trim(input), &feedback, &error) == API_OK)
        buf_putf(out, "score %g weight %g\n", feedback.score, feedback.weight);
    else
        put_error(&error, out);
}

static void records(void **state)
{
    (void)state;
    cases_run("record_query", print_records);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(records) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
