/* listen.c - opens listening sockets */
#include "gateway/edge/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/base/str.h"

#define LISTEN_UNIX_MODE 0660

static void say(struct listen_error *error, const char *address, const char *why)
{
    if (error != NULL)
        (void)snprintf(error->text, sizeof error->text,
                       "cannot listen on '%.100s': %.120s", address, why);
}

/* "HOST:PORT" into its parts; host is "" for every address. */
static int split(const char *address, char *host, size_t host_bytes,
                 const char **ret_port)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon[1] == '\0')
        return -1;
    const char *from = address;
    size_t n = (size_t)(colon - address);
    if (n >= 2 && from[0] == '[' && from[n - 1] == ']') {
        from++;
        n -= 2;
    } else if (memchr(from, ':', n) != NULL) {
        return -1; /* a v6 address wants its brackets */
    }
    if (n == 1 && from[0] == '*')
        n = 0;
    /* getaddrinfo() takes 99999 for a port, cut to 16 bits. */
    uint64_t port;
    if (n >= host_bytes || str_to_u64(str_of(colon + 1), &port) != ERR_OK || port > 65535)
        return -1;
    memcpy(host, from, n);
    host[n] = '\0';
    *ret_port = colon + 1;
    return 0;
}

/* Would join whoever listens there already if that has SO_REUSEPORT and the same user, too,
 * be it another gateway or another listener of this one: see check_free(). */
static int open_one(const struct sockaddr *address, socklen_t size)
{
    const int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
        bind(fd, address, size) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    const int saved = errno;
    (void)close(fd);
    errno = saved;
    return -1;
}

/* Does nobody listen there? A socket without SO_REUSEPORT cannot be bound beside one that
 * listens; SO_REUSEADDR lets it pass what is left of an earlier process's connections. It
 * never listens itself, so no client is lost with it. Two that start within the same
 * microseconds can still miss each other. 0, or -1 with errno. */
static int check_free(const struct sockaddr *address, socklen_t size)
{
    const int on = 1;
    int result = -1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0)
        result = bind(fd, address, size);
    const int saved = errno;
    (void)close(fd);
    errno = saved;
    return result;
}

static const char *why_not(int error)
{
    if (error == EADDRINUSE)
        return "another program or listener has it (address already in use): end that "
               "one, or name another port";
    return strerror(error);
}

static int describe(const struct sockaddr *address, socklen_t size,
                    char ret_address[LISTEN_ADDRESS_BYTES])
{
    char host[INET6_ADDRSTRLEN], port[8];
    int code = getnameinfo(address, size, host, sizeof host, port, sizeof port,
                           NI_NUMERICHOST | NI_NUMERICSERV);
    if (code != 0)
        return code;
    (void)snprintf(ret_address, LISTEN_ADDRESS_BYTES,
                   address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return 0;
}

int listen_open(const char *address, unsigned n, int *ret_fds,
                char ret_address[LISTEN_ADDRESS_BYTES], struct listen_error *error)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *list = NULL;
    struct sockaddr_storage real;
    socklen_t size;
    char host[256];
    const char *port;
    unsigned opened = 0;
    int result = -1;

    if (split(address, host, sizeof host, &port) != 0) {
        say(error, address, "not of the form HOST:PORT");
        return -1;
    }
    int code = getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, &list);
    if (code != 0) {
        say(error, address, gai_strerror(code));
        return -1;
    }
    memcpy(&real, list->ai_addr, list->ai_addrlen);
    size = list->ai_addrlen;
    if (check_free((const struct sockaddr *)&real, size) != 0) {
        say(error, address, why_not(errno));
        goto out;
    }
    for (; opened < n; opened++) {
        ret_fds[opened] = open_one((const struct sockaddr *)&real, size);
        if (ret_fds[opened] < 0 ||
            getsockname(ret_fds[opened], (struct sockaddr *)&real, &size) != 0) {
            say(error, address, why_not(errno));
            opened += ret_fds[opened] >= 0;
            goto out;
        }
    }
    code = describe((const struct sockaddr *)&real, size, ret_address);
    if (code != 0)
        say(error, address, gai_strerror(code));
    else
        result = 0;
out:
    while (result != 0 && opened > 0)
        (void)close(ret_fds[--opened]);
    freeaddrinfo(list);
    return result;
}

int listen_describe(int fd, char ret_address[LISTEN_ADDRESS_BYTES])
{
    struct sockaddr_storage real = { 0 };
    socklen_t size = sizeof real;

    if (getsockname(fd, (struct sockaddr *)&real, &size) != 0)
        return -1;
    if (real.ss_family == AF_UNIX) {
        (void)snprintf(ret_address, LISTEN_ADDRESS_BYTES, LISTEN_UNIX "%.107s",
                       ((const struct sockaddr_un *)&real)->sun_path);
        return 0;
    }
    return describe((const struct sockaddr *)&real, size, ret_address) == 0 ? 0 : -1;
}

/* -- Unix sockets ------------------------------------------------------------------------ */

static bool is_alive(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool alive;

    if (fd < 0)
        return true;
    alive = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ||
            errno != ECONNREFUSED;
    (void)close(fd);
    return alive;
}

/* What an earlier process left behind goes. NULL, or why the place is not free. */
static const char *clear_place(const struct sockaddr_un *address)
{
    struct stat there;

    if (lstat(address->sun_path, &there) != 0)
        return errno == ENOENT ? NULL : strerror(errno);
    if (!S_ISSOCK(there.st_mode))
        return "there is a file that is no socket";
    if (is_alive(address))
        return strerror(EADDRINUSE);
    return unlink(address->sun_path) == 0 ? NULL : strerror(errno);
}

int listen_unix_open(const char *path, int *ret_fd, struct listen_place *ret_place,
                     struct listen_error *error)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct listen_place place = { .path = "" };
    struct stat made;
    const char *why;
    int fd = -1;

    if (strlen(path) >= sizeof address.sun_path) {
        say(error, path, "the path is too long");
        return -1;
    }
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    (void)snprintf(place.path, sizeof place.path, "%s", path);
    why = clear_place(&address);
    if (why != NULL)
        goto failed;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* The mode of the socket bounds that of its file from the first moment on; the second
     * call gives back what the umask took. */
    if (fd < 0 || fchmod(fd, LISTEN_UNIX_MODE) != 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        chmod(path, LISTEN_UNIX_MODE) != 0 || listen(fd, LISTEN_BACKLOG) != 0 ||
        lstat(path, &made) != 0) {
        why = strerror(errno);
        goto failed;
    }
    place.dev = made.st_dev;
    place.ino = made.st_ino;
    *ret_place = place;
    *ret_fd = fd;
    return 0;
failed:
    say(error, path, why);
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

void listen_unix_remove(struct listen_place *place)
{
    struct stat there;

    if (place->path[0] != '\0' && lstat(place->path, &there) == 0 &&
        there.st_dev == place->dev && there.st_ino == place->ino)
        (void)unlink(place->path);
    place->path[0] = '\0';
}

bool listen_is_loopback(const char *address)
{
    struct str s = str_of(address);

    return str_starts(s, LISTEN_UNIX) || str_starts(s, "127.") ||
           str_starts(s, "[::1]:") || str_starts(s, "[::ffff:127.");
}
