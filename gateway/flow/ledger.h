/* ledger.h - what one request pays: a charge for every paid call, on its way to the store.
 *
 *   ledger_admit()                      before anything is spent: a place in the queue
 *       LEDGER_WAITING                  ... wake; ask again
 *   before each paid call, its money reserved:
 *       ledger_open(kind, expert, worst)
 *       ledger_secure()                 full durability: the reservation goes to the disk
 *           LEDGER_WAITING              ... wake; ask again
 *   after it:
 *       ledger_close(fate, tokens)      spent and bound are what the purse booked meanwhile
 *   ledger_settle()                     once: the decision with all its charges
 *       ledger_waiting()                full durability: not on the disk yet ... wake
 *   ledger_release()
 *
 * The calls of a request follow one another, so at most one charge is open; but for the second
 * call of a hedged embedding, whose charge is open beside the first one's (ledger_open_beside).
 * Whatever was paid, or may have been, is a charge: generations, evidence, failed and cancelled
 * attempts, those of a client that left. What cost nothing is one too (FREE).
 *
 * Full durability. Before a call that may cost something its reservation is committed, and
 * before the last byte of an answer its settlement; both only once, however often they are
 * asked for. If the store fails meanwhile: with `refuse` the call is not made
 * (LEDGER_REFUSED); with `continue`, and always once money is spent, it goes on.
 *
 * Threads: the worker's. The ledger must stay where it is while something waits
 * (ledger_busy): its owner is not to be freed.
 */
#ifndef GATEWAY_FLOW_LEDGER_H
#define GATEWAY_FLOW_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/base/err.h"
#include "gateway/flow/purse.h"
#include "gateway/io/loop.h"
#include "gateway/io/store.h"

/* A row that is waited for. */
struct ledger_paper {
    enum {
        LEDGER_IDLE,
        LEDGER_AWAY,    /* on its way to the disk; wake is to come */
        LEDGER_WRITTEN, /* it is there */
        LEDGER_FAILED,  /* it could not be written */
    } state;
    size_t n; /* charges that it told of */
    struct ledger *ledger;
    struct store_wait wait;
};

struct ledger {
    struct store *store; /* borrowed; NULL: nothing is kept */
    struct loop *loop;
    struct arena *arena;
    void (*wake)(void *arg); /* from the loop */
    void *arg;
    struct store_decision
        *head; /* who asks, when, for whom; the owner's, texts in arena */
    struct store_place place;
    size_t n, room;
    struct store_charge *charges; /* in the arena, in the order of the calls */
    struct ledger_open_charge {
        bool open;
        size_t at; /* in charges */
        int64_t spent_pico,
            bound_pico; /* of the purse when it was opened, and of what the
                                           other one has cost since */
    } opened[2];        /* the second one: beside the first */
    bool settled;       /* the decision was handed over */
    struct ledger_paper admission, reservation,
        settlement; /* admission: a place for a row */
};

/* store may be NULL. head is *borrowed*: its id, at_us, request_id, key, policy, tags,
 * bundle and config are to be set before the first ledger_secure. */
void ledger_init(struct ledger *ledger, struct store *store, struct loop *loop,
                 struct arena *arena, struct store_decision *head,
                 void (*wake)(void *arg), void *arg);
enum ledger_secured {
    LEDGER_SECURED, /* go on */
    LEDGER_WAITING, /* wake is to come */
    LEDGER_REFUSED, /* the disk fails: do not */
};

/* A place for the decision, so that whatever is spent can be told. */
NODISCARD enum ledger_secured ledger_admit(struct ledger *ledger);
/* NOMEM: the call is not to be made. worst: PURSE_UNBOUNDED where no bound is known, then
 * expected stands for it. expert is borrowed, as long as the ledger. */
NODISCARD enum err ledger_open(struct ledger *ledger, const struct purse *purse,
                               enum store_kind kind, const char *expert,
                               int64_t worst_pico, int64_t expected_pico);

/* The same beside the one that is open; both are secured together. */
NODISCARD enum err ledger_open_beside(struct ledger *ledger, const struct purse *purse,
                                      enum store_kind kind, const char *expert,
                                      int64_t worst_pico, int64_t expected_pico);

/* The call may be made. */
NODISCARD enum ledger_secured ledger_secure(struct ledger *ledger);
/* Without an open charge nothing happens. Tokens -1: not reported. */
void ledger_close(struct ledger *ledger, const struct purse *purse, enum store_fate fate,
                  int64_t input_tokens, int64_t output_tokens);

void ledger_close_beside(struct ledger *ledger, const struct purse *purse,
                         enum store_fate fate, int64_t input_tokens,
                         int64_t output_tokens);

/* The open charge's expert answered far over its output limit: a start bars it again. */
void ledger_over_limit(struct ledger *ledger);

/* Must the settlement be on the disk before the client has the last byte? */
bool ledger_binds(const struct ledger *ledger);
/* Hands the decision over; its charges are added here, the rest is the caller's. No charge
 * may be open. The first call counts, later ones do nothing. */
void ledger_settle(struct ledger *ledger, struct store_decision *decision);
/* The settlement is on its way and binds. */
bool ledger_waiting(const struct ledger *ledger);
/* The store has a pointer into it: its owner must stay until wake. */
bool ledger_busy(const struct ledger *ledger);
/* Gives the place back where nothing was handed over. Not while busy. */
void ledger_release(struct ledger *ledger);

#endif
