/* keeper.c - where the keys come from; see keeper.h. */
#include "gateway/flow/keeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/domain/key_file.h"

struct keeper {
    struct accounts *accounts; /* owned */
    struct key_set bootstrap, file, store;
    bool closed;
};

static enum err fail(struct keeper_error *error, enum err err, const char *text)
{
    if (error != NULL && error->text[0] == '\0')
        (void)snprintf(error->text, sizeof error->text, "%s", text);
    return err;
}

/* The value is in our own memory, where /proc/PID/environ shows it from; it is written over
 * before it is forgotten. */
static enum err take_bootstrap(struct keeper *keeper, struct keeper_error *error)
{
    char *value = getenv(KEEPER_BOOTSTRAP);
    struct key key;
    bool fit;

    if (value == NULL || value[0] == '\0')
        return ERR_OK;
    key_init(&key);
    key.id = KEY_BOOTSTRAP_ID;
    key.name = "bootstrap key";
    key.n_hashes = 1;
    key.feedback = KEY_FEEDBACK_SHARED;
    fit = key_secret_ok(str_of(value));
    key_hash(str_of(value), key.hashes[0]);
    key_wipe(value, strlen(value));
    (void)unsetenv(KEEPER_BOOTSTRAP);
    if (!fit)
        return fail(error, ERR_INVALID,
                    KEEPER_BOOTSTRAP " must be 16 to 256 printable characters without "
                                     "blanks, for instance of `openssl rand -hex 32`");
    return key_set_add(&keeper->bootstrap, &key);
}

enum err keeper_new(const struct clock *clock, struct keeper **ret_keeper,
                    struct keeper_error *error)
{
    struct keeper *keeper;
    enum err err;

    if (!key_start())
        return fail(error, ERR_IO, "the system has no source of randomness");
    keeper = calloc(1, sizeof *keeper);
    if (keeper == NULL)
        return fail(error, ERR_NOMEM, err_text(ERR_NOMEM));
    key_set_init(&keeper->bootstrap);
    key_set_init(&keeper->file);
    key_set_init(&keeper->store);
    keeper->accounts = accounts_new(clock);
    err = keeper->accounts != NULL ? take_bootstrap(keeper, error) : ERR_NOMEM;
    if (err != ERR_OK) {
        keeper_free(keeper);
        return fail(error, err, err_text(err));
    }
    *ret_keeper = keeper;
    return ERR_OK;
}

void keeper_free(struct keeper *keeper)
{
    if (keeper == NULL)
        return;
    key_set_release(&keeper->bootstrap);
    key_set_release(&keeper->file);
    key_set_release(&keeper->store);
    accounts_free(keeper->accounts);
    free(keeper);
}

struct accounts *keeper_accounts(struct keeper *keeper)
{
    return keeper->accounts;
}

enum err keeper_file(struct keeper *keeper, const char *path, struct keeper_error *error)
{
    struct key_file_error why = { .text = "" };
    char text[sizeof error->text];
    struct key_set set;
    enum err err = ERR_OK;

    key_set_init(&set);
    if (path != NULL)
        err = key_file_read(path, &set, &why);
    if (err != ERR_OK) {
        key_set_release(&set);
        return fail(error, err, key_file_error_text(path, &why, text, sizeof text));
    }
    key_set_release(&keeper->file);
    keeper->file = set;
    return ERR_OK;
}

void keeper_store(struct keeper *keeper, struct key_set *set)
{
    key_set_release(&keeper->store);
    keeper->store = *set;
    key_set_init(set);
}

void keeper_closed(struct keeper *keeper)
{
    keeper->closed = true;
}

size_t keeper_count(const struct keeper *keeper)
{
    return keeper->bootstrap.n + keeper->file.n + keeper->store.n;
}

static void log_ring(const struct keyring *ring, size_t ignored)
{
    struct log_line line;

    log_begin(&line, LOG_INFO, "keys");
    log_int(&line, "keys", (int64_t)keyring_count(ring));
    log_bool(&line, "required", !keyring_open(ring));
    log_end(&line);
    if (ignored > 0)
        log_message(
            LOG_WARN, "keys_ignored",
            "%zu keys or secrets are given in two places; the first of bootstrap, "
            "file and store counts",
            ignored);
}

enum err keeper_publish(struct keeper *keeper, struct worker *const *workers,
                        unsigned n_workers, struct metrics_block *metrics)
{
    const struct key_set *const sets[] = { &keeper->bootstrap, &keeper->file,
                                           &keeper->store };
    bool open = !keeper->closed && keeper_count(keeper) == 0;
    struct keyring *ring = NULL;
    size_t ignored = 0;
    enum err err =
        keyring_new(sets, ARRAY_LEN(sets), keeper->accounts, open, &ring, &ignored);

    for (unsigned i = 0; i < n_workers && err == ERR_OK; i++)
        err = worker_publish_keys(workers[i], ring);
    if (err != ERR_OK) {
        metrics_add(metrics, METRIC_KEYS_FAILED, 0, 0, 1);
        log_message(LOG_ERROR, "keys_failed", "workers keep the old keys: %s",
                    err_text(err));
    } else {
        metrics_set(metrics, METRIC_KEYS, 0, (int64_t)keyring_count(ring));
        log_ring(ring, ignored);
    }
    keyring_unref(ring);
    return err;
}
