/* fetch.h - one question to a running gateway over HTTP, and its answer as JSON.
 *
 *   network_listener(&network, "http://127.0.0.1:8081", &base, &fault)
 *   fetch_json(&network, &(struct fetch){ "GET", url, .wait_ms = 30000 }, &status, &json, &fault)
 *
 * The key of FRUGAL_KEY, where it is set, goes along.
 */
#ifndef TOOLS_CTL_FETCH_H
#define TOOLS_CTL_FETCH_H

#include <jansson.h>

#include "tools/ctl/fault.h"
#include "tools/ctl/network.h"

#define FETCH_KEY "FRUGAL_KEY" /* in the environment: for the public listener */

struct fetch {
    const char *method, *url;
    unsigned wait_ms; /* for the whole answer */
};

/* Whatever the status. *ret_document is owned by the caller; NULL: the body is no JSON. */
NODISCARD enum fault_err fetch_json(struct network *network, const struct fetch *fetch,
                                    unsigned *ret_status, json_t **ret_document,
                                    struct fault *fault);
/* The message of an error's body, or the status, as a fault. */
NODISCARD enum fault_err fetch_refused(const char *url, unsigned status,
                                       const json_t *document, struct fault *fault);

#endif
