/* manager.c - see manager.h. The only file that knows libsystemd. */
#include "gateway/io/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <systemd/sd-daemon.h>

static enum err fail(struct manager_error *error, const char *name, const char *why)
{
    if (error != NULL)
        (void)snprintf(error->text, sizeof error->text,
                       "the service manager's socket '%.60s' %s", name, why);
    return ERR_INVALID;
}

static enum err take(struct manager *manager, int fd, const char *name,
                     struct manager_error *error)
{
    const int flags = fcntl(fd, F_GETFL);

    if (manager->n_sockets == MANAGER_SOCKETS_MAX)
        return fail(error, name, "is one too many");
    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
        return fail(error, name,
                    "does not listen for streams (Accept=yes is not served)");
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return fail(error, name, strerror(errno));
    (void)snprintf(manager->sockets[manager->n_sockets].name,
                   sizeof manager->sockets[0].name, "%s", name);
    manager->sockets[manager->n_sockets].fd = fd;
    manager->n_sockets++;
    return ERR_OK;
}

enum err manager_init(struct manager *manager, struct manager_error *error)
{
    char **names = NULL;
    enum err err = ERR_OK;
    int n = sd_listen_fds_with_names(1, &names);
    uint64_t watchdog_us = 0;

    *manager = (struct manager){ .n_sockets = 0 };
    if (n < 0)
        return fail(error, "LISTEN_FDS", strerror(-n));
    for (int i = 0; i < n; i++) {
        if (err == ERR_OK)
            err = take(manager, SD_LISTEN_FDS_START + i, names[i], error);
        free(names[i]);
    }
    free((void *)names);
    if (sd_watchdog_enabled(1, &watchdog_us) > 0)
        manager->watchdog_us = watchdog_us;
    return err;
}

int manager_socket(const struct manager *manager, const char *name, unsigned n)
{
    for (unsigned i = 0; i < manager->n_sockets; i++)
        if (strcmp(manager->sockets[i].name, name) == 0 && n-- == 0)
            return manager->sockets[i].fd;
    return -1;
}

void manager_say(const struct manager *manager, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    (void)manager;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* Nobody is told when nobody listens, and there is nothing to do about a full queue. */
    (void)sd_notify(0, text);
}
