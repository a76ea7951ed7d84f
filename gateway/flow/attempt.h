/* attempt.h - one call of one expert's chat endpoint, and what became of it.
 *
 *   attempt_start(&attempt, &spec)      RUNNING, or ended at once (FULL; SHUT: its endpoint
 *                                       is down, or on trial by another call)
 *       spec.progress()                 bytes have come (a stream): look at the relay
 *       spec.progress()                 with attempt.end != RUNNING: it is over
 *   attempt_cancel(&attempt)            in any state
 *   attempt_release(&attempt)
 *
 * A streamed 200 is fed into the relay as it comes. Everything else is collected in
 * attempt.body, within a limit. When it is over, `end` says how: the table below is the
 * one place that says which ends let another expert try (STALE, a kept connection that the
 * expert had just closed: the same one first), which are shown to the client,
 * and what may have been bought.
 *
 * All of the spec is *borrowed until the attempt is over*. Threads: the worker's own.
 */
#ifndef GATEWAY_FLOW_ATTEMPT_H
#define GATEWAY_FLOW_ATTEMPT_H

#include <sys/uio.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/base/str.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/metrics.h"
#include "gateway/domain/usage.h"
#include "gateway/flow/relay.h"
#include "gateway/flow/returned.h"
#include "gateway/flow/snapshot.h"
#include "gateway/flow/upstream.h"
#include "gateway/io/http.h"

/* What is known of the money when an attempt is over. */
enum attempt_fate {
    ATTEMPT_BOUGHT,  /* it was carried out: usage, or an estimate */
    ATTEMPT_FREE,    /* surely not: never sent, or refused */
    ATTEMPT_UNKNOWN, /* perhaps: the worst case counts */
};

/* X(name, word, metric, error, retry, same, fate, health): retry: another expert may take
 * over, and before it, where nothing was bought, another endpoint of this one; same: after a
 * pause it may go better, so where nobody else is left the same one is asked again; health:
 * what it says of the endpoint (health.h). */
#define ATTEMPT_ENDS(X)                                                                  \
    X(RUNNING, "running", OK, OK, false, false, UNKNOWN, NOTHING)                        \
    X(ANSWERED, "answered", OK, OK, false, false, BOUGHT, WORKED)                        \
    X(REFUSED, "refused", STATUS_4XX, EXPERT_STATUS, false, false, FREE, WORKED)         \
    X(TOO_LONG, "too_long", STATUS_4XX, EXPERT_STATUS, true, false, FREE, WORKED)        \
    X(UNSUPPORTED, "unsupported", STATUS_4XX, EXPERT_STATUS, true, false, FREE, WORKED)  \
    X(DENIED, "denied", STATUS_4XX, EXPERT_STATUS, true, false, FREE, NOTHING)           \
    X(LIMITED, "limited", STATUS_429, EXPERT_BUSY, true, true, FREE, WORKED)             \
    X(FULL, "full", CONNECT, EXPERT_BUSY, true, false, FREE, NOTHING)                    \
    X(SHUT, "shut", CONNECT, EXPERT_BUSY, true, false, FREE, NOTHING)                    \
    X(DOWN, "down", STATUS_5XX, EXPERT_STATUS, true, true, FREE, FAILED)                 \
    X(FAILED, "failed", STATUS_5XX, EXPERT_STATUS, true, true, UNKNOWN, FAILED)          \
    X(CONNECT, "connect", CONNECT, EXPERT_CONNECT, true, true, FREE, FAILED)             \
    X(TIMEOUT_CONNECT, "timeout_connect", TIMEOUT, EXPERT_TIMEOUT, true, false, FREE,    \
      FAILED)                                                                            \
    X(TIMEOUT, "timeout", TIMEOUT, EXPERT_TIMEOUT, true, false, UNKNOWN, FAILED)         \
    X(CUT, "cut", CUT, EXPERT_BROKEN, true, true, UNKNOWN, FAILED)                       \
    X(STALE, "stale", CUT, EXPERT_BROKEN, true, false, UNKNOWN, NOTHING)                 \
    X(MALFORMED, "malformed", MALFORMED, EXPERT_BROKEN, true, false, UNKNOWN, FAILED)    \
    X(UNTOLD, "untold", CANCELLED, DUPLICATE_KEY, true, false, FREE, NOTHING)            \
    X(NOMEM, "no_memory", CANCELLED, NOMEM, false, false, UNKNOWN, NOTHING)              \
    X(CANCELLED, "cancelled", CANCELLED, CLIENT_GONE, false, false, UNKNOWN, NOTHING)

enum attempt_end {
#define X(name, word, metric, error, retry, same, fate, health) ATTEMPT_##name,
    ATTEMPT_ENDS(X)
#undef X
        ATTEMPT_IDLE /* not started */
};

const char *attempt_word(enum attempt_end end);
enum metric_attempt attempt_metric(enum attempt_end end);
enum api_err attempt_error(enum attempt_end end);
bool attempt_retry(enum attempt_end end);
bool attempt_same(enum attempt_end end);
enum attempt_fate attempt_fate(enum attempt_end end);
/* Says nothing of the expert's other endpoints. */
bool attempt_of_endpoint(enum attempt_end end);

#define ATTEMPT_VERSIONS      2
#define ATTEMPT_FORWARDED_MAX 20 /* headers of the client that travel on */

struct attempt_spec {
    struct http *http;
    struct snapshot *snapshot;
    size_t expert;
    size_t endpoint;                 /* of the expert, see upstream.h */
    struct metrics_block *metrics;   /* the worker's */
    const struct chat_request *chat; /* in the form that this expert takes */
    int64_t limit_tokens;            /* output limit to send; 0: as the client has it */
    bool early;                      /* it is down, and tried before its time */
    bool fresh;                      /* on no kept connection */
    struct str request_id;
    const struct http_header
        *forwarded; /* of the client; at most ATTEMPT_FORWARDED_MAX */
    size_t n_forwarded;
    /* The same, for an expert that is asked in its own API: what says which version it is. */
    const struct http_header *versions; /* ATTEMPT_VERSIONS */
    uint64_t now_us;                    /* loop time */
    unsigned within_ms; /* what is left of the request's deadline; 0: no limit */
    struct arena *arena;
    struct relay *relay; /* initialised; for a streamed answer; NULL: none is wanted */
    /* From the loop, never from inside attempt_*. HTTP_PAUSE: attempt_resume follows. */
    enum http_flow (*progress)(void *arg);
    void *arg;
};

struct attempt {
    enum attempt_end end;
    struct attempt_spec spec;
    struct upstream_call place; /* entered while it is RUNNING */
    struct http_call *call;
    bool blameless; /* the request itself asked for too much: no fault of the endpoint */
    bool streaming; /* the body goes to the relay */
    unsigned status;
    struct buf body;        /* of an answer that is not streamed, or of an error */
    int64_t retry_after_ms; /* -1: not said */
    char expert_request_id[64];
    const struct returned *returned; /* of its headers, for the client; in the arena */
    const char *word;                /* how it ended, finer than `end`: "timeout_idle" */
    uint32_t adapted;           /* bit i: rule i of the expert's dialect was applied */
    const char *detail;         /* for the log; static or in the arena */
    struct usage_answer answer; /* ANSWERED and not streamed */
    bool sent;                  /* the request may have reached the expert */
    uint64_t started_us;        /* loop time */
    struct http_timings timings;
};

void attempt_start(struct attempt *attempt, const struct attempt_spec *spec);
void attempt_resume(struct attempt *attempt);
/* For a stream whose relay is ENDED or BROKEN: nothing more is read, `end` follows from
 * the relay. */
void attempt_close(struct attempt *attempt);
/* Its stream has content: who was on trial has passed. */
void attempt_works(struct attempt *attempt);
/* RUNNING becomes CANCELLED; the connection is closed in this turn. */
void attempt_cancel(struct attempt *attempt);
/* Cancels, frees the body. Takes a zeroed one. */
void attempt_release(struct attempt *attempt);

#endif
