/* bars.c - experts that broke a ceiling's promise; see bars.h. */
#include "gateway/flow/bars.h"

#include "gateway/base/log.h"

void bars_set(struct snapshot *snapshot, size_t expert, enum bars_why why,
              struct metrics_block *block)
{
    size_t slot = snapshot->slots[expert];

    metrics_add(block, METRIC_OVER_BOUND, slot, 0, 1);
    log_message(LOG_WARN, "over_reservation",
                "expert '%s' %s; it is not asked under ceilings any more",
                snapshot->config->experts[expert].name,
                why == BARS_OVER_WORST ? "charged more than its worst case"
                                       : "does not honour its output limit");
    if (!atomic_exchange(&snapshot->gauges[expert]->liar, true))
        metrics_move(block, METRIC_EXPERTS_BARRED, slot, 1);
}

bool bars_lift(struct snapshot *snapshot, size_t expert, struct metrics_block *block)
{
    if (!atomic_exchange(&snapshot->gauges[expert]->liar, false))
        return false;
    metrics_move(block, METRIC_EXPERTS_BARRED, snapshot->slots[expert], -1);
    log_message(LOG_INFO, "bar_lifted", "expert '%s' is asked under ceilings again",
                snapshot->config->experts[expert].name);
    return true;
}

bool bars_has(const struct snapshot *snapshot, size_t expert)
{
    return atomic_load_explicit(&snapshot->gauges[expert]->liar, memory_order_relaxed);
}

uint64_t bars_mask(const struct snapshot *snapshot)
{
    uint64_t mask = 0;

    for (size_t i = 0; i < snapshot->config->n_experts; i++)
        mask |= (uint64_t)bars_has(snapshot, i) << i;
    return mask;
}
