/* process.h - the running daemon, and what the files of gateway/main share
 *
 *   main.c        the command line
 *   process.c     start, signals, drain, end
 *   reload.c      configuration, bundle and keys, read anew while it runs
 *   listeners.c   the sockets, and a server on each for every worker
 *   learning.c    scores, taken into the bundle in force
 *   pulse.c       the service manager's watchdog
 *
 * Threads: everything here belongs to the main thread; workers are reached by posting to
 * their loops.
 */
#ifndef GATEWAY_MAIN_PROCESS_H
#define GATEWAY_MAIN_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/edge/listen.h"
#include "gateway/edge/tls.h"
#include "gateway/flow/keeper.h"
#include "gateway/flow/reload.h"
#include "gateway/flow/snapshot.h"
#include "gateway/flow/worker.h"
#include "gateway/io/loop.h"
#include "gateway/io/manager.h"
#include "gateway/io/pool.h"
#include "gateway/io/signals.h"

/* learning.c */
struct learning {
    struct loop_timer timer;
    struct pool_job job;
    bool away;             /* a thread of the pool has the job, and what is below */
    struct snapshot *from; /* in force when it began; owned reference */
    enum err err;
    struct lessons_error error;
    struct lessons_stamp stamp;
    struct fuser_bundle *bundle; /* owned; NULL: there was nothing new */
    struct lessons_taken taken;
};

struct process {
    const char *config_path;
    struct loop *loop;
    struct signals *signals;
    struct snapshot *snapshot; /* in force; owned reference */
    uint64_t loaded;           /* snapshots so far */
    struct metrics_block *metrics;
    struct keeper *keeper;
    struct service service;
    unsigned n_workers;
    struct worker *workers[METRICS_MAX_BLOCKS];
    unsigned n_running;
    struct tls *tls;           /* of the public listener; NULL: it speaks in clear */
    struct listen_place place; /* of the admin listener's Unix socket */
    bool draining;
    struct manager manager;
    struct loop_timer pulse_timer; /* pulse.c's */
    unsigned silent_ticks;         /* in a row: a worker's loop did not turn */
    /* reload.c */
    struct loop_task reload_task;
    bool wanted;           /* by a signal */
    bool publishing;       /* workers are about to take over the snapshot */
    struct reload *asking; /* for one, over HTTP; borrowed until they are answered */
    struct reload *served; /* those whom the one under way is for */
    struct reload_report report; /* of the last one */
    struct worker_publication publication;
    const char *event; /* what the log calls the publication under way */
    struct learning learning;
};

/* process.c: serves until a signal ends it; gives the exit code. */
int process_serve(const char *config_path);

/* reload.c */
/* What a configuration names, loaded and checked. */
struct reload_set {
    struct snapshot *snapshot;     /* owned reference */
    struct tls_identity *identity; /* likewise; NULL: there is none */
};
/* Configuration, bundle, certificates and the file of keys, or nothing of them. */
NODISCARD enum err reload_load(struct process *process, uint64_t number,
                               const struct snapshot *before, struct reload_set *ret_set,
                               struct snapshot_error *error);
void reload_set_release(struct reload_set *set);
/* The snapshot is the process's: what it sets outside of itself, who buries it. */
void reload_adopt(struct process *process, struct snapshot *snapshot);
/* Gauge and warnings of what is shown from now on; report: also to it, NULL: to nobody. */
void reload_note_identity(struct process *process, const struct tls_identity *identity,
                          struct reload_report *report);
/* Before the workers start: who asks for a reload over HTTP gets one. */
void reload_serve(struct process *process);
/* Another snapshot is loaded and published to all workers, after the one that may be under
 * way; on failure the old one stays. The log says what came of it. */
void reload_want(struct process *process);
/* The service manager hears what is in force. */
void reload_tell_ready(const struct process *process);

/* learning.c */
/* From now on scores are taken as often as the configuration says. */
void learning_plan(struct process *process, const struct config *config);
/* The pool is gone: nothing is under way any more, and nothing begins. */
void learning_end(struct process *process);

/* pulse.c: from here on, the workers run, a manager's watchdog is told that all loops turn. */
void pulse_start(struct process *process);
void pulse_stop(struct process *process);

/* listeners.c: opens the public listener, and the admin one where there is one; the workers
 * exist and do not run yet. -1: the log says why. */
NODISCARD int listeners_open(struct process *process);
/* At the end: a Unix socket's file is removed. */
void listeners_forget(struct process *process);

#endif
