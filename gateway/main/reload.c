/* reload.c - configuration, bundle and keys, read anew while the daemon serves.
 *
 *   load everything aside --> check --> publish to every worker --> the old one dies with its
 *        |                               last request
 *        +--> anything wrong: nothing has changed
 */
#include <stdio.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/flow/archive.h"
#include "gateway/flow/bars.h"
#include "gateway/flow/inventory.h"
#include "gateway/main/process.h"

static void bury(void *arg)
{
    snapshot_free(arg);
}

static void reap(void *context, struct snapshot *dead)
{
    struct process *process = context;

    dead->mail = (struct loop_mail){ .fn = bury, .arg = dead };
    loop_post(process->loop, &dead->mail);
}

static void set_log_level(const struct config *config)
{
    enum log_level level;

    if (log_level_parse(str_of(config->log_level), &level) == ERR_OK)
        log_set_level(level);
}

void reload_adopt(struct process *process, struct snapshot *snapshot)
{
    snapshot->reaper = reap;
    snapshot->reaper_context = process;
    set_log_level(snapshot->config);
}

/* Listeners and workers are made once; whoever changes them has to start anew. */
static void warn_of_restart(const struct config *before, const struct config *after)
{
    const char *admin_before = before->admin != NULL ? before->admin : "";
    const char *admin_after = after->admin != NULL ? after->admin : "";

    if (strcmp(before->listen, after->listen) != 0 ||
        strcmp(admin_before, admin_after) != 0 || before->workers != after->workers)
        log_message(LOG_WARN, "restart_needed",
                    "listen, admin and workers are taken over at the next start only");
    if (archive_differs(before, after))
        log_message(LOG_WARN, "restart_needed",
                    "the store stays as it was opened: its path and settings are taken "
                    "over at the next start only");
}

/* Configuration, bundle and the file of keys, or nothing of them. */
enum err reload_load(struct process *process, uint64_t number,
                     const struct snapshot *before, struct snapshot **ret_snapshot,
                     struct snapshot_error *error)
{
    struct keeper_error why = { .text = "" };
    struct snapshot *snapshot;
    enum err err = snapshot_load(process->config_path, number, before,
                                 process->service.metrics, &snapshot, error);

    if (err != ERR_OK)
        return err;
    err = keeper_file(process->keeper, snapshot->config, &why);
    if (err != ERR_OK) {
        (void)snprintf(error->text, sizeof error->text, "%s", why.text);
        snapshot_unref(snapshot);
        return err;
    }
    *ret_snapshot = snapshot;
    return ERR_OK;
}

void reload(struct process *process)
{
    struct snapshot_error error = { .text = "" };
    struct snapshot *snapshot, *before = process->snapshot;

    if (process->draining)
        return;
    if (reload_load(process, process->loaded + 1, before, &snapshot, &error) != ERR_OK) {
        metrics_add(process->metrics, METRIC_RELOADS_FAILED, 0, 0, 1);
        log_message(LOG_ERROR, "reload_failed", "%s", error.text);
        return;
    }
    process->loaded++;
    bars_lift(snapshot, process->metrics);
    reload_adopt(process, snapshot);
    warn_of_restart(before->config, snapshot->config);
    for (unsigned i = 0; i < process->n_workers; i++) {
        if (worker_publish(process->workers[i], snapshot) != ERR_OK)
            log_message(LOG_ERROR, "no_memory", "worker %u keeps the old snapshot", i);
    }
    (void)!keeper_publish(process->keeper);
    process->snapshot = snapshot;
    snapshot_unref(before);
    metrics_add(process->metrics, METRIC_RELOADS, 0, 0, 1);
    inventory_log(snapshot, "reloaded");
}
