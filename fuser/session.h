/* session.h - what a session holds. The functions for callers are in fuser.h.
 *
 *   session.c   life, fuser_tell, fuser_fail     walk.c      fuser_next: what to buy next
 *   fuser.c     names of a configuration         verdict.c   the ranking
 *
 * Inside, generators and embedders count as in the bundle; what comes in and goes out
 * counts as in struct fuser_names.
 */
#ifndef FUSER_SESSION_H
#define FUSER_SESSION_H

#include <stdatomic.h>

#include "fuser/bundle.h"

struct fuser {
    atomic_uint references;
    struct fuser_bundle *bundle;                   /* one reference held */
    size_t n_generators, n_embedders;              /* of the configuration */
    int generator_in_bundle[FUSER_MAX_GENERATORS]; /* -1: no rows */
    int embedder_in_bundle[FUSER_MAX_EMBEDDERS];   /* -1: not known */
    int lender_in_bundle[FUSER_MAX_GENERATORS];    /* -1: nobody lends to it */
};

/* An embedder of the bundle as one request sees it. */
struct session_embedder {
    bool open; /* allowed, known to the configuration, alive, not yet queried */
    int named; /* its number in the configuration, or -1 */
    int64_t price_pico;
    double loss; /* its price and its waiting, in units of loss */
};

enum session_state {
    SESSION_DECIDE, /* evidence is complete for now: buy more, or answer? */
    SESSION_ASKED,  /* a remote embedder was asked for */
    SESSION_SEARCH, /* a vector is there, its distances are not */
    SESSION_DONE,
};

struct fuser_session {
    struct fuser *fuser; /* one reference held */
    enum session_state state;
    size_t pending; /* ASKED, SEARCH: which embedder */
    uint32_t subset;
    enum fuser_stop stop;

    /* Copied from the ask. */
    double lambda, wait, switch_z, gain_se;
    bool look;   /* free evidence that does not pay may still be looked at */
    bool looked; /* it was: the choice is that of no evidence */
    int64_t ceiling_pico, paid_pico;
    const char *text; /* borrowed from the caller */
    size_t text_bytes;
    struct loo_terms terms;
    struct loo_choice choice; /* all allowed generators, in the order of ties */
    struct fuser_ask_generator asked[FUSER_MAX_GENERATORS]; /* bundle's count */
    int named[FUSER_MAX_GENERATORS]; /* in the configuration, or -1 */
    /* Allowed generators without rows that another lends to; `named` counts as in the configuration. */
    size_t n_lent;
    struct session_lent {
        size_t named;
        struct fuser_ask_generator asked;
    } lent[FUSER_MAX_GENERATORS];
    struct session_embedder embedders[FUSER_MAX_EMBEDDERS];

    /* The evidence. All of it lies behind the struct, in the same allocation. */
    float *
        distance; /* per row: sum over the embedders queried, within `error`; NULL where the
                        search is approximate and `near` lists all that is known */
    double error;
    struct coarse_query query; /* of the pending embedder, during a search */
    float *vectors[FUSER_MAX_EMBEDDERS];
    float *scratch;    /* of the heads */
    struct near *near; /* the nearest `reach`, and further candidates behind them */
    size_t n_near, n_listed;
    struct near
        *near_table; /* the same of the tables' rows: walk_m, and further candidates */
    size_t n_near_table, n_listed_table;

    size_t n_steps;
    struct fuser_walked steps[FUSER_MAX_EMBEDDERS + 1];
};

/* The allowed generators whose worst case fits into `remaining`. */
void session_affordable(const struct fuser_session *session, int64_t remaining,
                        struct loo_choice *ret_choice);

/* Losses of answering under `subset`, judged by those rows of the tables (none: by the start
 * rows), if so much remains for the generator. The session has a choice. */
void session_losses(const struct fuser_session *session, uint32_t subset,
                    const struct near *near, size_t n_near, int64_t remaining,
                    struct loo_losses *ret);

/* What may still be spent: the ceiling less what was paid, 0 when that is overdrawn. */
int64_t session_remaining(const struct fuser_session *session);

#endif
