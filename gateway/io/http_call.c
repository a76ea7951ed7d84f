/* http_call.c - what every call has, whatever carries it: limits, head, body
 *
 * What must always hold: a dead call makes no event; the timer is armed from start to end. */
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/io/http_private.h"

static const char *const result_labels[] = {
#define X(name, label, text) label,
    HTTP_RESULTS(X)
#undef X
};

static const char *const result_texts[] = {
#define X(name, label, text) text,
    HTTP_RESULTS(X)
#undef X
};

const char *http_result_label(enum http_result_code code)
{
    return result_labels[code];
}

const char *http_result_text(enum http_result_code code)
{
    return result_texts[code];
}

bool http_call_sent(const struct http_call *call)
{
    return call->result.sent;
}

/* -- buffers ----------------------------------------------------------------------------- */

bool http_scratch_reserve(struct http_scratch *scratch, size_t n)
{
    if (n > scratch->size) {
        const size_t size = n > 512 ? 2 * n : 512;
        char *p = realloc(scratch->p, size);
        if (p == NULL)
            return false;
        scratch->p = p;
        scratch->size = size;
    }
    return true;
}

char *http_scratch_add(struct http_scratch *scratch, const char *bytes, size_t n)
{
    char *at = scratch->p + scratch->n;
    assert(n <= scratch->size - scratch->n);
    memcpy(at, bytes, n);
    scratch->n += n;
    return at;
}

static void scratch_release(struct http_scratch *scratch)
{
    free(scratch->p);
    *scratch = (struct http_scratch){ .p = NULL };
}

/* -- the request ------------------------------------------------------------------------- */

void http_call_reset(struct http_call *call, const struct http_spec *spec)
{
    call->body = spec->body;
    call->n_body = spec->n_body;
    call->body_bytes = 0;
    for (size_t i = 0; i < spec->n_body; i++)
        call->body_bytes += spec->body[i].iov_len;
    call->piece = call->piece_offset = 0;
    call->pin_generation = 0;
    call->timeouts = spec->timeouts;
    call->stage = HTTP_CONNECTING;
    call->started_us = call->stage_us = call->last_byte_us = loop_now_us(call->loop);
    call->text.n = call->head.n = 0;
    call->head_bytes = 0;
    call->head_given = call->paused = call->dead = call->waits = call->retried =
        call->in_event = false;
    call->failed = HTTP_OK;
    call->detail[0] = '\0';
    call->conn = NULL;
    call->once = spec->once;
    call->fresh = spec->fresh || spec->connect_only;
    call->connect_only = spec->connect_only;
    memset(&call->result, 0, sizeof call->result);
    call->max_answer_bytes = spec->max_answer_bytes;
}

static bool bears_token(const struct http_spec *spec)
{
    return spec->key_header == NULL || spec->key_header[0] == '\0' ||
           strcasecmp(spec->key_header, "authorization") == 0;
}

const char *http_key_field(const struct http_spec *spec)
{
    return bears_token(spec) ? "Authorization" : spec->key_header;
}

const char *http_key_scheme(const struct http_spec *spec)
{
    return bears_token(spec) ? ": Bearer " : ": ";
}

bool http_call_parse_url(struct http_call *call, const char *url)
{
    unsigned long port;
    for (const char *c = url; *c != '\0'; c++)
        if (*c <= ' ' || *c == 0x7f || *c == '#')
            return false;
    call->tls = strncmp(url, "https://", 8) == 0;
    if (!call->tls && strncmp(url, "http://", 7) != 0)
        return false;
    port = call->tls ? 443 : 80;
    url += call->tls ? 8 : 7;
    size_t n = *url == '[' ? strcspn(url, "]/?") + 1 : strcspn(url, ":/?");
    if (n == 0 || n >= sizeof call->host || memchr(url, '@', strcspn(url, "/?")) != NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        call->host[i] = (char)tolower((unsigned char)url[i]);
    call->host[n] = '\0';
    if (url[n] == ':') {
        char *end;
        port = strtoul(url + n + 1, &end, 10);
        if (end == url + n + 1 || port == 0 || port > 65535)
            return false;
        n = (size_t)(end - url);
    }
    if (url[n] != '\0' && url[n] != '/' && url[n] != '?')
        return false;
    call->port = (uint16_t)port;
    call->path = url + n;
    return true;
}

void http_call_wipe(struct http_call *call)
{
    if (call->text.n > 0)
        explicit_bzero(call->text.p, call->text.n);
    call->text.n = 0;
}

void http_call_release(struct http_call *call)
{
    http_call_wipe(call);
    curl_easy_cleanup(call->easy);
    for (size_t i = 0; i < HTTP_TLS_FILES; i++)
        free(call->files[i]);
    scratch_release(&call->text);
    scratch_release(&call->gathered);
    scratch_release(&call->head);
}

/* -- time -------------------------------------------------------------------------------- */

static unsigned stage_limit_ms(const struct http_call *call)
{
    switch (call->stage) {
    case HTTP_CONNECTING:
        return call->timeouts.connect_ms;
    case HTTP_WAITING:
        return call->timeouts.first_byte_ms;
    case HTTP_READING:
        return call->paused ? 0 : call->timeouts.idle_ms;
    }
    return 0;
}

static uint64_t stage_due_us(const struct http_call *call)
{
    const unsigned limit_ms = stage_limit_ms(call);
    const uint64_t from =
        call->stage == HTTP_READING ? call->last_byte_us : call->stage_us;
    return limit_ms != 0 ? from + (uint64_t)limit_ms * 1000 : UINT64_MAX;
}

static uint64_t total_due_us(const struct http_call *call)
{
    return call->timeouts.total_ms != 0
               ? call->started_us + (uint64_t)call->timeouts.total_ms * 1000
               : UINT64_MAX;
}

enum http_result_code http_call_overdue(const struct http_call *call)
{
    static const enum http_result_code codes[] = {
        [HTTP_CONNECTING] = HTTP_TIMEOUT_CONNECT,
        [HTTP_WAITING] = HTTP_TIMEOUT_FIRST_BYTE,
        [HTTP_READING] = HTTP_TIMEOUT_IDLE,
    };
    const uint64_t now = loop_now_us(call->loop);
    if (stage_due_us(call) <= now)
        return codes[call->stage];
    return total_due_us(call) <= now ? HTTP_TIMEOUT_TOTAL : HTTP_OK;
}

/* Bytes only move last_byte_us: a timer that comes too early looks again. So it is touched
 * when a stage begins whose limit is nearer, and not for each piece of a stream. It is
 * always armed, if only for the end of time: moving an armed timer cannot fail. */
bool http_call_arm(struct http_call *call)
{
    const uint64_t stage = stage_due_us(call), total = total_due_us(call);
    const uint64_t due = stage < total ? stage : total;
    if (call->timer.slot != 0 && call->timer.due_us <= due)
        return true;
    return loop_timer_set(call->loop, &call->timer, due) == LOOP_OK;
}

static void enter(struct http_call *call, enum http_stage stage)
{
    call->stage = stage;
    call->stage_us = call->last_byte_us = loop_now_us(call->loop);
    const bool armed = http_call_arm(call);
    assert(armed);
    (void)armed;
}

static uint64_t since_start_us(const struct http_call *call)
{
    const uint64_t us = loop_now_us(call->loop) - call->started_us;
    return us > 0 ? us : 1; /* 0 means "not reached" */
}

/* -- what the transports tell ------------------------------------------------------------ */

void http_call_connecting(struct http_call *call)
{
    if (call->stage != HTTP_CONNECTING)
        enter(call, HTTP_CONNECTING);
}

void http_call_connected(struct http_call *call)
{
    call->result.sent = true;
    call->result.timings.connected_us = since_start_us(call);
    enter(call, HTTP_WAITING);
}

/* Inside an event the call may be cancelled, and another be started: a cancelled call is kept
 * from reuse until its event has returned. */
static bool event_over(struct http_call *call)
{
    call->in_event = false;
    if (call->state == HTTP_TELLING)
        http_reaped(call);
    else if (!call->dead)
        return true;
    return false;
}

bool http_call_give_head(struct http_call *call, const struct http_header *headers,
                         size_t n)
{
    call->head_given = true;
    call->result.timings.head_us = since_start_us(call);
    if (call->events->head == NULL)
        return true;
    call->in_event = true;
    call->events->head(call->arg, call->result.status, headers, n);
    return event_over(call);
}

bool http_call_give_body(struct http_call *call, const char *bytes, size_t n)
{
    if (call->stage != HTTP_READING) {
        call->result.timings.first_byte_us = since_start_us(call);
        enter(call, HTTP_READING);
    }
    call->last_byte_us = loop_now_us(call->loop);
    call->result.body_bytes += n;
    if (call->max_answer_bytes != 0 && call->result.body_bytes > call->max_answer_bytes) {
        call->failed = HTTP_TOO_LARGE;
        return false;
    }
    if (call->events->body == NULL)
        return true;
    call->in_event = true;
    if (call->events->body(call->arg, bytes, n) == HTTP_PAUSE)
        call->paused = true;
    return event_over(call);
}
