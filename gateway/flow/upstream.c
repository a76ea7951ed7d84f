/* upstream.c - how an expert of the snapshot is reached; see upstream.h. */
#include "gateway/flow/upstream.h"

#include <assert.h>

bool upstream_enter(struct snapshot *snapshot, size_t expert)
{
    atomic_uint *in_flight = &snapshot->gauges[expert]->in_flight;
    unsigned before = atomic_fetch_add(in_flight, 1);

    if (before < (unsigned)snapshot->config->experts[expert].max_in_flight)
        return true;
    atomic_fetch_sub(in_flight, 1);
    return false;
}

void upstream_leave(struct snapshot *snapshot, size_t expert)
{
    unsigned before = atomic_fetch_sub(&snapshot->gauges[expert]->in_flight, 1);

    assert(before > 0);
}

unsigned upstream_turn(struct snapshot *snapshot, size_t expert)
{
    if (snapshot->config->experts[expert].n_endpoints == 1)
        return 0;
    return atomic_fetch_add(&snapshot->gauges[expert]->turn, 1);
}

const char *upstream_endpoint(const struct snapshot *snapshot, size_t expert,
                              unsigned turn)
{
    const struct config_expert *e = &snapshot->config->experts[expert];

    return e->endpoints[turn % e->n_endpoints];
}

struct http_timeouts upstream_timeouts(const struct config_expert *expert)
{
    return (struct http_timeouts){
        .connect_ms = (unsigned)expert->timeouts.connect_ms,
        .first_byte_ms = (unsigned)expert->timeouts.first_byte_ms,
        .idle_ms = (unsigned)expert->timeouts.idle_ms,
        .total_ms = (unsigned)expert->timeouts.total_ms,
    };
}

struct embedder_spec upstream_embedder_spec(struct snapshot *snapshot, size_t embedder,
                                            const struct embedder_text *texts,
                                            size_t n_texts, unsigned within_ms)
{
    const struct config_embedder *e = &snapshot->config->embedders[embedder];
    const struct config_expert *expert = &snapshot->config->experts[e->expert];
    struct embedder_spec spec = {
        .base =
            upstream_endpoint(snapshot, e->expert, upstream_turn(snapshot, e->expert)),
        .key = expert->key,
        .key_header = expert->key_header,
        .model = expert->embedding.model,
        .ca_file = expert->ca_file,
        .tls_unverified = !expert->tls_verify,
        .dim = (unsigned)expert->embedding.dim,
        .texts = texts,
        .n_texts = n_texts,
        .timeouts = upstream_timeouts(expert),
    };

    assert(e->kind == CONFIG_EMBEDDER_REMOTE);
    if (within_ms > 0 && within_ms < spec.timeouts.total_ms)
        spec.timeouts.total_ms = within_ms;
    return spec;
}
