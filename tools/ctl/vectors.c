/* vectors.c - a handful of lanes, each with one batch under way. */
#include "tools/ctl/vectors.h"

#include <stdio.h>

#include "gateway/base/clock.h"
#include "gateway/base/money.h"
#include "gateway/domain/price.h"
#include "gateway/flow/upstream.h"
#include "gateway/io/embedder.h"
#include "tools/ctl/progress.h"

#define VECTORS_WAIT_FIRST_MS 250

struct lane {
    struct fetch *fetch;
    struct embedder_call *call;
    struct loop_timer timer;
    size_t first, count; /* of fetch->texts */
    unsigned attempt;
};

struct fetch {
    struct network *network;
    const struct config_expert *expert;
    struct calib *store;
    const struct vectors_text *texts;
    size_t n_texts, next, active;
    unsigned dim; /* of the first vector that came; 0: none yet */
    struct vectors_fetched done;
    struct progress bar;
    struct lane lanes[VECTORS_IN_FLIGHT];
    enum fault_err err;
    struct fault *fault;
};

static void lane_send(struct lane *lane);

static size_t lane_bytes(const struct lane *lane)
{
    size_t bytes = 0;

    for (size_t i = 0; i < lane->count; i++)
        bytes += str_of(lane->fetch->texts[lane->first + i].text).n;
    return bytes;
}

/* The next batch, or rest. */
static void lane_next(struct lane *lane)
{
    struct fetch *fetch = lane->fetch;
    size_t left = fetch->n_texts - fetch->next;

    if (fetch->err != FAULT_OK || left == 0) {
        if (--fetch->active == 0)
            loop_stop(fetch->network->loop);
        return;
    }
    lane->first = fetch->next;
    lane->count = left < VECTORS_BATCH ? left : VECTORS_BATCH;
    lane->attempt = 0;
    fetch->next += lane->count;
    lane_send(lane);
}

static enum fault_err lane_keep(struct lane *lane, const struct embedder_answer *answer)
{
    struct fetch *fetch = lane->fetch;
    enum fault_err err = FAULT_OK;

    if (fetch->dim == 0)
        fetch->dim = answer->dim;
    if (answer->dim != fetch->dim)
        return fault_set(fetch->fault, FAULT_EXPERT,
                         "embedder '%s' gave %u numbers, and %u before",
                         fetch->expert->name, answer->dim, fetch->dim);
    err = calib_begin(fetch->store, fetch->fault);
    for (size_t i = 0; err == FAULT_OK && i < lane->count; i++)
        err = calib_put_vector(fetch->store, fetch->texts[lane->first + i].prompt,
                               fetch->expert->name, fetch->expert->embedding.model,
                               answer->vectors + i * answer->dim, answer->dim,
                               fetch->fault);
    if (err == FAULT_OK)
        err = calib_commit(fetch->store, fetch->fault);
    return err;
}

static void lane_timer(void *arg)
{
    lane_send(arg);
}

static void lane_failed(struct lane *lane, const struct embedder_answer *answer)
{
    struct fetch *fetch = lane->fetch;
    bool again =
        answer->result == EMBEDDER_TRANSPORT ||
        (answer->result == EMBEDDER_STATUS &&
         (answer->status == 408 || answer->status == 429 || answer->status >= 500));
    uint64_t wait_us = (uint64_t)VECTORS_WAIT_FIRST_MS * 1000 << (lane->attempt * 2);

    if (again && lane->attempt < VECTORS_ATTEMPTS && fetch->err == FAULT_OK) {
        lane->timer.fn = lane_timer;
        lane->timer.arg = lane;
        if (loop_timer_set(fetch->network->loop, &lane->timer,
                           loop_now_us(fetch->network->loop) + wait_us) == LOOP_OK)
            return;
    }
    if (fetch->err == FAULT_OK)
        fetch->err =
            fault_set(fetch->fault, FAULT_EXPERT,
                      "embedder '%s' failed: %s%s%s (%zu of %zu texts "
                      "are in the store; run again to go on)",
                      fetch->expert->name, embedder_result_text(answer->result),
                      answer->detail != NULL && answer->detail[0] != '\0' ? ": " : "",
                      answer->detail != NULL ? answer->detail : "", fetch->done.texts,
                      fetch->n_texts);
    lane_next(lane);
}

static void lane_done(void *arg, const struct embedder_answer *answer)
{
    struct lane *lane = arg;
    struct fetch *fetch = lane->fetch;
    const struct config_embedding *embedding = &fetch->expert->embedding;

    lane->call = NULL;
    if (answer->result != EMBEDDER_OK) {
        lane_failed(lane, answer);
        return;
    }
    int64_t now_s = clock_wall_s(&clock_system);
    int64_t cost = answer->prompt_tokens >= 0
                       ? price_embedding_settle(embedding, now_s, answer->prompt_tokens)
                       : price_embedding_expected(embedding, now_s, lane_bytes(lane));
    fetch->done.cost_pico = money_add(fetch->done.cost_pico, cost);
    enum fault_err err = lane_keep(lane, answer);
    if (err != FAULT_OK)
        fetch->err = err;
    else
        fetch->done.texts += lane->count;
    char note[64];
    (void)snprintf(note, sizeof(note), "%zu/%zu  $%.6f", fetch->done.texts,
                   fetch->n_texts, money_to_usd(fetch->done.cost_pico));
    progress_set(&fetch->bar, (double)fetch->done.texts, note);
    lane_next(lane);
}

static void lane_send(struct lane *lane)
{
    struct fetch *fetch = lane->fetch;
    const struct config_expert *expert = fetch->expert;
    struct embedder_text texts[VECTORS_BATCH];
    size_t endpoint = lane->attempt++ % expert->n_endpoints;

    for (size_t i = 0; i < lane->count; i++) {
        struct str text = str_of(fetch->texts[lane->first + i].text);
        texts[i] = (struct embedder_text){ text.p, text.n };
    }
    struct embedder_spec spec = {
        .base = expert->endpoints[endpoint],
        .key = expert->key,
        .key_header = expert->key_header,
        .model = expert->embedding.model,
        .tls = upstream_tls(expert),
        .dim = (unsigned)expert->embedding.dim,
        .texts = texts,
        .n_texts = lane->count,
        .timeouts = { (unsigned)expert->timeouts.connect_ms,
                      (unsigned)expert->timeouts.first_byte_ms,
                      (unsigned)expert->timeouts.idle_ms,
                      (unsigned)expert->timeouts.total_ms },
    };
    lane->call = embedder_start(fetch->network->http, &spec, lane_done, lane);
}

enum fault_err vectors_fetch(struct network *network, const struct config_expert *expert,
                             struct calib *store, const struct vectors_text *texts,
                             size_t n_texts, struct vectors_fetched *ret_fetched,
                             struct fault *fault)
{
    struct fetch fetch = {
        .network = network,
        .expert = expert,
        .store = store,
        .texts = texts,
        .n_texts = n_texts,
        .fault = fault,
    };
    size_t lanes = (size_t)expert->max_in_flight;

    if (lanes > VECTORS_IN_FLIGHT)
        lanes = VECTORS_IN_FLIGHT;
    progress_init(&fetch.bar, "embedding", (double)n_texts);
    fetch.active = lanes + 1;
    for (size_t i = 0; i < lanes; i++) {
        fetch.lanes[i].fetch = &fetch;
        lane_next(&fetch.lanes[i]);
    }
    if (--fetch.active > 0)
        loop_run(network->loop);
    progress_end(&fetch.bar);
    if (fetch.err == FAULT_OK)
        *ret_fetched = fetch.done;
    return fetch.err;
}
