/* store_fixture.h - for tests of the store: a folder of its own, rows, and waiting for what
 * the store's threads do without sleeping. */
#ifndef TESTS_UNIT_IO_STORE_FIXTURE_H
#define TESTS_UNIT_IO_STORE_FIXTURE_H

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/base/err.h"
#include "gateway/io/store.h"

#define DAY_US INT64_C(86400000000)
#define NOON   (INT64_C(20000) * DAY_US + DAY_US / 2) /* a day of October 2024 */

static char folder[64];
static char path[96];

static inline int fresh_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/frugal-store-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof path, "%s/frugal.db", folder);
    return 0;
}

static inline int remove_folder(void **state)
{
    DIR *dir = opendir(folder);
    char name[512];

    (void)state;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        (void)snprintf(name, sizeof name, "%s/%s", folder, e->d_name);
        (void)unlink(name);
    }
    (void)closedir(dir);
    return rmdir(folder);
}

/* The first column of the first row, read past every lock; -1: no row. */
static inline int64_t number_in_file(const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    int64_t value = -1;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    if (sqlite3_step(s) == SQLITE_ROW)
        value = sqlite3_column_int64(s, 0);
    (void)sqlite3_finalize(s);
    (void)sqlite3_close(db);
    return value;
}

/* -- notices and answers, counted under one lock -- */

static pthread_mutex_t seen_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t seen_changed = PTHREAD_COND_INITIALIZER;

struct seen {
    int64_t notices[STORE_NOTICE_REMOVED + 1]; /* how often */
    int64_t amounts[STORE_NOTICE_REMOVED + 1]; /* their n, added up */
    int written, not_written, jobs;
};

static struct seen seen;

static inline void see_notice(void *context, enum store_notice notice, int64_t n,
                              const char *text)
{
    (void)context;
    (void)text;
    pthread_mutex_lock(&seen_lock);
    seen.notices[notice]++;
    seen.amounts[notice] += n;
    pthread_cond_broadcast(&seen_changed);
    pthread_mutex_unlock(&seen_lock);
}

static inline void see_written(void *arg, bool written)
{
    (void)arg;
    pthread_mutex_lock(&seen_lock);
    seen.written += written;
    seen.not_written += !written;
    pthread_cond_broadcast(&seen_changed);
    pthread_mutex_unlock(&seen_lock);
}

static inline void see_done(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&seen_lock);
    seen.jobs++;
    pthread_cond_broadcast(&seen_changed);
    pthread_mutex_unlock(&seen_lock);
}

#define WAIT_UNTIL(condition)                                                            \
    do {                                                                                 \
        pthread_mutex_lock(&seen_lock);                                                  \
        while (!(condition))                                                             \
            pthread_cond_wait(&seen_changed, &seen_lock);                                \
        pthread_mutex_unlock(&seen_lock);                                                \
    } while (0)

static inline int64_t fixed_wall(void *context)
{
    (void)context;
    return NOON;
}

static const struct clock fixed_clock = { .wall_us = fixed_wall };

/* Rows wait for a commit until somebody asks, unless a test says otherwise. */
static inline struct store_settings settings(void)
{
    memset(&seen, 0, sizeof seen);
    return (struct store_settings){ .path = path,
                                    .refuse = true,
                                    .commit_ms = 3600000,
                                    .commit_rows = 1000000,
                                    .queue_rows = 1000,
                                    .queue_bytes = 1 << 24,
                                    .busy_ms = 1,
                                    .clock = &fixed_clock,
                                    .notice = see_notice };
}

static inline struct store *opened(const struct store_settings *with)
{
    struct store *store = NULL;
    struct store_error error = { "" };

    if (store_open(with, &store, &error) != STORE_OK)
        fail_msg("%s", error.text);
    return store;
}

/* -- rows -- */

static const struct store_charge two_charges[] = {
    { .kind = STORE_KIND_EMBEDDING,
      .fate = STORE_FATE_REPORTED,
      .expert = STR_INIT("embedder"),
      .worst_pico = 50,
      .bound_pico = 30,
      .spent_pico = 30,
      .known = true,
      .input_tokens = 3,
      .output_tokens = -1,
      .at_us = NOON },
    { .kind = STORE_KIND_GENERATION,
      .fate = STORE_FATE_UNKNOWN,
      .expert = STR_INIT("large"),
      .worst_pico = 1000,
      .bound_pico = 1000,
      .spent_pico = 400,
      .input_tokens = 10,
      .output_tokens = 20,
      .at_us = NOON },
};

static inline struct store_decision a_decision(const char *id)
{
    return (struct store_decision){ .id = str_of(id),
                                    .at_us = NOON,
                                    .request_id = STR("req_1"),
                                    .response_id = STR("chatcmpl-1"),
                                    .key = STR("key_a"),
                                    .policy = STR("auto"),
                                    .expert = STR("large"),
                                    .reason = STR("fuser"),
                                    .status = 200,
                                    .state = STORE_STATE_SETTLED,
                                    .spent_pico = 430,
                                    .bound_pico = 1030,
                                    .evidence_pico = 30,
                                    .generation_pico = 400,
                                    .estimated = true,
                                    .input_tokens = 10,
                                    .output_tokens = 20,
                                    .best_pico = 900,
                                    .cheapest_pico = 100,
                                    .record = STR("{\"id\":1}"),
                                    .n_charges = ARRAY_LEN(two_charges),
                                    .charges = two_charges };
}

static inline bool put_decision(struct store *store,
                                const struct store_decision *decision,
                                struct store_place *place)
{
    struct store_row *row = store_row_decision(decision);

    assert_non_null(row);
    return store_put(store, &row, place);
}

static inline bool put_id(struct store *store, const char *id)
{
    struct store_decision decision = a_decision(id);

    return put_decision(store, &decision, NULL);
}

/* Everything put so far is committed, or was tried. */
static inline void flush(struct store *store)
{
    struct store_wait wait = { .fn = see_written };
    struct store_feedback f = { .decision = STR("flush"),
                                .expert = STR("x"),
                                .score = 1 };
    struct store_row *row = store_row_feedback(&f);
    int before = seen.written + seen.not_written;

    assert_non_null(row);
    assert_true(store_put_wait(store, &row, NULL, &wait));
    WAIT_UNTIL(seen.written + seen.not_written > before);
}

#endif
