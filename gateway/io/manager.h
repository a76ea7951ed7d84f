/* manager.h - the service manager that started the daemon (systemd): what it hands over, what
 * it is told
 *
 *      manager_init(&manager, &error)       takes what the environment says, and clears it
 *      manager_socket(&manager, "public", n)     listening sockets, by name
 *      manager_say(&manager, ...)           READY=1, STATUS=..., WATCHDOG=1
 *
 * Without a manager there is nothing to hand over and nobody to tell: every call is legal
 * and does nothing.
 *
 * The sockets stay open until the process ends, whoever closes his own copy of them: between
 * the end of one process and the start of the next connections wait in their queues.
 *
 * Threads: main's. A message is a datagram to a local socket.
 */
#ifndef GATEWAY_IO_MANAGER_H
#define GATEWAY_IO_MANAGER_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"

#define MANAGER_SOCKETS_MAX 8

struct manager {
    unsigned n_sockets;
    struct {
        char name[64]; /* FileDescriptorName= of the socket's unit */
        int fd; /* non-blocking, closed on exec; owned, for as long as the process */
    } sockets[MANAGER_SOCKETS_MAX];
    uint64_t watchdog_us; /* it wants to hear from us within; 0: it does not */
};

struct manager_error {
    char text[200];
};

/* INVALID: what was handed over cannot be served on; error (may be NULL) says why. */
NODISCARD enum err manager_init(struct manager *manager, struct manager_error *error);

/* The nth socket of that name, from 0; -1: there are no more. */
int manager_socket(const struct manager *manager, const char *name, unsigned n);

/* "READY=1\nSTATUS=serving"; see sd_notify(3). */
void manager_say(const struct manager *manager, const char *format, ...)
    PRINTF_LIKE(2, 3);

#endif
