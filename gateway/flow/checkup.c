/* checkup.c - are the endpoints still there? See checkup.h.
 *
 *     one target per endpoint:   timer --> call --done--> told, timer
 */
#include "gateway/flow/checkup.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/flow/upstream.h"

#define ANSWER_BYTES  (4u << 20) /* a list of models: some have thousands */
#define FIRST_BYTE_MS 10000      /* for which a list is waited at most */

struct target {
    struct checkup *checkup;
    size_t expert, endpoint;
    char *url; /* owned */
    struct http_call *call;
    unsigned status;
    struct loop_timer timer;
};

struct checkup {
    struct loop *loop;
    struct http *http;
    struct metrics_block *metrics;
    struct snapshot *snapshot; /* owned reference */
    uint64_t chance;
    size_t n;
    struct target targets[];
};

static const struct config_expert *expert_of(const struct target *target)
{
    return &target->checkup->snapshot->config->experts[target->expert];
}

/* So that several gateways, and the endpoints of one, are not in step. */
static uint64_t about(struct checkup *checkup, uint64_t us)
{
    checkup->chance = checkup->chance * UINT64_C(6364136223846793005) + 1;
    return us - us / 10 + (checkup->chance >> 33) % (us / 5 + 1);
}

static void set_timer(struct target *target, uint64_t in_us)
{
    struct loop *loop = target->checkup->loop;

    if (loop_timer_set(loop, &target->timer, loop_now_us(loop) + in_us) != LOOP_OK)
        log_message(LOG_ERROR, "no_memory", "expert '%s' is not checked any more",
                    expert_of(target)->name);
}

static void on_head(void *arg, unsigned status, const struct http_header *headers,
                    size_t n)
{
    struct target *target = arg;

    (void)headers;
    (void)n;
    target->status = status;
}

/* Whoever answers at all is there, but for one that says that it fails, or that our key is
 * no good. 404: it has no list of models. */
static enum metric_attempt result_of(const struct target *target,
                                     const struct http_result *result)
{
    switch (result->code) {
    case HTTP_OK:
        break;
    case HTTP_PROTOCOL:
    case HTTP_TOO_LARGE:
        return METRIC_ATTEMPT_MALFORMED;
    case HTTP_NOMEM:
        return METRIC_ATTEMPT_CANCELLED;
    default:
        return upstream_broken(result->code);
    }
    if (target->status >= 500)
        return METRIC_ATTEMPT_STATUS_5XX;
    return target->status == 401 || target->status == 402 ? METRIC_ATTEMPT_STATUS_4XX
                                                          : METRIC_ATTEMPT_OK;
}

static void on_done(void *arg, const struct http_result *result)
{
    struct target *target = arg;
    struct checkup *checkup = target->checkup;
    enum metric_attempt how = result_of(target, result);
    const char *why =
        result->code != HTTP_OK ? http_result_label(result->code) : "status";

    target->call = NULL;
    metrics_add(checkup->metrics, METRIC_EXPERT_CHECKS,
                checkup->snapshot->slots[target->expert], how, 1);
    if (how != METRIC_ATTEMPT_CANCELLED)
        upstream_checked(checkup->snapshot, target->expert, target->endpoint,
                         how == METRIC_ATTEMPT_OK, why, checkup->metrics);
    set_timer(target, about(checkup, (uint64_t)expert_of(target)->probe.every_ms * 1000));
}

static void check(void *arg)
{
    static const struct http_events events = { .head = on_head, .done = on_done };
    struct target *target = arg;
    const struct config_expert *expert = expert_of(target);
    struct http_spec spec = {
        .method = "GET",
        .url = target->url,
        .key = expert->key,
        .key_header = expert->key_header,
        .timeouts = upstream_timeouts(expert),
        .max_answer_bytes = ANSWER_BYTES,
        .tls = upstream_tls(expert),
        .connect_only = expert->probe.kind == CONFIG_PROBE_TCP,
    };

    if (spec.timeouts.first_byte_ms > FIRST_BYTE_MS)
        spec.timeouts.first_byte_ms = FIRST_BYTE_MS;
    target->status = 0;
    target->call = http_start(target->checkup->http, &spec, &events, target);
    if (target->call == NULL)
        set_timer(target, (uint64_t)expert->probe.every_ms * 1000);
}

static bool add_target(struct checkup *checkup, size_t expert, size_t endpoint)
{
    static const char path[] = "/models";
    const char *base = upstream_endpoint(checkup->snapshot, expert, endpoint);
    struct target *target = &checkup->targets[checkup->n];
    size_t n = strlen(base);

    *target = (struct target){ .checkup = checkup,
                               .expert = expert,
                               .endpoint = endpoint,
                               .url = malloc(n + sizeof path) };
    if (target->url == NULL)
        return false;
    memcpy(target->url, base, n);
    memcpy(target->url + n, path, sizeof path);
    target->timer = (struct loop_timer){ .fn = check, .arg = target };
    checkup->n++;
    set_timer(target, 0);
    return true;
}

static bool is_checked(const struct config_expert *expert)
{
    return expert->probe.kind != CONFIG_PROBE_NONE;
}

struct checkup *checkup_start(struct loop *loop, struct http *http,
                              struct snapshot *snapshot, struct metrics_block *metrics)
{
    const struct config *config = snapshot->config;
    struct checkup *checkup;
    size_t n = 0;

    for (size_t i = 0; i < config->n_experts; i++)
        n += is_checked(&config->experts[i]) ? config->experts[i].n_endpoints : 0;
    if (n == 0)
        return NULL;
    checkup = calloc(1, sizeof *checkup + n * sizeof checkup->targets[0]);
    if (checkup == NULL)
        return NULL;
    checkup->loop = loop;
    checkup->http = http;
    checkup->metrics = metrics;
    checkup->snapshot = snapshot_ref(snapshot);
    checkup->chance = loop_now_us(loop);
    for (size_t i = 0; i < config->n_experts; i++) {
        for (size_t e = 0;
             is_checked(&config->experts[i]) && e < config->experts[i].n_endpoints; e++) {
            if (!add_target(checkup, i, e)) {
                checkup_stop(checkup);
                return NULL;
            }
        }
    }
    return checkup;
}

void checkup_stop(struct checkup *checkup)
{
    if (checkup == NULL)
        return;
    for (size_t t = 0; t < checkup->n; t++) {
        http_cancel(checkup->targets[t].call);
        loop_timer_clear(checkup->loop, &checkup->targets[t].timer);
        free(checkup->targets[t].url);
    }
    snapshot_unref(checkup->snapshot);
    free(checkup);
}
