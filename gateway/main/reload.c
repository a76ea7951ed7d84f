/* reload.c - configuration, bundle and keys, read anew while the daemon serves.
 *
 *   load everything aside --> check --> publish to every worker --> the old one dies with its
 *        |                               last request
 *        +--> anything wrong: nothing has changed
 */
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
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

/* -- one reload -------------------------------------------------------------------------- */

/* Listeners, workers and the store are made once; whoever changes them has to start anew. */
static void note_restart(void *context, const char *name)
{
    reload_warn(
        context, name,
        "a change of '%s' is taken over at the next start only: what was set then "
        "stays in force",
        name);
}

static void note_stranger(void *context, const char *event, const char *text)
{
    (void)event;
    reload_warn(context, NULL, "%s", text);
}

static void log_report(const struct reload_report *report)
{
    struct log_line line;

    if (report->failed)
        log_message(LOG_ERROR, "reload_failed", "%s", report->error.text);
    for (size_t i = 0; i < report->n_warnings; i++) {
        const struct reload_warning *warning = &report->warnings[i];

        if (warning->setting[0] == '\0')
            continue; /* the inventory's, which has its own lines */
        log_begin(&line, LOG_WARN, "restart_needed");
        log_text(&line, "setting", warning->setting);
        log_text(&line, "message", warning->text);
        log_end(&line);
    }
}

static void fail(struct process *process, struct reload_report *report)
{
    report->failed = true;
    metrics_add(process->metrics, METRIC_RELOADS_FAILED, 0, 0, 1);
}

static void take_over(struct process *process, struct reload_report *report)
{
    struct snapshot *snapshot, *before = process->snapshot;

    reload_version_of(before, &report->before);
    if (reload_load(process, process->loaded + 1, before, &snapshot, &report->error) !=
        ERR_OK) {
        fail(process, report);
        return;
    }
    snapshot->reaper = reap;
    snapshot->reaper_context = process;
    process->publishing = true;
    if (keeper_publish(process->keeper, snapshot, &process->publication) != ERR_OK) {
        process->publishing = false;
        (void)snprintf(report->error.text, sizeof report->error.text,
                       "out of memory: nothing was taken over");
        fail(process, report);
        snapshot_unref(snapshot);
        return;
    }
    process->loaded++;
    bars_lift(snapshot, process->metrics);
    reload_adopt(process, snapshot);
    process->snapshot = snapshot;
    config_each_restart(before->config, snapshot->config, note_restart, report);
    inventory_each_stranger(snapshot, note_stranger, report);
    reload_version_of(snapshot, &report->now);
    report->keys = keeper_count(process->keeper);
    snapshot_unref(before);
    metrics_add(process->metrics, METRIC_RELOADS, 0, 0, 1);
}

/* -- one after another ------------------------------------------------------------------- */

static void answer(struct process *process)
{
    struct reload *served = process->served;

    process->served = NULL;
    while (served != NULL) {
        struct reload *next = served->next;

        served->report = process->report;
        reload_done(served);
        served = next;
    }
}

void reload_tell_ready(const struct process *process)
{
    struct reload_version version;

    reload_version_of(process->snapshot, &version);
    manager_say(&process->manager,
                "READY=1\nSTATUS=serving: configuration %s, bundle %s, %zu experts",
                version.config, version.bundle[0] != '\0' ? version.bundle : "none",
                process->snapshot->config->n_experts);
}

/* By the last worker that took it over: from now on no request begins with the old one. */
static void published(void *arg)
{
    struct process *process = arg;

    process->publishing = false;
    if (process->snapshot == NULL)
        return; /* the end */
    inventory_log(process->snapshot, "reloaded");
    reload_tell_ready(process);
    answer(process);
    if (process->wanted || process->asking != NULL)
        loop_defer(process->loop, &process->reload_task, LOOP_WORK);
}

/* One reload for all who have asked by now: it begins after they asked. */
static void reload(void *arg)
{
    struct process *process = arg;
    struct reload_report *report = &process->report;

    if (process->publishing)
        return;
    process->wanted = false;
    process->served = process->asking;
    process->asking = NULL;
    *report = (struct reload_report){ .draining = process->draining };
    if (!report->draining) {
        manager_say(&process->manager, "RELOADING=1\nMONOTONIC_USEC=%lld",
                    (long long)clock_us(&clock_system));
        take_over(process, report);
        log_report(report);
    }
    if (report->failed)
        manager_say(&process->manager, "READY=1\nSTATUS=reload refused: %s",
                    report->error.text);
    if (report->draining || report->failed)
        answer(process);
}

void reload_want(struct process *process)
{
    process->wanted = true;
    loop_defer(process->loop, &process->reload_task, LOOP_WORK);
}

static void asked(void *arg)
{
    struct reload *ask = arg;
    struct process *process = ask->context;

    ask->next = process->asking;
    process->asking = ask;
    loop_defer(process->loop, &process->reload_task, LOOP_WORK);
}

/* On a worker's thread. */
static void ask(void *context, struct reload *ask)
{
    struct process *process = context;

    ask->context = context;
    ask->mail = (struct loop_mail){ .fn = asked, .arg = ask };
    loop_post(process->loop, &ask->mail);
}

void reload_serve(struct process *process)
{
    process->reload_task = (struct loop_task){ .fn = reload, .arg = process };
    process->publication.loop = process->loop;
    process->publication.mail = (struct loop_mail){ .fn = published, .arg = process };
    process->service.reload = ask;
    process->service.reload_context = process;
}
