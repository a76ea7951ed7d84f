/* test_native.c - events and answers of experts that speak Responses or Messages themselves:
 * the folder native, where the first line of an input names the API and each further line is
 * an event's data, or "answer" and a whole answer. */
#include "tests/unit/domain/cases.h"

#include "gateway/domain/native.h"

static void print_usage(const struct usage *usage, struct buf *out)
{
    if (usage->absurd)
        buf_put(out, " absurd");
    if (usage->known)
        buf_putf(out, " in=%lld cached=%lld written=%lld out=%lld",
                 (long long)usage->input_tokens, (long long)usage->cached_tokens,
                 (long long)usage->cache_write_tokens, (long long)usage->output_tokens);
}

static void print_names(const struct usage_names *names, struct buf *out)
{
    if (names->id.n > 0)
        buf_putf(out, " id=" STR_FMT, STR_ARG(names->id));
    if (names->model.n > 0)
        buf_putf(out, " model=" STR_FMT, STR_ARG(names->model));
}

static void print_event(enum chat_shape shape, struct str data,
                        struct native_tally *tally, struct buf *out)
{
    const struct delta delta = native_read(shape, data, tally);

    buf_put(out, delta.valid ? "valid" : "invalid");
    buf_put(out, delta.content ? " content" : "");
    buf_put(out, delta.finished ? " finished" : "");
    buf_put(out, delta.done ? " done" : "");
    if (delta.is_error)
        buf_putf(out, " error=%d", delta.error_status);
    if (delta.output_bytes > 0)
        buf_putf(out, " bytes=%zu", delta.output_bytes);
    if (delta.sequence > 0)
        buf_putf(out, " next=%lld", (long long)delta.sequence);
    print_usage(&delta.usage, out);
    print_names(&delta.names, out);
    if (delta.usage_raw.n > 0)
        buf_putf(out, " cost into " STR_FMT, STR_ARG(delta.usage_raw));
    buf_put(out, "\n");
}

static void print_answer(enum chat_shape shape, struct str body, struct buf *out)
{
    struct usage_answer answer;

    if (!native_answer(shape, body, &answer)) {
        buf_put(out, "no answer\n");
        return;
    }
    buf_put(out, answer.has_choices ? "answer" : "no answer of this API");
    buf_put(out, answer.has_error ? " error" : "");
    buf_putf(out, " bytes=%zu", answer.output_bytes);
    print_usage(&answer.usage, out);
    print_names(&answer.names, out);
    buf_put(out, "\n");
}

static struct str next_line(struct str *rest)
{
    const char *end = memchr(rest->p, '\n', rest->n);
    const struct str line =
        str_first(*rest, end != NULL ? (size_t)(end - rest->p) : rest->n);

    *rest = str_skip(*rest, line.n + (end != NULL));
    return line;
}

static void print_native(struct str input, struct buf *out)
{
    struct native_tally tally = { .absurd = false };
    const enum chat_shape shape = str_is(next_line(&input), "messages")
                                      ? CHAT_NATIVE_MESSAGES
                                      : CHAT_NATIVE_RESPONSES;

    while (input.n > 0) {
        const struct str line = next_line(&input);

        if (str_starts(line, "answer "))
            print_answer(shape, str_skip(line, 7), out);
        else
            print_event(shape, line, &tally, out);
    }
}

static void native(void **state)
{
    (void)state;
    cases_run("native", print_native);
}

static void what_a_translation_does_not_show_is_found_wherever_it_stands(void **state)
{
    static const struct {
        const char *body, *found;
        bool marks;
    } cases[] = {
        { "{}", NULL, false },
        { "{\"a\":[1,\"cache_control\",{\"b\":null}]}", NULL, false },
        { "{\"a\":[{\"cache_control\" : {\"type\":\"ephemeral\"}}]}", NULL, true },
        { "{\"a\":{\"cache\\u005fcontrol\":{\"ttl\":\"5m\"}}}", NULL, true },
        { "{\"cache_control\":{\"type\":\"x\",\"ttl\" :\n\"1h\"}}", "cache_control.ttl",
          true },
        { "{\"cache_control\":{\"t\\u0074l\":\"1h\"}}", "cache_control.ttl", true },
        { "{\"cache_control\":null,\"input\":{\"ttl\":\"1h\"}}", NULL, false },
        { "{\"cache_control\":\"x\",\"input\":{\"ttl\":\"1h\"}}", NULL, true },
        { "{\"cache_control\":{},\"input\":{\"ttl\":\"1h\"}}", NULL, true },
        { "{\"ttl\":\"1h\",\"schema\":{\"ttl\":{\"type\":\"string\"}}}", NULL, false },
        { "{\"content\":1,\"x\":{\"content\":2},\"y\":[{\"content\":3}]}", NULL, false },
        { "{\"content\":[{\"type\":\"a\"},{\"type\":\"b\"}],\"c\\u006fntent\":1}",
          "content", false },
        { "{\"x\":{\"type\":\"text\",\"a\":\"\\\\\",\"type\":\"document\"}}", "content",
          false },
        { "{\"a\":\"\\\\\\\"content\",\"content\":\"\\\"\",\"b\":\"content\"}", NULL,
          false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool marks = false;
        const char *found = native_unpriced(str_of(cases[i].body), &marks);

        if (cases[i].found == NULL)
            assert_null(found);
        else
            assert_string_equal(found, cases[i].found);
        assert_int_equal(marks, cases[i].marks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(native),
        cmocka_unit_test(what_a_translation_does_not_show_is_found_wherever_it_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
