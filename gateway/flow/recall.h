/* recall.h - a question about records: put to the store's reader, answered on the loop.
 *
 *   recall = { .ask = .., .id or .query or .score, .owner, .everyone, .wake, .arg }
 *   recall_start(&recall, store, loop)        false: error is set, wake does not come
 *        wake()                               on the loop: look at error, else at out
 *   recall_release(&recall)                   not while recall.away
 *
 *   loop ---job---> reader: finds, renders into out ---mail---> loop: wake
 *
 * A caller without `everyone` sees what belongs to `owner` alone: what is another's is
 * answered like what does not exist. A score is checked by the reader, within the bounds of
 * whoever gave it, then written by the store's writer, and wake waits for that.
 *
 * Texts are *borrowed until wake*. Threads: all calls on the loop's.
 */
#ifndef GATEWAY_FLOW_RECALL_H
#define GATEWAY_FLOW_RECALL_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/record_query.h"
#include "gateway/io/loop.h"
#include "gateway/io/store.h"

#define RECALL_BYTES     (4u << 20) /* of an answer */
#define RECALL_WITHIN_MS 2000       /* a list is looked for: others wait behind it */

enum recall_ask {
    RECALL_ONE,   /* the record with this id */
    RECALL_LIST,  /* a page of summaries */
    RECALL_SCORE, /* keep a score of this decision's answer */
};

struct recall {
    enum recall_ask ask;
    struct str id;                /* ONE and SCORE */
    struct record_query query;    /* LIST */
    struct record_feedback score; /* SCORE */
    int64_t scores_per_day;       /* SCORE: by one owner; 0: no limit */
    bool shared;                  /* SCORE: it teaches everybody */
    struct str owner;             /* id of the key; empty: none */
    bool everyone;                /* the operator asks */
    int64_t now_us;               /* wall time */
    void (*wake)(void *arg);
    void *arg;

    struct api_error error; /* code OK: out is the answer */
    struct buf out;

    /* private */
    bool away; /* the store has it: nothing may be released */
    struct store *store;
    struct store_job job;
    struct store_row *row;  /* the score, until it is put */
    struct store_wait wait; /* for it to be written */
};

NODISCARD bool recall_start(struct recall *recall, struct store *store,
                            struct loop *loop);
void recall_release(struct recall *recall); /* takes a zeroed one */

/* The same answer without a store's threads, here and now; for frugalctl. ONE and LIST. */
void recall_look(struct recall *recall, struct store_view *view);

#endif
