/* store_reader.c - the thread that reads: one job after the other, in the order of asking,
 * each behind its barrier. While commits fail there is no barrier: what is committed is
 * seen, and by store_find what is in memory too. */
#include "gateway/io/store_private.h"

/* Under the lock. */
static bool ready(const struct store *store, const struct store_job *job)
{
    return job->barrier <= store->committed || store_failing(store) || store->ended;
}

/* The next job, or NULL at the end. */
static struct store_job *take(struct store *store)
{
    struct store_job *job;

    pthread_mutex_lock(&store->lock);
    while (store->jobs != NULL ? !ready(store, store->jobs) : !store->ended)
        pthread_cond_wait(&store->asked, &store->lock);
    job = store->jobs;
    if (job != NULL) {
        store->jobs = job->next;
        if (store->jobs == NULL)
            store->jobs_last = &store->jobs;
        store->n_jobs--;
    }
    pthread_mutex_unlock(&store->lock);
    return job;
}

void *store_reader_main(void *arg)
{
    struct store *store = arg;
    struct store_view view = { .file = store->in, .store = store };

    for (struct store_job *job = take(store); job != NULL; job = take(store)) {
        job->run(job->arg, &view);
        if (job->loop != NULL) {
            job->mail = (struct loop_mail){ .fn = job->done, .arg = job->arg };
            loop_post(job->loop, &job->mail);
        } else {
            job->done(job->arg);
        }
    }
    return NULL;
}
