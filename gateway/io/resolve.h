/* resolve.h - addresses of upstream hosts, looked up in the background
 *
 * libcurl would start a thread for each look-up and, when a call is cancelled in the middle
 * of one, wait for that thread on the event loop. So no call ever resolves: it asks here
 * and is pinned (CURLOPT_RESOLVE) to what is known.
 *
 *      resolve_ask(host, port)   RESOLVE_PINNED   addresses are known
 *                                RESOLVE_PENDING  a look-up runs; the waiter's mail comes
 *                                                 when it ends: ask again
 *                                RESOLVE_FAILED   the last look-up failed, moments ago
 *
 * A name is looked up again in the background when it is used after ttl_ms; meanwhile, and
 * while the name server is down, the old addresses serve, for at most ten times ttl_ms.
 * After a failure it is tried again, when used, every retry_ms. Numeric addresses need no
 * entry: resolve_is_numeric().
 *
 * Threads: shared by all workers; every call may come from any thread. One lock guards the
 * table; it is never held during a look-up or a callback.
 */
#ifndef GATEWAY_IO_RESOLVE_H
#define GATEWAY_IO_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/io/loop.h"

#define RESOLVE_HOSTS_MAX                                                                \
    256 /* distinct host:port pairs: configured, never a stranger's */
#define RESOLVE_ADDRESSES_MAX 8 /* kept per host */
#define RESOLVE_THREADS       4 /* a name server that does not answer blocks one each */
#define RESOLVE_PIN_BYTES     (256 + 8 + RESOLVE_ADDRESSES_MAX * 48)

struct resolve;

enum resolve_state { RESOLVE_PINNED, RESOLVE_PENDING, RESOLVE_FAILED };

/* Somebody who waits for a look-up. mail.fn is called on `loop` by loop_post(). */
struct resolve_waiter {
    struct loop *loop;
    struct loop_mail mail;
    struct resolve_waiter *next; /* the resolver's own */
};

struct resolve_settings {
    unsigned ttl_ms;   /* 0: 30,000 */
    unsigned retry_ms; /* 0: 1,000 */
    /* The look-up itself, replaced in tests; NULL: getaddrinfo(). Writes up to n numeric
     * addresses, returns their number, or 0 and a reason in *ret_why (static text). */
    unsigned (*lookup)(void *arg, const char *host, char ret_address[][48], unsigned n,
                       const char **ret_why);
    void *lookup_arg;
};

/* NULL: out of memory or threads. settings may be NULL. */
struct resolve *resolve_new(const struct resolve_settings *settings);

/* Blocks until running look-ups have ended. No waiter may be left. */
void resolve_free(struct resolve *resolve);

/* PINNED: ret_pin (RESOLVE_PIN_BYTES, NUL-terminated) is "host:port:address,address..." as
 * CURLOPT_RESOLVE wants it, *ret_generation changes whenever the addresses do.
 * PENDING: `waiter` (borrowed until its mail or resolve_forget()) is told; NULL: nobody is.
 * FAILED: *ret_why is a static text. Outputs of the other states are untouched. */
enum resolve_state resolve_ask(struct resolve *resolve, const char *host, uint16_t port,
                               struct resolve_waiter *waiter, char *ret_pin,
                               uint64_t *ret_generation, const char **ret_why);

/* The waiter is not told. False: its mail is on the way already and will be delivered. */
bool resolve_forget(struct resolve *resolve, struct resolve_waiter *waiter);

/* "127.0.0.1", "::1", "[::1]" need no look-up. */
bool resolve_is_numeric(const char *host);

#endif
