/* keeper.c - where the keys come from; see keeper.h.
 *
 *   timer --> job on the store's reader: has anything been committed? read the table
 *     ^           |
 *     +-----------+ mail: another set than before is published
 */
#include "gateway/flow/keeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/domain/key_file.h"
#include "gateway/io/store_keys.h"

#define TOLD_MAX 20 /* lines about names that nobody knows, each time */

struct keeper {
    const struct clock *clock;
    struct accounts *accounts; /* owned */
    struct config *config;     /* owned reference; NULL: none was taken yet */
    struct key_set bootstrap, file, table;
    bool closed;

    struct worker *const *workers; /* borrowed */
    unsigned n_workers;
    struct metrics_block *metrics;

    struct store *store; /* borrowed; NULL: none */
    struct loop *loop;   /* where it looks from; NULL: it does not */
    struct loop_timer timer;
    struct store_job job;
    /* Of the look under way, the reader's until the mail. */
    int64_t version;
    bool looked; /* the table was read into `seen` */
    struct key_set seen;
    struct store_error trouble;
    char told[sizeof(((struct store_error *)0)->text)]; /* the last trouble in the log */
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
    key_set_init(&keeper->table);
    key_set_init(&keeper->seen);
    keeper->clock = clock;
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
    key_set_release(&keeper->table);
    key_set_release(&keeper->seen);
    accounts_free(keeper->accounts);
    config_unref(keeper->config);
    free(keeper);
}

enum err keeper_file(struct keeper *keeper, struct config *config,
                     struct keeper_error *error)
{
    const char *path = config->keys_file;
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
    config_unref(keeper->config);
    keeper->config = config_ref(config);
    return ERR_OK;
}

/* -- the store --------------------------------------------------------------------------- */

struct restoring {
    struct keeper *keeper;
    int64_t now_us;
    enum err err;
};

/* Also for ids that are no keys any more: they may come back. */
static void restore(void *context, const struct store_windows *windows)
{
    struct restoring *restoring = context;
    const int64_t sums[KEY_WINDOW_COUNT] = { [KEY_DAY] = windows->day_pico,
                                             [KEY_MONTH] = windows->month_pico,
                                             [KEY_TOTAL] = windows->total_pico };
    struct account *account;
    enum err err;

    if (windows->key.n == 0)
        return;
    err = accounts_open(restoring->keeper->accounts, windows->key, &account);
    if (err == ERR_OK)
        account_restore(account, restoring->now_us, sums);
    else
        restoring->err = err;
}

enum err keeper_store(struct keeper *keeper, struct store *store,
                      struct keeper_error *error)
{
    struct restoring restoring = { .keeper = keeper, .err = ERR_OK };
    struct store_error why = { .text = "" };
    struct store_view view = { .file = NULL };
    enum store_err err;

    if (store == NULL)
        return ERR_OK;
    restoring.now_us = clock_wall_us(keeper->clock);
    err = store_file_open(store_path(store), STORE_FILE_READ, &view.file, &why);
    if (err == STORE_OK)
        err = store_keys_read(view.file, &keeper->table, &why);
    if (err == STORE_OK)
        err = store_each_spend(&view, store_day(restoring.now_us), restore, &restoring,
                               &why);
    store_file_close(view.file);
    if (err != STORE_OK)
        return fail(error, ERR_IO, why.text[0] != '\0' ? why.text : store_err_text(err));
    if (restoring.err != ERR_OK)
        return fail(error, restoring.err, "the ledger knows too many keys");
    keeper->store = store;
    return ERR_OK;
}

/* On the reader's thread. */
static void look(void *arg, struct store_view *view)
{
    struct keeper *keeper = arg;
    bool changed = false;

    if (store_keys_changed(view->file, &keeper->version, &changed, &keeper->trouble) !=
            STORE_OK ||
        !changed)
        return;
    if (store_keys_read(view->file, &keeper->seen, &keeper->trouble) == STORE_OK)
        keeper->looked = true;
    else
        keeper->version = 0; /* and again the next time */
}

/* The same trouble is told once. */
static void tell_trouble(struct keeper *keeper)
{
    if (strcmp(keeper->told, keeper->trouble.text) == 0)
        return;
    memcpy(keeper->told, keeper->trouble.text, sizeof keeper->told);
    metrics_add(keeper->metrics, METRIC_KEYS_FAILED, 0, 0, 1);
    log_message(LOG_ERROR, "keys_failed", "the old keys stay in force: %s", keeper->told);
}

static void look_later(struct keeper *keeper)
{
    uint64_t due;

    if (keeper->loop == NULL)
        return;
    due = loop_now_us(keeper->loop) + KEEPER_LOOK_MS * 1000;
    if (loop_timer_set(keeper->loop, &keeper->timer, due) != LOOP_OK)
        log_message(LOG_ERROR, "no_memory",
                    "the store's keys are not looked at any more");
}

static void looked(void *arg)
{
    struct keeper *keeper = arg;

    if (keeper->trouble.text[0] != '\0') {
        tell_trouble(keeper);
    } else if (keeper->looked) {
        keeper->told[0] = '\0';
        if (keeper->loop != NULL && !key_set_same(&keeper->seen, &keeper->table)) {
            key_set_release(&keeper->table);
            keeper->table = keeper->seen;
            key_set_init(&keeper->seen);
            IGNORE(keeper_publish(keeper, NULL, NULL));
        }
    }
    key_set_release(&keeper->seen);
    key_set_init(&keeper->seen);
    look_later(keeper);
}

static void time_to_look(void *arg)
{
    struct keeper *keeper = arg;

    keeper->looked = false;
    keeper->trouble.text[0] = '\0';
    keeper->job = (struct store_job){
        .run = look, .done = looked, .arg = keeper, .loop = keeper->loop
    };
    if (!store_read(keeper->store, &keeper->job))
        look_later(keeper);
}

void keeper_watch(struct keeper *keeper, struct loop *loop)
{
    if (keeper->store == NULL)
        return;
    keeper->loop = loop;
    keeper->timer = (struct loop_timer){ .fn = time_to_look, .arg = keeper };
    look_later(keeper);
}

void keeper_rest(struct keeper *keeper)
{
    if (keeper == NULL || keeper->loop == NULL)
        return;
    loop_timer_clear(keeper->loop, &keeper->timer);
    keeper->loop = NULL;
}

/* -- the ring ---------------------------------------------------------------------------- */

void keeper_closed(struct keeper *keeper)
{
    keeper->closed = true;
}

size_t keeper_count(const struct keeper *keeper)
{
    return keeper->bootstrap.n + keeper->file.n + keeper->table.n;
}

/* A name that is mistyped locks out silently otherwise. A few are enough to look. */
static void log_unknown(const struct key *key, const struct key_list *list,
                        const struct config *config, bool experts, unsigned *told)
{
    for (size_t i = 0; i < list->n && *told < TOLD_MAX; i++) {
        struct str name = str_of(list->names[i]);
        int found =
            experts ? config_find_expert(config, name) : config_find_policy(config, name);

        if (found >= 0)
            continue;
        (*told)++;
        log_message(LOG_WARN, "key_names_unknown",
                    "key '%s' may use the %s '%s', which is not configured", key->id,
                    experts ? "expert" : "policy", list->names[i]);
    }
}

static void log_names(const struct keeper *keeper, const struct keyring *ring)
{
    unsigned told = 0;

    for (size_t i = 0; keeper->config != NULL && i < keyring_count(ring); i++) {
        const struct key *key = keyring_key(ring, i);

        log_unknown(key, &key->experts, keeper->config, true, &told);
        log_unknown(key, &key->policies, keeper->config, false, &told);
    }
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

enum err keeper_serve(struct keeper *keeper, struct worker *const *workers,
                      unsigned n_workers, struct metrics_block *metrics)
{
    keeper->workers = workers;
    keeper->n_workers = n_workers;
    keeper->metrics = metrics;
    return keeper_publish(keeper, NULL, NULL);
}

/* To all workers or to none. */
static enum err offer(const struct keeper *keeper, struct snapshot *snapshot,
                      struct keyring *ring, struct worker_publication *publication)
{
    struct worker_offer *offers[METRICS_MAX_BLOCKS];
    unsigned n = 0;

    while (n < keeper->n_workers) {
        offers[n] = worker_offer_new(keeper->workers[n], snapshot, ring, publication);
        if (offers[n] == NULL)
            break;
        n++;
    }
    if (n < keeper->n_workers) {
        while (n > 0)
            worker_offer_free(offers[--n]);
        return ERR_NOMEM;
    }
    if (publication != NULL)
        atomic_store(&publication->left, n);
    for (unsigned i = 0; i < n; i++)
        worker_offer_send(offers[i]);
    return ERR_OK;
}

enum err keeper_publish(struct keeper *keeper, struct snapshot *snapshot,
                        struct worker_publication *publication)
{
    const struct key_set *const sets[] = { &keeper->bootstrap, &keeper->file,
                                           &keeper->table };
    bool open = !keeper->closed && keeper_count(keeper) == 0;
    struct keyring *ring = NULL;
    size_t ignored = 0;
    enum err err =
        keyring_new(sets, ARRAY_LEN(sets), keeper->accounts, open, &ring, &ignored);

    if (err == ERR_OK)
        err = offer(keeper, snapshot, ring, publication);
    if (err != ERR_OK) {
        metrics_add(keeper->metrics, METRIC_KEYS_FAILED, 0, 0, 1);
        log_message(LOG_ERROR, "keys_failed", "workers keep the old keys: %s",
                    err_text(err));
    } else {
        metrics_set(keeper->metrics, METRIC_KEYS, 0, (int64_t)keyring_count(ring));
        log_ring(ring, ignored);
        log_names(keeper, ring);
    }
    keyring_unref(ring);
    return err;
}
