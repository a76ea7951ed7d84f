/* archive.c - settings into store_settings, notices into lines of the log. */
#include "gateway/flow/archive.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/log.h"

/* On the store's threads. */
static void notice(void *context, enum store_notice notice, int64_t n, const char *text)
{
    (void)context;
    switch (notice) {
    case STORE_NOTICE_CRASHED:
        log_message(LOG_WARN, "store_crashed",
                    "%lld decisions were open when the gateway ended; they are charged "
                    "at their worst case",
                    (long long)n);
        break;
    case STORE_NOTICE_FAILING:
        log_message(LOG_ERROR, "store_failing", "%s", text);
        break;
    case STORE_NOTICE_WORKING:
        log_message(LOG_WARN, "store_working", "what waited is written");
        break;
    case STORE_NOTICE_LOST:
        log_message(LOG_ERROR, "store_lost", "%lld rows were not written", (long long)n);
        break;
    case STORE_NOTICE_REFUSED:
        log_message(LOG_ERROR, "store_refused_row", "%s", text);
        break;
    case STORE_NOTICE_REMOVED:
        log_message(LOG_INFO, "store_removed", "%lld decisions were removed",
                    (long long)n);
        break;
    }
}

static void log_opened(const struct config_store *store)
{
    struct log_line line;

    log_begin(&line, LOG_INFO, "store_opened");
    log_text(&line, "path", store->path);
    log_int(&line, "version", store_schema_version());
    log_text(&line, "durability", store->full ? "full" : "batched");
    log_text(&line, "on_failure", store->refuse ? "refuse" : "continue");
    log_end(&line);
}

enum store_err archive_open(const struct config *config, struct metrics *metrics,
                            struct store **ret_store, struct store_error *error)
{
    const struct config_store *store = &config->store;
    struct store_settings settings = {
        .path = store->path,
        .full = store->full,
        .refuse = store->refuse,
        .commit_ms = store->commit_ms,
        .commit_rows = store->commit_rows,
        .queue_rows = store->queue_rows,
        .queue_bytes = store->queue_bytes,
        .keep_days = store->keep_days,
        .keep_bytes = store->keep_bytes,
        .metrics = metrics_block(metrics),
        .notice = notice,
    };

    enum store_err err = STORE_OK;

    *ret_store = NULL;
    if (store->path == NULL)
        return STORE_OK;
    err = store_open(&settings, ret_store, error);
    if (err == STORE_OK)
        log_opened(store);
    return err;
}

/* A file that is to be made needs its folder. */
static enum store_err check_folder(const char *path, struct store_error *error)
{
    const char *slash = strrchr(path, '/');
    char folder[4096];

    if (slash == NULL || slash == path)
        return STORE_OK;
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    if (access(folder, F_OK) == 0)
        return STORE_OK;
    return store_error_set(error, STORE_ABSENT, "store '%s': there is no folder '%s'",
                           path, folder);
}

/* Only what will stop the start is an error here: who checks may be another user than the
 * one who serves, and an older file is brought up to date. */
enum store_err archive_check(const struct config *config, struct store_error *error)
{
    const char *path = config->store.path;
    struct store_error found = { "" };
    struct store_file *file = NULL;
    enum store_err err;

    if (path == NULL)
        return STORE_OK;
    if (access(path, F_OK) != 0)
        return check_folder(path, error);
    err = store_file_open(path, STORE_FILE_READ, &file, &found);
    store_file_close(file);
    if (err == STORE_NEWER || err == STORE_FOREIGN)
        return store_error_set(error, err, "%s", found.text);
    return STORE_OK;
}
