/* pool.c - threads that take jobs from one queue
 *
 * The lock guards queue, count and the closing flag; no job runs under it. */
#include "gateway/io/pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "gateway/base/thread.h"

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work; /* a job came, or the pool closes */
    struct pool_job *first, **last;
    size_t n_waiting, queue_max;
    bool closing;
    void (*setup)(void);
    unsigned n_threads;
    pthread_t threads[];
};

const char *pool_err_text(enum pool_err err)
{
    static const char *const texts[] = {
#define X(name, text) text,
        POOL_ERRORS(X)
#undef X
    };
    return texts[err];
}

static struct pool_job *take(struct pool *pool)
{
    struct pool_job *job;
    pthread_mutex_lock(&pool->lock);
    while (pool->first == NULL && !pool->closing)
        pthread_cond_wait(&pool->work, &pool->lock);
    job = pool->first;
    if (job != NULL) {
        pool->first = job->next;
        if (pool->first == NULL)
            pool->last = &pool->first;
        pool->n_waiting--;
    }
    pthread_mutex_unlock(&pool->lock);
    return job;
}

static void *serve(void *arg)
{
    struct pool *pool = arg;
    if (pool->setup != NULL)
        pool->setup();
    for (struct pool_job *job = take(pool); job != NULL; job = take(pool)) {
        /* Once run has returned a job without done may be gone: read first. */
        void (*done)(void *) = job->done;
        job->run(job->arg);
        if (done == NULL)
            continue;
        if (job->loop == NULL) {
            done(job->arg);
        } else {
            job->mail.fn = done;
            job->mail.arg = job->arg;
            loop_post(job->loop, &job->mail);
        }
    }
    return NULL;
}

enum pool_err pool_new(unsigned threads, size_t queue_max, void (*setup)(void),
                       struct pool **ret_pool)
{
    assert(threads >= 1);
    struct pool *pool = calloc(1, sizeof *pool + threads * sizeof(pthread_t));
    if (pool == NULL)
        return POOL_NOMEM;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->last = &pool->first;
    pool->queue_max = queue_max;
    pool->setup = setup;
    while (pool->n_threads < threads) {
        if (thread_start(&pool->threads[pool->n_threads], serve, pool) != ERR_OK) {
            pool_free(pool);
            return POOL_SYSTEM;
        }
        pool->n_threads++;
    }
    *ret_pool = pool;
    return POOL_OK;
}

void pool_free(struct pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->n_threads; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

enum pool_err pool_submit(struct pool *pool, struct pool_job *job)
{
    enum pool_err err = POOL_OK;
    assert(job->run != NULL);
    pthread_mutex_lock(&pool->lock);
    if (pool->n_waiting >= pool->queue_max) {
        err = POOL_FULL;
    } else {
        job->next = NULL;
        *pool->last = job;
        pool->last = &job->next;
        pool->n_waiting++;
        pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->lock);
    return err;
}
