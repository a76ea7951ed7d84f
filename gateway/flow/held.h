/* held.h - reservations that are open now, as gauges: when nothing is under way both are 0.
 *
 *   purse_reserve(.., &hold) == PURSE_OK    held_add(block, &hold)
 *   before it is closed in whatever way     held_drop(block, &hold)
 */
#ifndef GATEWAY_FLOW_HELD_H
#define GATEWAY_FLOW_HELD_H

#include "gateway/domain/metrics.h"
#include "gateway/flow/purse.h"

static inline void held_move(struct metrics_block *block, const struct purse_hold *hold,
                             int64_t sign)
{
    if (!hold->open)
        return;
    metrics_move(block, METRIC_RESERVATIONS, 0, sign);
    if (hold->worst_pico != PURSE_UNBOUNDED)
        metrics_move(block, METRIC_RESERVED, 0, sign * hold->worst_pico);
}

static inline void held_add(struct metrics_block *block, const struct purse_hold *hold)
{
    held_move(block, hold, 1);
}

static inline void held_drop(struct metrics_block *block, const struct purse_hold *hold)
{
    held_move(block, hold, -1);
}

#endif
