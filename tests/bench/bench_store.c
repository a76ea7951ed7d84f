/* bench_store.c - what the ledger costs: bench_store [ROWS] [RECORD_BYTES]
 *
 *   put       what a worker's thread pays to hand a decision over: one allocation, one copy,
 *             one short lock
 *   written   rows a second that the writer commits, one charge each
 *   waited    full durability: reservation or settlement on the disk, 16 that wait at once
 *
 * One line of JSON, in a temporary folder of its own.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/io/store.h"

#define WAITERS 16
#define WAITS   2000

static char folder[] = "/tmp/frugal-bench-XXXXXX";
static char path[64];

static struct store *opened(bool full)
{
    struct store_settings settings = { .path = path,
                                       .full = full,
                                       .refuse = true,
                                       .commit_ms = 50,
                                       .commit_rows = 500,
                                       .queue_rows = 1 << 20,
                                       .queue_bytes = INT64_C(1) << 40 };
    struct store_error error = { "" };
    struct store *store;

    if (store_open(&settings, &store, &error) == STORE_OK)
        return store;
    (void)fprintf(stderr, "bench_store: %s\n", error.text);
    exit(1);
}

static struct store_row *row_of(const char *prefix, int n, const char *record)
{
    const struct store_charge charge = { .kind = STORE_KIND_GENERATION,
                                         .fate = STORE_FATE_REPORTED,
                                         .expert = STR("large"),
                                         .worst_pico = 500,
                                         .bound_pico = 300,
                                         .spent_pico = 300,
                                         .known = true,
                                         .input_tokens = 10,
                                         .output_tokens = 20,
                                         .at_us = clock_wall_us(&clock_system) };
    struct store_decision decision = { .at_us = charge.at_us,
                                       .policy = STR("auto"),
                                       .expert = STR("large"),
                                       .reason = STR("routed"),
                                       .status = 200,
                                       .state = STORE_STATE_SETTLED,
                                       .spent_pico = 300,
                                       .bound_pico = 300,
                                       .generation_pico = 300,
                                       .best_pico = 300,
                                       .cheapest_pico = 100,
                                       .record = str_of(record),
                                       .n_charges = 1,
                                       .charges = &charge };
    struct store_row *row;
    char id[48], request[48];

    (void)snprintf(id, sizeof id, "dec_%s%010d-0000-abcdefghijkl", prefix, n);
    (void)snprintf(request, sizeof request, "req_%s%010d-0000-abcdefghijkl", prefix, n);
    decision.id = str_of(id);
    decision.request_id = str_of(request);
    row = store_row_decision(&decision);
    if (row == NULL)
        exit(1);
    return row;
}

static void put_all(int rows, const char *record, double *ret_put_us, double *ret_per_s)
{
    struct store *store = opened(false);
    int64_t begun = clock_us(&clock_system), handed;

    for (int i = 0; i < rows; i++) {
        struct store_row *row = row_of("a", i, record);

        (void)store_put(store, &row, NULL);
    }
    handed = clock_us(&clock_system);
    while (store_waiting(store) > 0)
        sched_yield();
    *ret_put_us = (double)(handed - begun) / rows;
    *ret_per_s = rows / ((double)(clock_us(&clock_system) - begun) / 1e6);
    store_close(store);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

struct waiter {
    struct store *store;
    const char *record;
    int first;
    bool told;
};

static void tell(void *arg, bool written)
{
    struct waiter *waiter = arg;

    (void)written;
    pthread_mutex_lock(&lock);
    waiter->told = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void *wait_often(void *arg)
{
    struct waiter *waiter = arg;

    for (int i = 0; i < WAITS / WAITERS; i++) {
        struct store_row *row = row_of("b", waiter->first + i, waiter->record);
        struct store_wait wait = { .fn = tell, .arg = waiter };

        waiter->told = false;
        if (!store_put_wait(waiter->store, &row, NULL, &wait))
            return NULL;
        pthread_mutex_lock(&lock);
        while (!waiter->told)
            pthread_cond_wait(&changed, &lock);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static double wait_all(const char *record)
{
    struct store *store = opened(true);
    struct waiter waiters[WAITERS];
    pthread_t threads[WAITERS];
    int64_t begun = clock_us(&clock_system);
    double ms;

    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = (struct waiter){ store, record, i * WAITS, false };
        if (pthread_create(&threads[i], NULL, wait_often, &waiters[i]) != 0)
            exit(1);
    }
    for (int i = 0; i < WAITERS; i++)
        pthread_join(threads[i], NULL);
    ms = (double)(clock_us(&clock_system) - begun) / 1e3 / (WAITS / WAITERS);
    store_close(store);
    return ms;
}

int main(int argc, char **argv)
{
    static const char *const files[] = { "frugal.db", "frugal.db-lock" };
    int rows = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 50000;
    size_t bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 2000;
    double put_us, per_s, waited_ms;
    char *record = malloc(bytes + 1);

    if (record == NULL || mkdtemp(folder) == NULL)
        return 1;
    memset(record, 'x', bytes);
    record[bytes] = '\0';
    (void)snprintf(path, sizeof path, "%s/frugal.db", folder);
    put_all(rows, record, &put_us, &per_s);
    waited_ms = wait_all(record);
    printf("{\"rows\": %d, \"record_bytes\": %zu, \"put_us\": %.2f, "
           "\"written_per_s\": %.0f, \"waited_ms\": %.2f, \"waiters\": %d}\n",
           rows, bytes, put_us, per_s, waited_ms, WAITERS);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        (void)unlink(path);
    }
    free(record);
    return rmdir(folder);
}
