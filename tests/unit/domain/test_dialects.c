/* test_dialects.c - requests of other APIs as chat requests, and chat answers in their words:
 * the folders messages, responses and voice, and the laws that hold for all of them. */
#include "tests/unit/domain/cases.h"

#include "gateway/domain/delta.h"
#include "gateway/domain/dialect.h"
#include "gateway/domain/embeddings.h"
#include "gateway/domain/jread.h"
#include "gateway/domain/scan.h"
#include "gateway/domain/sse.h"

#define DEPTH 64

static bool scans(struct str body)
{
    struct scan scan;

    scan_init(&scan, DEPTH);
    return scan_feed(&scan, body.p, body.n) == SCAN_OK && scan_end(&scan) == SCAN_OK;
}

/* -- requests -- */

static void print_request(enum dialect_name name, struct str body, struct buf *out)
{
    const struct dialect *dialect = dialect_of(name);
    struct api_error error = { .code = API_OK };
    struct buf chat;

    assert_true(scans(body));
    buf_init(&chat, CASES_MAX_BYTES);
    if (dialect->request(body, &chat, NULL, &error) == API_OK) {
        assert_true(scans(buf_str(&chat)));
        buf_put_str(out, buf_str(&chat));
    } else {
        buf_putf(out, "%d ", api_error_status(error.code));
        dialect_error(dialect, &error, STR("req_1"), out);
    }
    buf_put(out, "\n");
    buf_release(&chat);
}

static void print_messages(struct str body, struct buf *out)
{
    print_request(DIALECT_MESSAGES, body, out);
}

static void print_responses(struct str body, struct buf *out)
{
    print_request(DIALECT_RESPONSES, body, out);
}

static void messages(void **state)
{
    (void)state;
    cases_run("messages", print_messages);
}

static void responses(void **state)
{
    (void)state;
    cases_run("responses", print_responses);
}

/* -- what is no conversation -- */

/* "n prompts, n answers, bytes; stream; limit" or the parameter that is wrong. */
static const char *read_as(enum chat_shape shape, const char *body, char text[64])
{
    struct api_error error = { .code = API_OK };
    struct chat_request chat;
    struct arena arena;
    struct scan scan;

    arena_init(&arena, 1 << 16);
    scan_init(&scan, DEPTH);
    assert_int_equal(scan_feed(&scan, body, strlen(body)), SCAN_OK);
    assert_int_equal(scan_end(&scan), SCAN_OK);
    if (chat_parse_as(&chat, shape, &scan, str_of(body), &arena, &error) == API_OK)
        (void)snprintf(text, 64, "%zu %lld %zu %d %lld", chat.n_messages,
                       (long long)chat.n, chat.prompt_bytes, chat.stream,
                       (long long)chat.output_limit);
    else
        (void)snprintf(text, 64, "%s", error.param);
    arena_release(&arena);
    return text;
}

static void prompts_are_counted_and_each_is_answered(void **state)
{
    static const char *const expected[][2] = {
        { "{\"model\":\"m\",\"prompt\":\"a\"}", "1 1 3 0 0" },
        { "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"],\"n\":3,\"max_tokens\":9}",
          "2 6 9 0 9" },
        { "{\"model\":\"m\",\"prompt\":[1,2,3]}", "1 1 7 0 0" },
        { "{\"model\":\"m\",\"prompt\":[[1],[2]],\"stream\":true}", "2 2 9 1 0" },
        { "{\"model\":\"m\",\"prompt\":\"a\",\"suffix\":\"bc\"}", "1 1 7 0 0" },
        { "{\"model\":\"m\"}", "prompt" },
        { "{\"model\":\"m\",\"prompt\":[]}", "prompt" },
        { "{\"model\":\"m\",\"prompt\":true}", "prompt" },
        { "{\"model\":\"m\",\"prompt\":\"a\",\"n\":0}", "n" },
    };
    char text[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        assert_string_equal(read_as(CHAT_PROMPT, expected[i][0], text), expected[i][1]);
}

static void an_input_has_no_answers_to_limit(void **state)
{
    char text[64];

    (void)state;
    assert_string_equal(read_as(CHAT_INPUT,
                                "{\"model\":\"m\",\"input\":[\"a\",\"b\"],"
                                "\"n\":0,\"stream\":1,\"max_tokens\":5}",
                                text),
                        "2 1 9 0 0");
    assert_string_equal(read_as(CHAT_INPUT, "{\"model\":\"m\"}", text), "input");
}

static void vectors_are_recoded_and_the_rest_stays(void **state)
{
    struct buf there, back;

    (void)state;
    buf_init(&there, 4096);
    buf_init(&back, 4096);
    assert_true(embeddings_recode(
        STR("{\"a\": 1,\"data\":[{\"index\":0,\"embedding\":[1,-0.5]}],\"usage\":{} }"),
        EMBEDDINGS_BASE64, &there));
    assert_true(str_is(buf_str(&there), "{\"a\": 1,\"data\":[{\"index\":0,\"embedding\":"
                                        "\"AACAPwAAAL8=\"}],\"usage\":{} }"));
    assert_false(embeddings_recode(buf_str(&there), EMBEDDINGS_BASE64, &back));
    assert_true(embeddings_recode(buf_str(&there), EMBEDDINGS_FLOAT, &back));
    assert_true(str_is(buf_str(&back), "{\"a\": 1,\"data\":[{\"index\":0,\"embedding\":"
                                       "[1,-0.5]}],\"usage\":{} }"));
    buf_release(&there);
    buf_release(&back);
}

/* -- answers -- */

static const struct usage_cost cost = { .cost_pico = 50000000,
                                        .generation_pico = 50000000,
                                        .decision_id = STR_INIT("dec_1"),
                                        .expert = STR_INIT("small") };

static void begin(struct voice *voice, enum dialect_name name)
{
    struct voice_facts facts = { .echo = STR_INIT(",\"tools\":[]"),
                                 .id = STR_INIT("1"),
                                 .model = STR_INIT("m"),
                                 .created_s = 1 };

    voice_init(voice, dialect_of(name)->voice, &facts, CASES_MAX_BYTES / 8);
}

static bool tell_event(struct voice *voice, struct str data, struct buf *out)
{
    struct delta delta = delta_read(data);
    struct jread_value root;

    assert_true(delta.valid);
    if (delta.done)
        return voice_end(voice, out);
    if (delta.has_usage && jread_parse(data, DEPTH, &root))
        voice_usage(voice, jread_get(root, "usage"), &cost);
    return voice_chunk(voice, data, out);
}

/* Every event is one line of data, and JSON. */
static void check_events(struct str stream)
{
    struct jread_value root;
    struct sse sse;

    sse_init(&sse, CASES_MAX_BYTES);
    while (stream.n > 0) {
        stream = str_skip(stream, sse_feed(&sse, stream.p, stream.n));
        if (sse_ready(&sse)) {
            struct sse_event event = sse_take(&sse);

            assert_true(jread_parse(event.data, DEPTH, &root));
            assert_int_equal(jread_get(root, "type").type, JREAD_TEXT);
            assert_null(memchr(event.data.p, '\n', event.data.n));
        }
    }
    sse_release(&sse);
}

static void tell_stream(enum dialect_name name, struct str stream, struct buf *out)
{
    struct voice voice;
    struct sse sse;
    bool told = true;
    size_t begun = out->n;

    begin(&voice, name);
    sse_init(&sse, CASES_MAX_BYTES);
    while (stream.n > 0 && told) {
        stream = str_skip(stream, sse_feed(&sse, stream.p, stream.n));
        if (sse_ready(&sse))
            told = tell_event(&voice, sse_take(&sse).data, out);
    }
    check_events(str_skip(buf_str(out), begun));
    if (!told)
        buf_put(out, "cannot be told\n");
    sse_release(&sse);
    voice_release(&voice);
}

static void tell_whole(enum dialect_name name, struct str body, struct buf *out)
{
    struct usage_answer answer;
    struct jread_value root;
    struct voice voice;
    size_t begun = out->n;

    begin(&voice, name);
    assert_true(usage_read_answer(body, &answer));
    if (!voice_whole(&voice, body, answer.usage_raw, &cost, out))
        buf_put(out, "cannot be told");
    else
        assert_true(jread_parse(str_skip(buf_str(out), begun), DEPTH, &root));
    buf_put(out, "\n");
    voice_release(&voice);
}

/* A whole answer, or a stream of one. */
static void print_voice(struct str input, struct buf *out)
{
    static const enum dialect_name names[] = { DIALECT_MESSAGES, DIALECT_RESPONSES };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (input.p[0] == '{')
            tell_whole(names[i], str_trim(input), out);
        else
            tell_stream(names[i], input, out);
    }
}

static void voices(void **state)
{
    (void)state;
    cases_run("voice", print_voice);
}

/* -- errors -- */

static void anthropics_statuses_and_types(void **state)
{
    static const struct {
        enum api_err code;
        int status;
        const char *type;
    } expected[] = {
        { API_MISSING, 400, "invalid_request_error" },
        { API_NO_KEY, 401, "authentication_error" },
        { API_BUDGET, 402, "billing_error" },
        { API_NO_MODEL, 404, "not_found_error" },
        { API_TOO_LARGE, 413, "request_too_large" },
        { API_RATE_LIMIT, 429, "rate_limit_error" },
        { API_INTERNAL, 500, "api_error" },
        { API_EXPERT_BROKEN, 502, "api_error" },
        { API_OVERLOADED, 529, "overloaded_error" },
        { API_DEADLINE, 504, "timeout_error" },
    };
    const struct dialect *dialect = dialect_of(DIALECT_MESSAGES);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        struct api_error error = { .code = expected[i].code };
        struct jread_value root;
        struct buf out;

        buf_init(&out, 4096);
        dialect_error(dialect, &error, STR("req_1"), &out);
        assert_true(jread_parse(buf_str(&out), DEPTH, &root));
        assert_true(jread_string_is(jread_get(root, "type"), "error"));
        assert_true(jread_string_is(jread_get(jread_get(root, "error"), "type"),
                                    expected[i].type));
        assert_int_equal(dialect_status(dialect, api_error_status(error.code)),
                         expected[i].status);
        buf_release(&out);
    }
}

static void an_experts_refusal_keeps_its_words(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    dialect_refusal(dialect_of(DIALECT_MESSAGES),
                    STR("{\"error\":{\"message\":\"too \\\"hot\\\"\",\"code\":1}}"), 400,
                    STR("req_1"), &out);
    assert_true(
        str_is(buf_str(&out),
               "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
               "\"message\":\"too \\\"hot\\\"\"},\"request_id\":\"req_1\"}"));
    buf_release(&out);
}

static void a_compact_value_has_no_space_between_its_tokens(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    jread_put_compact(STR("{ \"a b\" :\n [1,\t\" \\\" \\\\\" , true ] }"), &out);
    assert_true(str_is(buf_str(&out), "{\"a b\":[1,\" \\\" \\\\\",true]}"));
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),
        cmocka_unit_test(responses),
        cmocka_unit_test(prompts_are_counted_and_each_is_answered),
        cmocka_unit_test(an_input_has_no_answers_to_limit),
        cmocka_unit_test(vectors_are_recoded_and_the_rest_stays),
        cmocka_unit_test(voices),
        cmocka_unit_test(anthropics_statuses_and_types),
        cmocka_unit_test(an_experts_refusal_keeps_its_words),
        cmocka_unit_test(a_compact_value_has_no_space_between_its_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
