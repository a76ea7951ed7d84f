/* exchange_parts.h - what the files of the exchange share. For them alone: exchange.c
 * (the steps), tongue.c (the client's API), forward.c (who is asked), respond.c (what the
 * client gets), settle.c (what it cost), explain.c (what a record is made of), records.c
 * (questions about records), admin.c (what an operator asks for), entry.c (its entry in the
 * ledger), place.c (its place among those under way), finish.c (the end of its answer) and
 * local.c (answers that no expert gives).
 *
 * exchange.c owns every member and is the only one that changes `step`; the others read,
 * and write only what their own header lines below name.
 */
#ifndef GATEWAY_FLOW_EXCHANGE_PARTS_H
#define GATEWAY_FLOW_EXCHANGE_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/base/id.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/dialect.h"
#include "gateway/domain/frugal_headers.h"
#include "gateway/domain/retell.h"
#include "gateway/domain/scan.h"
#include "gateway/flow/admission.h"
#include "gateway/flow/attempt.h"
#include "gateway/flow/counting.h"
#include "gateway/flow/decision.h"
#include "gateway/flow/exchange.h"
#include "gateway/flow/gate.h"
#include "gateway/flow/keyring.h"
#include "gateway/flow/ledger.h"
#include "gateway/flow/order.h"
#include "gateway/flow/purse.h"
#include "gateway/flow/record.h"
#include "gateway/flow/relay.h"
#include "gateway/flow/stay.h"
#include "gateway/flow/translation.h"
#include "gateway/flow/worker.h"

struct exchange {
    struct worker *worker;
    struct metrics_block *metrics; /* the worker's */
    struct worker_seat seat;       /* in the worker's list */
    struct admission_seat place;   /* among those under way: place.c's */
    const struct client_ops *ops;
    void *client;
    struct snapshot *snapshot; /* owned reference */
    struct arena arena;

    int step;       /* exchange.c's; changed in one place */
    bool complete;  /* the request's body is here */
    bool gone;      /* the client's side is over; no op may be called */
    bool head_sent; /* op head was called */
    bool left;      /* the client was gone before its answer was over */
    bool admin;     /* it came in on the admin listener */

    /* the request */
    const struct exchange_request *request; /* only while exchange_new runs */
    enum exchange_route route;
    const struct dialect *dialect; /* that the client speaks; errors have its shape too */
    struct str method, path, argument, peer; /* in the arena */
    struct str request_id;                   /* the client's own, or ours */
    struct str origin; /* of the page that asks, where the configuration allows it */
    struct str asked_headers;        /* that it wants to send, with an OPTIONS */
    char decision_id[ID_TEXT_BYTES]; /* empty: nothing was decided */

    /* who asks: gate.c's */
    struct keyring *keyring;     /* owned reference; NULL: none is published */
    const struct key *key;       /* in the ring; NULL: none is asked for */
    const struct key *bad_key;   /* in the ring: expired or revoked, for the log */
    struct account *account;     /* of the key; in the book of the process */
    struct key_allow allow;      /* what the key allows */
    enum metric_refusal refusal; /* for the log */
    struct account_rate requests_rate, tokens_rate;
    int64_t tokens_taken; /* of the minute, not yet corrected */

    size_t n_forwarded;
    struct http_header forwarded[ATTEMPT_FORWARDED_MAX];
    struct scan scan;
    struct buf body;
    struct translation
        translation;    /* into a chat request, where the dialect is another */
    struct voice voice; /* tells the answer in the dialect */
    struct chat_request chat;
    struct scan *own_scan;    /* of the body as it came, where it is translated */
    struct chat_request *own; /* and the request itself; both in the arena, or NULL */
    struct retell_gap *gap;   /* what its translation leaves out; likewise */
    const struct chat_request
        *form; /* what the expert of the attempt was sent; NULL: none yet */
    struct http_header
        versions[ATTEMPT_VERSIONS]; /* of the client's API; names may be NULL */
    struct frugal_options options;
    struct buf text; /* routing text */

    /* its way */
    struct api_error error; /* code OK: none */
    struct order order;
    bool ordered;     /* order and purse are made */
    struct stay stay; /* stay.c's */
    struct counting counting;
    struct purse purse;
    struct decision decision;
    uint64_t
        passed; /* bit i: decision.plan.choices[i] is not asked (any more): it failed,
                        does not fit, or may not be called */
    uint64_t spared; /* of them, those in slow start: asked when nobody else is left */
    uint64_t
        unwell; /* of them, those that are down or limited, and have not failed here */
    uint64_t sorry; /* of them, those that failed and may do better after a pause */
    bool ill;       /* somebody was passed over for his health */
    uint64_t
        well_us;   /* when the first of those may be called again; UINT64_MAX: unknown */
    int chosen;    /* in decision.plan: who is asked, or answered; -1: nobody yet */
    size_t expert; /* the same as the configuration's index; valid if chosen >= 0 */
    unsigned attempts; /* calls made so far */
    size_t endpoint;   /* of the expert */
    bool early;        /* it is down, and tried before its time */
    uint32_t tried;    /* bit e: its endpoint e was */
    bool again;        /* a closed connection was made up for */
    unsigned pauses;   /* made so far, before somebody was asked once more */
    uint64_t waits_us; /* since when somebody's health is waited for; 0: it is not */
    bool pausing;      /* pause_timer runs, or has just run */
    bool passed_over;  /* a better choice was not affordable */
    bool failed_over;  /* a better choice failed */
    struct order_terms terms;
    struct purse_hold hold;           /* of the attempt */
    const struct config_price *price; /* in force when it began */
    struct attempt attempt;
    struct relay relay;
    bool relaying;      /* the relay is initialised */
    bool paused;        /* the expert is not read, the client is slow */
    struct usage usage; /* of the answer, where reported */
    int64_t generation_pico;
    struct str explanation; /* JSON of the decision, where asked for; in the arena */
    struct recall *recall;  /* of a question about records; in the arena */
    struct reload *reload;  /* that was asked for; in the arena */
    int64_t remaining_pico; /* in the purse when it was decided */
    struct ledger ledger;
    struct store_decision entry; /* what the ledger is told; id empty: nothing */
    bool asking;                 /* the attempt's money is reserved, the call not made */
    struct record_attempt *first_try, *last_try; /* calls that are over; in the arena */

    struct loop_timer deadline; /* of the body, then of the request */
    struct loop_timer hold_timer;
    struct loop_timer ping_timer; /* where signs of life are wanted: ping.c's */
    uint64_t said_us;             /* loop time when the client was last told something */
    struct loop_timer pause_timer;

    /* by exchange_now_us; 0: not reached */
    uint64_t accepted_us, parsed_us, decided_us, first_us, done_us;
    unsigned status; /* shown to the client */
};

/* The same clock as the loop's, but not held still for a turn. */
uint64_t exchange_now_us(void);
struct loop *exchange_loop(const struct exchange *x);
const struct config *exchange_config(const struct exchange *x);
/* What was decided and is being done: the chosen expert's place in the plan. */
const struct plan_choice *exchange_choice(const struct exchange *x);
/* The reason to show: the plan's, or what happened to it since. */
enum reason exchange_reason(const struct exchange *x);
/* For attempts: bytes of the expert have come, or its answer is over. */
enum http_flow exchange_progressed(void *arg);
/* Arms one of the exchange's timers; without memory the request fails. */
/* Something that was waited for has come, on the loop. */
void exchange_woke(void *exchange);
void exchange_arm(struct exchange *x, struct loop_timer *timer, uint64_t due_us);

/* respond.c: writes head_sent and status, and calls the ops. */
void respond_error(struct exchange *x); /* before the head: status, headers, body */
void respond_cut(struct exchange *x);   /* after it: error event, no [DONE], abort */
void respond_stream_head(struct exchange *x);
/* Moves what the relay has to the client; returns the bytes queued there. */
size_t respond_stream_body(struct exchange *x);
void respond_answer(struct exchange *x); /* an answer that was not streamed */
/* The expert's own refusal, status and body as they came. */
void respond_refusal(struct exchange *x);
/* What a path takes, and whether a page may ask. */
void respond_options(struct exchange *x);
/* A whole answer of the gateway's own; type NULL: application/json. */
void respond_own(struct exchange *x, unsigned status, const char *type, struct str body);

/* explain.c */
/* All that a record is made of, as it stands; borrowed from the exchange. */
struct record explain_record(const struct exchange *x);
/* The decision as a JSON object: ranking, neighbours, steps, reason, prices. */
void explain_decision(const struct exchange *x, struct buf *out);
/* Keeps it in x->explanation where the client asked for it. */
void explain_keep(struct exchange *x);

/* records.c: the routes that ask about records; writes recall and error. */
/* Asks when it is first called; true: the answer is still to come. */
bool records_waiting(struct exchange *x);
void records_answer(struct exchange *x);
/* False: the reader still has the question, and the exchange must stay. */
bool records_over(struct exchange *x);

/* admin.c: the routes of operators; writes reload and error. As those of records. */
bool admin_waiting(struct exchange *x);
void admin_answer(struct exchange *x);
bool admin_over(const struct exchange *x);

/* forward.c: writes passed .. well_us, chosen .. pausing, terms, asking, attempt,
 * relay, order.excluded, error. */
/* The first in the plan that was not passed over and that can be afforded and called now;
 * false: nobody. */
bool forward_choose(struct exchange *x);
/* Nobody can be called at all: 503 and when to come back, or the 402. */
void forward_refuse(struct exchange *x);
/* Who was asked has failed: he is not chosen again before a pause. */
void forward_failed(struct exchange *x);
/* Who failed and may do better after a pause is asked again then, and who is not well may be
 * by then: the timer is set. False: nobody is worth waiting for, or the pauses are used up, or
 * the deadline is too near. */
bool forward_pause(struct exchange *x);
/* May it be sent once more, though whoever had it may have carried it out? */
bool forward_may_resend(const struct exchange *x);
/* The same expert at its next endpoint, after an end that says nothing of it; false: all
 * of its endpoints were tried. */
bool forward_next_endpoint(struct exchange *x);
/* The same endpoint once more, since its kept connection had just been closed: what that try
 * may have cost is settled, and this one is paid for like any other. False: it was another
 * end, or the second of this kind. */
bool forward_again(struct exchange *x);
/* Reserves the worst case of who was chosen, or of who can be afforded instead; false:
 * nobody can, x->error says why. */
bool forward_reserve(struct exchange *x);
/* Starts the attempt at who was chosen; its money is reserved. */
void forward_ask(struct exchange *x);
/* All who could be asked were asked: the last failure becomes the client's error, unless
 * the expert's own words are to be passed on. */
void forward_give_up(struct exchange *x);

/* place.c: writes place, deadline, and error where the request is refused. */
/* False: there will be no place for it. */
bool place_hoped(struct exchange *x);
/* False: there is no memory for what is there of the body. */
bool place_for_body(struct exchange *x);
/* Asks when it is first called; true: exchange_woke follows. */
bool place_waiting(struct exchange *x);
void place_leave(struct exchange *x);

/* entry.c: writes entry, and error where the request is refused. */
void entry_begin(struct exchange *x);
void entry_refuse(struct exchange *x); /* the disk fails: 503 */
/* Hands it over, once; everything is settled. */
void entry_settle(struct exchange *x);

/* finish.c: writes asking, paused, left, error, status. */
/* Answers the client; false: something is still waited for, call it again then. */
bool finish_answer(struct exchange *x);

/* ruling.c: writes text, order, error; the key's tags into the options. */
/* The routing text, made once; false: no memory, x->error. */
bool ruling_text(struct exchange *x);
/* The order is made; false: x->error. */
bool ruling_admit(struct exchange *x);

/* ping.c: writes said_us; calls the op body. */
/* An expert is asked for a stream. */
void ping_asked(struct exchange *x);
/* The client was told something of a stream. */
void ping_said(struct exchange *x);
void ping_stop(struct exchange *x);
void ping_due(void *exchange); /* the timer's */

/* tongue.c: writes chat, translation, voice; releases body. */
/* By the route, and by the path where there is no such route. */
const struct dialect *tongue_dialect(const struct exchange_request *request);
/* Reads the whole body as a chat request; x->error says what is wrong. True: a translation is
 * on the pool, call it again when the exchange is woken. */
bool tongue_parsing(struct exchange *x);
/* A fresh voice for the answer of who was chosen; NULL: it is passed on as it comes, since it
 * is in the client's API. */
struct voice *tongue_voice(struct exchange *x);
/* What that voice may say at once. */
size_t tongue_voice_bytes(const struct exchange *x);
/* The id that the client sees of its answer; `experts` is the expert's own. */
struct str tongue_answer_id(struct exchange *x, struct str experts);
/* The number that the next event of a stream would have. */
int64_t tongue_sequence(const struct exchange *x);
/* False: the pool still reads the body, and the exchange must stay. */
bool tongue_release(struct exchange *x);

/* vectors.c */
/* A built-in embedder is asked: no expert is. */
bool vectors_are_ours(const struct exchange *x);
/* Its answer; out is empty and keeps its maximum where an error is returned. */
enum api_err vectors_answer(struct exchange *x, struct buf *out);
/* The expert's answer gets its vectors in the form that the client asked for; writes
 * attempt.body and attempt.answer. */
void vectors_recode(struct exchange *x);

/* local.c: answers without an expert. */
void local_answer(struct exchange *x);

/* settle.c: writes the purse, usage and generation_pico. */
/* The attempt is over: money and metrics of it. */
void settle_attempt(struct exchange *x);
/* Cost of the whole request as it stands, with `usage` for the answer that is under way;
 * NULL: all is settled. */
void settle_cost(const struct exchange *x, const struct usage *usage,
                 struct usage_cost *ret_cost);
/* The order is made: how its policy's spending of today steers it. */
void settle_steer(struct exchange *x);
/* The request is over: metrics and the log line. */
void settle_request(struct exchange *x);

#endif
