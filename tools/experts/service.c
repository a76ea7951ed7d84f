/* service.c - sockets and threads; see service.h. */
#include "tools/experts/service.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/experts/invoices.h"
#include "tools/experts/lane.h"

struct service {
    char address[NI_MAXHOST + NI_MAXSERV + 4];
    struct stats *stats;
    struct invoices *invoices;     /* NULL: none */
    const struct aliases *aliases; /* borrowed; NULL: none */
    int n_lanes, n_running;
    struct lane *lanes[SERVICE_THREADS_MAX];
    pthread_t threads[SERVICE_THREADS_MAX];
};

__attribute__((format(printf, 3, 4))) static enum err fail(char *error, size_t bytes,
                                                           const char *form, ...)
{
    va_list args;
    va_start(args, form);
    (void)vsnprintf(error, bytes, form, args);
    va_end(args);
    return ERR_IO;
}

/* "ADDR:PORT", "[ADDR]:PORT" */
static struct addrinfo *look_up(const char *listen)
{
    char host[NI_MAXHOST];
    const char *colon = strrchr(listen, ':');
    if (colon == NULL || (size_t)(colon - listen) >= sizeof host)
        return NULL;
    bool brackets = listen[0] == '[' && colon > listen + 1 && colon[-1] == ']';
    size_t n = (size_t)(colon - listen) - (brackets ? 2 : 0);
    memcpy(host, listen + brackets, n);
    host[n] = 0;
    struct addrinfo want = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    return getaddrinfo(host, colon + 1, &want, &found) == 0 ? found : NULL;
}

static int open_socket(const struct sockaddr *address, socklen_t bytes)
{
    int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
              setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
              bind(fd, address, bytes) == 0 && listen(fd, 4096) == 0;
    if (!ok) {
        int kept = errno;
        (void)close(fd);
        errno = kept;
        return -1;
    }
    return fd;
}

static void name_address(struct service *service, const struct sockaddr *address,
                         socklen_t bytes)
{
    char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
    (void)getnameinfo(address, bytes, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV);
    (void)snprintf(service->address, sizeof service->address,
                   strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
}

static void *run(void *arg)
{
    lane_run(arg);
    return NULL;
}

/* The first socket may draw a free port; the others share it. */
static enum err open_lanes(struct service *service, const struct addrinfo *where,
                           int threads)
{
    struct sockaddr_storage address;
    socklen_t bytes = where->ai_addrlen;
    memcpy(&address, where->ai_addr, where->ai_addrlen);
    for (int l = 0; l < threads; l++) {
        int fd = open_socket((struct sockaddr *)&address, bytes);
        if (fd < 0)
            return ERR_IO;
        if (l == 0) {
            bytes = sizeof address;
            if (getsockname(fd, (struct sockaddr *)&address, &bytes) != 0) {
                (void)close(fd);
                return ERR_IO;
            }
            name_address(service, (struct sockaddr *)&address, bytes);
        }
        if (lane_new(fd, service->stats, service->invoices, service->aliases, (uint64_t)l,
                     (uint64_t)threads, &service->lanes[l]) != ERR_OK)
            return ERR_IO;
        service->n_lanes++;
    }
    return ERR_OK;
}

enum err service_new(const char *listen, int threads, bool invoices,
                     const struct aliases *aliases, struct service **ret_service,
                     char *error, size_t error_bytes)
{
    struct addrinfo *where = NULL;
    enum err err = ERR_OK;
    struct service *service = calloc(1, sizeof *service);
    struct stats *stats = stats_new();
    if (service == NULL || stats == NULL) {
        err = fail(error, error_bytes, "out of memory");
        stats_free(stats);
        goto out;
    }
    service->stats = stats;
    service->aliases = aliases;
    service->invoices = invoices ? invoices_new() : NULL;
    if (invoices && service->invoices == NULL) {
        err = fail(error, error_bytes, "out of memory");
        goto out;
    }
    where = look_up(listen);
    if (where == NULL) {
        err = fail(error, error_bytes, "cannot read the address '%s'", listen);
        goto out;
    }
    if (open_lanes(service, where, threads) != ERR_OK) {
        err = fail(error, error_bytes, "cannot listen on '%s': %s", listen,
                   strerror(errno));
        goto out;
    }
    for (int l = 0; l < service->n_lanes; l++) {
        if (pthread_create(&service->threads[l], NULL, run, service->lanes[l]) != 0) {
            err = fail(error, error_bytes, "cannot start a thread");
            goto out;
        }
        service->n_running++;
    }
    *ret_service = service;
    service = NULL;
out:
    if (where != NULL)
        freeaddrinfo(where);
    service_free(service);
    return err;
}

const char *service_address(const struct service *service)
{
    return service->address;
}

void service_free(struct service *service)
{
    if (service == NULL)
        return;
    for (int l = 0; l < service->n_running; l++)
        lane_stop(service->lanes[l]);
    for (int l = 0; l < service->n_running; l++)
        (void)pthread_join(service->threads[l], NULL);
    for (int l = 0; l < service->n_lanes; l++)
        lane_free(service->lanes[l]);
    stats_free(service->stats);
    invoices_free(service->invoices);
    free(service);
}
