/* finish.c - the client is answered: whole, in a stream, or with an error.
 *
 *   error, deadline, client gone --> fail()                       error body, or a cut
 *   nobody was to be asked       --> local_answer()
 *   an answer that is whole      --> respond_answer(), respond_refusal()
 *   a stream                     --> flow on, then end
 *
 * What must hold: before the last byte nothing runs any more and everything is settled;
 * where the ledger binds, the settlement is on the disk first (acknowledged()), so that
 * whoever has the last byte of an answer finds it in the ledger after any crash.
 */
#include "gateway/flow/exchange_parts.h"
#include "gateway/flow/held.h"

#define LINGER_MS 500 /* after [DONE], for the end of the expert's HTTP answer */

/* Reserved, and not asked for any more. */
static void take_back(struct exchange *x)
{
    x->asking = false;
    held_drop(x->metrics, &x->hold);
    purse_release(&x->purse, &x->hold);
    ledger_close(&x->ledger, &x->purse, STORE_FATE_FREE, -1, -1);
}

/* Nothing is left running. */
static void stop(struct exchange *x)
{
    loop_timer_clear(exchange_loop(x), &x->deadline);
    loop_timer_clear(exchange_loop(x), &x->hold_timer);
    ping_stop(x);
    loop_timer_clear(exchange_loop(x), &x->pause_timer);
    if (x->asking)
        take_back(x);
    counting_stop(&x->counting);
    attempt_cancel(&x->attempt);
    if (x->hold.open)
        settle_attempt(x);
    (void)!decision_end(&x->decision);
}

/* Everything is settled. True: the last byte may go. A disk that is slower than the
 * request's deadline is not waited for: what was spent is reserved on it. */
static bool acknowledged(struct exchange *x, unsigned status)
{
    if (!ledger_binds(&x->ledger))
        return true;
    if (!x->ledger.settled) {
        if (!x->head_sent)
            x->status = status; /* what it is going to be */
        entry_settle(x);
    }
    if (x->gone || !ledger_waiting(&x->ledger) ||
        loop_now_us(exchange_loop(x)) >= x->deadline.due_us)
        return true;
    exchange_arm(x, &x->hold_timer, x->deadline.due_us);
    return false;
}

static bool fail(struct exchange *x)
{
    stop(x);
    if (!acknowledged(x, (unsigned)api_error_status(x->error.code)))
        return false;
    if (x->gone)
        return true;
    if (x->head_sent)
        respond_cut(x);
    else
        respond_error(x);
    return true;
}

/* The end of a stream, [DONE] and what came with it, waits for the settlement. */
static bool held_back(const struct exchange *x)
{
    return x->relay.state == RELAY_ENDED && ledger_binds(&x->ledger) &&
           (!x->ledger.settled || ledger_waiting(&x->ledger));
}

static bool end_stream(struct exchange *x)
{
    stop(x);
    if (!acknowledged(x, 200))
        return false;
    if (x->gone)
        return true;
    (void)respond_stream_body(x);
    x->ops->end(x->client);
    return true;
}

/* The stream flows until relay and attempt are both at their end. */
static bool stream(struct exchange *x)
{
    size_t high = (size_t)exchange_config(x)->limits.queue_bytes;
    uint64_t linger = loop_now_us(exchange_loop(x)) + LINGER_MS * 1000;

    if (high < EXCHANGE_HIGH_BYTES)
        high = EXCHANGE_HIGH_BYTES; /* below it the edge does not call again */
    if (!x->head_sent) {
        loop_timer_clear(exchange_loop(x), &x->hold_timer);
        respond_stream_head(x);
        ping_said(x);
    }
    if (!held_back(x) && respond_stream_body(x) > high)
        x->paused = true;
    if (x->attempt.end == ATTEMPT_RUNNING && x->relay.state == RELAY_BROKEN)
        attempt_close(&x->attempt);
    if (x->attempt.end == ATTEMPT_RUNNING) {
        if (x->relay.state == RELAY_ENDED && x->hold_timer.slot == 0)
            exchange_arm(x, &x->hold_timer, linger);
        return x->error.code == API_OK ? false : fail(x);
    }
    if (x->attempt.end == ATTEMPT_ANSWERED)
        return end_stream(x);
    (void)respond_stream_body(x);
    settle_attempt(x);
    forward_give_up(x);
    if (x->error.code == API_OK) /* refused, when a sign of life had gone out already */
        (void)api_error_set(&x->error, API_EXPERT_STATUS, NULL,
                            "the expert refused the request with status %u",
                            x->attempt.status);
    return fail(x);
}

/* The client has the whole answer, or only its settlement is waited for: whatever comes now
 * is no failure. Clients often leave as soon as they read [DONE]. */
static bool end_early(struct exchange *x)
{
    attempt_close(&x->attempt);
    x->error = (struct api_error){ .code = API_OK };
    x->left = false;
    return end_stream(x);
}

bool finish_answer(struct exchange *x)
{
    if (x->error.code != API_OK || x->gone)
        return x->head_sent && x->relay.state == RELAY_ENDED ? end_early(x) : fail(x);
    if (records_waiting(x) || admin_waiting(x))
        return false;
    if (x->chosen < 0 || x->route == EXCHANGE_DECISION) {
        stop(x);
        if (!acknowledged(x, 200))
            return false;
        local_answer(x);
        return true;
    }
    if (x->attempt.streaming || x->relay.committed)
        return stream(x);
    stop(x);
    if (!acknowledged(x, x->attempt.status))
        return false;
    if (x->attempt.end == ATTEMPT_ANSWERED)
        respond_answer(x);
    else
        respond_refusal(x);
    return true;
}
