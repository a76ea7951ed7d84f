/* pool.h - a few threads for what is too long for an event loop
 *
 *      struct pool_job in the owner's struct: run, done, arg, loop
 *      pool_submit()      run(arg) on a thread of the pool,
 *                         then done(arg) on job->loop's thread, by loop_post()
 *
 * Used for long kNN searches, for long bodies that are translated and for name look-ups
 * (getaddrinfo blocks). A job cannot be
 * taken back: an owner that loses interest marks itself and frees in done().
 *
 * Threads: any thread may submit. The pool must be freed before the loops its jobs name
 * are (pool_free() finishes every job and posts its done).
 */
#ifndef GATEWAY_IO_POOL_H
#define GATEWAY_IO_POOL_H

#include "gateway/base/err.h"
#include "gateway/io/loop.h"

#define POOL_ERRORS(X)                                                                   \
    X(OK, "success")                                                                     \
    X(NOMEM, "out of memory")                                                            \
    X(SYSTEM, "cannot start a thread")                                                   \
    X(FULL, "the queue is full")

enum pool_err {
#define X(name, text) POOL_##name,
    POOL_ERRORS(X)
#undef X
};

const char *pool_err_text(enum pool_err err);

struct pool;

struct pool_job {
    void (*run)(void *arg);  /* on a thread of the pool; may block */
    void (*done)(void *arg); /* on the loop; NULL: nobody is told */
    void *arg;
    struct loop *loop;     /* where done runs; NULL: on the pool's thread itself */
    struct loop_mail mail; /* the pool's own from here on */
    struct pool_job *next;
};

/* threads >= 1; queue_max bounds the jobs that wait for a thread. `setup` (may be NULL) runs
 * first on each thread (omp_set_num_threads(1), names...). */
NODISCARD enum pool_err pool_new(unsigned threads, size_t queue_max, void (*setup)(void),
                                 struct pool **ret_pool);

/* Finishes what was submitted, then ends the threads. Blocks. NULL is fine. */
void pool_free(struct pool *pool);

/* The job is *borrowed* until done starts (without done: until run returns).
 * POOL_FULL: nothing was taken, do without. */
NODISCARD enum pool_err pool_submit(struct pool *pool, struct pool_job *job);

#endif
