/* probe.c - is a remote embedder still the model that the bundle was built with?
 *
 *     one target per remote embedder:  call --OK--> compare: ready | mismatch      (done)
 *                                       ^  \--no answer--> silent, timer doubles --+
 *                                       +-----------------------------------------+
 */
#include "gateway/flow/probe.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/flow/upstream.h"
#include "gateway/io/embedder.h"

struct target {
    struct probe *probe;
    size_t embedder; /* in the configuration */
    size_t in_bundle;
    struct embedder_call *call;
    struct loop_timer timer;
    uint64_t wait_ms; /* until the next try */
};

struct probe {
    struct loop *loop;
    struct http *http;
    struct snapshot *snapshot; /* owned reference */
    size_t n;
    struct target targets[CONFIG_MAX_EMBEDDERS];
};

const char *probe_state_word(enum probe_state state)
{
    static const char *const words[] = {
#define X(name, word, usable) word,
        PROBE_STATES(X)
#undef X
    };

    return words[state];
}

bool probe_state_usable(enum probe_state state)
{
    static const bool usables[] = {
#define X(name, word, usable) usable,
        PROBE_STATES(X)
#undef X
    };

    return usables[state];
}

static const char *name_of(const struct target *target)
{
    return target->probe->snapshot->config->embedders[target->embedder].name;
}

static void conclude(struct target *target, enum probe_state state, const char *why)
{
    struct snapshot *snapshot = target->probe->snapshot;
    int before =
        atomic_exchange(&snapshot->embedders[target->embedder].probe, (int)state);
    struct log_line line;

    if (before == (int)state)
        return;
    log_begin(&line, state == PROBE_READY ? LOG_INFO : LOG_WARN, "embedder_probed");
    log_text(&line, "embedder", name_of(target));
    log_text(&line, "state", probe_state_word(state));
    log_text(&line, "why", why);
    log_int(&line, "snapshot", (int64_t)snapshot->number);
    log_end(&line);
}

static void target_ask(void *arg);

static void target_retry(struct target *target, const char *why)
{
    struct loop *loop = target->probe->loop;

    conclude(target, PROBE_SILENT, why);
    target->wait_ms *= 2;
    if (target->wait_ms > PROBE_RETRY_MAX_MS)
        target->wait_ms = PROBE_RETRY_MAX_MS;
    if (loop_timer_set(loop, &target->timer,
                       loop_now_us(loop) + target->wait_ms * 1000) != LOOP_OK)
        log_message(LOG_ERROR, "no_memory", "cannot probe embedder '%s' again",
                    name_of(target));
}

/* A vector of another width is another model as well; io reports it as DIM. */
static void target_answered(void *arg, const struct embedder_answer *answer)
{
    struct target *target = arg;
    const struct fuser_bundle *bundle = fuser_bundle_of(target->probe->snapshot->fuser);
    struct fuser_error why = { 0 };

    target->call = NULL;
    if (answer->result == EMBEDDER_DIM) {
        conclude(target, PROBE_MISMATCH, embedder_result_text(answer->result));
        return;
    }
    if (answer->result != EMBEDDER_OK) {
        target_retry(target, answer->detail != NULL
                                 ? answer->detail
                                 : embedder_result_text(answer->result));
        return;
    }
    for (size_t p = 0; p < answer->n; p++) {
        enum fuser_err err = fuser_bundle_check_probe(bundle, target->in_bundle, p,
                                                      answer->vectors + p * answer->dim,
                                                      answer->dim, &why);

        if (err != FUSER_OK) {
            conclude(target, PROBE_MISMATCH, why.text);
            return;
        }
    }
    conclude(target, PROBE_READY, NULL);
}

static void target_ask(void *arg)
{
    struct target *target = arg;
    struct snapshot *snapshot = target->probe->snapshot;
    const struct fuser_bundle *bundle = fuser_bundle_of(snapshot->fuser);
    struct embedder_text texts[FUSER_PROBES];
    struct upstream_choice at;
    struct embedder_spec spec;
    size_t n = 0, expert;

    for (size_t p = 0; p < FUSER_PROBES; p++) {
        const char *text = fuser_bundle_probe(bundle, target->in_bundle, p);

        if (text != NULL && text[0] != '\0')
            texts[n++] = (struct embedder_text){ .p = text, .n = strlen(text) };
    }
    if (n < FUSER_PROBES) {
        conclude(target, PROBE_READY, "the bundle has no probes");
        return;
    }
    expert = snapshot->config->embedders[target->embedder].expert;
    at = upstream_choose(snapshot, expert, 0, loop_now_us(target->probe->loop));
    spec = upstream_embedder_spec(snapshot, target->embedder, at.endpoint, texts, n, 0);
    target->call = embedder_start(target->probe->http, &spec, target_answered, target);
}

struct probe *probe_start(struct loop *loop, struct http *http, struct snapshot *snapshot)
{
    const struct config *config = snapshot->config;
    struct probe *probe;

    if (snapshot->fuser == NULL)
        return NULL;
    probe = calloc(1, sizeof *probe);
    if (probe == NULL)
        return NULL;
    probe->loop = loop;
    probe->http = http;
    probe->snapshot = snapshot_ref(snapshot);
    for (size_t j = 0; j < config->n_embedders; j++) {
        struct target *target = &probe->targets[probe->n];

        if (atomic_load(&snapshot->embedders[j].probe) != PROBE_PENDING)
            continue;
        probe->n++;
        target->probe = probe;
        target->embedder = j;
        target->in_bundle = (size_t)fuser_embedder_in_bundle(snapshot->fuser, j);
        target->wait_ms = PROBE_RETRY_MIN_MS / 2;
        target->timer = (struct loop_timer){ .fn = target_ask, .arg = target };
        target_ask(target);
    }
    return probe;
}

void probe_stop(struct probe *probe)
{
    if (probe == NULL)
        return;
    for (size_t i = 0; i < probe->n; i++) {
        embedder_cancel(probe->targets[i].call);
        loop_timer_clear(probe->loop, &probe->targets[i].timer);
    }
    snapshot_unref(probe->snapshot);
    free(probe);
}
