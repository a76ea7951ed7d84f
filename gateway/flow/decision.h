/* decision.h - which expert shall answer: the walk through the evidence, and its plan.
 *
 *     decision_begin --> WAITING --step--> QUERY j --> decision_buy --> WAITING
 *                           ^                                              |
 *                           +---- vector told, or embedder failed ---------+
 *                           |
 *                           +--step--> READY: decision.plan
 *
 * The exchange drives it: each time `wake` is called it looks at decision_state. A
 * decision always becomes READY: without bundle, without evidence, with embedders down or
 * slow, the plan begins with the order's preferred expert and the reason says why. It
 * never fails and never costs more than the purse has.
 *
 * Where the order has rules of domains that are still open, the free evidence is looked at
 * first, and they narrow the order (order_rule_domain).
 *
 * The order (policy, allow list, prices), the purse and the text are *borrowed until
 * decision_end*. Threads: the worker's own.
 */
#ifndef GATEWAY_FLOW_DECISION_H
#define GATEWAY_FLOW_DECISION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuser/fuser.h"
#include "gateway/base/arena.h"
#include "gateway/base/str.h"
#include "gateway/domain/metrics.h"
#include "gateway/domain/reason.h"
#include "gateway/flow/decider.h"
#include "gateway/flow/ledger.h"
#include "gateway/flow/order.h"
#include "gateway/flow/purse.h"
#include "gateway/flow/snapshot.h"
#include "gateway/flow/upstream.h"
#include "gateway/flow/vector_cache.h"
#include "gateway/io/embedder.h"
#include "gateway/io/http.h"
#include "gateway/io/loop.h"

/* Who to ask, in this order: the first that can be afforded, then the next on failure. */
struct plan {
    enum reason reason;
    size_t n;
    struct plan_choice {
        uint8_t expert;
        bool predicted; /* the three below are known */
        float quality;  /* 0..1 */
        float quality_se;
        float output_tokens;
    } choices[CONFIG_MAX_EXPERTS];
};

enum decision_state {
    DECISION_IDLE,    /* not begun, or ended */
    DECISION_WAITING, /* for the search or for an embedder; wake is to come */
    DECISION_QUERY,   /* decision_reserve and decision_buy are due */
    DECISION_READY,   /* the plan stands */
};

/* What a decision works with. */
struct decision_tools {
    struct loop *loop;
    struct http *http;
    struct decider *decider;
    struct metrics_block *metrics;
    struct str request_id; /* for the log */
    struct ledger *ledger; /* of the exchange: each paid call is told to it */
    bool keep_vectors;     /* what remote embedders told stays until the arena goes */
    struct vector_cache *cache; /* of the process; NULL or off: every vector is bought */
};

struct decision {
    enum decision_state state;
    struct decision_tools tools;
    struct snapshot *snapshot;
    struct order *order;
    struct purse *purse;
    struct arena *arena;
    struct str text;
    void (*wake)(void *arg); /* from the loop, never from inside a decision_* call */
    void *arg;

    struct fuser_session *session; /* owned; NULL: nothing is to be learned here */
    struct decider_entry entry;
    struct loop_timer timer; /* the deadline of the evidence */
    /* The call of the embedder, and a second one beside it when it takes too long. */
    struct decision_call {
        struct decision *decision;
        bool beside;                /* it is the second one */
        bool reserved;              /* the hold is open, the call not yet made */
        struct purse_hold hold;     /* of the call */
        struct upstream_call place; /* entered while it is under way, or about to be */
        struct embedder_call *call; /* NULL: it is not under way */
    } calls[2];
    struct loop_timer hedge; /* for the second one */
    uint32_t tried;          /* bit e: endpoint e of the embedder's expert was asked */
    unsigned more;           /* calls made after another of the same embedder */
    size_t embedder;         /* of QUERY and of the calls */
    int64_t before_pico;     /* spent in the purse when it was first asked */
    int64_t asked_s;         /* wall time of the calls: their price */
    bool hurried;            /* the request's own deadline is the nearer one */
    bool looking;            /* at the free evidence alone, for the rules of domains */
    bool denied;             /* READY, and they left nobody: the plan is empty */
    bool late;               /* the deadline has passed */
    bool ended;              /* nobody waits for the search that is still away */
    bool again;              /* a closed connection was made up for */
    bool failed;             /* an embedder did not deliver */
    unsigned undelivered;    /* bit j: embedders[j] was asked and gave nothing */
    int64_t evidence_pico;   /* spent on evidence */
    struct decision_told {   /* of embedders[j]; zero where it was not asked */
        uint64_t waited_us;
        const char *error;   /* static; NULL: it delivered */
        const float *vector; /* of a remote one, where vectors are kept; in the arena */
        size_t dim;
        bool cached; /* the vector was kept from before: asked of nobody, and free */
        struct vector_key key; /* where the cache is on */
    } told[CONFIG_MAX_EMBEDDERS];
    int64_t began_us, ready_us;
    struct fuser_verdict *verdict; /* in the arena; NULL: there is none */
    struct plan plan;
};

/* The arena keeps the verdict. Becomes READY at once where nothing is to be learned, else
 * WAITING. */
void decision_begin(struct decision *decision, const struct decision_tools *tools,
                    struct snapshot *snapshot, struct order *order, struct purse *purse,
                    struct str text, struct arena *arena);
/* In state QUERY: reserves the price of that evidence, or bans the embedder where the purse
 * is too small. True: decision_buy is due, at once or when the ledger is secure; what is
 * reserved already stays so. False: there is nothing to buy any more. */
NODISCARD bool decision_reserve(struct decision *decision);
/* Makes the call. */
void decision_buy(struct decision *decision);
/* Ends it in any state; cancels what runs. False: its search is on the pool, `wake` is
 * still to come, and decision_end must be called once more then. */
NODISCARD bool decision_end(struct decision *decision);

/* Names of the embedders that delivered, "surface,lexical"; in the arena; empty: none. */
struct str decision_queried(const struct decision *decision, struct arena *arena);

#endif
