/* learning.c - scores that clients gave, taken into the bundle in force: store.learn_s, adr/0016.
 *
 *   main   timer --> job --+                       +--> snapshot_learn --> publish to every worker
 *   pool                   +--> new scores? add ---+
 *
 * Each time it is the file's bundle with all scores that may teach, within their bounds, so that nothing is counted
 * twice and a score that was replaced is gone. The configuration stays the one in force: only a reload reads files.
 * What a reload overtakes is given up, for it has learned by itself.
 */
#include "gateway/main/process.h"

#include "gateway/base/log.h"
#include "gateway/flow/inventory.h"

/* On a thread of the pool. */
static void run(void *arg)
{
    struct process *process = arg;
    struct learning *learning = &process->learning;
    const char *path = learning->from->config->store.path;
    const struct lessons_stamp *known = &learning->from->learned;

    learning->err = lessons_stamp_of(path, &learning->stamp, &learning->error);
    if (learning->err != ERR_OK ||
        (learning->stamp.n == known->n && learning->stamp.newest_us == known->newest_us))
        return;
    learning->err = lessons_learn(path, learning->from->base, &learning->bundle,
                                  &learning->taken, &learning->error);
}

static void log_learned(const struct learning *learning)
{
    struct log_line line;

    log_begin(&line, LOG_INFO, "scores_taken");
    log_int(&line, "given", (int64_t)learning->taken.given);
    log_int(&line, "taken", (int64_t)learning->taken.taken);
    log_int(&line, "foreign", (int64_t)learning->taken.foreign);
    log_int(&line, "unknown", (int64_t)learning->taken.unknown);
    log_int(&line, "textless", (int64_t)learning->taken.textless);
    log_int(&line, "crowded", (int64_t)learning->taken.crowded);
    log_end(&line);
}

static void publish(struct process *process)
{
    struct learning *learning = &process->learning;
    struct snapshot_error error = { .text = "" };
    struct snapshot *snapshot, *before = process->snapshot;

    if (snapshot_learn(before, process->loaded + 1, learning->bundle, &learning->stamp,
                       process->service.metrics, &snapshot, &error) != ERR_OK) {
        log_message(LOG_ERROR, "learning_failed", "%s", error.text);
        return;
    }
    snapshot->reaper = before->reaper;
    snapshot->reaper_context = before->reaper_context;
    process->publishing = true;
    process->event = "learned";
    if (keeper_publish(process->keeper, snapshot, &process->publication) != ERR_OK) {
        process->publishing = false;
        log_message(LOG_ERROR, "learning_failed", "out of memory");
        snapshot_unref(snapshot);
        return;
    }
    process->loaded++;
    process->snapshot = snapshot;
    snapshot_unref(before);
    log_learned(learning);
}

/* Back on main's loop. */
static void done(void *arg)
{
    struct process *process = arg;
    struct learning *learning = &process->learning;
    bool overtaken =
        process->draining || process->publishing || process->snapshot != learning->from;

    learning->away = false;
    if (learning->err != ERR_OK)
        log_message(LOG_WARN, "learning_failed", "%s", learning->error.text);
    else if (learning->bundle != NULL && !overtaken)
        publish(process);
    fuser_bundle_unref(learning->bundle);
    learning->bundle = NULL;
    snapshot_unref(learning->from);
    learning->from = NULL;
}

static void begin(struct process *process)
{
    struct learning *learning = &process->learning;

    learning->from = snapshot_ref(process->snapshot);
    learning->job = (struct pool_job){
        .run = run, .done = done, .arg = process, .loop = process->loop
    };
    learning->away = true;
    if (pool_submit(process->service.pool, &learning->job) == POOL_OK)
        return;
    learning->away = false; /* a busy pool: the next time */
    snapshot_unref(learning->from);
    learning->from = NULL;
}

static void tick(void *arg)
{
    struct process *process = arg;
    const struct snapshot *snapshot = process->snapshot;

    learning_plan(process, snapshot->config);
    if (!process->learning.away && !process->publishing && !process->draining &&
        snapshot->base != NULL)
        begin(process);
}

void learning_plan(struct process *process, const struct config *config)
{
    struct loop_timer *timer = &process->learning.timer;
    const int64_t every_s = config->store.path != NULL ? config->store.learn_s : 0;

    timer->fn = tick;
    timer->arg = process;
    loop_timer_clear(process->loop, timer);
    if (every_s > 0 && loop_timer_set(process->loop, timer,
                                      loop_now_us(process->loop) +
                                          (uint64_t)every_s * 1000000) != LOOP_OK)
        log_message(LOG_ERROR, "learning_failed",
                    "out of memory: scores are taken at reloads only");
}

void learning_end(struct process *process)
{
    struct learning *learning = &process->learning;

    if (process->loop == NULL)
        return;
    loop_timer_clear(process->loop, &learning->timer);
    while (learning->away)
        loop_turn(process->loop, 0);
}
