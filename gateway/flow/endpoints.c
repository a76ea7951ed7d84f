/* endpoints.c - the places where an expert is reached; see endpoints.h. */
#include "gateway/flow/endpoints.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static uint64_t us_of(int64_t ms)
{
    return (uint64_t)ms * 1000;
}

static struct health_rules rules_of(const struct config_expert *expert)
{
    const struct config_health *h = &expert->health;

    return (struct health_rules){
        .failures = (unsigned)h->failures,
        .share_percent = (unsigned)h->share_percent,
        .share_calls = (unsigned)h->share_calls,
        .window_us = us_of(h->window_ms),
        .open_us = us_of(h->open_ms),
        .open_max_us = us_of(h->open_max_ms),
        .slow_us = us_of(h->slow_start_ms),
        .limited_max_us = us_of(h->limited_max_ms),
        .checked_us =
            expert->probe.kind != CONFIG_PROBE_NONE ? us_of(expert->probe.every_ms) : 0,
    };
}

static bool same_key(const struct config_expert *a, const struct config_expert *b)
{
    if (a->key == NULL || b->key == NULL)
        return a->key == b->key;
    return strcmp(a->key, b->key) == 0;
}

static struct endpoint *known(const struct endpoints *before,
                              const struct config_expert *expert_before,
                              const struct config_expert *expert, const char *url)
{
    for (size_t e = 0; before != NULL && e < before->n; e++) {
        if (strcmp(expert_before->endpoints[e], url) != 0 ||
            !same_key(expert_before, expert))
            continue;
        atomic_fetch_add(&before->list[e]->refs, 1);
        return before->list[e];
    }
    return NULL;
}

enum err endpoints_make(struct endpoints *endpoints, const struct config_expert *expert,
                        const struct endpoints *before,
                        const struct config_expert *expert_before)
{
    *endpoints = (struct endpoints){ .rules = rules_of(expert) };
    for (size_t e = 0; e < expert->n_endpoints; e++) {
        struct endpoint *endpoint =
            known(before, expert_before, expert, expert->endpoints[e]);

        if (endpoint == NULL) {
            endpoint = calloc(1, sizeof *endpoint);
            if (endpoint == NULL)
                return ERR_NOMEM;
            atomic_init(&endpoint->refs, 1);
        }
        endpoints->list[endpoints->n++] = endpoint;
    }
    return ERR_OK;
}

void endpoints_release(struct endpoints *endpoints)
{
    for (size_t e = 0; e < endpoints->n; e++) {
        if (atomic_fetch_sub(&endpoints->list[e]->refs, 1) == 1)
            free(endpoints->list[e]);
    }
    endpoints->n = 0;
}
