/* Orders and their performance: what a stream says is what the body says, what is counted is
 * what was said, and a script does what its name tells. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "tools/experts/embed.h"
#include "tools/experts/play.h"
#include "tools/experts/tokens.h"

/* A stream, read to its end. */
struct heard {
    struct buf content;
    char finish[32];
    long long prompt_tokens, completion_tokens;
    int usages, broken, errors;
    bool done;
    enum play_step end;
};

static struct play *play_of(const char *model, const char *prompt, bool stream,
                            const char *more)
{
    char body[4096];
    struct request request;
    struct request_error error;
    (void)snprintf(
        body, sizeof body,
        "{\"model\":\"%s\",\"stream\":%s,\"stream_options\":{\"include_usage\":"
        "true},\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]%s}",
        model, stream ? "true" : "false", prompt, more);
    request_init(&request);
    assert_int_equal(request_read(&request, REQUEST_CHAT, body, strlen(body), &error), 0);
    struct play *play = play_new(&request, 1);
    assert_non_null(play);
    request_release(&request);
    return play;
}

static void hear_chunk(struct heard *heard, const json_t *chunk)
{
    const json_t *choice = json_array_get(json_object_get(chunk, "choices"), 0);
    const char *content =
        json_string_value(json_object_get(json_object_get(choice, "delta"), "content"));
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    const json_t *usage = json_object_get(chunk, "usage");
    if (content != NULL)
        buf_put(&heard->content, content);
    if (finish != NULL)
        (void)snprintf(heard->finish, sizeof heard->finish, "%s", finish);
    heard->errors += json_object_get(chunk, "error") != NULL;
    if (usage == NULL)
        return;
    heard->usages++;
    heard->prompt_tokens = json_integer_value(json_object_get(usage, "prompt_tokens"));
    heard->completion_tokens =
        json_integer_value(json_object_get(usage, "completion_tokens"));
}

static struct heard hear(struct play *play)
{
    struct heard heard = { .end = PLAY_MORE };
    struct buf out;
    buf_init(&out, 1 << 20);
    buf_init(&heard.content, 1 << 20);
    for (int i = 0; heard.end == PLAY_MORE && i < 100000; i++) {
        int wait_ms = 0;
        heard.end = play_next(play, &out, &wait_ms);
    }
    struct str rest = buf_str(&out), line;
    while (str_cut(&rest, '\n', &line)) {
        line = str_trim(line);
        if (!str_starts(line, "data: "))
            continue;
        line = str_skip(line, 6);
        json_t *chunk = json_loadb(line.p, line.n, 0, NULL);
        if (str_is(line, "[DONE]"))
            heard.done = true;
        else if (chunk == NULL)
            heard.broken++;
        else
            hear_chunk(&heard, chunk);
        json_decref(chunk);
    }
    buf_release(&out);
    play_free(play);
    return heard;
}

static json_t *body_of(struct play *play)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_int_equal(play_body(play, &out), PLAY_END);
    json_t *body = json_loadb(out.p, out.n, 0, NULL);
    assert_non_null(body);
    buf_release(&out);
    play_free(play);
    return body;
}

static void assert_heard(const struct heard *heard, const char *content)
{
    assert_int_equal(heard->content.n, strlen(content));
    if (heard->content.n > 0)
        assert_memory_equal(heard->content.p, content, heard->content.n);
}

static void a_stream_says_and_counts_what_the_body_does(void **state)
{
    (void)state;
    static const char *const models[] = {
        "text", "generalist", "script:chunks=7",
        "script:chunks=3,chunk_bytes=90,crlf=1,comments=1"
    };
    static const char *const limits[] = { "", ",\"max_tokens\":2", ",\"max_tokens\":1000",
                                          ",\"max_completion_tokens\":1" };
    const char *prompt = "Sort these words alphabetically: pear, orange, apple, fig";
    for (size_t m = 0; m < 4; m++) {
        for (size_t l = 0; l < 4; l++) {
            struct heard heard = hear(play_of(models[m], prompt, true, limits[l]));
            json_t *body = body_of(play_of(models[m], prompt, false, limits[l]));
            const char *text = NULL, *finish = NULL;
            int prompt_tokens = 0, completion_tokens = 0;
            assert_int_equal(json_unpack(body, "{s:[{s:{s:s},s:s}],s:{s:i,s:i}}",
                                         "choices", "message", "content", &text,
                                         "finish_reason", &finish, "usage",
                                         "prompt_tokens", &prompt_tokens,
                                         "completion_tokens", &completion_tokens),
                             0);
            assert_heard(&heard, text);
            assert_string_equal(heard.finish, finish);
            assert_int_equal(heard.prompt_tokens, prompt_tokens);
            assert_int_equal(heard.completion_tokens, completion_tokens);
            assert_true(heard.done && heard.usages == 1 && heard.end == PLAY_END);
            buf_release(&heard.content);
            json_decref(body);
        }
    }
}

static void the_output_limit_is_kept_and_named(void **state)
{
    (void)state;
    struct heard heard = hear(play_of("script:chunks=9", "x", true, ",\"max_tokens\":4"));
    assert_heard(&heard, "w0 w1 w2 w3 ");
    assert_string_equal(heard.finish, "length");
    assert_int_equal(heard.completion_tokens, 4);
    buf_release(&heard.content);
}

static void several_choices_are_all_counted(void **state)
{
    (void)state;
    struct heard heard = hear(play_of("script:chunks=2", "x", true, ",\"n\":3"));
    assert_heard(&heard, "w0 w1 w0 w1 w0 w1 ");
    assert_int_equal(heard.completion_tokens, 6);
    buf_release(&heard.content);
}

static void a_script_does_what_its_name_tells(void **state)
{
    (void)state;
    static const struct {
        const char *model, *content;
        enum play_step end;
        int done, usages, broken, errors;
    } cases[] = {
        { "script:chunks=5,cut_after=2", "w0 w1 ", PLAY_CUT, 0, 0, 0, 0 },
        { "script:chunks=5,cut_after=0", "", PLAY_CUT, 0, 0, 0, 0 },
        { "script:chunks=5,stall_after=1", "w0 ", PLAY_STALL, 0, 0, 0, 0 },
        { "script:chunks=3,malformed_at=1", "w0 w2 ", PLAY_END, 1, 1, 1, 0 },
        { "script:chunks=3,error_event_at=1", "w0 ", PLAY_END, 0, 0, 0, 1 },
        { "script:empty=1", "", PLAY_END, 1, 0, 0, 0 },
        { "script:chunks=1,no_done=1", "w0 ", PLAY_END, 0, 1, 0, 0 },
        { "script:chunks=1,usage=none", "w0 ", PLAY_END, 1, 0, 0, 0 },
        { "script:chunks=1,usage=with_choices", "w0 ", PLAY_END, 1, 1, 0, 0 },
        { "script:chunks=1,usage=late", "w0 ", PLAY_END, 1, 1, 0, 0 },
        { "script:chunks=1,reasoning=2,tool_calls=1", "", PLAY_END, 1, 1, 0, 0 },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct heard heard = hear(play_of(cases[c].model, "x", true, ""));
        assert_heard(&heard, cases[c].content);
        assert_int_equal(heard.end, cases[c].end);
        assert_int_equal(heard.done, cases[c].done);
        assert_int_equal(heard.usages, cases[c].usages);
        assert_int_equal(heard.broken, cases[c].broken);
        assert_int_equal(heard.errors, cases[c].errors);
        buf_release(&heard.content);
    }
}

static void a_mistyped_script_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const wrong[] = { "script:chunk=5",   "script:chunks",
                                         "script:chunks=",   "script:chunks=x",
                                         "script:usage=1",   "script:chunks=99999999999",
                                         "script:chunks=-2", "script:,chunks=1" };
    struct script script;
    char error[128];
    for (size_t w = 0; w < sizeof wrong / sizeof *wrong; w++)
        assert_non_null(script_parse(wrong[w], &script, error, sizeof error));
    assert_null(script_parse("script:", &script, error, sizeof error));
    assert_null(script_parse("script:chunks=3,cut_after=-1,usage=late", &script, error,
                             sizeof error));
    assert_int_equal(script.chunks, 3);
    assert_int_equal(script.usage, SCRIPT_USAGE_LATE);
}

static void a_bad_body_is_refused_with_its_status(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int status;
        const char *param;
    } cases[] = {
        { "", 400, NULL },
        { "[1]", 400, NULL },
        { "{\"model\":\"text\"}", 400, "messages" },
        { "{\"model\":\"text\",\"messages\":[]}", 400, "messages" },
        { "{\"model\":7,\"messages\":[{}]}", 400, "model" },
        { "{\"model\":\"nobody\",\"messages\":[{}]}", 404, "model" },
        { "{\"model\":\"text\",\"messages\":[{}],\"max_tokens\":0}", 400, "max_tokens" },
        { "{\"model\":\"text\",\"messages\":[{}],\"n\":129}", 400, "n" },
        { "{\"model\":\"script:foo=1\",\"messages\":[{}]}", 400, "model" },
        { "{\"model\":\"text\",\"messages\":[7,null,{\"content\":{}}]}", 0, NULL },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct request request;
        struct request_error error = { 0 };
        request_init(&request);
        assert_int_equal(request_read(&request, REQUEST_CHAT, cases[c].body,
                                      strlen(cases[c].body), &error),
                         cases[c].status);
        if (cases[c].param != NULL)
            assert_string_equal(error.param, cases[c].param);
        request_release(&request);
    }
}

static void token_prefixes_add_up(void **state)
{
    (void)state;
    const char *text = "Gr\xc3\xbc\xc3\x9f Gott, 12345 engineers;  sort\n\n them! \xff ";
    size_t n = strlen(text), count = tokens_count(text, n);
    assert_int_equal(tokens_prefix(text, n, count), n);
    for (size_t t = 0; t <= count; t++)
        assert_int_equal(tokens_count(text, tokens_prefix(text, n, t)), t);
    assert_int_equal(tokens_count("Saturday", 8), 2);
    assert_int_equal(tokens_count("", 0), 0);
}

static double likeness(const char *a, const char *b)
{
    float u[EMBED_DIM], v[EMBED_DIM];
    embed_text(a, strlen(a), EMBED_DIM, u);
    embed_text(b, strlen(b), EMBED_DIM, v);
    double dot = 0, square = 0;
    for (size_t d = 0; d < EMBED_DIM; d++) {
        dot += (double)u[d] * v[d];
        square += (double)u[d] * u[d];
    }
    assert_true(fabs(square - 1) < 1e-5);
    return dot;
}

static void embeddings_have_unit_length_and_know_likeness(void **state)
{
    (void)state;
    const char *miles = "How many kilometres are 12 miles?";
    assert_true(likeness(miles, miles) > 0.999);
    assert_true(likeness("", "") > 0.999);
    assert_true(likeness(miles, "How many miles are 340 kilometres?") >
                likeness(miles, "Reverse the word \"gateway\".") + 0.2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_says_and_counts_what_the_body_does),
        cmocka_unit_test(the_output_limit_is_kept_and_named),
        cmocka_unit_test(several_choices_are_all_counted),
        cmocka_unit_test(a_script_does_what_its_name_tells),
        cmocka_unit_test(a_mistyped_script_is_refused_by_name),
        cmocka_unit_test(a_bad_body_is_refused_with_its_status),
        cmocka_unit_test(token_prefixes_add_up),
        cmocka_unit_test(embeddings_have_unit_length_and_know_likeness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
