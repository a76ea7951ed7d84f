/* dialect.c - the table of APIs, and the shapes of their errors. */
#include "gateway/domain/dialect.h"

#include <assert.h>

#include "gateway/domain/jread.h"
#include "gateway/domain/messages.h"
#include "gateway/domain/responses.h"

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

void dialect_refusal(const struct dialect *dialect, struct str body, int status,
                     struct str request_id, struct buf *out)
{
    struct jread_value root, error, message;
    struct buf text;

    if (!is_messages(dialect) || !jread_parse(body, JREAD_MAX_DEPTH, &root)) {
        buf_put_str(out, body);
        return;
    }
    error = jread_get(root, "error");
    message = error.type == JREAD_TEXT ? error : jread_get(error, "message");
    buf_init(&text, body.n);
    if (message.type == JREAD_TEXT)
        (void)jread_put_string(message, SIZE_MAX, &text);
    messages_error(text.n > 0 ? buf_str(&text) : STR("the expert refused the request"),
                   messages_status(status), request_id, out);
    out->failed = out->failed || text.failed;
    buf_release(&text);
}
