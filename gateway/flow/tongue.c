/* tongue.c - the API that a client speaks: its request as a chat request, and the voice that
 * answers it.
 *
 *   body ---scan---> chat_parse                              the body goes on as it came
 *   body ---scan---> dialect->request ---scan---> chat_parse     translation.h: its chat goes on
 *              +--------------------------------> native_request   or the body as it came, to
 *                                                                experts that speak that API
 */
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/domain/native.h"

#include "gateway/flow/exchange_parts.h"

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

/* Does anybody speak it himself? Then the request is kept as it came, with its scan. */
static bool keep_own(struct exchange *x)
{
    const struct config *config = exchange_config(x);
    bool spoken = false;

    for (size_t i = 0; i < config->n_experts; i++)
        spoken =
            spoken || (config->experts[i].has_generator &&
                       (config->experts[i].generator.apis >> x->dialect->api & 1) != 0);
    if (!spoken)
        return true;
    x->own_scan = arena_alloc(&x->arena, sizeof *x->own_scan);
    x->own = arena_alloc(&x->arena, sizeof *x->own);
    x->gap = arena_alloc(&x->arena, sizeof *x->gap);
    if (x->own_scan == NULL || x->own == NULL || x->gap == NULL)
        return false;
    *x->own_scan = x->scan;
    *x->gap = (struct retell_gap){ .stateful = false };
    return true;
}

static void add_own(struct exchange *x)
{
    native_request(x->own, x->dialect->native, &x->chat, x->own_scan, buf_str(&x->body));
    x->chat.native = x->own;
    x->chat.needs |= x->translation.needs;
    x->chat.stateful = x->gap->stateful;
    if (x->gap->error.code != API_OK)
        x->chat.untold = &x->gap->error;
}

/* Where the client's API is another; true: it is still to come. */
static bool translating(struct exchange *x)
{
    const struct translation_task task = {
        .dialect = x->dialect,
        .body = buf_str(&x->body),
        .depth = (unsigned)exchange_config(x)->limits.depth,
        .scan = &x->scan,
        .gap = x->gap,
        .own_scan = x->own_scan,
        .loop = exchange_loop(x),
        .pool = worker_service(x->worker)->pool,
        .fn = exchange_woke,
        .arg = x,
    };

    if (!translation_started(&x->translation))
        translation_start(&x->translation, &task);
    return translation_away(&x->translation);
}

static void parse_chat(struct exchange *x, struct str body)
{
    if (chat_parse_as(&x->chat, x->dialect->shape, &x->scan, body, &x->arena,
                      &x->error) == API_OK)
        (void)!frugal_options_body(&x->options, x->chat.frugal, &x->arena, &x->error);
}

static void check_scan(struct exchange *x)
{
    if (scan_end(&x->scan) != SCAN_OK)
        (void)chat_scan_error(&x->scan, &x->error);
    else if (x->scan.has_odd_frugal && x->route != EXCHANGE_FEEDBACK)
        (void)api_error_set(&x->error, API_BAD_OPTION, "frugal",
                            "a key differs from 'frugal' only in case: write 'frugal'");
}

bool tongue_parsing(struct exchange *x)
{
    if (!translation_started(&x->translation))
        check_scan(x);
    if (x->error.code != API_OK || x->route == EXCHANGE_FEEDBACK)
        return false;
    if (x->dialect->request == NULL) {
        parse_chat(x, buf_str(&x->body));
        return false;
    }
    if (!translation_started(&x->translation) && !keep_own(x)) {
        (void)api_error_set(&x->error, API_NOMEM, NULL, NULL);
        return false;
    }
    if (translating(x))
        return true;
    if (x->translation.error.code != API_OK)
        x->error = x->translation.error;
    else
        parse_chat(x, buf_str(&x->translation.chat));
    x->chat.translated = true;
    x->chat.limit_is_duty = x->dialect == dialect_of(DIALECT_MESSAGES);
    if (x->error.code == API_OK && x->own != NULL)
        add_own(x);
    return false;
}

static bool is_told(const struct exchange *x)
{
    return x->dialect != NULL && x->dialect->voice != NULL &&
           (x->form == NULL || !native_is(x->form->shape));
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

    if (!is_told(x))
        return experts;
    if (!x->relay.committed && x->attempt.end != ATTEMPT_ANSWERED)
        return (struct str){ 0 };
    return str_of(arena_printf(&x->arena, "%s" STR_FMT, x->dialect->voice->id_prefix,
                               STR_ARG(own)));
}

struct voice *tongue_voice(struct exchange *x)
{
    const struct voice_facts facts = {
        .echo = buf_str(&x->translation.echo),
        .id = own_id(x),
        .model = str_of(exchange_config(x)->experts[x->expert].generator.model),
        .created_s = clock_wall_s(&clock_system),
    };

    if (!is_told(x))
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

    if (!is_told(x))
        return 0;
    return 8 * (size_t)limits->answer_bytes + 4 * x->translation.echo.n + 16 * (1u << 20);
}

int64_t tongue_sequence(const struct exchange *x)
{
    return is_told(x) ? x->voice.sequence : x->relay.sequence;
}

bool tongue_release(struct exchange *x)
{
    voice_release(&x->voice);
    if (translation_away(&x->translation))
        return false;
    translation_release(&x->translation);
    buf_release(&x->body);
    return true;
}
