/* purse.c - the money of one request; see purse.h.
 *
 * Amounts saturate at INT64_MAX instead of wrapping: a purse that has seen an absurd
 * amount is empty, never rich.
 */
#include "gateway/flow/purse.h"

#include <assert.h>

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return INT64_MAX;
    return sum;
}

static void check(const struct purse *purse)
{
    assert(purse->ceiling_pico >= 0 && purse->held_pico >= 0);
    assert(purse->bound_pico >= 0 && purse->spent_pico >= 0);
    assert(purse->over_pico > 0 ||
           add(purse->bound_pico, purse->held_pico) <= purse->ceiling_pico);
}

static_assert(PURSE_UNBOUNDED == MONEY_NONE, "account and purse mean the same by it");

void purse_init(struct purse *purse, int64_t ceiling_pico, struct account *account)
{
    assert(ceiling_pico >= 0);
    *purse = (struct purse){ .ceiling_pico = ceiling_pico, .account = account };
}

/* Under the ceiling alone. */
static int64_t own_remaining(const struct purse *purse)
{
    int64_t gone = add(purse->bound_pico, purse->held_pico);

    if (purse->ceiling_pico == PURSE_UNBOUNDED)
        return PURSE_UNBOUNDED;
    return gone >= purse->ceiling_pico ? 0 : purse->ceiling_pico - gone;
}

int64_t purse_remaining(const struct purse *purse)
{
    int64_t own = own_remaining(purse), shared = PURSE_UNBOUNDED;

    if (purse->account != NULL)
        shared = account_remaining(purse->account, &purse->seat);
    return own < shared ? own : shared;
}

static enum purse_err reserve_shared(struct purse *purse, int64_t worst_pico,
                                     struct account_hold *seat,
                                     struct account_hold *ret_hold)
{
    if (purse->account == NULL)
        return PURSE_OK;
    switch (account_reserve(purse->account, worst_pico, seat, ret_hold)) {
    case ACCOUNT_OK:
        return PURSE_OK;
    case ACCOUNT_NO_BOUND:
        return PURSE_NO_BOUND;
    default:
        return PURSE_SHORT;
    }
}

enum purse_err purse_seat(struct purse *purse, int64_t pico)
{
    assert(pico >= 0 && !purse->seat.open);
    return reserve_shared(purse, pico, NULL, &purse->seat);
}

void purse_leave(struct purse *purse)
{
    if (purse->account != NULL)
        account_settle(purse->account, &purse->seat, 0);
}

static enum purse_err reserve(struct purse *purse, int64_t worst_pico,
                              struct account_hold *seat, struct purse_hold *ret_hold)
{
    struct purse_hold hold = { .worst_pico = worst_pico, .open = true };
    enum purse_err err;

    assert(worst_pico >= 0 && !ret_hold->open);
    if (purse->ceiling_pico != PURSE_UNBOUNDED) {
        if (worst_pico == PURSE_UNBOUNDED)
            return PURSE_NO_BOUND;
        if (worst_pico > own_remaining(purse))
            return PURSE_SHORT;
    }
    err = reserve_shared(purse, worst_pico, seat, &hold.account);
    if (err != PURSE_OK)
        return err;
    if (purse->ceiling_pico != PURSE_UNBOUNDED)
        purse->held_pico = add(purse->held_pico, worst_pico);
    *ret_hold = hold;
    check(purse);
    return PURSE_OK;
}

enum purse_err purse_reserve(struct purse *purse, int64_t worst_pico,
                             struct purse_hold *ret_hold)
{
    return reserve(purse, worst_pico, NULL, ret_hold);
}

enum purse_err purse_take(struct purse *purse, int64_t worst_pico,
                          struct purse_hold *ret_hold)
{
    return reserve(purse, worst_pico, &purse->seat, ret_hold);
}

/* Takes the hold out of what is reserved and books what binds of it on the account. False:
 * it was not open. */
static bool close_hold(struct purse *purse, struct purse_hold *hold, int64_t bound_pico)
{
    if (!hold->open)
        return false;
    hold->open = false;
    if (purse->ceiling_pico != PURSE_UNBOUNDED) {
        assert(purse->held_pico >= hold->worst_pico);
        purse->held_pico -= hold->worst_pico;
    }
    if (purse->account != NULL)
        account_settle(purse->account, &hold->account, bound_pico);
    return true;
}

bool purse_settle(struct purse *purse, struct purse_hold *hold, int64_t actual_pico)
{
    bool over;

    assert(actual_pico >= 0);
    if (!close_hold(purse, hold, actual_pico))
        return false;
    over = actual_pico > hold->worst_pico;
    if (over)
        purse->over_pico = add(purse->over_pico, actual_pico - hold->worst_pico);
    purse->bound_pico = add(purse->bound_pico, actual_pico);
    purse->spent_pico = add(purse->spent_pico, actual_pico);
    check(purse);
    return over;
}

void purse_unknown(struct purse *purse, struct purse_hold *hold, int64_t estimate_pico)
{
    int64_t bound, spent;

    assert(estimate_pico >= 0);
    bound = hold->worst_pico == PURSE_UNBOUNDED ? estimate_pico : hold->worst_pico;
    if (!close_hold(purse, hold, bound))
        return;
    spent = estimate_pico < bound ? estimate_pico : bound;
    purse->bound_pico = add(purse->bound_pico, bound);
    purse->spent_pico = add(purse->spent_pico, spent);
    if (bound > 0)
        purse->estimated = true;
    check(purse);
}

void purse_release(struct purse *purse, struct purse_hold *hold)
{
    (void)close_hold(purse, hold, 0);
    check(purse);
}
