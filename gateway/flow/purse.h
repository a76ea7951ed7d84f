/* purse.h - the money of one request.
 *
 * A ceiling binds the SUM of all that a request causes: embeddings, attempts, failover,
 * generation. Before each paid call its worst case is reserved; afterwards the hold is
 * settled in one of three ways:
 *
 *     purse_reserve(worst) --> hold --+--> purse_settle(actual)     usage was reported
 *                                     +--> purse_unknown(estimate)  sent, fate unknown:
 *                                     |                             worst case counts
 *                                     +--> purse_release            never sent: nothing
 *
 * Always: bound_pico + held_pico <= ceiling_pico, unless an expert charged more than its
 * worst case (then over_pico > 0 and the purse is empty). bound_pico is what the promise
 * is kept with; spent_pico is what we believe the request cost, estimates included.
 *
 * A purse may draw on a key's account as well (account.h): then a reservation is taken
 * from both or from neither, and what remains is the lesser of the two. Others draw on the
 * account meanwhile, so what remained a moment ago need not suffice now. So that a request
 * that has paid for its evidence does not find the money for its answer gone, it takes a
 * seat first: so much of the account is kept for purse_take, and counts as remaining.
 * One owner. All amounts are pico-USD and not negative.
 */
#ifndef GATEWAY_FLOW_PURSE_H
#define GATEWAY_FLOW_PURSE_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/flow/account.h"

#define PURSE_UNBOUNDED INT64_MAX /* as a ceiling: none; as a worst case: unknown */

struct purse {
    int64_t ceiling_pico;     /* PURSE_UNBOUNDED: none */
    int64_t held_pico;        /* reserved and not settled; 0 without a ceiling */
    int64_t bound_pico;       /* settled: actual where reported, worst case where not */
    int64_t spent_pico;       /* settled: actual where reported, estimate where not */
    int64_t over_pico;        /* charged above reservations, in sum */
    bool estimated;           /* spent_pico contains an estimate */
    struct account *account;  /* borrowed; NULL: none */
    struct account_hold seat; /* kept of the account for the answer */
};

/* One reservation; {0} holds nothing and settles to nothing. */
struct purse_hold {
    int64_t worst_pico;
    bool open;
    struct account_hold account; /* the same on the key's account */
};

enum purse_err {
    PURSE_OK,
    PURSE_SHORT,   /* the worst case exceeds what remains */
    PURSE_NO_BOUND /* no worst case is known, and there is a ceiling or a budget */
};

/* account: *borrowed*, may be NULL. */
void purse_init(struct purse *purse, int64_t ceiling_pico, struct account *account);

/* What may still be reserved; PURSE_UNBOUNDED without a ceiling and a budget. */
int64_t purse_remaining(const struct purse *purse);

/* Keeps so much of the account, once; without an account: nothing. */
NODISCARD enum purse_err purse_seat(struct purse *purse, int64_t pico);
/* Gives the seat back, where there still is one. */
void purse_leave(struct purse *purse);

/* The hold must not be open. Untouched on failure. The seat stays where it is. */
NODISCARD enum purse_err purse_reserve(struct purse *purse, int64_t worst_pico,
                                       struct purse_hold *ret_hold);
/* The same for the answer: the seat is given up for it. */
NODISCARD enum purse_err purse_take(struct purse *purse, int64_t worst_pico,
                                    struct purse_hold *ret_hold);
/* Each of them closes the hold; a hold that is not open is left alone, so that every exit
 * may settle. purse_settle returns true if actual was above the reservation. */
bool purse_settle(struct purse *purse, struct purse_hold *hold, int64_t actual_pico);
void purse_unknown(struct purse *purse, struct purse_hold *hold, int64_t estimate_pico);
void purse_release(struct purse *purse, struct purse_hold *hold);

#endif
