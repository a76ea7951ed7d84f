/* upstream.c - how an expert of the snapshot is reached; see upstream.h. */
#include "gateway/flow/upstream.h"

#include <assert.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"

static uint64_t now_us(void)
{
    return (uint64_t)clock_us(&clock_system);
}

static struct health *health_of(const struct snapshot *snapshot, size_t expert,
                                size_t endpoint)
{
    return &snapshot->endpoints[expert].list[endpoint]->health;
}

enum metric_attempt upstream_broken(enum http_result_code code)
{
    switch (code) {
    case HTTP_CONNECT:
    case HTTP_DNS:
    case HTTP_TLS:
        return METRIC_ATTEMPT_CONNECT;
    case HTTP_TIMEOUT_CONNECT:
    case HTTP_TIMEOUT_FIRST_BYTE:
    case HTTP_TIMEOUT_IDLE:
    case HTTP_TIMEOUT_TOTAL:
        return METRIC_ATTEMPT_TIMEOUT;
    default:
        return METRIC_ATTEMPT_CUT;
    }
}

/* -- choosing ---------------------------------------------------------------------------- */

bool upstream_may_call(enum health_may may)
{
    return may <= HEALTH_MAY_SLOW;
}

/* Of two that may not be called the one that may be sooner; else the more welcome, then the
 * less loaded one. */
static bool better(const struct upstream_choice *a, unsigned load_a,
                   const struct upstream_choice *b, unsigned load_b)
{
    if (!upstream_may_call(a->may) && !upstream_may_call(b->may))
        return a->until_us < b->until_us;
    return a->may != b->may ? a->may < b->may : load_a < load_b;
}

/* The next who has as few calls under way as this one shall not be the same again. */
static size_t turn_of(struct snapshot *snapshot, size_t expert, size_t n)
{
    if (n == 1)
        return 0;
    return atomic_fetch_add_explicit(&snapshot->gauges[expert]->turn, 1,
                                     memory_order_relaxed) %
           n;
}

struct upstream_choice upstream_choose(struct snapshot *snapshot, size_t expert,
                                       uint32_t tried, uint64_t now)
{
    const struct endpoints *endpoints = &snapshot->endpoints[expert];
    struct upstream_choice best = { .may = HEALTH_MAY_DOWN, .until_us = 0 };
    size_t turn = turn_of(snapshot, expert, endpoints->n);
    unsigned least = 0;
    bool any = false;

    for (size_t i = 0; i < endpoints->n; i++) {
        size_t e = (turn + i) % endpoints->n;
        struct health *health = &endpoints->list[e]->health;
        struct upstream_choice one = { .endpoint = e };
        unsigned load;

        if ((tried >> e & 1) != 0)
            continue;
        one.may = health_look(health, &endpoints->rules, now, &one.until_us);
        load = atomic_load_explicit(&health->in_flight, memory_order_relaxed);
        if (any && !better(&one, load, &best, least))
            continue;
        best = one;
        least = load;
        any = true;
    }
    return best;
}

struct upstream_choice upstream_choose_early(struct snapshot *snapshot, size_t expert,
                                             uint64_t now)
{
    const struct endpoints *endpoints = &snapshot->endpoints[expert];
    struct upstream_choice best = { .may = HEALTH_MAY_DOWN };

    for (size_t e = 0; e < endpoints->n; e++) {
        const struct health *health = &endpoints->list[e]->health;
        struct upstream_choice one = { .endpoint = e, .early = true };

        if (!health_early(health, &endpoints->rules, now))
            continue;
        one.may = health_show(health, &endpoints->rules, now, &one.until_us);
        if (!best.early || one.until_us < best.until_us)
            best = one;
    }
    return best;
}

bool upstream_hope(struct snapshot *snapshot, size_t expert, uint64_t since_us,
                   uint64_t now, uint64_t by_us)
{
    const struct endpoints *endpoints = &snapshot->endpoints[expert];

    for (size_t e = 0; e < endpoints->n; e++)
        if (health_hope(&endpoints->list[e]->health, &endpoints->rules, since_us, now,
                        by_us))
            return true;
    return false;
}

/* -- health ------------------------------------------------------------------------------ */

static const char *const change_words[] = {
    [HEALTH_OPENED] = "down",
    [HEALTH_REOPENED] = "down",
    [HEALTH_TRYING] = "trial",
    [HEALTH_RECOVERED] = "up",
};

/* Where health changed, that is said; a trial that fails is no news. */
static void changed(const struct snapshot *snapshot, size_t expert, size_t endpoint,
                    enum health_change change, struct metrics_block *metrics)
{
    const struct health *health = health_of(snapshot, expert, endpoint);
    size_t slot = snapshot->slots[expert];
    struct log_line line;

    if (change == HEALTH_SAME)
        return;
    if (metrics != NULL && change == HEALTH_OPENED)
        metrics_add(metrics, METRIC_EXPERT_OPENED, slot, 0, 1);
    if (metrics != NULL && change == HEALTH_TRYING)
        metrics_add(metrics, METRIC_EXPERT_TRIALS, slot, 0, 1);
    log_begin(&line,
              change == HEALTH_OPENED      ? LOG_WARN
              : change == HEALTH_RECOVERED ? LOG_INFO
                                           : LOG_DEBUG,
              "expert_health");
    log_text(&line, "expert", snapshot->config->experts[expert].name);
    log_text(&line, "endpoint", upstream_endpoint(snapshot, expert, endpoint));
    log_text(&line, "state", change_words[change]);
    if (change == HEALTH_OPENED || change == HEALTH_REOPENED)
        log_text(&line, "why",
                 atomic_load_explicit(&health->failed_why, memory_order_relaxed));
    log_end(&line);
}

enum upstream_entry upstream_enter(struct upstream_call *call, struct snapshot *snapshot,
                                   size_t expert, size_t endpoint, bool early,
                                   struct metrics_block *metrics)
{
    atomic_uint *in_flight = &snapshot->gauges[expert]->in_flight;
    unsigned before = atomic_fetch_add(in_flight, 1);
    enum health_change change;
    struct health *health;

    *call = (struct upstream_call){ .metrics = metrics,
                                    .expert = expert,
                                    .endpoint = endpoint };
    if (before >= (unsigned)snapshot->config->experts[expert].max_in_flight) {
        atomic_fetch_sub(in_flight, 1);
        return UPSTREAM_FULL;
    }
    health = health_of(snapshot, expert, endpoint);
    /* The time matters to a trial alone; whoever opens it meanwhile is right to be heard. */
    if (!health_enter(health, &snapshot->endpoints[expert].rules, early,
                      !early && health_state(health) == HEALTH_CLOSED ? 0 : now_us(),
                      &call->ticket, &change)) {
        atomic_fetch_sub(in_flight, 1);
        return UPSTREAM_SHUT;
    }
    call->snapshot = snapshot;
    changed(snapshot, expert, endpoint, change, metrics);
    return UPSTREAM_ENTERED;
}

void upstream_told(struct upstream_call *call, enum health_said said, const char *why)
{
    assert(call->snapshot != NULL);
    changed(call->snapshot, call->expert, call->endpoint,
            health_told(health_of(call->snapshot, call->expert, call->endpoint),
                        &call->snapshot->endpoints[call->expert].rules, now_us(),
                        &call->ticket, said, why),
            call->metrics);
}

void upstream_limit(struct upstream_call *call, int64_t for_ms)
{
    const struct snapshot *snapshot = call->snapshot;
    struct log_line line;

    if (for_ms <= 0)
        return;
    if (!health_limit(health_of(snapshot, call->expert, call->endpoint),
                      &snapshot->endpoints[call->expert].rules, now_us(),
                      (uint64_t)for_ms * 1000))
        return;
    if (call->metrics != NULL)
        metrics_add(call->metrics, METRIC_EXPERT_LIMITED, snapshot->slots[call->expert],
                    0, 1);
    log_begin(&line, LOG_INFO, "expert_health");
    log_text(&line, "expert", snapshot->config->experts[call->expert].name);
    log_text(&line, "endpoint",
             upstream_endpoint(snapshot, call->expert, call->endpoint));
    log_text(&line, "state", "limited");
    log_int(&line, "for_ms", for_ms);
    log_end(&line);
}

void upstream_leave(struct upstream_call *call)
{
    struct snapshot *snapshot = call->snapshot;
    unsigned before;

    if (snapshot == NULL)
        return;
    call->snapshot = NULL;
    before = atomic_fetch_sub(&snapshot->gauges[call->expert]->in_flight, 1);
    assert(before > 0);
    changed(snapshot, call->expert, call->endpoint,
            health_leave(health_of(snapshot, call->expert, call->endpoint),
                         &snapshot->endpoints[call->expert].rules,
                         call->ticket.trial ? now_us() : 0, &call->ticket),
            call->metrics);
}

void upstream_checked(struct snapshot *snapshot, size_t expert, size_t endpoint,
                      bool good, const char *why, struct metrics_block *metrics)
{
    changed(snapshot, expert, endpoint,
            health_checked(health_of(snapshot, expert, endpoint),
                           &snapshot->endpoints[expert].rules, now_us(), good, why),
            metrics);
}

/* -- how --------------------------------------------------------------------------------- */

const char *upstream_endpoint(const struct snapshot *snapshot, size_t expert,
                              size_t endpoint)
{
    return snapshot->config->experts[expert].endpoints[endpoint];
}

struct http_tls upstream_tls(const struct config_expert *expert)
{
    return (struct http_tls){
        .ca_file = expert->tls.ca_file,
        .cert_file = expert->tls.cert_file,
        .key_file = expert->tls.key_file,
        .unverified = !expert->tls.verify,
        .http2 = expert->tls.http2,
    };
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
                                            size_t endpoint,
                                            const struct embedder_text *texts,
                                            size_t n_texts, unsigned within_ms)
{
    const struct config_embedder *e = &snapshot->config->embedders[embedder];
    const struct config_expert *expert = &snapshot->config->experts[e->expert];
    struct embedder_spec spec = {
        .base = upstream_endpoint(snapshot, e->expert, endpoint),
        .key = expert->key,
        .key_header = expert->key_header,
        .model = expert->embedding.model,
        .tls = upstream_tls(expert),
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
