/* listen.h - opens listening sockets
 *
 *      listen_open("127.0.0.1:0", n, fds, ret_address, error)
 *
 * n sockets on one address with SO_REUSEPORT, so that each worker accepts from a queue of
 * its own and the kernel spreads connections over them. Port 0 is resolved by the first;
 * the others share what it got. All or nothing, and nothing where somebody listens already.
 *
 * Addresses: "HOST:PORT", "[v6]:PORT", ":PORT" or "*:PORT" (every address). A host name is
 * looked up once, here: this may block, so it belongs to the start of the program.
 *
 *      listen_unix_open("/run/frugal/admin.sock", ...)     one socket, for owner and group
 *      listen_unix_remove()                                at the end
 */
#ifndef GATEWAY_EDGE_LISTEN_H
#define GATEWAY_EDGE_LISTEN_H

#include <stdbool.h>
#include <sys/stat.h>

#include "gateway/base/err.h"

#define LISTEN_ADDRESS_BYTES 128  /* "[v6]:65535", "unix:/path" */
#define LISTEN_BACKLOG       4096 /* the kernel cuts it to net.core.somaxconn */

struct listen_error {
    char text[256]; /* "cannot listen on '127.0.0.1:80': permission denied" */
};

/* The caller owns the sockets (non-blocking, close-on-exec). 0, or -1 with error (which may
 * be NULL) filled in. ret_address is the real one, numeric: "127.0.0.1:43121". */
NODISCARD int listen_open(const char *address, unsigned n, int *ret_fds,
                          char ret_address[LISTEN_ADDRESS_BYTES],
                          struct listen_error *error);

/* The address of a listening socket, as listen_open gives it, or "unix:/path". 0, or -1. */
NODISCARD int listen_describe(int fd, char ret_address[LISTEN_ADDRESS_BYTES]);

#define LISTEN_UNIX "unix:" /* such an address begins with */

/* A Unix socket's place in the file system: which one it was is remembered, so that another
 * process's that took its place is not removed. */
struct listen_place {
    char path[108]; /* "": none */
    dev_t dev;
    ino_t ino;
};

/* Mode 0660 whatever the umask. A socket at path on which nobody listens any more is
 * replaced; anything else there is an error. 0, or -1 with error filled in. */
NODISCARD int listen_unix_open(const char *path, int *ret_fd,
                               struct listen_place *ret_place,
                               struct listen_error *error);
void listen_unix_remove(struct listen_place *place); /* takes a zeroed one */

/* Can only this machine reach it? address: numeric, as listen_open gave it, or unix:. */
bool listen_is_loopback(const char *address);

#endif
