/* pulse.c - the watchdog: the service manager hears from us as long as every loop turns.
 *
 *   timer, four times in the manager's time --> every worker has turned since the last one?
 *        yes: WATCHDOG=1            no: silence, and a line of the log that names the worker
 *
 * A loop that stands still serves nobody, and nothing inside the process can help it: the
 * manager ends the process when it has not heard from it for WatchdogSec=. The main loop is
 * watched too, since the timer is its own.
 */
#include "gateway/base/log.h"
#include "gateway/main/process.h"

#define TICKS 4 /* in the time within which the manager wants to hear from us */

static bool all_turn(struct process *process)
{
    const uint64_t tick_ms = process->manager.watchdog_us / TICKS / 1000;
    bool all = true;

    for (unsigned i = 0; i < process->n_workers; i++) {
        if (worker_pulse(process->workers[i]))
            continue;
        all = false;
        log_message(LOG_ERROR, "worker_stuck",
                    "the loop of worker %u has not turned for %llu ms or more", i,
                    (unsigned long long)((process->silent_ticks + 1) * tick_ms));
    }
    return all;
}

static void tick(void *arg)
{
    struct process *process = arg;
    const uint64_t due =
        loop_now_us(process->loop) + process->manager.watchdog_us / TICKS;

    if (all_turn(process)) {
        process->silent_ticks = 0;
        manager_say(&process->manager, "WATCHDOG=1");
    } else {
        process->silent_ticks++;
    }
    if (loop_timer_set(process->loop, &process->pulse_timer, due) != LOOP_OK)
        log_message(LOG_ERROR, "no_memory", "the watchdog is not told any more");
}

void pulse_start(struct process *process)
{
    if (process->manager.watchdog_us == 0)
        return;
    process->pulse_timer = (struct loop_timer){ .fn = tick, .arg = process };
    tick(process);
}

void pulse_stop(struct process *process)
{
    if (process->loop != NULL)
        loop_timer_clear(process->loop, &process->pulse_timer);
}
