/* tongue.c - the API that a client speaks: its request as a chat request, and the voice that
 * answers it.
 *
 *   body ---scan---> chat_parse                              the body goes on as it came
 *   body ---scan---> dialect->request ---scan---> chat_parse     x->translated goes on
 */
#include <string.h>

#include "gateway/base/clock.h"

#include "gateway/flow/exchange_parts.h"

#define TRANSLATED_MORE  (1u << 20) /* frames of messages, beside what is copied */
#define TRANSLATED_DEPTH 8          /* levels that a translation may add */

const struct dialect *tongue_dialect(const struct exchange_request *request)
{
    if (str_starts(request->path, "/v1/messages"))
        return dialect_of(DIALECT_MESSAGES);
    switch (request->route) {
    case EXCHANGE_RESPONSES:
        return dialect_of(DIALECT_RESPONSES);
    case EXCHANGE_COMPLETIONS:
        return dialect_of(DIALECT_COMPLETIONS);
    case EXCHANGE_EMBEDDINGS:
        return dialect_of(DIALECT_EMBEDDINGS);
    default:
        return dialect_of(DIALECT_CHAT);
    }
}

/* A translation is at most twice its body: a quoted object has a backslash before each
 * quote. */
static void translate(struct exchange *x)
{
    unsigned depth = (unsigned)exchange_config(x)->limits.depth + TRANSLATED_DEPTH;

    buf_init(&x->translated, 2 * x->body.n + TRANSLATED_MORE);
    if (x->dialect->request(buf_str(&x->body), &x->translated, &x->error) != API_OK)
        return;
    scan_init(&x->scan, depth < SCAN_MAX_DEPTH ? depth : SCAN_MAX_DEPTH);
    if (scan_feed(&x->scan, x->translated.p, x->translated.n) != SCAN_OK ||
        scan_end(&x->scan) != SCAN_OK)
        (void)chat_scan_error(&x->scan, &x->error);
    if (x->error.code == API_OK && x->dialect->echo != NULL) {
        buf_init(&x->echo, x->body.n + TRANSLATED_MORE);
        x->dialect->echo(buf_str(&x->body), &x->echo);
        if (x->echo.failed)
            (void)api_error_set(&x->error, API_NOMEM, NULL, NULL);
    }
}

void tongue_parse(struct exchange *x)
{
    const struct buf *body = &x->body;

    if (scan_end(&x->scan) != SCAN_OK) {
        (void)chat_scan_error(&x->scan, &x->error);
        return;
    }
    if (x->route == EXCHANGE_FEEDBACK)
        return;
    if (x->scan.has_odd_frugal) {
        (void)api_error_set(&x->error, API_BAD_OPTION, "frugal",
                            "a key differs from 'frugal' only in case: write 'frugal'");
        return;
    }
    if (x->dialect->request != NULL) {
        translate(x);
        body = &x->translated;
    }
    if (x->error.code == API_OK &&
        chat_parse_as(&x->chat, x->dialect->shape, &x->scan, buf_str(body), &x->arena,
                      &x->error) == API_OK)
        (void)!frugal_options_body(&x->options, x->chat.frugal, &x->arena, &x->error);
    x->chat.translated = x->dialect->request != NULL;
}

/* Ids of our own answers are the decision's, but for the prefix. */
static struct str own_id(const struct exchange *x)
{
    const char *id = strchr(x->decision_id, '_');

    return str_of(id != NULL ? id + 1 : x->decision_id);
}

struct str tongue_answer_id(struct exchange *x, struct str experts)
{
    const struct str own = own_id(x);

    if (x->dialect == NULL || x->dialect->voice == NULL)
        return experts;
    if (!x->relay.committed && x->attempt.end != ATTEMPT_ANSWERED)
        return (struct str){ 0 };
    return str_of(arena_printf(&x->arena, "%s" STR_FMT, x->dialect->voice->id_prefix,
                               STR_ARG(own)));
}

struct voice *tongue_voice(struct exchange *x)
{
    const struct voice_facts facts = {
        .echo = buf_str(&x->echo),
        .id = own_id(x),
        .model = str_of(exchange_config(x)->experts[x->expert].generator.model),
        .created_s = clock_wall_s(&clock_system),
    };

    if (x->dialect->voice == NULL)
        return NULL;
    voice_release(&x->voice);
    voice_init(&x->voice, x->dialect->voice, &facts,
               (size_t)exchange_config(x)->limits.answer_bytes);
    return &x->voice;
}

/* Each text of a stream is repeated up to four times at its end, and what is echoed with each
 * of three events; between them an event of the expert's becomes a few. */
size_t tongue_voice_bytes(const struct exchange *x)
{
    const struct config_limits *limits = &exchange_config(x)->limits;

    if (x->dialect->voice == NULL)
        return 0;
    return 8 * (size_t)limits->answer_bytes + 4 * x->echo.n + 16 * (1u << 20);
}

void tongue_release(struct exchange *x)
{
    voice_release(&x->voice);
    buf_release(&x->translated);
    buf_release(&x->echo);
}
