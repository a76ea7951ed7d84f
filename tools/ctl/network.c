/* network.c - what calibrate, build and route all set up before the first call. */
#include "tools/ctl/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/memory.h"

#define UNIX_LISTENER "unix:"
#define UNIX_BASE     "http://127.0.0.1" /* for the Host header; nothing is looked up */

static enum fault_err init(struct network *network, struct http_settings settings,
                           struct fault *fault)
{
    *network = (struct network){ 0 };
    if (!http_global_init())
        return fault_set(fault, FAULT_IO, "libcurl cannot start");
    enum loop_err err = loop_new(&network->loop);
    if (err != LOOP_OK)
        return fault_set(fault, FAULT_IO, "cannot make an event loop: %s",
                         loop_err_text(err));
    network->resolve = resolve_new(NULL);
    if (network->resolve == NULL)
        return fault_set(fault, FAULT_IO, "cannot start the look-up of host names");
    settings.resolve = network->resolve;
    network->http = http_new(network->loop, &settings);
    if (network->http == NULL)
        return fault_set(fault, FAULT_IO, "out of memory");
    return FAULT_OK;
}

enum fault_err network_init(struct network *network, unsigned connections,
                            struct fault *fault)
{
    return init(network, (struct http_settings){ .connections_max = connections }, fault);
}

enum fault_err network_listener(struct network *network, const char *listener,
                                char **ret_base, struct fault *fault)
{
    struct http_settings settings = { .connections_max = 1 };
    const char *base = listener;
    char *bare = NULL;
    enum fault_err err;
    size_t n;

    if (strncmp(listener, UNIX_LISTENER, strlen(UNIX_LISTENER)) == 0) {
        settings.unix_path = listener + strlen(UNIX_LISTENER);
        base = UNIX_BASE;
        if (settings.unix_path[0] != '/')
            return fault_set(fault, FAULT_USAGE, "'%s' has no absolute path", listener);
    } else if (strstr(listener, "://") == NULL && strchr(listener, ':') != NULL) {
        if (asprintf(&bare, "http://%s", listener) < 0)
            return fault_set(fault, FAULT_IO, "out of memory");
        base = bare;
    } else if (strncmp(listener, "http://", 7) != 0 &&
               strncmp(listener, "https://", 8) != 0) {
        return fault_set(fault, FAULT_USAGE,
                         "'%s' is no http:// or https:// URL, no host:port and no "
                         "unix:/path",
                         listener);
    }
    n = strlen(base);
    while (n > 0 && base[n - 1] == '/')
        n--;
    err = init(network, settings, fault);
    if (err == FAULT_OK)
        *ret_base = memory_text_n(base, n);
    free(bare);
    return err;
}

void network_release(struct network *network)
{
    http_free(network->http);
    if (network->loop != NULL)
        loop_turn(network->loop,
                  0); /* what was closed in this turn is freed at its end */
    if (network->resolve != NULL)
        resolve_free(network->resolve);
    if (network->loop != NULL)
        loop_free(network->loop);
    *network = (struct network){ 0 };
}

enum fault_err network_config(const char *path, struct config **ret_config,
                              struct fault *fault)
{
    struct config_error error = { 0 };
    char text[1024];

    if (config_load(path, ret_config, &error) == ERR_OK)
        return FAULT_OK;
    return fault_set(fault, FAULT_CONFIG, "%s",
                     config_error_text(&error, text, sizeof(text)));
}
