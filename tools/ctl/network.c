/* network.c - what calibrate, build and route all set up before the first call. */
#include "tools/ctl/network.h"

enum fault_err network_init(struct network *network, unsigned connections,
                            struct fault *fault)
{
    struct http_settings settings = { .connections_max = connections };

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
