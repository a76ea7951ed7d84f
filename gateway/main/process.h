/* process.h - the running daemon, and what the files of gateway/main share
 *
 *   main.c        the command line
 *   process.c     start, signals, drain, end
 *   reload.c      configuration, bundle and keys, read anew while it runs
 *   listeners.c   the sockets, and a server on each for every worker
 *
 * Threads: everything here belongs to the main thread; workers are reached by posting to
 * their loops.
 */
#ifndef GATEWAY_MAIN_PROCESS_H
#define GATEWAY_MAIN_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/flow/keeper.h"
#include "gateway/flow/snapshot.h"
#include "gateway/flow/worker.h"
#include "gateway/io/loop.h"
#include "gateway/io/signals.h"

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
    bool draining;
};

/* process.c: serves until a signal ends it; gives the exit code. */
int process_serve(const char *config_path);

/* reload.c */
/* Configuration, bundle and the file of keys, or nothing of them. */
NODISCARD enum err reload_load(struct process *process, uint64_t number,
                               const struct snapshot *before,
                               struct snapshot **ret_snapshot,
                               struct snapshot_error *error);
/* The snapshot is the process's: what it sets outside of itself, who buries it. */
void reload_adopt(struct process *process, struct snapshot *snapshot);
/* Loads another one and publishes it; on failure the old one stays and the log says why. */
void reload(struct process *process);

/* listeners.c: opens the public listener, and the admin one where there is one; the workers
 * exist and do not run yet. -1: the log says why. */
NODISCARD int listeners_open(struct process *process);

#endif
