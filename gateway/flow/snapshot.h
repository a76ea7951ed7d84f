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
 * State that outlives a reload (calls in flight at an expert) is kept per expert *name*
 * in a struct expert_gauge, shared by successive snapshots and counted by reference.
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

/* Is a configured embedder usable? Written by the probe (one worker), read by all. */
#define EMBEDDER_STATES(X)                                                               \
    X(READY, "ready")       /* built in, or its probes agreed with the bundle */         \
    X(PROBING, "probing")   /* not answered yet: used, since the bundle knows it */      \
    X(SILENT, "silent")     /* probes got no answer: used, each call may still work */   \
    X(MISMATCH, "mismatch") /* another model's vectors: never used with this bundle */   \
    X(UNKNOWN, "unknown")   /* not in the bundle (or there is none): never asked */

enum embedder_state {
#define X(name, word) EMBEDDER_##name,
    EMBEDDER_STATES(X)
#undef X
};
const char *embedder_state_word(enum embedder_state state);

/* Calls under way at one expert, over all workers. */
struct expert_gauge {
    atomic_uint refs;
    atomic_uint in_flight;
};

struct snapshot {
    atomic_uint refs;
    uint64_t number;       /* 1, 2, 3... of this process; in the log */
    struct config *config; /* owned reference */
    struct fuser *fuser;   /* owned reference; NULL: no bundle, every policy serves its
                              default */
    struct expert_gauge **gauges; /* one per config expert, owned references */
    _Atomic(int) *embedders;      /* enum embedder_state per config embedder */
    /* Called with the snapshot when the last reference goes; frees it elsewhere. */
    void (*reaper)(void *context, struct snapshot *dead);
    void *reaper_context;
};

struct snapshot_error {
    char text[512]; /* one line, with file, pointer and line where there are any */
};

/* Reads configuration and bundle. `before` (may be NULL) is the snapshot in force: gauges
 * of experts with the same name are shared. May block on files: never on a worker.
 * Nothing changes on failure. */
NODISCARD int snapshot_load(const char *config_path, uint64_t number,
                            const struct snapshot *before, struct snapshot **ret_snapshot,
                            struct snapshot_error *error);
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot); /* takes NULL */
/* What the reaper ends in; any thread that may take its time. */
void snapshot_free(struct snapshot *snapshot);

#endif
