/* condition.c - the state of the experts as operators see it; see condition.h. */
#include "gateway/flow/condition.h"

#include <assert.h>
#include <inttypes.h>

#include "gateway/base/clock.h"
#include "gateway/base/jput.h"
#include "gateway/flow/bars.h"
#include "gateway/flow/probe.h"

static_assert((int)METRIC_HEALTH_TRIAL == (int)HEALTH_MAY_TRIAL &&
                  (int)METRIC_HEALTH_READY == (int)HEALTH_MAY_READY &&
                  (int)METRIC_HEALTH_SLOW == (int)HEALTH_MAY_SLOW &&
                  (int)METRIC_HEALTH_LIMITED == (int)HEALTH_MAY_LIMITED &&
                  (int)METRIC_HEALTH_DOWN == (int)HEALTH_MAY_DOWN,
              "the label of frugal_expert_state is what health_show says");

/* Endpoints of an expert by what may be done with them. */
struct tally {
    size_t of[METRIC_HEALTH_COUNT];
};

static struct tally tally_of(const struct snapshot *snapshot, size_t expert,
                             uint64_t now_us)
{
    const struct endpoints *endpoints = &snapshot->endpoints[expert];
    struct tally tally = { { 0 } };

    for (size_t e = 0; e < endpoints->n; e++)
        tally.of[health_show(&endpoints->list[e]->health, &endpoints->rules, now_us,
                             NULL)]++;
    return tally;
}

/* Down, or on trial: it is not known to be up. */
static size_t out_of(const struct tally *tally)
{
    return tally->of[HEALTH_MAY_DOWN] + tally->of[HEALTH_MAY_TRIAL];
}

/* -- readiness --------------------------------------------------------------------------- */

static void put_comma(struct buf *out, size_t *n)
{
    if ((*n)++ > 0)
        buf_put(out, ",");
}

static void put_embedder(const struct snapshot *snapshot, size_t embedder,
                         uint64_t now_us, size_t *n, struct buf *out)
{
    const struct config_embedder *e = &snapshot->config->embedders[embedder];
    const struct embedder_gauge *gauge = &snapshot->embedders[embedder];
    enum probe_state probe = atomic_load(&gauge->probe);
    unsigned failed = atomic_load(&gauge->failed_in_row);
    struct tally tally = { { 0 } };

    if (e->kind == CONFIG_EMBEDDER_REMOTE)
        tally = tally_of(snapshot, e->expert, now_us);
    if (probe != PROBE_READY) {
        put_comma(out, n);
        buf_putf(out, "\"embedder '%s': %s\"", e->name, probe_state_word(probe));
    } else if (e->kind == CONFIG_EMBEDDER_REMOTE &&
               out_of(&tally) == snapshot->endpoints[e->expert].n) {
        put_comma(out, n);
        buf_putf(out, "\"embedder '%s': down\"", e->name);
    } else if (failed >= EMBEDDER_DEGRADED_AFTER) {
        put_comma(out, n);
        buf_putf(out, "\"embedder '%s': the last %u calls failed\"", e->name, failed);
    }
}

void condition_degraded(const struct snapshot *snapshot, size_t *n, struct buf *out)
{
    const struct config *config = snapshot->config;
    uint64_t now_us = (uint64_t)clock_us(&clock_system);

    for (size_t j = 0; snapshot->fuser != NULL && j < config->n_embedders; j++)
        put_embedder(snapshot, j, now_us, n, out);
    for (size_t i = 0; i < config->n_experts; i++) {
        struct tally tally = tally_of(snapshot, i, now_us);
        size_t all = snapshot->endpoints[i].n;

        if (out_of(&tally) == 0)
            continue;
        put_comma(out, n);
        if (out_of(&tally) == all)
            buf_putf(out, "\"expert '%s': down\"", config->experts[i].name);
        else
            buf_putf(out, "\"expert '%s': %zu of %zu endpoints down\"",
                     config->experts[i].name, out_of(&tally), all);
    }
}

void condition_barred(const struct snapshot *snapshot, struct buf *out)
{
    size_t n = 0;

    for (size_t i = 0; i < snapshot->config->n_experts; i++) {
        if (!bars_has(snapshot, i))
            continue;
        put_comma(out, &n);
        buf_put_json(out, str_of(snapshot->config->experts[i].name));
    }
}

/* -- metrics ----------------------------------------------------------------------------- */

/* Also those whose expert has gone: their slots are set to nothing. */
void condition_show(const struct snapshot *snapshot, struct metrics_block *block)
{
    const uint64_t now_us = (uint64_t)clock_us(&clock_system);
    struct tally tallies[METRICS_MAX_EXPERTS] = { { { 0 } } };

    for (size_t i = 0; i < snapshot->config->n_experts; i++)
        tallies[snapshot->slots[i]] = tally_of(snapshot, i, now_us);
    for (size_t slot = 0; slot < METRICS_MAX_EXPERTS; slot++)
        for (size_t h = 0; h < METRIC_HEALTH_COUNT; h++)
            metrics_set_at(block, METRIC_EXPERT_STATE, slot, h,
                           (int64_t)tallies[slot].of[h]);
}

/* -- /admin/experts ---------------------------------------------------------------------- */

/* A moment of the monotonic clock, as people read it; null for 0. */
static void put_moment(struct jput *j, const char *key, uint64_t at_us, uint64_t now_us)
{
    char text[CLOCK_TEXT_BYTES];

    if (at_us == 0)
        jput_null(j, key);
    else
        jput_text(j, key,
                  clock_format(clock_wall_us(&clock_system) +
                                   ((int64_t)at_us - (int64_t)now_us),
                               text));
}

static void put_endpoint(struct jput *j, const struct snapshot *snapshot, size_t expert,
                         size_t e, uint64_t now_us)
{
    const struct endpoints *endpoints = &snapshot->endpoints[expert];
    const struct health *health = &endpoints->list[e]->health;
    uint64_t until_us;
    enum health_may may = health_show(health, &endpoints->rules, now_us, &until_us);

    jput_open(j, NULL, '{');
    jput_text(j, "url", snapshot->config->experts[expert].endpoints[e]);
    jput_text(j, "state", health_may_word(may));
    jput_text(j, "breaker", health_state_word(health_state(health)));
    put_moment(j, "since",
               atomic_load_explicit(&health->changed_us, memory_order_relaxed), now_us);
    put_moment(j, "until", until_us, now_us);
    jput_int(j, "in_flight",
             atomic_load_explicit(&health->in_flight, memory_order_relaxed));
    jput_int(j, "failed_in_row",
             atomic_load_explicit(&health->failed_in_row, memory_order_relaxed));
    jput_text(j, "last_error",
              atomic_load_explicit(&health->failed_why, memory_order_relaxed));
    put_moment(j, "last_error_at",
               atomic_load_explicit(&health->failed_us, memory_order_relaxed), now_us);
    jput_close(j, '}');
}

static void put_expert(struct jput *j, const struct snapshot *snapshot, size_t i,
                       uint64_t now_us)
{
    const struct config_expert *expert = &snapshot->config->experts[i];
    const struct tally tally = tally_of(snapshot, i, now_us);
    size_t may = 0;

    while (may < HEALTH_MAY_DOWN && tally.of[may] == 0)
        may++;
    if (may == HEALTH_MAY_TRIAL && tally.of[HEALTH_MAY_READY] > 0)
        may = HEALTH_MAY_READY;
    jput_open(j, NULL, '{');
    jput_text(j, "expert", expert->name);
    jput_text(j, "state", health_may_word((enum health_may)may));
    jput_bool(j, "generator", expert->has_generator);
    jput_bool(j, "embedding", expert->has_embedding);
    jput_int(j, "rows", (int64_t)snapshot->rows[i]);
    jput_text(j, "prior_like", expert->prior_like);
    jput_int(j, "in_flight",
             atomic_load_explicit(&snapshot->gauges[i]->in_flight, memory_order_relaxed));
    jput_int(j, "max_in_flight", expert->max_in_flight);
    jput_bool(j, "barred", bars_has(snapshot, i));
    jput_open(j, "endpoints", '[');
    for (size_t e = 0; e < expert->n_endpoints; e++)
        put_endpoint(j, snapshot, i, e, now_us);
    jput_close(j, ']');
    jput_close(j, '}');
}

void condition_experts(const struct snapshot *snapshot, struct buf *out)
{
    const struct config *config = snapshot->config;
    uint64_t now_us = (uint64_t)clock_us(&clock_system);
    struct jput j;

    jput_init(&j, out);
    jput_open(&j, NULL, '{');
    jput_int(&j, "snapshot", (int64_t)snapshot->number);
    jput_open(&j, "experts", '[');
    for (size_t i = 0; i < config->n_experts; i++)
        put_expert(&j, snapshot, i, now_us);
    jput_close(&j, ']');
    jput_open(&j, "embedders", '[');
    for (size_t e = 0; e < config->n_embedders; e++) {
        const struct config_embedder *embedder = &config->embedders[e];
        bool remote = embedder->kind == CONFIG_EMBEDDER_REMOTE;

        jput_open(&j, NULL, '{');
        jput_text(&j, "embedder", embedder->name);
        jput_text(&j, "expert", remote ? config->experts[embedder->expert].name : NULL);
        jput_text(&j, "probe",
                  probe_state_word(
                      (enum probe_state)atomic_load(&snapshot->embedders[e].probe)));
        jput_int(&j, "failed_in_row", atomic_load(&snapshot->embedders[e].failed_in_row));
        jput_close(&j, '}');
    }
    jput_close(&j, ']');
    jput_close(&j, '}');
    buf_put(out, "\n");
}
