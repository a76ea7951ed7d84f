/* fuzz_headers.c - options of headers (lines `name: value`) and, behind an empty line, of the
 * body. Laws: values are in their ranges; the body only ever makes them stricter. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "gateway/domain/frugal_headers.h"

static void in_range(const struct frugal_options *o)
{
    LAW(o->budget_pico >= 0 && o->min_quality >= 0 && o->min_quality <= 1);
    LAW(o->lambda >= 0 && o->deadline_ms >= 0 && o->deadline_ms <= 86400000);
    LAW(o->n_experts <= CONFIG_MAX_EXPERTS);
    LAW(o->conversation_id.n <= FRUGAL_MAX_CONVERSATION);
    LAW((o->given >> FRUGAL_OPTION_COUNT) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str input = { (const char *)data, n }, line, name;
    struct api_error error = { .code = API_OK };
    struct frugal_options options, before;
    enum api_err err = API_OK;
    struct arena arena;

    arena_init(&arena, 1 << 18);
    frugal_options_init(&options);
    while (err == API_OK && str_cut(&input, '\n', &line) && line.n > 0) {
        (void)str_cut(&line, ':', &name);
        err = frugal_options_header(&options, name, line, &arena, &error);
    }
    in_range(&options);
    before = options;
    if (err == API_OK)
        err = frugal_options_body(&options, str_trim(input), &arena, &error);
    in_range(&options);
    LAW(options.budget_pico <= before.budget_pico);
    LAW(options.min_quality >= before.min_quality);
    LAW(options.on_budget >= before.on_budget);
    LAW(!frugal_has_lambda(&before) || options.lambda >= before.lambda);
    LAW(before.deadline_ms == 0 || options.deadline_ms <= before.deadline_ms);
    if (frugal_option_given(&before, FRUGAL_EXPERTS))
        LAW(options.n_experts <= before.n_experts);
    LAW((err != API_OK) == (error.code != API_OK));
    arena_release(&arena);
    return 0;
}
