/* reload.c - configuration, bundle and keys, read anew while the daemon serves.
 *
 *   load everything aside --> check --> publish to every worker --> the old one dies with its
 *        |                               last request
 *        +--> anything wrong: nothing has changed
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/flow/bars.h"
#include "gateway/flow/inventory.h"
#include "gateway/main/process.h"

#define EXPIRY_WARN_S (14 * INT64_C(86400))

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
    learning_plan(process, snapshot->config);
}

/* "frugal.json: /tls/key_file: ..." */
static enum err refuse(struct snapshot_error *error, const struct config *config,
                       enum err err, const char *pointer, const char *text)
{
    if (error->text[0] != '\0')
        return err;
    (void)snprintf(error->file, sizeof error->file, "%s", config->path);
    (void)snprintf(error->pointer, sizeof error->pointer, "%s", pointer);
    (void)snprintf(error->text, sizeof error->text, "%.200s: %s: %s", config->path,
                   pointer, text);
    return err;
}

static enum err load_identity(const struct config *config,
                              struct tls_identity **ret_identity,
                              struct snapshot_error *error)
{
    const struct tls_files files = { config->tls.cert_file, config->tls.key_file,
                                     config->tls.client_ca_file };
    struct tls_error why = { .text = "" };
    char pointer[64];
    enum err err;

    if (files.cert_file == NULL)
        return ERR_OK;
    err = tls_identity_load(&files, ret_identity, &why);
    if (err == ERR_OK)
        return ERR_OK;
    (void)snprintf(pointer, sizeof pointer, "/tls/%s", why.setting);
    return refuse(error, config, err, pointer, why.text);
}

/* What experts are shown and trusted by is read by libcurl when it connects; here only that it will do. */
static enum err check_experts(const struct config *config, struct snapshot_error *error)
{
    for (size_t i = 0; i < config->n_experts; i++) {
        const struct config_expert *expert = &config->experts[i];
        struct tls_error why = { .text = "" };
        char pointer[256];
        enum err err = ERR_OK;

        if (expert->tls.ca_file != NULL)
            err = tls_check_authority(expert->tls.ca_file, &why);
        if (err == ERR_OK && expert->tls.cert_file != NULL)
            err = tls_check_pair(expert->tls.cert_file, expert->tls.key_file, &why);
        if (err == ERR_OK)
            continue;
        (void)snprintf(pointer, sizeof pointer, "/experts/%s/%s", expert->name,
                       why.setting);
        return refuse(error, config, err, pointer, why.text);
    }
    return ERR_OK;
}

void reload_set_release(struct reload_set *set)
{
    snapshot_unref(set->snapshot);
    tls_identity_unref(set->identity);
    *set = (struct reload_set){ NULL, NULL };
}

enum err reload_load(struct process *process, uint64_t number,
                     const struct snapshot *before, struct reload_set *ret_set,
                     struct snapshot_error *error)
{
    struct keeper_error why = { .text = "" };
    struct reload_set set = { NULL, NULL };
    enum err err = snapshot_load(process->config_path, number, before,
                                 process->service.metrics, &set.snapshot, error);

    if (err == ERR_OK)
        err = load_identity(set.snapshot->config, &set.identity, error);
    if (err == ERR_OK)
        err = check_experts(set.snapshot->config, error);
    if (err == ERR_OK) {
        err = keeper_file(process->keeper, set.snapshot->config, &why);
        if (err != ERR_OK)
            (void)snprintf(error->text, sizeof error->text, "%s", why.text);
    }
    if (err == ERR_OK)
        *ret_set = set;
    else
        reload_set_release(&set);
    return err;
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

static void note(struct reload_report *report, const char *event, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* To the log and, where somebody asked, to him. */
static void note(struct reload_report *report, const char *event, const char *format, ...)
{
    char text[RELOAD_WARNING_BYTES];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_message(LOG_WARN, event, "%s", text);
    if (report != NULL)
        reload_warn(report, NULL, "%s", text);
}

void reload_note_identity(struct process *process, const struct tls_identity *identity,
                          struct reload_report *report)
{
    const struct tls_state *state;
    int64_t now_s = clock_wall_s(&clock_system);
    char when[CLOCK_TEXT_BYTES];

    if (identity == NULL)
        return;
    state = tls_identity_state(identity);
    if (process->metrics != NULL)
        metrics_set(process->metrics, METRIC_TLS_EXPIRY, 0, state->until_s);
    (void)clock_format(state->until_s * 1000000, when);
    if (state->until_s <= now_s)
        note(
            report, "certificate_expired",
            "the certificate '%s' has expired at %s: clients refuse it; put a new one in "
            "its place and reload",
            state->subject, when);
    else if (state->until_s - now_s < EXPIRY_WARN_S)
        note(report, "certificate_expires",
             "the certificate '%s' expires at %s: put a new one in its place and reload",
             state->subject, when);
    if (state->from_s > now_s)
        note(report, "certificate_early",
             "the certificate '%s' is not valid yet: is the clock right?",
             state->subject);
    if (state->key_is_open)
        note(report, "key_open",
             "every user of this machine can read the key of the certificate '%s': take "
             "the right to from others (chmod o-r)",
             state->subject);
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
    struct reload_set set;

    reload_version_of(before, &report->before);
    if (reload_load(process, process->loaded + 1, before, &set, &report->error) !=
        ERR_OK) {
        fail(process, report);
        return;
    }
    snapshot = set.snapshot;
    snapshot->reaper = reap;
    snapshot->reaper_context = process;
    process->publishing = true;
    process->event = "reloaded";
    if (keeper_publish(process->keeper, snapshot, &process->publication) != ERR_OK) {
        process->publishing = false;
        (void)snprintf(report->error.text, sizeof report->error.text,
                       "out of memory: nothing was taken over");
        fail(process, report);
        reload_set_release(&set);
        return;
    }
    if (process->tls != NULL && set.identity != NULL) {
        reload_note_identity(process, set.identity, report);
        tls_replace(process->tls, &set.identity);
    }
    tls_identity_unref(set.identity);
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
    inventory_log(process->snapshot, process->event);
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
