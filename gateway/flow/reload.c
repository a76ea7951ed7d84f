/* reload.c - see reload.h. */
#include "gateway/flow/reload.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "gateway/base/jput.h"
#include "gateway/flow/worker.h"

static void woken(void *arg)
{
    struct reload *reload = arg;

    reload->away = false;
    reload->wake(reload->arg);
}

bool reload_start(struct reload *reload, struct service *service, struct loop *loop)
{
    assert(!reload->away);
    if (service->reload == NULL)
        return false;
    reload->away = true;
    reload->loop = loop;
    service->reload(service->reload_context, reload);
    return true;
}

void reload_done(struct reload *reload)
{
    reload->mail = (struct loop_mail){ .fn = woken, .arg = reload };
    loop_post(reload->loop, &reload->mail);
}

void reload_version_of(const struct snapshot *snapshot,
                       struct reload_version *ret_version)
{
    const char *bundle = "";

    if (snapshot->fuser != NULL)
        bundle = fuser_bundle_id(fuser_bundle_of(snapshot->fuser));
    ret_version->snapshot = snapshot->number;
    (void)snprintf(ret_version->config, sizeof ret_version->config, "%s",
                   snapshot->config->version);
    (void)snprintf(ret_version->bundle, sizeof ret_version->bundle, "%s", bundle);
}

void reload_warn(struct reload_report *report, const char *setting, const char *format,
                 ...)
{
    struct reload_warning *warning;
    va_list arguments;

    if (report->n_warnings == RELOAD_WARNINGS_MAX) {
        warning = &report->warnings[RELOAD_WARNINGS_MAX - 1];
        warning->setting[0] = '\0';
        (void)snprintf(warning->text, sizeof warning->text,
                       "there are more warnings: see the log");
        return;
    }
    warning = &report->warnings[report->n_warnings++];
    (void)snprintf(warning->setting, sizeof warning->setting, "%s",
                   setting != NULL ? setting : "");
    va_start(arguments, format);
    (void)vsnprintf(warning->text, sizeof warning->text, format, arguments);
    va_end(arguments);
}

enum api_err reload_error(const struct reload_report *report, struct api_error *error)
{
    const struct snapshot_error *why = &report->error;

    if (report->draining)
        return api_error_set(error, API_DRAINING, NULL, NULL);
    if (report->failed)
        return api_error_set(error, API_RELOAD, why->pointer[0] ? why->pointer : NULL,
                             "%s", why->text);
    return API_OK;
}

static void put_version(struct jput *j, const char *key,
                        const struct reload_version *version)
{
    jput_open(j, key, '{');
    jput_int(j, "snapshot", (int64_t)version->snapshot);
    jput_text(j, "config", version->config);
    jput_text(j, "bundle", version->bundle[0] != '\0' ? version->bundle : NULL);
    jput_close(j, '}');
}

static void put_failure(struct jput *j, const struct reload_report *report)
{
    const struct snapshot_error *why = &report->error;

    jput_open(j, "error", '{');
    jput_text(j, "message", why->text);
    jput_text(j, "type", api_error_type(API_RELOAD));
    jput_text(j, "param", why->pointer[0] != '\0' ? why->pointer : NULL);
    jput_text(j, "code", api_error_code(API_RELOAD));
    jput_text(j, "file", why->file[0] != '\0' ? why->file : NULL);
    if (why->line > 0) {
        jput_int(j, "line", why->line);
        jput_int(j, "column", why->column);
    } else {
        jput_text(j, "line", NULL);
        jput_text(j, "column", NULL);
    }
    jput_close(j, '}');
    put_version(j, "kept", &report->before);
}

void reload_render(const struct reload_report *report, struct buf *out)
{
    struct jput j;

    jput_init(&j, out);
    jput_open(&j, NULL, '{');
    jput_text(&j, "object", "reload");
    jput_text(&j, "status", report->failed ? "refused" : "reloaded");
    if (report->failed) {
        put_failure(&j, report);
    } else {
        put_version(&j, "now", &report->now);
        put_version(&j, "before", &report->before);
        jput_int(&j, "keys", (int64_t)report->keys);
        jput_open(&j, "warnings", '[');
        for (size_t i = 0; i < report->n_warnings; i++) {
            const struct reload_warning *warning = &report->warnings[i];

            jput_open(&j, NULL, '{');
            jput_text(&j, "setting", warning->setting[0] ? warning->setting : NULL);
            jput_text(&j, "text", warning->text);
            jput_close(&j, '}');
        }
        jput_close(&j, ']');
    }
    jput_close(&j, '}');
}
