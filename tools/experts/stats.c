/* stats.c - see stats.h. Models are only ever added: a reader walks without the lock. */
#include "tools/experts/stats.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stats {
    pthread_mutex_t adding; /* guards growth of models; nothing else is taken under it */
    _Atomic size_t n;
    struct stats_model models[STATS_MODELS + 1]; /* the last one is "other" */
};

struct stats *stats_new(void)
{
    struct stats *stats = calloc(1, sizeof *stats);
    if (stats == NULL)
        return NULL;
    (void)pthread_mutex_init(&stats->adding, NULL);
    (void)snprintf(stats->models[STATS_MODELS].name,
                   sizeof stats->models[STATS_MODELS].name, "other");
    return stats;
}

void stats_free(struct stats *stats)
{
    if (stats == NULL)
        return;
    (void)pthread_mutex_destroy(&stats->adding);
    free(stats);
}

static struct stats_model *find(struct stats *stats, const char *model)
{
    size_t n = atomic_load_explicit(&stats->n, memory_order_acquire);
    for (size_t m = 0; m < n; m++) {
        if (strcmp(stats->models[m].name, model) == 0)
            return &stats->models[m];
    }
    return NULL;
}

struct stats_model *stats_of(struct stats *stats, const char *model)
{
    struct stats_model *found = find(stats, model);
    if (found != NULL)
        return found;
    (void)pthread_mutex_lock(&stats->adding);
    found = find(stats, model);
    size_t n = atomic_load_explicit(&stats->n, memory_order_relaxed);
    if (found == NULL && n < STATS_MODELS) {
        found = &stats->models[n];
        (void)snprintf(found->name, sizeof found->name, "%s", model);
        atomic_store_explicit(&stats->n, n + 1, memory_order_release);
    }
    (void)pthread_mutex_unlock(&stats->adding);
    return found != NULL ? found : &stats->models[STATS_MODELS];
}

static void render_model(const struct stats_model *model, bool first, struct buf *out)
{
    buf_put(out, first ? "" : ",");
    buf_put_json(out, str_of(model->name));
    buf_put(out, ":{");
    const char *comma = "";
#define X(counter, text)                                                                 \
    buf_putf(out, "%s\"" #counter "\":%lld", comma,                                      \
             (long long)atomic_load_explicit(&model->counter, memory_order_relaxed));    \
    comma = ",";
    STATS_COUNTERS(X)
#undef X
    buf_put(out, "}");
}

void stats_render(struct stats *stats, struct buf *out)
{
    size_t n = atomic_load_explicit(&stats->n, memory_order_acquire);
    buf_put(out, "{\"models\":{");
    for (size_t m = 0; m < n; m++)
        render_model(&stats->models[m], m == 0, out);
    if (atomic_load_explicit(&stats->models[STATS_MODELS].requests,
                             memory_order_relaxed) > 0)
        render_model(&stats->models[STATS_MODELS], n == 0, out);
    buf_put(out, "}}\n");
}
