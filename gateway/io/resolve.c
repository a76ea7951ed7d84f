/* resolve.c - the table of host names and the threads that look them up
 *
 * An entry has at most one look-up under way. Waiters of that look-up hang on the entry and
 * are posted their mail while the lock is held (posting neither blocks nor calls anything),
 * so that after resolve_forget() nobody touches the waiter's loop any more. */
#include "gateway/io/resolve.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/io/pool.h"

#define TTL_MS      30000
#define RETRY_MS    1000
#define STALE_TIMES 10 /* old addresses serve for so many times ttl */
#define HOST_BYTES  256

struct entry {
    struct resolve *resolve;
    char host[HOST_BYTES];
    uint16_t port;
    bool looking;       /* its job is with the pool */
    bool known;         /* addresses are filled in */
    uint64_t since_us;  /* when the addresses were last confirmed */
    uint64_t failed_us; /* when a look-up last failed; 0 = the last one did not */
    const char *why;
    uint64_t generation;
    unsigned n;
    char addresses[RESOLVE_ADDRESSES_MAX][48];
    struct resolve_waiter *waiters;
    struct pool_job job;
};

struct resolve {
    struct resolve_settings settings;
    struct pool *pool;
    pthread_mutex_t lock; /* guards the table and every entry in it */
    uint64_t generation;
    unsigned n;
    struct entry *entries[RESOLVE_HOSTS_MAX];
};

static unsigned lookup(void *arg, const char *host, char ret_address[][48], unsigned n,
                       const char **ret_why)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    struct addrinfo *list = NULL;
    unsigned found = 0;
    (void)arg;
    int code = getaddrinfo(host, NULL, &hints, &list);
    if (code != 0) {
        *ret_why = gai_strerror(code);
        return 0;
    }
    for (const struct addrinfo *a = list; a != NULL && found < n; a = a->ai_next)
        if (getnameinfo(a->ai_addr, a->ai_addrlen, ret_address[found], 48, NULL, 0,
                        NI_NUMERICHOST) == 0 &&
            strchr(ret_address[found], '%') == NULL) /* link-local: cannot be pinned */
            found++;
    freeaddrinfo(list);
    if (found == 0)
        *ret_why = "no usable address";
    return found;
}

/* Name servers rotate their answers: the same set in another order is no news. */
static bool same_set(const struct entry *entry, char addresses[][48], unsigned n)
{
    if (n != entry->n)
        return false;
    for (unsigned i = 0; i < n; i++) {
        unsigned j = 0;
        while (j < n && strcmp(entry->addresses[j], addresses[i]) != 0)
            j++;
        if (j == n)
            return false;
    }
    return true;
}

static void run_lookup(void *arg)
{
    struct entry *entry = arg;
    struct resolve *resolve = entry->resolve;
    char addresses[RESOLVE_ADDRESSES_MAX][48];
    const char *why = "no answer";
    unsigned n = resolve->settings.lookup(resolve->settings.lookup_arg, entry->host,
                                          addresses, RESOLVE_ADDRESSES_MAX, &why);
    uint64_t now = (uint64_t)clock_us(&clock_system);

    pthread_mutex_lock(&resolve->lock);
    entry->looking = false;
    if (n == 0) {
        entry->failed_us = now;
        entry->why = why;
    } else {
        if (!entry->known || !same_set(entry, addresses, n)) {
            memcpy(entry->addresses, addresses, sizeof addresses[0] * n);
            entry->n = n;
            entry->generation = ++resolve->generation;
        }
        entry->known = true;
        entry->since_us = now;
        entry->failed_us = 0;
    }
    while (entry->waiters != NULL) {
        struct resolve_waiter *waiter = entry->waiters;
        entry->waiters = waiter->next;
        loop_post(waiter->loop, &waiter->mail);
    }
    pthread_mutex_unlock(&resolve->lock);
}

struct resolve *resolve_new(const struct resolve_settings *settings)
{
    struct resolve *resolve = calloc(1, sizeof *resolve);
    if (resolve == NULL)
        return NULL;
    if (settings != NULL)
        resolve->settings = *settings;
    if (resolve->settings.ttl_ms == 0)
        resolve->settings.ttl_ms = TTL_MS;
    if (resolve->settings.retry_ms == 0)
        resolve->settings.retry_ms = RETRY_MS;
    if (resolve->settings.lookup == NULL)
        resolve->settings.lookup = lookup;
    pthread_mutex_init(&resolve->lock, NULL);
    if (pool_new(RESOLVE_THREADS, RESOLVE_HOSTS_MAX, NULL, &resolve->pool) != POOL_OK) {
        resolve_free(resolve);
        return NULL;
    }
    return resolve;
}

void resolve_free(struct resolve *resolve)
{
    if (resolve == NULL)
        return;
    pool_free(resolve->pool);
    for (unsigned i = 0; i < resolve->n; i++) {
        assert(resolve->entries[i]->waiters == NULL);
        free(resolve->entries[i]);
    }
    pthread_mutex_destroy(&resolve->lock);
    free(resolve);
}

static struct entry *find(const struct resolve *resolve, const char *host, uint16_t port)
{
    for (unsigned i = 0; i < resolve->n; i++)
        if (resolve->entries[i]->port == port &&
            strcmp(resolve->entries[i]->host, host) == 0)
            return resolve->entries[i];
    return NULL;
}

static struct entry *find_or_add(struct resolve *resolve, const char *host, uint16_t port,
                                 const char **ret_why)
{
    struct entry *entry = find(resolve, host, port);
    if (entry != NULL)
        return entry;
    if (resolve->n == RESOLVE_HOSTS_MAX || strlen(host) >= sizeof entry->host) {
        *ret_why =
            resolve->n == RESOLVE_HOSTS_MAX ? "too many hosts" : "host name too long";
        return NULL;
    }
    entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        *ret_why = "out of memory";
        return NULL;
    }
    entry->resolve = resolve;
    (void)snprintf(entry->host, sizeof entry->host, "%s", host);
    entry->port = port;
    entry->job.run = run_lookup;
    entry->job.arg = entry;
    resolve->entries[resolve->n++] = entry;
    return entry;
}

static void write_pin(const struct entry *entry, char *ret_pin)
{
    int at = snprintf(ret_pin, RESOLVE_PIN_BYTES, "%s:%u:", entry->host, entry->port);
    for (unsigned i = 0; i < entry->n; i++)
        at += snprintf(ret_pin + at, (size_t)(RESOLVE_PIN_BYTES - at), "%s%s",
                       i > 0 ? "," : "", entry->addresses[i]);
    assert(at < RESOLVE_PIN_BYTES);
}

enum resolve_state resolve_ask(struct resolve *resolve, const char *host, uint16_t port,
                               struct resolve_waiter *waiter, char *ret_pin,
                               uint64_t *ret_generation, const char **ret_why)
{
    const uint64_t now = (uint64_t)clock_us(&clock_system);
    const uint64_t ttl_us = (uint64_t)resolve->settings.ttl_ms * 1000;
    enum resolve_state state = RESOLVE_FAILED;
    struct entry *start = NULL;

    pthread_mutex_lock(&resolve->lock);
    struct entry *entry = find_or_add(resolve, host, port, ret_why);
    if (entry == NULL)
        goto out;
    bool fresh = entry->known && now - entry->since_us < ttl_us;
    bool usable = entry->known && now - entry->since_us < STALE_TIMES * ttl_us;
    bool spared = entry->failed_us != 0 &&
                  now - entry->failed_us < (uint64_t)resolve->settings.retry_ms * 1000;
    if (!fresh && !entry->looking && !spared) {
        entry->looking = true;
        start = entry;
    }
    if (usable) {
        write_pin(entry, ret_pin);
        *ret_generation = entry->generation;
        state = RESOLVE_PINNED;
    } else if (entry->looking) {
        if (waiter != NULL) {
            waiter->next = entry->waiters;
            entry->waiters = waiter;
        }
        state = RESOLVE_PENDING;
    } else {
        *ret_why = entry->why;
    }
out:
    pthread_mutex_unlock(&resolve->lock);
    if (start != NULL) {
        /* The queue has room for one job of every entry, and an entry has one at most. */
        enum pool_err err = pool_submit(resolve->pool, &start->job);
        assert(err == POOL_OK);
        (void)err;
    }
    return state;
}

bool resolve_forget(struct resolve *resolve, struct resolve_waiter *waiter)
{
    bool found = false;
    pthread_mutex_lock(&resolve->lock);
    for (unsigned i = 0; i < resolve->n && !found; i++) {
        struct resolve_waiter **at = &resolve->entries[i]->waiters;
        while (*at != NULL && *at != waiter)
            at = &(*at)->next;
        if (*at != NULL) {
            *at = waiter->next;
            found = true;
        }
    }
    pthread_mutex_unlock(&resolve->lock);
    return found;
}

bool resolve_is_numeric(const char *host)
{
    struct in6_addr address;
    char bare[INET6_ADDRSTRLEN];
    size_t n = strlen(host);
    if (n > 2 && host[0] == '[' && host[n - 1] == ']' && n - 2 < sizeof bare) {
        memcpy(bare, host + 1, n - 2);
        bare[n - 2] = '\0';
        host = bare;
    }
    return inet_pton(AF_INET, host, &address) == 1 ||
           inet_pton(AF_INET6, host, &address) == 1;
}
