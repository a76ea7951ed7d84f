/* local.c - answers that no expert gives: models, health, readiness, metrics, experts. */
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/domain/models.h"
#include "gateway/flow/condition.h"
#include "gateway/flow/exchange_parts.h"

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
    const struct store *store = worker_service(x->worker)->store;
    size_t n = 0;

    if (store != NULL && store_failing(store)) {
        put_comma(out, &n);
        buf_put(out, "\"store\"");
    }
    condition_degraded(x->snapshot, &n, out);
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
    condition_barred(x->snapshot, out);
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

/* Gauges that are read when they are asked for. */
static void show(const struct exchange *x)
{
    const struct service *service = worker_service(x->worker);

    condition_show(x->snapshot, service->shown);
    if (service->vectors != NULL)
        metrics_set(service->shown, METRIC_EMBEDDING_CACHE_BYTES, 0,
                    (int64_t)vector_cache_state(service->vectors).bytes);
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
    case EXCHANGE_EXPERTS:
        condition_experts(x->snapshot, &out);
        break;
    case EXCHANGE_METRICS:
        show(x);
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
    case EXCHANGE_LARGE_HEAD:
        refuse(x, x->route == EXCHANGE_BAD_REQUEST ? API_BAD_VALUE : API_HEADERS_LARGE,
               NULL, arena_printf(&x->arena, STR_FMT, STR_ARG(x->argument)));
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
