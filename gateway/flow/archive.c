/* archive.c - settings into store_settings, notices into lines of the log. */
#include "gateway/flow/archive.h"

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

    *ret_store = NULL;
    if (store->path == NULL)
        return STORE_OK;
    return store_open(&settings, ret_store, error);
}

enum store_err archive_check(const struct config *config, struct store_error *error)
{
    const char *path = config->store.path;
    struct store_file *file = NULL;
    enum store_err err;

    if (path == NULL || access(path, F_OK) != 0)
        return STORE_OK;
    err = store_file_open(path, STORE_FILE_READ, &file, error);
    store_file_close(file);
    if (err == STORE_ABSENT) {
        error->text[0] = '\0'; /* older: the start brings it up to date */
        return STORE_OK;
    }
    return err;
}

bool archive_differs(const struct config *before, const struct config *after)
{
    struct config_store a = before->store, b = after->store;
    const char *path_a = a.path != NULL ? a.path : "", *path_b = b.path ? b.path : "";

    return strcmp(path_a, path_b) != 0 || a.full != b.full || a.refuse != b.refuse ||
           a.commit_ms != b.commit_ms || a.commit_rows != b.commit_rows ||
           a.queue_rows != b.queue_rows || a.queue_bytes != b.queue_bytes ||
           a.keep_days != b.keep_days || a.keep_bytes != b.keep_bytes;
}
