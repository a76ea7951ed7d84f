/* dialect.c - the table of APIs, and the shapes of their errors. */
#include "gateway/domain/dialect.h"

#include <assert.h>

#include "gateway/domain/jread.h"
#include "gateway/domain/messages.h"
#include "gateway/domain/responses.h"

#define REFUSAL_TEXT_BYTES 4096 /* of an expert's words */

static const struct dialect dialects[] = {
    [DIALECT_CHAT] = { .shape = CHAT_MESSAGES },
    [DIALECT_COMPLETIONS] = { .shape = CHAT_PROMPT },
    [DIALECT_EMBEDDINGS] = { .shape = CHAT_INPUT },
    [DIALECT_RESPONSES] = { .request = responses_request,
                            .native = CHAT_NATIVE_RESPONSES,
                            .api = CONFIG_API_RESPONSES,
                            .voice = &responses_voice,
                            .echo = responses_echo },
    [DIALECT_MESSAGES] = { .request = messages_request,
                           .native = CHAT_NATIVE_MESSAGES,
                           .api = CONFIG_API_MESSAGES,
                           .voice = &messages_voice },
};

static_assert(ARRAY_LEN(dialects) == DIALECT_COUNT, "a row each");

const struct dialect *dialect_of(enum dialect_name name)
{
    assert(name < DIALECT_COUNT);
    return &dialects[name];
}

static bool is_messages(const struct dialect *dialect)
{
    return dialect == &dialects[DIALECT_MESSAGES];
}

int dialect_status(const struct dialect *dialect, int status)
{
    return is_messages(dialect) ? messages_status(status) : status;
}

void dialect_error(const struct dialect *dialect, const struct api_error *error,
                   struct str request_id, struct buf *out)
{
    if (is_messages(dialect))
        messages_error(str_of(api_error_message(error)),
                       messages_status(api_error_status(error->code)), request_id, out);
    else
        api_error_body(error, out);
}

struct str dialect_ping(const struct dialect *dialect)
{
    return is_messages(dialect) ? STR("event: ping\ndata: {\"type\":\"ping\"}\n\n")
                                : STR(": keep-alive\n\n");
}

void dialect_error_event(const struct dialect *dialect, const struct api_error *error,
                         struct str request_id, int64_t sequence, struct buf *out)
{
    if (dialect == &dialects[DIALECT_RESPONSES]) {
        responses_error_event(error, sequence, out);
    } else if (is_messages(dialect)) {
        buf_put(out, "event: error\ndata: ");
        dialect_error(dialect, error, request_id, out);
        buf_put(out, "\n\n");
    } else {
        api_error_event(error, out);
    }
}

/* {"error":{"message":".."}}, and {"type":"error",..} around it in Messages. */
static bool has_shape(const struct dialect *dialect, struct jread_value root)
{
    struct jread_value error = jread_get(root, "error");

    return error.type == JREAD_MAP && jread_get(error, "message").type == JREAD_TEXT &&
           (!is_messages(dialect) || jread_string_is(jread_get(root, "type"), "error"));
}

/* What it says, wherever the servers in use write it; else nothing. */
static struct jread_value words_of(struct jread_value root)
{
    struct jread_value error = jread_get(root, "error"),
                       detail = jread_get(root, "detail");
    struct jread_value said =
                           error.type == JREAD_TEXT ? error : jread_get(error, "message"),
                       first;
    struct jread_iter it = jread_iter(detail);

    if (said.type != JREAD_TEXT)
        said = jread_get(root, "message");
    if (said.type != JREAD_TEXT)
        said = detail;
    if (detail.type == JREAD_LIST && jread_next_element(&it, &first))
        said = jread_get(first, "msg");
    return said.type == JREAD_TEXT ? said : (struct jread_value){ 0 };
}

static void put_refusal(const struct dialect *dialect, struct str text, int status,
                        struct str request_id, struct buf *out)
{
    if (is_messages(dialect)) {
        messages_error(text, messages_status(status), request_id, out);
        return;
    }
    buf_put(out, "{\"error\":{\"message\":");
    buf_put_json(out, text);
    buf_putf(out, ",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}",
             status < 500 ? api_error_type(API_BAD_VALUE)
                          : api_error_type(API_EXPERT_STATUS),
             api_error_code(API_EXPERT_STATUS));
}

void dialect_refusal(const struct dialect *dialect, struct str body, int status,
                     struct str request_id, struct buf *out)
{
    struct jread_value root = { 0 }, words;
    struct buf text;

    if (!jread_parse(body, JREAD_MAX_DEPTH, &root))
        root = (struct jread_value){ 0 };
    if (has_shape(dialect, root)) {
        buf_put_str(out, body);
        return;
    }
    words = words_of(root);
    buf_init(&text, REFUSAL_TEXT_BYTES + 64);
    if (words.type == JREAD_TEXT)
        IGNORE(jread_put_string(words, REFUSAL_TEXT_BYTES, &text));
    if (text.n == 0)
        buf_putf(&text, "the expert refused the request with status %d", status);
    put_refusal(dialect, str_clip_utf8(buf_str(&text), text.n), status, request_id, out);
    out->failed = out->failed || text.failed;
    buf_release(&text);
}
