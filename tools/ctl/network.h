/* network.h - loop, look-ups and HTTP client of a command that talks to experts.
 *
 *      network_init(&network, fault)
 *      http_start(network.http, ...), loop_run(network.loop)
 *      network_release(&network)
 */
#ifndef TOOLS_CTL_NETWORK_H
#define TOOLS_CTL_NETWORK_H

#include "gateway/base/err.h"
#include "gateway/domain/config.h"
#include "gateway/io/http.h"
#include "gateway/io/loop.h"
#include "gateway/io/resolve.h"
#include "tools/ctl/fault.h"

struct network { /* all owned */
    struct loop *loop;
    struct resolve *resolve;
    struct http *http;
};

/* connections: kept open at most. */
NODISCARD enum fault_err network_init(struct network *network, unsigned connections,
                                      struct fault *fault);
/* For one running gateway's listener: http://, https:// or unix:/path of its admin socket.
 * *ret_base is what paths are appended to, without a slash at its end; the caller's to free.
 * The text of `listener` outlives the network. */
NODISCARD enum fault_err network_listener(struct network *network, const char *listener,
                                          char **ret_base, struct fault *fault);
void network_release(struct network *network); /* takes a zeroed one */

/* config_load with its error as a fault. */
NODISCARD enum fault_err network_config(const char *path, struct config **ret_config,
                                        struct fault *fault);

#endif
