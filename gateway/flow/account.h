/* account.h - what one key has spent, and what is reserved on it.
 *
 * The same reservation path as a request's ceiling (purse.h), shared by all requests of a
 * key and by all workers:
 *
 *     account_reserve(worst) --> hold --> account_settle(bound)   actual, the worst case
 *                                                                 of an unknown fate, or 0
 *
 *     window    day   [ bound | held |      free      ]    each with its own budget;
 *               month [   bound      | held |  free   ]    all of them, or none, take a
 *               total [      bound       | held| free ]    reservation
 *
 * Always: bound + held <= budget in every window, unless an expert charged more than its
 * worst case or the budget was lowered; then nothing more is let in. Nobody is refused
 * while bound + held + his own worst case is within every budget. A reservation settles in
 * the windows it was taken in: one that outlives midnight does not burden the new day.
 * Rates are buckets (bucket.h) for requests and for tokens.
 *
 * Accounts are found by the key's id in the book of the process and outlive keys and
 * reloads, so that a key that is changed, rotated or taken out and put in again does not
 * begin anew. At the start they are filled from the ledger (account_restore).
 *
 * Threads: any. Each account has one mutex, held for a few additions; it guards all of
 * it. The book's mutex guards the list and is taken at start and reload only. Neither is
 * taken under another. Amounts are pico-USD and not negative; MONEY_NONE as a worst case:
 * unknown, as a budget: none.
 */
#ifndef GATEWAY_FLOW_ACCOUNT_H
#define GATEWAY_FLOW_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/clock.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/key_limits.h"

#define ACCOUNTS_MAX 65536 /* keys that were ever seen by one process, or in its ledger */

struct admission_key;
struct account;  /* owned by its book */
struct accounts; /* the book, owned by main */

/* One reservation; {0} holds nothing and settles to nothing. Members are account.c's. */
struct account_hold {
    int64_t held_pico; /* taken from the windows; 0 where no worst case is known */
    uint32_t turns[KEY_WINDOW_COUNT]; /* the windows it was taken in */
    bool open;
};

enum account_err {
    ACCOUNT_OK,
    ACCOUNT_SHORT,   /* the worst case exceeds what remains of a budget */
    ACCOUNT_NO_BOUND /* no worst case is known, and there is a budget */
};

/* The clock is borrowed. NULL: out of memory. */
NODISCARD struct accounts *accounts_new(const struct clock *clock);
void accounts_free(struct accounts *accounts); /* takes NULL; no hold may be open */
/* The account of that id, made without limits where there is none. TOO_LARGE: the book is
 * full; NOMEM. The account lives as long as the book. */
NODISCARD enum err accounts_open(struct accounts *accounts, struct str id,
                                 struct account **ret_account);

const char *account_id(const struct account *account);
/* Sets budgets and rates; what was spent, reserved and asked stays. */
void account_limit(struct account *account, const struct key_limits *limits);
/* From the ledger: what was bound in the windows that wall_us lies in. Those that have ended
 * since are left alone. */
void account_restore(struct account *account, int64_t wall_us,
                     const int64_t bound_pico[KEY_WINDOW_COUNT]);

/* Is there a budget in any window? */
bool account_bounded(struct account *account);
/* What may still be reserved, the least of the windows; MONEY_NONE: nothing limits it. With
 * what `seat` holds (NULL or not open: nothing), which its owner may put to another use. */
int64_t account_remaining(struct account *account, const struct account_hold *seat);
/* What could be reserved if nothing were: what is not spent for good. */
int64_t account_unspent(struct account *account);
/* From all windows or from none; the hold must not be open and is untouched on failure. What
 * `seat` holds (NULL or not open: nothing) goes into it: it is closed where this succeeds,
 * and stays as it is where this fails, so that nobody can come in between. */
NODISCARD enum account_err account_reserve(struct account *account, int64_t worst_pico,
                                           struct account_hold *seat,
                                           struct account_hold *ret_hold);
/* Closes the hold; one that is not open is left alone. bound_pico may be above what was
 * reserved: it is booked. */
void account_settle(struct account *account, struct account_hold *hold,
                    int64_t bound_pico);

/* One window as it stands. */
struct account_window {
    int64_t budget_pico; /* MONEY_NONE: none */
    int64_t bound_pico;  /* settled */
    int64_t held_pico;   /* reserved */
    int64_t resets_us;   /* wall time of its end; 0: never */
};
void account_view(struct account *account,
                  struct account_window ret_windows[KEY_WINDOW_COUNT]);
/* The window that lets the least through; KEY_WINDOW_COUNT: there is no budget. */
enum key_window account_tightest(struct account *account,
                                 struct account_window *ret_window);

/* The key's requests under way and those that wait: admission.c's counters. Any thread. */
struct admission_key *account_admission(struct account *account);

/* -- rates -- */

struct account_rate { /* as x-ratelimit-* and retry-after say it */
    int64_t limit;    /* per minute; 0: none, and the rest means nothing */
    int64_t remaining;
    int64_t reset_us; /* until all of it may be asked for again */
    int64_t wait_us;  /* until what was refused would be let in; 0 otherwise */
};

/* One more request; false: not now. */
NODISCARD bool account_request(struct account *account, struct account_rate *ret_rate);
/* Tokens that a request may take; false: not now, nothing was taken. */
NODISCARD bool account_tokens(struct account *account, int64_t tokens,
                              struct account_rate *ret_rate);
/* What became of `reserved` tokens. */
void account_tokens_used(struct account *account, int64_t reserved, int64_t used);

#endif
