/* snapshot.h - everything a request is decided by, frozen: one configuration, one bundle.
 *
 * A snapshot is immutable but for the words marked atomic. The main thread builds it
 * (reading files may block there), workers only use it. An exchange takes a reference
 * when it is accepted and keeps it until it is settled, so a request sees one snapshot
 * whatever is reloaded meanwhile.
 *
 *    main     snapshot_load --> publish: a post to each worker's loop
 *    worker   worker->snapshot = new; unref old             (no lock: one owner a thread)
 *    anyone   the last snapshot_unref --> reaper --> main frees    (never on a worker)
 *
 * State that outlives a reload (calls in flight at an expert) is kept per expert *name* in
 * a struct expert_gauge, and of its endpoints in endpoints.h, shared by successive snapshots
 * and counted by reference.
 */
#ifndef GATEWAY_FLOW_SNAPSHOT_H
#define GATEWAY_FLOW_SNAPSHOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuser/fuser.h"
#include "gateway/base/err.h"
#include "gateway/domain/config.h"
#include "gateway/domain/metrics.h"
#include "gateway/domain/routing_text.h"
#include "gateway/flow/endpoints.h"
#include "gateway/flow/latency.h"
#include "gateway/flow/lessons.h"
#include "gateway/flow/till.h"
#include "gateway/io/loop.h"

/* Calls under way at one expert, over all workers. */
struct expert_gauge {
    atomic_uint refs;
    atomic_uint in_flight;
    atomic_uint turn;          /* which endpoint is looked at first */
    _Atomic(int64_t) barred_s; /* wall time at which it broke its worst case; 0: never */
    struct latency latency;    /* of its embedding */
    char name[CONFIG_MAX_NAME + 1];
};

/* What is known of one configured embedder; kept by the probes and by the calls. */
struct embedder_gauge {
    _Atomic(int) probe;        /* enum probe_state, see probe.h */
    atomic_uint failed_in_row; /* calls since the last good one */
};
#define EMBEDDER_DEGRADED_AFTER 3 /* calls that failed in a row */

struct snapshot {
    atomic_uint refs;
    uint64_t number;       /* 1, 2, 3... of this process; in the log */
    int64_t loaded_s;      /* wall time */
    struct config *config; /* owned reference */
    struct fuser *fuser;   /* owned reference; NULL: no bundle, every policy serves its
                              default */
    struct fuser_bundle *base;     /* store.learn_s: the bundle as its file has it, owned
                                  reference; NULL: nothing is learned */
    struct lessons_stamp learned;  /* ... and which scores the fuser has beside it */
    struct routing_rule text_rule; /* by which requests become texts: the bundle's */
    size_t search_floats;  /* read by one search: rows x dimensions of the bundle */
    uint64_t known;        /* bit i: the bundle has rows of experts[i] */
    size_t bundle_ignored; /* generators of the bundle that are not configured */
    double mean_quality[CONFIG_MAX_EXPERTS]; /* in the bundle; of those known */
    size_t rows
        [CONFIG_MAX_EXPERTS]; /* of the bundle in which the expert's quality is known */
    struct expert_gauge **gauges;     /* one per config expert, owned references */
    struct endpoints *endpoints;      /* one per config expert, owned */
    size_t *slots;                    /* metrics slot per config expert */
    struct till **tills;              /* one per config policy, owned references */
    size_t *policy_slots;             /* metrics slot per config policy */
    struct embedder_gauge *embedders; /* one per config embedder; owned */
    /* Called with the snapshot when the last reference goes, and frees it elsewhere; NULL:
     * freed at once. Set before it is published. */
    void (*reaper)(void *context, struct snapshot *dead);
    void *reaper_context;
    struct loop_mail mail; /* the reaper's */
};

struct snapshot_error {
    char text[1024]; /* one line, with file, pointer and line where there are any */
    /* The same apart; empty and 0 where there is none. */
    char file[256], pointer[256];
    int line, column; /* from 1 */
};

/* Reads configuration and bundle. `before` (may be NULL) is the snapshot in force: gauges
 * of experts with the same name are shared. May block on files: never on a worker.
 * INVALID, IO or NOMEM; error (may be NULL) then has the whole story. */
NODISCARD enum err snapshot_load(const char *config_path, uint64_t number,
                                 const struct snapshot *before, struct metrics *metrics,
                                 struct snapshot **ret_snapshot,
                                 struct snapshot_error *error);
/* The same by another bundle than the one that the configuration names: to know beforehand whether a
 * gateway would take it. Nothing is learned. */
NODISCARD enum err snapshot_try(const char *config_path, const char *bundle_path,
                                struct metrics *metrics, struct snapshot **ret_snapshot,
                                struct snapshot_error *error);
/* The same configuration by a bundle that has learned, which is borrowed; what probes found out stays. Not on a
 * loop of requests. */
NODISCARD enum err snapshot_learn(const struct snapshot *before, uint64_t number,
                                  struct fuser_bundle *bundle,
                                  const struct lessons_stamp *learned,
                                  struct metrics *metrics, struct snapshot **ret_snapshot,
                                  struct snapshot_error *error);
/* What the store of the configuration knows of the time before this process: what policies
 * spent today, who broke a ceiling. At start, before it is published; block: the thread's. */
void snapshot_recall(struct snapshot *snapshot, struct metrics_block *block);
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* takes NULL */
/* What the reaper ends in; any thread that may take its time. */
void snapshot_free(struct snapshot *snapshot);

#endif
