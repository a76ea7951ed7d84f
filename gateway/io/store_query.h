/* store_query.h - questions to the store, for the daemon's reader thread and for frugalctl.
 *
 *   daemon      job->run(arg, view)                     see store_read() in store.h
 *   frugalctl   struct store_view view = { .file = file };
 *
 * Lists are keyset-paged, newest first: ids carry their time, the last id of a page is
 * where the next begins (filter.before; filter.after goes the other way). Texts given to a callback are borrowed until it
 * returns. Every function may take milliseconds: never on a loop. Errors: the database's
 * (IO, BUSY, NOMEM); ABSENT where one thing was asked for and is not there.
 */
#ifndef GATEWAY_IO_STORE_QUERY_H
#define GATEWAY_IO_STORE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/io/store_file.h"
#include "gateway/io/store_row.h"
#include "gateway/io/store_schema.h"

struct store;

struct store_view {
    struct store_file *file;
    struct store *store; /* its rows in memory are seen as well; NULL: none */
};

enum store_find_by {
    STORE_BY_ID,
    STORE_BY_REQUEST,  /* request_id: the newest with it */
    STORE_BY_RESPONSE, /* response_id: the same */
};

/* The decision with its charges and its record, as a row (store_row_as_decision), *owned by
 * the caller*: store_row_free. */
NODISCARD enum store_err store_find(struct store_view *view, enum store_find_by by,
                                    struct str text, struct store_row **ret_row,
                                    struct store_error *error);

struct store_filter {           /* {0} and a limit: the newest of all */
    struct str before;          /* id: only older ones; empty: from the newest */
    struct str after;           /* id: only newer ones, oldest first; empty: any */
    int64_t since_us, until_us; /* at_us >= since, < until; 0: no bound */
    struct str key;             /* with any_key false */
    bool by_key;                /* only this key's, also the empty one */
    struct str expert, policy;  /* empty: any */
    struct str request_id, response_id; /* the same */
    struct str tag_name, tag_value;     /* with this tag; name empty: any */
    bool brief;                         /* without `record`, which is long */
    int64_t limit;                      /* > 0 */
    int64_t within_ms;                  /* SLOW when it takes longer; 0: no matter */
};
/* False ends the list. */
typedef bool (*store_decision_fn)(void *context, const struct store_decision *decision);
/* Without charges (n_charges is 0). */
NODISCARD enum store_err store_list(struct store_view *view,
                                    const struct store_filter *filter,
                                    store_decision_fn each, void *context,
                                    struct store_error *error);

/* -- spend ------------------------------------------------------------------------------- */

/* One row of the sums, in the grouping asked for: texts that are not grouped by are empty,
 * day is -1. */
struct store_spend {
    int64_t day; /* days since 1970, UTC */
    struct str key, policy, expert, kind;
    int64_t requests; /* decisions; counted under the chosen expert's generation */
    int64_t calls;    /* charges */
    int64_t spent_pico, bound_pico;
    int64_t input_tokens, output_tokens;
    int64_t best_pico, cheapest_pico; /* where they are not known: what was spent */
};

enum { /* what to group by, ored */
       STORE_GROUP_DAY = 1,
       STORE_GROUP_KEY = 2,
       STORE_GROUP_POLICY = 4,
       STORE_GROUP_EXPERT = 8,
       STORE_GROUP_KIND = 16,
};

struct store_spend_filter {
    int64_t first_day, last_day; /* both included; last_day 0: no bound */
    struct str key;
    bool by_key;               /* only this key's, also the empty one */
    struct str expert, policy; /* empty: any */
};

typedef void (*store_spend_fn)(void *context, const struct store_spend *spend);
/* In the order of the grouping. */
NODISCARD enum store_err store_spend(struct store_view *view,
                                     const struct store_spend_filter *filter,
                                     unsigned group, store_spend_fn each, void *context,
                                     struct store_error *error);

/* The same by the values of one tag, in `key`; from the decisions that retention left,
 * which are the only ones that know their tags. Requests without it are those of ''. first
 * and last day count by the time of the request. No kinds are told apart; calls are 0. */
NODISCARD enum store_err store_spend_by_tag(struct store_view *view,
                                            const struct store_spend_filter *filter,
                                            struct str tag, store_spend_fn each,
                                            void *context, struct store_error *error);

/* What each key has bound, for budgets to continue from: of the UTC day, of its month, and
 * in all. At start: call it with a connection of one's own. */
struct store_windows {
    struct str key; /* empty: requests without a key */
    int64_t day_pico, month_pico, total_pico;
};
typedef void (*store_windows_fn)(void *context, const struct store_windows *windows);
NODISCARD enum store_err store_each_spend(struct store_view *view, int64_t day,
                                          store_windows_fn each, void *context,
                                          struct store_error *error);

/* Experts that charged more than was reserved for the call or answered far over its output
 * limit, with the last time that they did, in the charges that retention left. At start,
 * too. */
typedef void (*store_over_fn)(void *context, struct str expert, int64_t at_us);
NODISCARD enum store_err store_each_over(struct store_view *view, store_over_fn each,
                                         void *context, struct store_error *error);

/* Days since 1970 of a moment, and of the first of its month; UTC. */
int64_t store_day(int64_t wall_us);
int64_t store_month_start(int64_t day);

#endif
