/* place.c - the request's place among those under way: what admission.c says, as the
 * exchange's error.
 *
 * Refusals say how long to wait and that nothing was spent: a client's own retry is safe.
 */
#include "gateway/flow/admission.h"
#include "gateway/flow/exchange_parts.h"

static const struct config_limits *limits_of(const struct exchange *x)
{
    return &exchange_config(x)->limits;
}

static bool refuse(struct exchange *x)
{
    static const char *const texts[] = {
        [METRIC_SHED_FULL] =
            "the gateway has too many requests in flight and in its queue",
        [METRIC_SHED_KEY] = "too many requests of this key wait already",
        [METRIC_SHED_LATE] = "the gateway has too many requests in flight: no place came "
                             "free for this one in time",
        [METRIC_SHED_MEMORY] = "the gateway has too many requests in memory",
    };

    x->error.retry_after = admission_retry_s(worker_queue(x->worker));
    (void)api_error_set(&x->error, API_OVERLOADED, NULL, "%s", texts[x->place.why]);
    return false;
}

bool place_hoped(struct exchange *x)
{
    x->place.key = x->account == NULL ? NULL : account_admission(x->account);
    x->place.wake = exchange_woke;
    x->place.arg = x;
    return !admission_full(worker_queue(x->worker), &x->place, limits_of(x)) || refuse(x);
}

bool place_for_body(struct exchange *x)
{
    return admission_body(worker_queue(x->worker), &x->place, x->body.n, limits_of(x)) ||
           refuse(x);
}

/* What is left of the request's time while it waits: nothing is decided yet that could
 * say more. */
static void arm_deadline(struct exchange *x)
{
    int64_t ms = limits_of(x)->request_deadline_ms;

    if (x->options.deadline_ms > 0 && x->options.deadline_ms < ms)
        ms = x->options.deadline_ms;
    exchange_arm(x, &x->deadline, x->accepted_us + (uint64_t)ms * 1000);
}

bool place_waiting(struct exchange *x)
{
    if (x->place.state == ADMISSION_NONE &&
        admission_ask(worker_queue(x->worker), &x->place, limits_of(x)) ==
            ADMISSION_WAITING)
        arm_deadline(x);
    if (x->place.state == ADMISSION_SHED)
        (void)refuse(x);
    return x->place.state == ADMISSION_WAITING && x->error.code == API_OK;
}

void place_leave(struct exchange *x)
{
    admission_leave(worker_queue(x->worker), &x->place);
}
