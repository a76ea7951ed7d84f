/* evidence_kept.c - vectors of remote embedders that are kept: for other requests, in the
 * process's cache, and for the record of this one. */
#include <string.h>

#include "gateway/flow/decision_parts.h"
#include "gateway/flow/probe.h"

/* For the record. Without memory the vector is not kept, and nothing else is missing. */
static void keep_vector(struct decision *decision, const struct embedder_answer *answer)
{
    struct decision_told *told = &decision->told[decision->embedder];
    float *copy;

    if (!decision->tools.keep_vectors)
        return;
    copy = arena_alloc(decision->arena, answer->dim * sizeof *copy);
    if (copy == NULL)
        return;
    memcpy(copy, answer->vectors, answer->dim * sizeof *copy);
    told->vector = copy;
    told->dim = answer->dim;
}

bool evidence_recall(struct decision *decision, size_t embedder)
{
    struct vector_cache *cache = decision->tools.cache;
    const struct fuser_bundle *bundle = fuser_bundle_of(decision->snapshot->fuser);
    int at = fuser_embedder_in_bundle(decision->snapshot->fuser, embedder);
    struct decision_told *told = &decision->told[embedder];
    size_t expert = decision->snapshot->config->embedders[embedder].expert;
    float *vector;
    size_t dim;

    if (cache == NULL || !vector_cache_on(cache) || at < 0)
        return false;
    told->key =
        vector_cache_key(cache, fuser_bundle_id(bundle),
                         decision->snapshot->config->embedders[embedder].name,
                         evidence_embedding(decision, embedder)->model, decision->text);
    dim = fuser_bundle_embedder(bundle, (size_t)at)->dim;
    vector = arena_array(decision->arena, dim, sizeof *vector);
    told->cached = vector != NULL && vector_cache_get(cache, told->key, vector, dim);
    if (told->cached) {
        told->vector = vector;
        told->dim = dim;
    }
    metrics_add(decision->tools.metrics, METRIC_EMBEDDING_CACHE,
                decision->snapshot->slots[expert],
                told->cached ? METRIC_CACHE_HIT : METRIC_CACHE_MISS, 1);
    return told->cached;
}

void evidence_tell_kept(struct decision *decision)
{
    const struct decision_told *told = &decision->told[decision->embedder];
    struct fuser_error error = { 0 };

    if (fuser_tell(decision->session, decision->embedder, told->vector, told->dim, 0, 0,
                   &error) != FUSER_OK) {
        decision->before_pico = decision->purse->spent_pico;
        evidence_not_delivered(decision, "unusable");
        evidence_log(decision, error.text);
    }
    decision_go_on(decision);
}

/* Only of an embedder that has shown to be the bundle's. */
static void keep_for_others(struct decision *decision,
                            const struct embedder_answer *answer)
{
    struct vector_cache *cache = decision->tools.cache;
    int probe = atomic_load_explicit(
        &decision->snapshot->embedders[decision->embedder].probe, memory_order_relaxed);

    if (cache != NULL && vector_cache_on(cache) && probe == PROBE_READY)
        vector_cache_put(cache, decision->told[decision->embedder].key, answer->vectors,
                         answer->dim);
}

void evidence_keep(struct decision *decision, const struct embedder_answer *answer)
{
    keep_vector(decision, answer);
    keep_for_others(decision, answer);
}
