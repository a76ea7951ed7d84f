/* probe.h - is a remote embedder still the model that the bundle was built with?
 *
 * A bundle carries three probe texts per remote embedder with their vectors. After a
 * snapshot is published one worker asks each remote embedder for the probes, in the
 * background, and compares. Another model's vectors would make every decision quietly
 * wrong, so a mismatch bars the embedder from this snapshot, loudly (log, readiness).
 * An embedder that does not answer is asked again, ever more rarely.
 *
 * Threads: the worker's own; the states are read by all.
 */
#ifndef GATEWAY_FLOW_PROBE_H
#define GATEWAY_FLOW_PROBE_H

#include "gateway/flow/snapshot.h"
#include "gateway/io/http.h"
#include "gateway/io/loop.h"

#define PROBE_RETRY_MIN_MS 2000
#define PROBE_RETRY_MAX_MS 300000

/* name, word, whether decisions may ask the embedder */
#define PROBE_STATES(X)                                                                  \
    X(READY, "ready", true)        /* built in, or the probes agreed */                  \
    X(PENDING, "pending", true)    /* not answered yet; the bundle knows its name */     \
    X(SILENT, "silent", true)      /* no answer to the probes; a call may still work */  \
    X(MISMATCH, "mismatch", false) /* another model's vectors */                         \
    X(UNKNOWN, "unknown", false)   /* not in the bundle, or there is none */

enum probe_state {
#define X(name, word, usable) PROBE_##name,
    PROBE_STATES(X)
#undef X
};

const char *probe_state_word(enum probe_state state);
bool probe_state_usable(enum probe_state state);

struct probe;

/* Probes the remote embedders of this snapshot until each has answered. Takes a reference
 * on it. NULL: out of memory, or nothing is to be probed. */
struct probe *probe_start(struct loop *loop, struct http *http,
                          struct snapshot *snapshot);
void probe_stop(struct probe *probe); /* cancels what runs; takes NULL */

#endif
