/* snapshot.c - everything a request is decided by, frozen; see snapshot.h.
 *
 * Loading is all or nothing: whatever is wrong in the configuration, the bundle or between
 * the two leaves no trace but the error's text.
 */
#include "gateway/flow/snapshot.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/domain/routing_text.h"
#include "gateway/flow/bars.h"
#include "gateway/flow/probe.h"

static enum err fail(struct snapshot_error *error, enum err code, const char *text)
{
    if (error != NULL && error->text[0] == '\0')
        snprintf(error->text, sizeof error->text, "%s", text);
    return code;
}

/* Where it is; before fail(), of which the first one wins. */
static void place(struct snapshot_error *error, const char *file, const char *pointer,
                  const struct config_error *at)
{
    if (error == NULL || error->text[0] != '\0')
        return;
    (void)snprintf(error->file, sizeof error->file, "%s", file);
    (void)snprintf(error->pointer, sizeof error->pointer, "%s", pointer);
    error->line = at != NULL ? at->line : 0;
    error->column = at != NULL ? at->column : 0;
}

static void gauge_unref(struct expert_gauge *gauge)
{
    if (gauge != NULL && atomic_fetch_sub(&gauge->refs, 1) == 1)
        free(gauge);
}

static struct expert_gauge *gauge_of(const struct snapshot *before, const char *name)
{
    struct expert_gauge *gauge;

    for (size_t i = 0; before != NULL && i < before->config->n_experts; i++) {
        gauge = before->gauges[i];
        if (strcmp(gauge->name, name) == 0) {
            atomic_fetch_add(&gauge->refs, 1);
            return gauge;
        }
    }
    gauge = calloc(1, sizeof *gauge);
    if (gauge == NULL)
        return NULL;
    atomic_init(&gauge->refs, 1);
    snprintf(gauge->name, sizeof gauge->name, "%s", name);
    return gauge;
}

static enum err make_gauges(struct snapshot *snapshot, const struct snapshot *before,
                            struct metrics *metrics)
{
    const struct config *config = snapshot->config;

    snapshot->gauges = calloc(config->n_experts, sizeof(*snapshot->gauges));
    snapshot->slots = calloc(config->n_experts, sizeof(*snapshot->slots));
    if (snapshot->gauges == NULL || snapshot->slots == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < config->n_experts; i++) {
        snapshot->gauges[i] = gauge_of(before, config->experts[i].name);
        if (snapshot->gauges[i] == NULL)
            return ERR_NOMEM;
        if (metrics != NULL)
            snapshot->slots[i] = metrics_expert(metrics, config->experts[i].name);
    }
    return ERR_OK;
}

static enum err make_endpoints(struct snapshot *snapshot, const struct snapshot *before)
{
    const struct config *config = snapshot->config;

    snapshot->endpoints = calloc(config->n_experts, sizeof(*snapshot->endpoints));
    if (snapshot->endpoints == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < config->n_experts; i++) {
        int b = before != NULL
                    ? config_find_expert(before->config, str_of(config->experts[i].name))
                    : -1;
        enum err err = endpoints_make(&snapshot->endpoints[i], &config->experts[i],
                                      b >= 0 ? &before->endpoints[b] : NULL,
                                      b >= 0 ? &before->config->experts[b] : NULL);

        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static struct till *till_of(const struct snapshot *before, const char *name)
{
    for (size_t i = 0; before != NULL && i < before->config->n_policies; i++) {
        if (strcmp(before->tills[i]->name, name) == 0)
            return till_ref(before->tills[i]);
    }
    return till_new(name);
}

static enum err make_tills(struct snapshot *snapshot, const struct snapshot *before,
                           struct metrics *metrics)
{
    const struct config *config = snapshot->config;

    if (config->n_policies == 0)
        return ERR_OK;
    snapshot->tills = calloc(config->n_policies, sizeof(*snapshot->tills));
    snapshot->policy_slots = calloc(config->n_policies, sizeof(*snapshot->policy_slots));
    if (snapshot->tills == NULL || snapshot->policy_slots == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < config->n_policies; i++) {
        snapshot->tills[i] = till_of(before, config->policies[i].name);
        if (snapshot->tills[i] == NULL)
            return ERR_NOMEM;
        if (metrics != NULL)
            snapshot->policy_slots[i] = metrics_policy(metrics, config->policies[i].name);
    }
    return ERR_OK;
}

/* Built-in embedders need no probe; remote ones wait for theirs. */
static enum err make_embedders(struct snapshot *snapshot)
{
    const struct config *config = snapshot->config;

    if (config->n_embedders == 0)
        return ERR_OK;
    snapshot->embedders = calloc(config->n_embedders, sizeof(*snapshot->embedders));
    if (snapshot->embedders == NULL)
        return ERR_NOMEM;
    for (size_t j = 0; j < config->n_embedders; j++) {
        enum probe_state state = PROBE_PENDING;

        if (snapshot->fuser == NULL || fuser_embedder_in_bundle(snapshot->fuser, j) < 0)
            state = PROBE_UNKNOWN;
        else if (config->embedders[j].kind != CONFIG_EMBEDDER_REMOTE)
            state = PROBE_READY;
        atomic_init(&snapshot->embedders[j].probe, (int)state);
    }
    return ERR_OK;
}

/* What the bundle and the configuration know of each other. */
static void compare(struct snapshot *snapshot, const struct fuser_bundle *bundle)
{
    const struct config *config = snapshot->config;
    size_t floats = 0;

    for (size_t i = 0; i < config->n_experts; i++) {
        if (fuser_knows_generator(snapshot->fuser, i))
            snapshot->known |= UINT64_C(1) << i;
    }
    for (size_t g = 0; g < fuser_bundle_generators(bundle); g++) {
        int i = config_find_expert(config, str_of(fuser_bundle_generator(bundle, g)));

        if (i < 0)
            snapshot->bundle_ignored++;
        else {
            snapshot->mean_quality[i] = fuser_bundle_mean_quality(bundle, g);
            snapshot->rows[i] = fuser_bundle_known_rows(bundle, g);
        }
    }
    for (size_t j = 0; j < config->n_embedders; j++) {
        int e = fuser_embedder_in_bundle(snapshot->fuser, j);

        if (e >= 0)
            floats += fuser_bundle_embedder(bundle, (size_t)e)->dim;
    }
    snapshot->search_floats = floats * fuser_bundle_rows(bundle);
}

/* What cross-validation chose, where the file is silent. The configuration is not shared yet. */
static void take_tuned(struct config *config, const struct fuser_tuned *tuned)
{
    for (size_t i = 0; tuned != NULL && i < config->n_policies; i++) {
        struct config_policy *policy = &config->policies[i];

        if (policy->silent_value && !isnan(tuned->lambda))
            policy->lambda = tuned->lambda;
        if (policy->silent_switch_z && !isnan(tuned->switch_z))
            policy->switch_z = tuned->switch_z;
        if (policy->silent_gain_se && !isnan(tuned->gain_se))
            policy->gain_se = tuned->gain_se;
    }
}

/* The fuser by that bundle, under the names of the configuration. */
static enum fuser_err take_bundle(struct snapshot *snapshot, struct fuser_bundle *bundle,
                                  struct fuser_error *why)
{
    const struct config *config = snapshot->config;
    const char *experts[CONFIG_MAX_EXPERTS], *embedders[CONFIG_MAX_EMBEDDERS];
    const char *prior_like[CONFIG_MAX_EXPERTS];
    struct fuser_names names = { .generators = experts,
                                 .n_generators = config->n_experts,
                                 .embedders = embedders,
                                 .n_embedders = config->n_embedders,
                                 .prior_like = prior_like };

    for (size_t i = 0; i < config->n_experts; i++) {
        experts[i] = config->experts[i].name;
        prior_like[i] = config->experts[i].prior_like;
    }
    for (size_t j = 0; j < config->n_embedders; j++)
        embedders[j] = config->embedders[j].name;
    /* Requests are cut as its rows were, or they would be asked for the wrong neighbours. */
    const char *stamp = fuser_bundle_text_version(bundle), *wrong = NULL;
    struct str extra = { 0 };
    extra.p = fuser_bundle_text_extra(bundle, &extra.n);
    routing_rule_release(&snapshot->text_rule);
    if (routing_rule_of_bundle(str_of(stamp), extra, &snapshot->text_rule, &wrong) !=
        ERR_OK) {
        snprintf(why->text, sizeof why->text, "its texts are '%s', which is %s", stamp,
                 wrong);
        return FUSER_VERSION;
    }
    enum fuser_err err = fuser_new(bundle, &names, &snapshot->fuser, why);
    if (err == FUSER_OK)
        compare(snapshot, bundle);
    return err;
}

/* The scores that there are beside the file's rows. What cannot be read now is tried again while the gateway serves,
 * where it is logged: a database that is not there yet is no reason not to serve. */
static void learn(struct snapshot *snapshot, struct fuser_bundle **bundle)
{
    const struct config_store *store = &snapshot->config->store;
    struct lessons_taken taken;
    struct lessons_stamp stamp;
    struct fuser_bundle *learned;

    if (store->learn_s == 0 || store->path == NULL)
        return;
    snapshot->base = fuser_bundle_ref(*bundle);
    snapshot->learned = (struct lessons_stamp){ 0, 0 };
    if (lessons_stamp_of(store->path, &stamp, NULL) != ERR_OK || stamp.n == 0 ||
        lessons_learn(store->path, snapshot->base, &learned, &taken, NULL) != ERR_OK)
        return;
    fuser_bundle_unref(*bundle);
    *bundle = learned;
    snapshot->learned = stamp;
}

static enum err load_bundle(struct snapshot *snapshot, struct snapshot_error *error)
{
    const struct config *config = snapshot->config;
    struct fuser_error why = { 0 };
    struct fuser_bundle *bundle = NULL;
    char text[sizeof error->text];
    enum err err = ERR_OK;

    if (config->bundle == NULL)
        return ERR_OK;
    if (fuser_bundle_load(config->bundle, &bundle, &why) != FUSER_OK)
        goto refused;
    learn(snapshot, &bundle);
    if (take_bundle(snapshot, bundle, &why) != FUSER_OK)
        goto refused;
    take_tuned(snapshot->config, fuser_bundle_tuned(bundle));
    goto done;
refused:
    snprintf(text, sizeof text, "%s: /bundle: cannot use '%s': %s", config->path,
             config->bundle, why.text[0] != '\0' ? why.text : fuser_err_text(why.code));
    place(error, config->path, "/bundle", NULL);
    err = fail(error, ERR_INVALID, text);
done:
    fuser_bundle_unref(bundle);
    return err;
}

/* NULL: out of memory. */
static struct snapshot *snapshot_new(uint64_t number)
{
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);

    if (snapshot == NULL)
        return NULL;
    atomic_init(&snapshot->refs, 1);
    snapshot->number = number;
    IGNORE(routing_rule_parse(STR(ROUTING_TEXT_VERSION), &snapshot->text_rule, NULL));
    snapshot->loaded_s = clock_wall_s(&clock_system);
    return snapshot;
}

/* What goes on from one snapshot to the next, and what is found out again. */
static enum err make_parts(struct snapshot *snapshot, const struct snapshot *before,
                           struct metrics *metrics, struct snapshot_error *error)
{
    enum err err = make_gauges(snapshot, before, metrics);

    if (err == ERR_OK)
        err = make_endpoints(snapshot, before);
    if (err == ERR_OK)
        err = make_tills(snapshot, before, metrics);
    if (err == ERR_OK)
        err = make_embedders(snapshot);
    return err == ERR_OK ? ERR_OK : fail(error, err, err_text(err));
}

/* bundle_path: NULL, or in the place of the configuration's; borrowed. */
static enum err load(const char *config_path, const char *bundle_path, uint64_t number,
                     const struct snapshot *before, struct metrics *metrics,
                     struct snapshot **ret_snapshot, struct snapshot_error *error)
{
    struct config_error why = { 0 };
    struct snapshot *snapshot = snapshot_new(number);
    char text[sizeof error->text];
    enum err err;

    if (snapshot == NULL)
        return fail(error, ERR_NOMEM, err_text(ERR_NOMEM));
    err = config_load(config_path, &snapshot->config, &why);
    if (err != ERR_OK) {
        place(error, why.file, why.pointer, &why);
        (void)fail(error, err, config_error_text(&why, text, sizeof text));
        goto failed;
    }
    if (bundle_path != NULL) {
        snapshot->config->bundle = bundle_path;
        snapshot->config->store.learn_s = 0;
    }
    err = load_bundle(snapshot, error);
    if (err == ERR_OK)
        err = make_parts(snapshot, before, metrics, error);
    if (err != ERR_OK)
        goto failed;
    *ret_snapshot = snapshot;
    return ERR_OK;
failed:
    snapshot_free(snapshot);
    return err;
}

enum err snapshot_load(const char *config_path, uint64_t number,
                       const struct snapshot *before, struct metrics *metrics,
                       struct snapshot **ret_snapshot, struct snapshot_error *error)
{
    return load(config_path, NULL, number, before, metrics, ret_snapshot, error);
}

enum err snapshot_try(const char *config_path, const char *bundle_path,
                      struct metrics *metrics, struct snapshot **ret_snapshot,
                      struct snapshot_error *error)
{
    return load(config_path, bundle_path, 1, NULL, metrics, ret_snapshot, error);
}

enum err snapshot_learn(const struct snapshot *before, uint64_t number,
                        struct fuser_bundle *bundle, const struct lessons_stamp *learned,
                        struct metrics *metrics, struct snapshot **ret_snapshot,
                        struct snapshot_error *error)
{
    struct snapshot *snapshot = snapshot_new(number);
    struct fuser_error why = { 0 };
    enum err err = ERR_INVALID;

    if (snapshot == NULL)
        return fail(error, ERR_NOMEM, err_text(ERR_NOMEM));
    snapshot->config = config_ref(before->config);
    snapshot->base = fuser_bundle_ref(before->base);
    snapshot->learned = *learned;
    if (take_bundle(snapshot, bundle, &why) != FUSER_OK)
        (void)fail(error, err, why.text);
    else
        err = make_parts(snapshot, before, metrics, error);
    if (err != ERR_OK) {
        snapshot_free(snapshot);
        return err;
    }
    for (size_t j = 0; j < snapshot->config->n_embedders; j++) {
        int found = atomic_load(&before->embedders[j].probe);

        atomic_store(&snapshot->embedders[j].probe, found);
    }
    *ret_snapshot = snapshot;
    return ERR_OK;
}

void snapshot_recall(struct snapshot *snapshot, struct metrics_block *block)
{
    const char *path = snapshot->config->store.path;

    till_restore(snapshot->tills, snapshot->config->n_policies, path,
                 clock_wall_s(&clock_system));
    bars_restore(snapshot, path, block);
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
    unsigned before = atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);

    assert(before > 0);
    return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
    if (snapshot == NULL || atomic_fetch_sub(&snapshot->refs, 1) != 1)
        return;
    if (snapshot->reaper != NULL)
        snapshot->reaper(snapshot->reaper_context, snapshot);
    else
        snapshot_free(snapshot);
}

void snapshot_free(struct snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    for (size_t i = 0; snapshot->gauges != NULL && i < snapshot->config->n_experts; i++)
        gauge_unref(snapshot->gauges[i]);
    for (size_t i = 0; snapshot->endpoints != NULL && i < snapshot->config->n_experts;
         i++)
        endpoints_release(&snapshot->endpoints[i]);
    free(snapshot->endpoints);
    for (size_t i = 0; snapshot->tills != NULL && i < snapshot->config->n_policies; i++)
        till_unref(snapshot->tills[i]);
    free(snapshot->tills);
    free(snapshot->policy_slots);
    free(snapshot->gauges);
    free(snapshot->slots);
    free(snapshot->embedders);
    fuser_unref(snapshot->fuser);
    routing_rule_release(&snapshot->text_rule);
    fuser_bundle_unref(snapshot->base);
    config_unref(snapshot->config);
    free(snapshot);
}
