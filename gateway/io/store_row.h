/* store_row.h - what is written to the store: one row, in one piece of memory.
 *
 *   struct store_decision decision = { .id = ..., .charges = in_the_arena, ... };
 *   struct store_row *row = store_row_decision(&decision);     copies everything, once
 *   if (row != NULL && store_put(store, &row, place)) ...      store.h takes it
 *
 *   [ store_row | charges | id 0 request_id 0 ... record 0 ]   one malloc, one free
 *
 * A decision may be put several times under one id: OPEN, with its charges so far, before
 * each paid call where durability is full; SETTLED once, at the end. The store adds its
 * charges to `spend` when it becomes SETTLED, and what comes under this id later changes
 * nothing.
 *
 * Units: *_pico is pico-USD, MONEY_NONE is unknown (NULL in the file); *_us is microseconds
 * since 1970; tokens -1: unknown. Texts are UTF-8, {NULL, 0} is NULL in the file but '' for
 * key and policy. A row belongs to one thread at a time.
 */
#ifndef GATEWAY_IO_STORE_ROW_H
#define GATEWAY_IO_STORE_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/base/money.h"
#include "gateway/base/str.h"

#define STORE_KINDS(X)                                                                   \
    X(EMBEDDING, "embedding")                                                            \
    X(GENERATION, "generation")

enum store_kind {
#define X(name, word) STORE_KIND_##name,
    STORE_KINDS(X)
#undef X
};

/* What became of a paid call's money. */
#define STORE_FATES(X)                                                                   \
    X(OPEN, "open")         /* reserved, not over: bound is the worst case */            \
    X(REPORTED, "reported") /* by the expert's usage */                                  \
    X(UNKNOWN, "unknown")   /* sent, no usage: spent is an estimate, bound the worst */  \
    X(FREE, "free")         /* never sent, or refused without a price */                 \
    X(CRASHED, "crashed")   /* the gateway ended while it was open: the worst case */

enum store_fate {
#define X(name, word) STORE_FATE_##name,
    STORE_FATES(X)
#undef X
};

#define STORE_STATES(X)                                                                  \
    X(OPEN, "open")                                                                      \
    X(SETTLED, "settled")                                                                \
    X(CRASHED, "crashed")

enum store_state {
#define X(name, word) STORE_STATE_##name,
    STORE_STATES(X)
#undef X
};

const char *store_kind_word(enum store_kind kind);
const char *store_fate_word(enum store_fate fate);
const char *store_state_word(enum store_state state);

struct store_charge {
    enum store_kind kind;
    enum store_fate fate;
    struct str expert;    /* the configuration's name */
    int64_t worst_pico;   /* reserved; MONEY_NONE: no bound was known */
    int64_t bound_pico;   /* what counts against ceilings and budgets */
    int64_t spent_pico;   /* what is believed */
    bool known;           /* spent is by reported usage */
    int64_t input_tokens; /* -1: unknown */
    int64_t output_tokens;
    bool over_limit; /* far more of them than were allowed: it bars its expert */
    int64_t at_us;   /* of the reservation: its UTC day is the one that is charged */
};

struct store_decision {
    struct str id; /* of the decision, not empty */
    int64_t at_us; /* when the request was accepted */
    struct str request_id;
    struct str response_id; /* the expert's */
    struct str key;         /* id of the key; empty: none */
    struct str policy;      /* empty: the expert was named */
    struct str expert;      /* chosen last */
    struct str reason;
    int status; /* HTTP, shown to the client; 0: not yet */
    enum store_state state;
    int64_t spent_pico, bound_pico; /* of all charges */
    int64_t evidence_pico, generation_pico;
    bool estimated;
    int64_t input_tokens, output_tokens; /* of the answer; -1: unknown */
    int64_t best_pico, cheapest_pico;    /* savings; MONEY_NONE: unknown */
    struct str tags, bundle, config;
    struct str record; /* JSON */
    size_t n_charges;
    const struct store_charge *charges; /* in the order of the calls */
};

struct store_feedback {
    struct str decision, expert, key;
    double score, weight;
    bool shared; /* it teaches everybody; otherwise its key alone */
    int64_t at_us;
    struct str messages, text, text_version; /* empty: not kept */
    int64_t input_tokens, output_tokens;     /* -1: unknown */
    double predicted;                        /* quality; NAN: unknown */
    struct str vectors;                      /* JSON; empty: not kept */
};

struct store_row;

/* Copies; NULL: out of memory. */
NODISCARD struct store_row *store_row_decision(const struct store_decision *decision);
NODISCARD struct store_row *store_row_feedback(const struct store_feedback *feedback);
void store_row_free(struct store_row *row); /* takes NULL; only what was not put */

size_t store_row_bytes(const struct store_row *row);
/* NULL when it is a row of the other sort; borrowed from the row. */
const struct store_decision *store_row_as_decision(const struct store_row *row);
const struct store_feedback *store_row_as_feedback(const struct store_row *row);

#endif
