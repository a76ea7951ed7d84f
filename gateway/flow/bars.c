/* bars.c - experts that broke a ceiling's promise; see bars.h. */
#include "gateway/flow/bars.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/io/store_query.h"

/* An operator trusts it from a moment on that has passed: what was seen before is forgiven. */
static int64_t trusted_from(const struct snapshot *snapshot, size_t expert)
{
    int64_t from_s = snapshot->config->experts[expert].trusted_from_s;

    return from_s < snapshot->loaded_s ? from_s : snapshot->loaded_s;
}

static void bar(struct snapshot *snapshot, size_t expert, int64_t at_s,
                struct metrics_block *block)
{
    if (atomic_exchange(&snapshot->gauges[expert]->barred_s, at_s) == 0)
        metrics_move(block, METRIC_EXPERTS_BARRED, snapshot->slots[expert], 1);
}

void bars_set(struct snapshot *snapshot, size_t expert, enum bars_why why,
              struct metrics_block *block)
{
    metrics_add(block, METRIC_OVER_BOUND, snapshot->slots[expert], 0, 1);
    log_message(LOG_WARN, "over_reservation",
                "expert '%s' %s; it is not asked under ceilings any more",
                snapshot->config->experts[expert].name,
                why == BARS_OVER_WORST ? "charged more than its worst case"
                                       : "does not honour its output limit");
    bar(snapshot, expert, clock_wall_s(&clock_system), block);
}

bool bars_has(const struct snapshot *snapshot, size_t expert)
{
    int64_t barred_s =
        atomic_load_explicit(&snapshot->gauges[expert]->barred_s, memory_order_relaxed);

    return barred_s != 0 && barred_s >= trusted_from(snapshot, expert);
}

uint64_t bars_mask(const struct snapshot *snapshot)
{
    uint64_t mask = 0;

    for (size_t i = 0; i < snapshot->config->n_experts; i++)
        mask |= (uint64_t)bars_has(snapshot, i) << i;
    return mask;
}

void bars_lift(struct snapshot *snapshot, struct metrics_block *block)
{
    for (size_t i = 0; i < snapshot->config->n_experts; i++) {
        if (bars_has(snapshot, i) ||
            atomic_exchange(&snapshot->gauges[i]->barred_s, 0) == 0)
            continue;
        metrics_move(block, METRIC_EXPERTS_BARRED, snapshot->slots[i], -1);
        log_message(LOG_INFO, "bar_lifted", "expert '%s' is asked under ceilings again",
                    snapshot->config->experts[i].name);
    }
}

struct restoring {
    struct snapshot *snapshot;
    struct metrics_block *block;
};

static void restore_one(void *context, struct str expert, int64_t at_us)
{
    struct restoring *restoring = context;
    int i = config_find_expert(restoring->snapshot->config, expert);
    int64_t at_s = at_us / 1000000;

    if (i < 0 || at_s < trusted_from(restoring->snapshot, (size_t)i))
        return;
    bar(restoring->snapshot, (size_t)i, at_s, restoring->block);
    log_message(LOG_WARN, "expert_barred",
                "expert '%s' charged more than its worst case before, or did not honour "
                "its output "
                "limit; it is not asked under ceilings until 'trusted_from' says so",
                restoring->snapshot->config->experts[i].name);
}

void bars_restore(struct snapshot *snapshot, const char *path,
                  struct metrics_block *block)
{
    struct restoring restoring = { snapshot, block };
    struct store_error why = { .text = "" };
    struct store_view view = { .file = NULL };
    enum store_err err = store_file_open(path, STORE_FILE_READ, &view.file, &why);

    if (err == STORE_OK)
        err = store_each_over(&view, restore_one, &restoring, &why);
    if (err != STORE_OK)
        log_message(LOG_WARN, "bars_begin_anew",
                    "who broke a ceiling before is not known: %s", why.text);
    store_file_close(view.file);
}
