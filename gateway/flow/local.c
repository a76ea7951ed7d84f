/* local.c - answers that no expert gives: models, health, readiness, metrics. */
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/domain/models.h"
#include "gateway/flow/bars.h"
#include "gateway/flow/exchange_parts.h"
#include "gateway/flow/probe.h"

#define LOCAL_BYTES (8u << 20) /* of one such answer; metrics are the longest */

static void put_comma(struct buf *out, size_t *n)
{
    if ((*n)++ > 0)
        buf_put(out, ",");
}

/* Degraded is what serves with less than was configured, or is not yet known to serve. An expert that the bundle does
 * not know is no fault: it is served directly. */
static void put_degraded(const struct exchange *x, struct buf *out)
{
    const struct snapshot *snapshot = x->snapshot;
    const struct store *store = worker_service(x->worker)->store;
    size_t n = 0;

    if (store != NULL && store_failing(store)) {
        put_comma(out, &n);
        buf_put(out, "\"store\"");
    }

    for (size_t j = 0; j < snapshot->config->n_embedders; j++) {
        const struct embedder_gauge *gauge = &snapshot->embedders[j];
        const char *name = snapshot->config->embedders[j].name;
        enum probe_state probe = atomic_load(&gauge->probe);
        unsigned failed = atomic_load(&gauge->failed_in_row);

        if (snapshot->fuser == NULL)
            break;
        if (probe != PROBE_READY) {
            put_comma(out, &n);
            buf_putf(out, "\"embedder '%s': %s\"", name, probe_state_word(probe));
        } else if (failed >= EMBEDDER_DEGRADED_AFTER) {
            put_comma(out, &n);
            buf_putf(out, "\"embedder '%s': the last %u calls failed\"", name, failed);
        }
    }
}

static void put_barred(const struct exchange *x, struct buf *out)
{
    const struct config *config = exchange_config(x);
    size_t n = 0;

    for (size_t i = 0; i < config->n_experts; i++) {
        if (!bars_has(x->snapshot, i))
            continue;
        put_comma(out, &n);
        buf_put_json(out, str_of(config->experts[i].name));
    }
}

static void ready(struct exchange *x, struct buf *out)
{
    bool draining = atomic_load(&worker_service(x->worker)->draining);

    buf_putf(out, "{\"status\":\"%s\",\"bundle\":", draining ? "draining" : "ready");
    if (x->snapshot->fuser != NULL)
        buf_put_json(out, str_of(fuser_bundle_id(fuser_bundle_of(x->snapshot->fuser))));
    else
        buf_put(out, "null");
    buf_putf(out, ",\"snapshot\":%llu,\"degraded\":[",
             (unsigned long long)x->snapshot->number);
    put_degraded(x, out);
    buf_put(out, "],\"barred\":[");
    put_barred(x, out);
    buf_put(out, "]}\n");
    respond_own(x, draining ? 503 : 200, NULL, buf_str(out));
}

static void refuse(struct exchange *x, enum api_err code, const char *param,
                   const char *text)
{
    (void)api_error_set(&x->error, code, param, text != NULL ? "%s" : NULL, text);
    respond_error(x);
}

static void no_such_model(struct exchange *x)
{
    char text[160];

    snprintf(text, sizeof text, "the model '" STR_FMT "' does not exist",
             STR_ARG(str_clip_utf8(x->argument, 100)));
    refuse(x, API_NO_MODEL, "model", text);
}

void local_answer(struct exchange *x)
{
    const struct config *config = exchange_config(x);
    struct buf out;

    buf_init(&out, LOCAL_BYTES);
    switch (x->route) {
    case EXCHANGE_MODELS:
        models_list(config, &x->allow, x->snapshot->loaded_s, clock_wall_s(&clock_system),
                    &out);
        break;
    case EXCHANGE_MODEL:
        if (!models_one(config, &x->allow, x->argument, x->snapshot->loaded_s,
                        clock_wall_s(&clock_system), &out)) {
            no_such_model(x);
            goto done;
        }
        break;
    case EXCHANGE_HEALTHZ:
        buf_put(&out, "{\"status\":\"ok\"}\n");
        break;
    case EXCHANGE_READYZ:
        ready(x, &out);
        goto done;
    case EXCHANGE_METRICS:
        metrics_render(worker_service(x->worker)->metrics, &out);
        if (!out.failed)
            respond_own(x, 200, "text/plain; version=0.0.4", buf_str(&out));
        break;
    case EXCHANGE_DECISION:
        explain_decision(x, &out);
        break;
    case EXCHANGE_RECORDS:
    case EXCHANGE_RECORD:
    case EXCHANGE_FEEDBACK:
        records_answer(x);
        goto done;
    case EXCHANGE_RELOAD:
        admin_answer(x);
        goto done;
    case EXCHANGE_OPTIONS:
        respond_options(x);
        goto done;
    case EXCHANGE_BAD_METHOD:
        refuse(x, API_BAD_METHOD, NULL, NULL);
        goto done;
    case EXCHANGE_BAD_REQUEST:
        refuse(x, API_BAD_VALUE, NULL,
               arena_printf(&x->arena, STR_FMT, STR_ARG(x->argument)));
        goto done;
    case EXCHANGE_EMBEDDINGS:
        if (vectors_answer(x, &out) != API_OK) {
            respond_error(x);
            goto done;
        }
        break;
    case EXCHANGE_CHAT:
    case EXCHANGE_COMPLETIONS:
    case EXCHANGE_RESPONSES:
    case EXCHANGE_MESSAGES:
    case EXCHANGE_NOT_FOUND:
        refuse(x, API_NO_ROUTE, NULL, NULL);
        goto done;
    }
    if (out.failed)
        refuse(x, API_NOMEM, NULL, NULL);
    else if (!x->head_sent)
        respond_own(x, 200, NULL, buf_str(&out));
done:
    buf_release(&out);
}
