/* attempt.c - one call of one expert's chat endpoint; see attempt.h.
 *
 *     head --200 and event-stream, and a stream was asked for--> relay
 *          --anything else--> body, collected --done--> classified
 *
 * The request is always rebuilt, never copied: our client's Authorization and other
 * headers stay here, the expert gets its own key.
 */
#include "gateway/flow/attempt.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gateway/base/clock.h"
#include "gateway/domain/delta.h"
#include "gateway/domain/native.h"
#include "gateway/domain/refusal.h"
#include "gateway/domain/retry_after.h"

#define ERROR_BODY_BYTES (64u << 10) /* kept of an answer that is an error */

const char *attempt_word(enum attempt_end end)
{
    static const char *const words[] = {
#define X(name, word, metric, error, retry, same, fate, health) word,
        ATTEMPT_ENDS(X)
#undef X
    };

    return words[end];
}

enum metric_attempt attempt_metric(enum attempt_end end)
{
    static const enum metric_attempt metrics[] = {
#define X(name, word, metric, error, retry, same, fate, health) METRIC_ATTEMPT_##metric,
        ATTEMPT_ENDS(X)
#undef X
    };

    return metrics[end];
}

enum api_err attempt_error(enum attempt_end end)
{
    static const enum api_err errors[] = {
#define X(name, word, metric, error, retry, same, fate, health) API_##error,
        ATTEMPT_ENDS(X)
#undef X
    };

    return errors[end];
}

bool attempt_retry(enum attempt_end end)
{
    static const bool retries[] = {
#define X(name, word, metric, error, retry, same, fate, health) retry,
        ATTEMPT_ENDS(X)
#undef X
    };

    return retries[end];
}

bool attempt_same(enum attempt_end end)
{
    static const bool sames[] = {
#define X(name, word, metric, error, retry, same, fate, health) same,
        ATTEMPT_ENDS(X)
#undef X
    };

    return sames[end];
}

enum attempt_fate attempt_fate(enum attempt_end end)
{
    static const enum attempt_fate fates[] = {
#define X(name, word, metric, error, retry, same, fate, health) ATTEMPT_##fate,
        ATTEMPT_ENDS(X)
#undef X
    };

    return fates[end];
}

bool attempt_of_endpoint(enum attempt_end end)
{
    return end == ATTEMPT_CONNECT || end == ATTEMPT_TIMEOUT_CONNECT ||
           end == ATTEMPT_DOWN || end == ATTEMPT_LIMITED || end == ATTEMPT_SHUT;
}

/* -- how it ended ------------------------------------------------------------------------ */

/* What it says of the endpoint. Refused keys are its operator's affair and ours; any other
 * 4xx may be the client's doing, and no client shall be able to have an expert taken out. */
static enum health_said said_of(const struct attempt *attempt)
{
    static const enum health_said saids[] = {
#define X(name, word, metric, error, retry, same, fate, health) HEALTH_##health,
        ATTEMPT_ENDS(X)
#undef X
    };

    if (attempt->blameless)
        return HEALTH_NOTHING;
    if (attempt->end == ATTEMPT_DENIED &&
        (attempt->status == 401 || attempt->status == 402))
        return HEALTH_FAILED;
    if (attempt->end == ATTEMPT_CANCELLED && attempt->streaming &&
        attempt->spec.relay->content)
        return HEALTH_WORKED;
    return saids[attempt->end];
}

/* word NULL: the end's own. */
static void over(struct attempt *attempt, enum attempt_end end, const char *word,
                 const char *detail)
{
    assert(attempt->end == ATTEMPT_RUNNING);
    attempt->end = end;
    attempt->word = word != NULL ? word : attempt_word(end);
    attempt->detail = detail;
    if (end == ATTEMPT_LIMITED || end == ATTEMPT_DOWN)
        upstream_limit(&attempt->place, attempt->retry_after_ms);
    upstream_told(&attempt->place, said_of(attempt), attempt->word);
    upstream_leave(&attempt->place);
}

static enum attempt_end end_of_transport(const struct http_result *result)
{
    switch (result->code) {
    case HTTP_CONNECT:
    case HTTP_DNS:
    case HTTP_TLS:
        return result->sent ? ATTEMPT_CUT : ATTEMPT_CONNECT;
    case HTTP_TIMEOUT_CONNECT:
        return ATTEMPT_TIMEOUT_CONNECT;
    case HTTP_TIMEOUT_FIRST_BYTE:
    case HTTP_TIMEOUT_IDLE:
    case HTTP_TIMEOUT_TOTAL:
        return result->sent ? ATTEMPT_TIMEOUT : ATTEMPT_TIMEOUT_CONNECT;
    case HTTP_PROTOCOL:
    case HTTP_TOO_LARGE:
        return ATTEMPT_MALFORMED;
    case HTTP_NOMEM:
        return ATTEMPT_NOMEM;
    case HTTP_CUT:
        return result->stale ? ATTEMPT_STALE : ATTEMPT_CUT;
    case HTTP_OK:
        break;
    }
    return ATTEMPT_CUT;
}

/* What is too long for one expert, or not supported by it, may be well with another; who else
 * refuses has read the request and found fault with it, which is for the client to know. */
static enum attempt_end end_of_refusal(enum refusal refusal, enum attempt_end otherwise)
{
    switch (refusal) {
    case REFUSAL_TOO_LONG:
        return ATTEMPT_TOO_LONG;
    case REFUSAL_UNSUPPORTED:
        return ATTEMPT_UNSUPPORTED;
    case REFUSAL_OTHER:
        break;
    }
    return otherwise;
}

static enum attempt_end end_of_error(const struct attempt *attempt, unsigned status)
{
    switch (status) {
    case 429:
        return ATTEMPT_LIMITED;
    case 503:
    case 529: /* Anthropic's word for it */
        return ATTEMPT_DOWN;
    case 400:
    case 422:
        return end_of_refusal(refusal_of(buf_str(&attempt->body)), ATTEMPT_REFUSED);
    case 413:
        return ATTEMPT_TOO_LONG;
    default:
        break;
    }
    if (status == 408) /* whoever waited may have been answered since */
        return ATTEMPT_FAILED;
    if (status >= 400 && status < 500)
        return ATTEMPT_DENIED;
    if (status >= 500)
        return end_of_refusal(refusal_for_sure(buf_str(&attempt->body)), ATTEMPT_FAILED);
    return ATTEMPT_MALFORMED;
}

/* llama.cpp has answered 200 before it sees that a prompt is too long: what is left of a stream
 * or answer is a refusal like any other, and is shown as one. */
static enum attempt_end end_in_band(struct attempt *attempt, enum refusal refusal)
{
    const enum attempt_end end = end_of_refusal(refusal, ATTEMPT_FAILED);

    if (end == ATTEMPT_FAILED)
        return end;
    attempt->status = 400;
    if (!attempt->streaming)
        return end;
    attempt->streaming = false;
    buf_put_str(&attempt->body, buf_str(&attempt->spec.relay->out));
    return end;
}

/* An error that came with status 200: as with the status itself, a 4xx may be the client's
 * doing (a filter of contents...). */
static void excuse(struct attempt *attempt, int status)
{
    if (status >= 400 && status < 500 && status != 408)
        attempt->blameless = true;
}

static enum attempt_end end_of_stream(struct attempt *attempt, bool whole)
{
    struct relay *relay = attempt->spec.relay;

    relay_finish(relay, whole);
    if (relay->state == RELAY_ENDED)
        return ATTEMPT_ANSWERED;
    switch (relay->fault) {
    case RELAY_FAULT_IN_BAND:
        /* Once something was said it was not refused. */
        if (relay->error_status == 429 && !relay->content)
            return ATTEMPT_LIMITED;
        excuse(attempt, relay->error_status);
        return end_in_band(attempt, relay->refusal);
    case RELAY_FAULT_MALFORMED:
    case RELAY_FAULT_TOO_LARGE:
        return ATTEMPT_MALFORMED;
    case RELAY_FAULT_NOMEM:
        return ATTEMPT_NOMEM;
    default:
        return ATTEMPT_CUT;
    }
}

/* A 200 must be an answer: a JSON object with choices or vectors, or (one more way of
 * failing) with an error. */
static enum attempt_end end_of_answer(struct attempt *attempt)
{
    const enum chat_shape shape = attempt->spec.chat->shape;
    struct str body = buf_str(&attempt->body);

    if (native_is(shape) ? !native_answer(shape, body, &attempt->answer)
                         : !usage_read_answer(body, &attempt->answer))
        return ATTEMPT_MALFORMED;
    if (attempt->answer.has_error)
        excuse(attempt, delta_read(body).error_status);
    if (attempt->answer.has_error)
        return end_in_band(attempt, refusal_for_sure(body));
    if (shape == CHAT_INPUT)
        return attempt->answer.has_data ? ATTEMPT_ANSWERED : ATTEMPT_MALFORMED;
    return attempt->answer.has_choices ? ATTEMPT_ANSWERED : ATTEMPT_MALFORMED;
}

static void conclude(struct attempt *attempt, const struct http_result *result)
{
    const char *detail = NULL, *word = NULL;
    enum attempt_end end;

    /* How long a whole answer may take is the request's doing, and its deadline's. */
    attempt->blameless = result->code == HTTP_TIMEOUT_TOTAL;
    attempt->sent = result->sent;
    attempt->timings = result->timings;
    if (result->code != HTTP_OK)
        detail = arena_printf(attempt->spec.arena, "%s",
                              result->detail != NULL ? result->detail
                                                     : http_result_text(result->code));
    if (attempt->streaming) {
        end = end_of_stream(attempt, result->code == HTTP_OK);
        if (end == ATTEMPT_CUT && result->code != HTTP_OK)
            end = end_of_transport(result);
        else if (end != ATTEMPT_ANSWERED && detail == NULL)
            detail = relay_fault_text(attempt->spec.relay->fault);
    } else if (result->status != 0 && result->status != 200) {
        end = end_of_error(attempt, result->status);
        detail = arena_printf(attempt->spec.arena, "it answered with status %u",
                              result->status);
    } else if (result->code != HTTP_OK) {
        end = end_of_transport(result);
    } else if (attempt->spec.relay != NULL) {
        end = ATTEMPT_MALFORMED;
        detail = "a stream was asked for and something else came";
    } else {
        end = end_of_answer(attempt);
        if (end != ATTEMPT_ANSWERED)
            detail = "the answer is not what was asked for";
    }
    if (end == ATTEMPT_TIMEOUT || end == ATTEMPT_TIMEOUT_CONNECT ||
        end == ATTEMPT_CONNECT)
        word = http_result_label(result->code);
    over(attempt, end, word, detail);
}

/* -- events of the HTTP client ----------------------------------------------------------- */

/* It is shown to the client as a header of ours. */
static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < 0x20 || *text > 0x7e)
            return false;
    }
    return true;
}

static void take_header(struct attempt *attempt, const struct http_header *header)
{
    int64_t ms;

    if (strcmp(header->name, "content-type") == 0) {
        attempt->streaming =
            attempt->spec.relay != NULL && attempt->status == 200 &&
            str_starts_nocase(str_of(header->value), "text/event-stream");
    } else if (strcmp(header->name, "retry-after-ms") == 0) {
        if (retry_after_parse_ms(str_of(header->value), &ms) == ERR_OK)
            attempt->retry_after_ms = ms;
    } else if (strcmp(header->name, "retry-after") == 0) {
        if (attempt->retry_after_ms < 0 &&
            retry_after_parse(str_of(header->value), clock_wall_s(&clock_system), &ms) ==
                ERR_OK)
            attempt->retry_after_ms = ms;
    } else if (strcmp(header->name, "x-request-id") == 0 ||
               strcmp(header->name, "request-id") == 0) {
        if (is_printable(header->value))
            snprintf(attempt->expert_request_id, sizeof attempt->expert_request_id, "%s",
                     header->value);
    }
}

static void on_head(void *arg, unsigned status, const struct http_header *headers,
                    size_t n)
{
    struct attempt *attempt = arg;
    size_t limit = (size_t)attempt->spec.snapshot->config->limits.answer_bytes;

    attempt->status = status;
    if (status != 200)
        limit = ERROR_BODY_BYTES;
    buf_init(&attempt->body, limit);
    for (size_t i = 0; i < n; i++)
        take_header(attempt, &headers[i]);
    attempt->returned =
        returned_of(attempt->spec.snapshot->config, headers, n, attempt->spec.arena);
}

/* What exceeds the limit of an answer ends the attempt; of an error's body the beginning
 * is enough. */
static enum http_flow on_body(void *arg, const void *bytes, size_t n)
{
    struct attempt *attempt = arg;
    enum err err;

    if (attempt->streaming) {
        relay_feed(attempt->spec.relay, bytes, n);
        return attempt->spec.progress(attempt->spec.arg);
    }
    err = buf_add(&attempt->body, bytes, n);
    if (err == ERR_OK || attempt->status != 200)
        return HTTP_CONTINUE;
    http_cancel(attempt->call);
    attempt->call = NULL;
    attempt->sent = true;
    attempt->blameless = true;
    over(attempt, err == ERR_NOMEM ? ATTEMPT_NOMEM : ATTEMPT_MALFORMED, NULL,
         "the answer is over the limit");
    return attempt->spec.progress(attempt->spec.arg);
}

static void on_done(void *arg, const struct http_result *result)
{
    struct attempt *attempt = arg;

    attempt->call = NULL;
    conclude(attempt, result);
    (void)attempt->spec.progress(attempt->spec.arg);
}

static const struct http_events events = { on_head, on_body, on_done };

/* -- start and end ----------------------------------------------------------------------- */

/* By hand: it is written once a request, and printf is slow. */
static const char *chat_url(struct arena *arena, const char *endpoint, const char *path)
{
    const size_t n = strlen(endpoint), n_path = strlen(path) + 1;
    char *url = arena_alloc(arena, n + n_path);
    if (url == NULL)
        return NULL;
    memcpy(url, endpoint, n);
    memcpy(url + n, path, n_path);
    return url;
}

static struct chat_edit edit_of(const struct attempt_spec *spec)
{
    const struct config_expert *expert = &spec->snapshot->config->experts[spec->expert];
    const struct config_generator *generator = chat_generator(spec->chat, expert);
    struct chat_edit edit = { .model = str_of(generator->model),
                              .output_limit = spec->limit_tokens,
                              .limit_field = generator->limit_field };

    if (spec->chat->shape != CHAT_MESSAGES)
        edit.limit_field = CONFIG_LIMIT_ANY; /* that API has one name only */
    /* Under the name that this expert knows, also where nothing lowers it. */
    if (edit.output_limit == 0 &&
        (spec->chat->translated || edit.limit_field != CONFIG_LIMIT_ANY))
        edit.output_limit = spec->chat->output_limit;
    if (generator->adapt.n > 0 && !native_is(spec->chat->shape))
        edit.adapt = &generator->adapt;
    if (spec->chat->shape == CHAT_INPUT)
        edit.output_limit = 0;
    return edit;
}

static enum attempt_end entered(struct attempt *attempt)
{
    const struct attempt_spec *spec = &attempt->spec;

    switch (upstream_enter(&attempt->place, spec->snapshot, spec->expert, spec->endpoint,
                           spec->early, spec->metrics)) {
    case UPSTREAM_FULL:
        return ATTEMPT_FULL;
    case UPSTREAM_SHUT:
        return ATTEMPT_SHUT;
    case UPSTREAM_ENTERED:
        break;
    }
    return ATTEMPT_RUNNING;
}

void attempt_start(struct attempt *attempt, const struct attempt_spec *spec)
{
    const struct config_expert *expert = &spec->snapshot->config->experts[spec->expert];
    struct http_header headers[ATTEMPT_FORWARDED_MAX + ATTEMPT_VERSIONS + 4];
    struct chat_edit edit = edit_of(spec);
    struct iovec *pieces =
        arena_array(spec->arena, chat_max_pieces(&edit), sizeof *pieces);
    struct http_spec call = { .method = "POST",
                              .headers = headers,
                              .key = expert->key,
                              .key_header = expert->key_header,
                              .once = true,
                              .fresh = spec->fresh };
    enum err err = ERR_NOMEM;
    size_t bytes;

    *attempt = (struct attempt){ .spec = *spec,
                                 .retry_after_ms = -1,
                                 .started_us = spec->now_us };
    edit.adapted = &attempt->adapted;
    attempt->end = entered(attempt);
    attempt->word = attempt_word(attempt->end);
    if (attempt->end != ATTEMPT_RUNNING)
        return;
    call.url = chat_url(spec->arena,
                        upstream_endpoint(spec->snapshot, spec->expert, spec->endpoint),
                        chat_path(spec->chat->shape));
    if (call.url != NULL && pieces != NULL)
        err = chat_splice(spec->chat, &edit, spec->arena, pieces, &call.n_body, &bytes);
    if (err != ERR_OK) {
        over(attempt, err == ERR_TOO_LARGE ? ATTEMPT_UNTOLD : ATTEMPT_NOMEM, NULL,
             err == ERR_TOO_LARGE ? "members that its dialect changes occur too often"
                                  : NULL);
        return;
    }
    call.body = pieces;
    headers[call.n_headers++] =
        (struct http_header){ "content-type", "application/json" };
    headers[call.n_headers++] =
        (struct http_header){ "accept", spec->chat->stream ? "text/event-stream"
                                                           : "application/json" };
    headers[call.n_headers++] =
        (struct http_header){ "user-agent", "frugal-gateway/" FRUGAL_VERSION };
    headers[call.n_headers++] =
        (struct http_header){ "x-request-id", spec->request_id.p };
    assert(spec->n_forwarded <= ATTEMPT_FORWARDED_MAX);
    for (size_t i = 0; i < spec->n_forwarded; i++)
        if (strcasecmp(spec->forwarded[i].name, expert->key_header) != 0)
            headers[call.n_headers++] = spec->forwarded[i];
    for (size_t i = 0; i < ATTEMPT_VERSIONS && native_is(spec->chat->shape); i++)
        if (spec->versions[i].name != NULL)
            headers[call.n_headers++] = spec->versions[i];
    call.timeouts = upstream_timeouts(expert);
    if (spec->within_ms > 0 && spec->within_ms < call.timeouts.total_ms)
        call.timeouts.total_ms = spec->within_ms;
    call.tls = upstream_tls(expert);
    attempt->call = http_start(spec->http, &call, &events, attempt);
    if (attempt->call == NULL)
        over(attempt, ATTEMPT_NOMEM, NULL, NULL);
}

void attempt_resume(struct attempt *attempt)
{
    if (attempt->call != NULL)
        http_resume(attempt->call);
}

void attempt_close(struct attempt *attempt)
{
    enum attempt_end end;

    if (attempt->end != ATTEMPT_RUNNING)
        return;
    assert(attempt->streaming);
    attempt->sent = true;
    http_cancel(attempt->call);
    attempt->call = NULL;
    end = end_of_stream(attempt, false);
    over(attempt, end, NULL,
         end != ATTEMPT_ANSWERED ? relay_fault_text(attempt->spec.relay->fault) : NULL);
}

void attempt_works(struct attempt *attempt)
{
    if (attempt->end == ATTEMPT_RUNNING && attempt->place.ticket.trial)
        upstream_told(&attempt->place, HEALTH_WORKED, NULL);
}

void attempt_cancel(struct attempt *attempt)
{
    if (attempt->end != ATTEMPT_RUNNING)
        return;
    attempt->sent = attempt->call != NULL && http_call_sent(attempt->call);
    http_cancel(attempt->call);
    attempt->call = NULL;
    over(attempt, ATTEMPT_CANCELLED, NULL, NULL);
}

void attempt_release(struct attempt *attempt)
{
    if (attempt->spec.snapshot != NULL)
        attempt_cancel(attempt);
    buf_release(&attempt->body);
}
