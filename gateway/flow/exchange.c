/* exchange.c - one request's life, as a list of steps. The only file that knows them all.
 *
 *   accept -> receive -> queue -> parse -> admit -> count -> enter
 *                                                              v
 *                 over <- settle <- respond <---- forward <- decide <-> embed
 *                                      ^           |    ^
 *                                      |           +----+ failover
 *      any of them -- error, deadline, client gone
 *
 * Each step is a function that returns the step to be in: itself, when it waits. go() is
 * the only place where the step changes, run() the only place that calls steps. Events
 * (bytes, timers, answers, the edge) note what happened and call run().
 *
 * What must always hold: an error ends in `respond`, which stops whatever still runs and
 * tells the client as honestly as is still possible; money is settled exactly once per
 * attempt; after exchange_gone no op is called; the memory goes when the edge has let go
 * and nothing of ours is on the pool or on its way to the disk.
 */
#include "gateway/flow/exchange.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/flow/bars.h"
#include "gateway/flow/exchange_parts.h"
#include "gateway/flow/intake.h"

#define FIRST_BODY_BYTES (64u << 10) /* allocated at once for an announced body */

/* The word is what debug lines show. */
#define EXCHANGE_STEPS(X)                                                                \
    X(ACCEPT, accept)   /* the head is here: id, route, options, limits */               \
    X(RECEIVE, receive) /* the body arrives and is checked as it does */                 \
    X(QUEUE, queue)     /* a place among those under way */                              \
    X(PARSE, parse)     /* the body is read, in its API */                               \
    X(ADMIT, admit)     /* policy, experts, prices, ceiling, deadline */                 \
    X(COUNT, count)     /* tokenizers are asked where bytes are too many */              \
    X(ENTER, enter)     /* a place in the ledger */                                      \
    X(DECIDE, decide)   /* the fuser chooses, or asks for evidence */                    \
    X(EMBED, embed)     /* a piece of evidence is bought */                              \
    X(FORWARD, forward) /* an expert is asked, and the next if it fails */               \
    X(RESPOND, respond) /* the client is answered */                                     \
    X(SETTLE, settle)   /* cost, metrics, the log line */                                \
    X(OVER, over)       /* until the edge lets go */

enum step {
#define X(name, function) STEP_##name,
    EXCHANGE_STEPS(X)
#undef X
};

#define X(name, function) static enum step step_##function(struct exchange *x);
EXCHANGE_STEPS(X)
#undef X

static enum step (*const steps[])(struct exchange *) = {
#define X(name, function) step_##function,
    EXCHANGE_STEPS(X)
#undef X
};

/* The single door. Steps only lead on, but for the walk between decide and embed. */
static void go(struct exchange *x, enum step next)
{
    assert((int)next > x->step || (x->step == STEP_EMBED && next == STEP_DECIDE));
    x->step = (int)next;
}

static void release(struct exchange *x);

/* Until a step waits. An error leads to `respond` from wherever it came up. x may be gone
 * when this returns. */
static void run(struct exchange *x)
{
    for (;;) {
        enum step next = STEP_RESPOND;

        if (x->error.code == API_OK || x->step >= STEP_RESPOND)
            next = steps[x->step](x);
        if ((int)next == x->step)
            break;
        go(x, next);
    }
    if (x->step == STEP_OVER && x->gone && decision_end(&x->decision) &&
        records_over(x) && admin_over(x) && !ledger_busy(&x->ledger) && tongue_release(x))
        release(x);
}

/* Something from outside ends it: the deadline, a drain, the client. */
static void interrupt(struct exchange *x, enum api_err code, const char *text)
{
    if (x->step >= STEP_SETTLE)
        return;
    (void)api_error_set(&x->error, code, NULL, text != NULL ? "%s" : NULL, text);
    run(x);
}

uint64_t exchange_now_us(void)
{
    return (uint64_t)clock_us(&clock_system);
}

struct loop *exchange_loop(const struct exchange *x)
{
    return worker_loop(x->worker);
}

const struct config *exchange_config(const struct exchange *x)
{
    return x->snapshot->config;
}

const struct plan_choice *exchange_choice(const struct exchange *x)
{
    return x->chosen < 0 ? NULL : &x->decision.plan.choices[x->chosen];
}

enum reason exchange_reason(const struct exchange *x)
{
    if (x->failed_over)
        return REASON_FAILOVER;
    return x->passed_over ? REASON_CEILING : x->decision.plan.reason;
}

void exchange_arm(struct exchange *x, struct loop_timer *timer, uint64_t due_us)
{
    if (loop_timer_set(exchange_loop(x), timer, due_us) != LOOP_OK)
        (void)api_error_set(&x->error, API_NOMEM, NULL, NULL);
}

/* -- accept ------------------------------------------------------------------------------ */

static bool wants_body(enum exchange_route route)
{
    return route == EXCHANGE_CHAT || route == EXCHANGE_DECISION ||
           route == EXCHANGE_FEEDBACK || route == EXCHANGE_COMPLETIONS ||
           route == EXCHANGE_EMBEDDINGS || route == EXCHANGE_RESPONSES ||
           route == EXCHANGE_MESSAGES;
}

static enum step step_accept(struct exchange *x)
{
    const struct config_limits *limits = &exchange_config(x)->limits;
    int64_t length = x->request->content_length;
    char *room;

    if (intake_head(x) != ERR_OK) {
        (void)api_error_set(&x->error, API_NOMEM, NULL, NULL);
        return STEP_RESPOND;
    }
    if (!gate_enter(x) || !wants_body(x->route) || !place_hoped(x))
        return STEP_RESPOND;
    if (length > limits->body_bytes) {
        (void)api_error_set(&x->error, API_TOO_LARGE, NULL,
                            "the body is larger than %lld bytes",
                            (long long)limits->body_bytes);
        return STEP_RESPOND;
    }
    if (intake_headers(x->request, &x->options, &x->arena, x->forwarded,
                       ATTEMPT_FORWARDED_MAX, &x->n_forwarded, &x->error) != API_OK)
        return STEP_RESPOND;
    scan_init(&x->scan, (unsigned)limits->depth);
    buf_init(&x->body, (size_t)limits->body_bytes);
    if (length > 0)
        (void)!buf_room(&x->body,
                        length < FIRST_BODY_BYTES ? (size_t)length : FIRST_BODY_BYTES,
                        &room);
    exchange_arm(x, &x->deadline,
                 x->accepted_us + (uint64_t)limits->request_timeout_ms * 1000);
    return STEP_RECEIVE;
}

/* -- receive, queue, parse ----------------------------------------------------------------- */

static enum step step_receive(struct exchange *x)
{
    return x->complete ? STEP_QUEUE : STEP_RECEIVE;
}

static enum step step_queue(struct exchange *x)
{
    if (place_waiting(x))
        return STEP_QUEUE;
    return x->error.code == API_OK ? STEP_PARSE : STEP_RESPOND;
}

static enum step step_parse(struct exchange *x)
{
    if (tongue_parsing(x))
        return STEP_PARSE;
    x->parsed_us = exchange_now_us();
    if (x->error.code != API_OK || x->route == EXCHANGE_FEEDBACK || vectors_are_ours(x))
        return STEP_RESPOND;
    return STEP_ADMIT;
}

/* -- admit ------------------------------------------------------------------------------- */

/* To be decided by, or to be kept. */
static bool needs_text(const struct exchange *x)
{
    return (x->order.policy != NULL && x->snapshot->fuser != NULL) ||
           (x->ledger.store != NULL && exchange_config(x)->store.keep_prompts);
}

static enum step step_admit(struct exchange *x)
{
    if (order_make(&x->order, exchange_config(x), &x->chat, &x->options, &x->allow,
                   bars_mask(x->snapshot), clock_wall_s(&clock_system),
                   &x->error) != API_OK ||
        !ruling_admit(x))
        return STEP_RESPOND;
    x->order.known = x->snapshot->known;
    settle_steer(x);
    purse_init(&x->purse, x->order.ceiling_pico, x->account);
    x->ordered = true;
    exchange_arm(x, &x->deadline, x->accepted_us + (uint64_t)x->order.deadline_ms * 1000);
    return x->error.code == API_OK ? STEP_COUNT : STEP_RESPOND;
}

/* Whether anybody fits is only said when it is known how many tokens there are. */
static enum step step_count(struct exchange *x)
{
    struct counting_tools tools = { .http = worker_http(x->worker),
                                    .snapshot = x->snapshot,
                                    .order = &x->order,
                                    .arena = &x->arena,
                                    .request_id = x->request_id,
                                    .wake = exchange_woke,
                                    .arg = x };

    if (counting_waiting(&x->counting, &tools, purse_remaining(&x->purse)))
        return STEP_COUNT;
    if (order_counted(&x->order, &x->error) != API_OK || !gate_admit(x))
        return STEP_RESPOND;
    stay_look(x);
    return !needs_text(x) || ruling_text(x) ? STEP_ENTER : STEP_RESPOND;
}

/* A place in the ledger, before anything is spent. What is begun from here on has an id. */
static enum step step_enter(struct exchange *x)
{
    switch (ledger_admit(&x->ledger)) {
    case LEDGER_WAITING:
        return STEP_ENTER;
    case LEDGER_REFUSED:
        entry_refuse(x);
        return STEP_RESPOND;
    case LEDGER_SECURED:
        worker_new_id(x->worker, "dec", x->decision_id);
        entry_begin(x);
    }
    return STEP_DECIDE;
}

/* -- decide and embed -------------------------------------------------------------------- */

static void begin_decision(struct exchange *x)
{
    struct decision_tools tools = { .loop = exchange_loop(x),
                                    .http = worker_http(x->worker),
                                    .decider = worker_decider(x->worker),
                                    .metrics = x->metrics,
                                    .request_id = x->request_id,
                                    .ledger = &x->ledger,
                                    .keep_vectors =
                                        exchange_config(x)->store.keep_vectors,
                                    .cache = worker_service(x->worker)->vectors };

    decision_begin(&x->decision, &tools, x->snapshot, &x->order, &x->purse,
                   buf_str(&x->text), &x->arena);
}

static enum step step_decide(struct exchange *x)
{
    if (x->decision.state == DECISION_IDLE)
        begin_decision(x);
    if (x->decision.state == DECISION_QUERY)
        return STEP_EMBED;
    if (x->decision.state == DECISION_WAITING)
        return STEP_DECIDE;
    if (x->pausing && x->pause_timer.slot != 0)
        return STEP_DECIDE;
    if (!x->pausing)
        x->decided_us = exchange_now_us();
    x->pausing = false;
    x->remaining_pico = purse_remaining(&x->purse);
    if (!forward_choose(x)) {
        if (x->route != EXCHANGE_DECISION && forward_pause(x))
            return STEP_DECIDE;
        forward_refuse(x);
        return STEP_RESPOND;
    }
    explain_keep(x);
    return x->route == EXCHANGE_DECISION ? STEP_RESPOND : STEP_FORWARD;
}

static enum step step_embed(struct exchange *x)
{
    if (!decision_reserve(&x->decision))
        return STEP_DECIDE;
    switch (ledger_secure(&x->ledger)) {
    case LEDGER_WAITING:
        return STEP_EMBED;
    case LEDGER_REFUSED:
        entry_refuse(x);
        return STEP_RESPOND;
    case LEDGER_SECURED:
        decision_buy(&x->decision);
    }
    return STEP_DECIDE;
}

void exchange_woke(void *arg)
{
    run(arg);
}

/* -- forward ----------------------------------------------------------------------------- */

/* Bytes of the expert have come, or its answer is over. */
enum http_flow exchange_progressed(void *arg)
{
    struct exchange *x = arg;
    uint64_t hold_us = (uint64_t)exchange_config(x)->limits.hold_ms * 1000;

    if (x->step == STEP_FORWARD && x->attempt.streaming && x->relay.events > 0 &&
        x->relay.state == RELAY_HOLDING && x->hold_timer.slot == 0)
        exchange_arm(x, &x->hold_timer, loop_now_us(exchange_loop(x)) + hold_us);
    run(x);
    return x->paused ? HTTP_PAUSE : HTTP_CONTINUE;
}

enum next { NEXT_NOBODY, NEXT_NOW, NEXT_AFTER_PAUSE };

/* Who comes after a failed attempt: the same one on a fresh connection, the same expert's
 * next endpoint, the next expert; when all have failed, after a pause, the first of them that
 * may do better. All of them count as attempts, and there is one limit for all. */
static enum next next_in_line(struct exchange *x)
{
    size_t failed = x->snapshot->slots[x->expert];

    if (!attempt_retry(x->attempt.end) || !forward_may_resend(x) ||
        x->attempts >= exchange_config(x)->limits.attempts)
        return NEXT_NOBODY;
    if (forward_again(x) || forward_next_endpoint(x))
        return NEXT_NOW;
    forward_failed(x);
    if (!forward_choose(x))
        return forward_pause(x) ? NEXT_AFTER_PAUSE : NEXT_NOBODY;
    metrics_add(x->metrics, METRIC_FAILOVERS, failed, 0, 1);
    x->failed_over = true;
    return NEXT_NOW;
}

/* Asks whoever is in line until one is running, or nobody is left. */
static enum step ask_on(struct exchange *x)
{
    for (;;) {
        if (!x->hold.open && !forward_reserve(x))
            return STEP_RESPOND;
        switch (ledger_secure(&x->ledger)) {
        case LEDGER_WAITING:
            return STEP_FORWARD;
        case LEDGER_REFUSED:
            entry_refuse(x);
            return STEP_RESPOND;
        case LEDGER_SECURED:
            forward_ask(x);
        }
        if (x->attempt.end == ATTEMPT_RUNNING)
            return STEP_FORWARD;
        settle_attempt(x);
        switch (next_in_line(x)) {
        case NEXT_NOBODY:
            forward_give_up(x);
            return STEP_RESPOND;
        case NEXT_AFTER_PAUSE:
            return STEP_FORWARD;
        case NEXT_NOW:
            break;
        }
    }
}

/* Whoever may do better than before; if they all are down, and nobody is worth waiting for,
 * the last failure stands. */
static enum step ask_again(struct exchange *x)
{
    x->pausing = false;
    if (forward_choose(x))
        return ask_on(x);
    if (forward_pause(x))
        return STEP_FORWARD;
    forward_give_up(x);
    return STEP_RESPOND;
}

static enum step step_forward(struct exchange *x)
{
    if (x->pausing)
        return x->pause_timer.slot != 0 ? STEP_FORWARD : ask_again(x);
    if (x->attempt.end == ATTEMPT_IDLE || x->asking)
        return ask_on(x);
    if (x->attempt.end == ATTEMPT_RUNNING && x->relay.state == RELAY_BROKEN)
        attempt_close(&x->attempt);
    if (x->relay.content)
        attempt_works(&x->attempt);
    if (x->relay.committed || x->attempt.end == ATTEMPT_ANSWERED)
        return STEP_RESPOND;
    if (x->attempt.end == ATTEMPT_RUNNING)
        return STEP_FORWARD;
    settle_attempt(x);
    switch (next_in_line(x)) {
    case NEXT_NOW:
        return ask_on(x);
    case NEXT_AFTER_PAUSE:
        return STEP_FORWARD;
    case NEXT_NOBODY:
        break;
    }
    forward_give_up(x);
    return STEP_RESPOND;
}

static void hold_is_over(void *arg)
{
    struct exchange *x = arg;

    if (x->attempt.end == ATTEMPT_RUNNING && x->relay.state == RELAY_HOLDING)
        relay_commit(&x->relay);
    else if (x->attempt.end == ATTEMPT_RUNNING && x->relay.state == RELAY_ENDED)
        attempt_close(&x->attempt);
    run(x);
}

/* -- respond ----------------------------------------------------------------------------- */

static enum step step_respond(struct exchange *x)
{
    return finish_answer(x) ? STEP_SETTLE : STEP_RESPOND;
}

/* -- settle, over ------------------------------------------------------------------------ */

/* What the client still has to receive lies with the edge: the big pieces go now. */
static enum step step_settle(struct exchange *x)
{
    gate_settle(x);
    stay_settle(x);
    settle_request(x);
    entry_settle(x);
    attempt_release(&x->attempt);
    relay_release(&x->relay);
    (void)tongue_release(x);
    /* Last: who sees nothing in flight sees everything settled. */
    place_leave(x);
    return STEP_OVER;
}

static enum step step_over(struct exchange *x)
{
    (void)x;
    return STEP_OVER;
}

static void release(struct exchange *x)
{
    worker_leave(x->worker, &x->seat);
    ledger_release(&x->ledger);
    buf_release(&x->text);
    arena_release(&x->arena);
    gate_release(x);
    snapshot_unref(x->snapshot);
    free(x);
}

/* -- the edge's calls -------------------------------------------------------------------- */

static void deadline_passed(void *arg)
{
    struct exchange *x = arg;

    interrupt(x, x->step == STEP_RECEIVE ? API_CLIENT_SLOW : API_DEADLINE, NULL);
}

static void shut(struct worker_seat *seat)
{
    interrupt(CONTAINER_OF(seat, struct exchange, seat), API_DRAINING, NULL);
}

struct exchange *exchange_new(struct worker *worker,
                              const struct exchange_request *request,
                              const struct client_ops *ops, void *client)
{
    struct exchange *x = calloc(1, sizeof *x);

    if (x == NULL)
        return NULL;
    x->worker = worker;
    x->metrics = worker_metrics(worker);
    x->ops = ops;
    x->client = client;
    x->snapshot = snapshot_ref(worker_snapshot(worker));
    x->request = request;
    x->route = request->route;
    x->dialect = tongue_dialect(request);
    x->chosen = -1;
    x->stay.expert = -1;
    x->attempt.end = ATTEMPT_IDLE;
    x->accepted_us = exchange_now_us();
    x->deadline = (struct loop_timer){ .fn = deadline_passed, .arg = x };
    x->hold_timer = (struct loop_timer){ .fn = hold_is_over, .arg = x };
    x->ping_timer = (struct loop_timer){ .fn = ping_due, .arg = x };
    x->pause_timer = (struct loop_timer){ .fn = exchange_woke, .arg = x };
    x->decision.wake = exchange_woke;
    x->decision.arg = x;
    x->seat.shut = shut;
    arena_init(&x->arena, (size_t)exchange_config(x)->limits.arena_bytes);
    ledger_init(&x->ledger, worker_service(worker)->store, exchange_loop(x), &x->arena,
                &x->entry, exchange_woke, x);
    frugal_options_init(&x->options);
    worker_enter(worker, &x->seat);
    run(x);
    x->request = NULL;
    return x;
}

bool exchange_body(struct exchange *x, const void *bytes, size_t n)
{
    enum err err;

    if (x->step != STEP_RECEIVE)
        return false;
    if (scan_feed(&x->scan, bytes, n) != SCAN_OK) {
        (void)chat_scan_error(&x->scan, &x->error);
        run(x);
        return false;
    }
    err = buf_add(&x->body, bytes, n);
    if (err != ERR_OK)
        (void)api_error_set(&x->error, err == ERR_NOMEM ? API_NOMEM : API_TOO_LARGE, NULL,
                            NULL);
    if (err == ERR_OK && place_for_body(x))
        return true;
    run(x);
    return false;
}

void exchange_complete(struct exchange *x)
{
    if (x->step != STEP_RECEIVE)
        return;
    x->complete = true;
    run(x);
}

void exchange_bad_body(struct exchange *x)
{
    if (x->step == STEP_RECEIVE)
        interrupt(x, API_BAD_VALUE, "the body is not framed as HTTP says");
}

void exchange_writable(struct exchange *x)
{
    if (!x->paused)
        return;
    x->paused = false;
    attempt_resume(&x->attempt);
}

void exchange_gone(struct exchange *x)
{
    x->gone = true;
    if (x->step >= STEP_SETTLE) {
        run(x);
        return;
    }
    x->left = true;
    interrupt(x, API_CLIENT_GONE, NULL);
}
