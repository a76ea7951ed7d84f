/* inventory.c - what a snapshot holds, as lines of the log; see inventory.h. */
#include "gateway/flow/inventory.h"

#include <stdio.h>
#include <string.h>

#include "gateway/base/log.h"

static bool configured_embedder(const struct config *config, const char *name)
{
    for (size_t j = 0; j < config->n_embedders; j++) {
        if (strcmp(config->embedders[j].name, name) == 0)
            return true;
    }
    return false;
}

/* What bundle and configuration do not know of each other. */
void inventory_each_stranger(const struct snapshot *snapshot, inventory_told fn,
                             void *context)
{
    const struct fuser_bundle *bundle;
    const struct config *config = snapshot->config;
    char text[256];

    if (snapshot->fuser == NULL)
        return;
    bundle = fuser_bundle_of(snapshot->fuser);
    for (size_t i = 0; i < config->n_experts; i++) {
        if (!config->experts[i].has_generator || (snapshot->known >> i & 1) != 0)
            continue;
        (void)snprintf(
            text, sizeof text,
            fuser_lends_to(snapshot->fuser, i)
                ? "expert '%s' is not in the bundle and is only asked directly, as a "
                  "default, or to explore what it is like"
                : "expert '%s' is not in the bundle and is only asked directly or "
                  "as a default",
            config->experts[i].name);
        fn(context, "expert_without_rows", text);
    }
    for (size_t i = 0; i < config->n_experts; i++) {
        const char *like = config->experts[i].prior_like;

        if (like == NULL || fuser_lends_to(snapshot->fuser, i))
            continue;
        (void)snprintf(
            text, sizeof text,
            "expert '%s' is to be like '%.100s', of which the bundle has no rows",
            config->experts[i].name, like);
        fn(context, "prior_like_without_rows", text);
    }
    for (size_t j = 0; j < config->n_embedders; j++) {
        if (fuser_embedder_in_bundle(snapshot->fuser, j) >= 0)
            continue;
        (void)snprintf(text, sizeof text,
                       "embedder '%s' is not in the bundle and is never asked",
                       config->embedders[j].name);
        fn(context, "embedder_without_rows", text);
    }
    for (size_t e = 0; e < fuser_bundle_embedders(bundle); e++) {
        const char *name = fuser_bundle_embedder(bundle, e)->name;

        if (configured_embedder(config, name))
            continue;
        (void)snprintf(text, sizeof text, "embedder '%s' of the bundle is not configured",
                       name);
        fn(context, "bundle_embedder_ignored", text);
    }
    for (size_t g = 0; g < fuser_bundle_generators(bundle); g++) {
        const char *name = fuser_bundle_generator(bundle, g);

        if (config_find_expert(config, str_of(name)) >= 0)
            continue;
        (void)snprintf(text, sizeof text, "expert '%s' of the bundle is not configured",
                       name);
        fn(context, "bundle_expert_ignored", text);
    }
}

static void log_stranger(void *context, const char *event, const char *text)
{
    (void)context;
    log_message(LOG_WARN, event, "%s", text);
}

void inventory_log(const struct snapshot *snapshot, const char *event)
{
    const struct config *config = snapshot->config;
    struct log_line line;

    inventory_each_stranger(snapshot, log_stranger, NULL);
    log_begin(&line, LOG_INFO, event);
    log_int(&line, "snapshot", (int64_t)snapshot->number);
    log_text(&line, "config", config->version);
    log_int(&line, "experts", (int64_t)config->n_experts);
    log_int(&line, "policies", (int64_t)config->n_policies);
    if (snapshot->fuser != NULL) {
        const struct fuser_bundle *bundle = fuser_bundle_of(snapshot->fuser);

        log_text(&line, "bundle", fuser_bundle_id(bundle));
        log_int(&line, "rows", (int64_t)fuser_bundle_rows(bundle));
        log_int(&line, "bundle_experts_ignored", (int64_t)snapshot->bundle_ignored);
    }
    log_end(&line);
}
