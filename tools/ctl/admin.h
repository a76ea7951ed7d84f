/* admin.h - one question to the admin listener of a running gateway: what its commands share.
 *
 *   .options = { admin_specs, ADMIN_SPECS }, .options_bytes = sizeof(struct admin_options)
 *   admin_ask(options, "GET", "/admin/experts", 30000, &answer, &fault)
 *   admin_print_json(answer)
 */
#ifndef TOOLS_CTL_ADMIN_H
#define TOOLS_CTL_ADMIN_H

#include <jansson.h>
#include <stdbool.h>

#include "tools/ctl/command.h"
#include "tools/ctl/fault.h"

struct admin_options {
    const char *admin; /* URL of the listener */
    bool json;
};

#define ADMIN_SPECS 2
extern const struct option_spec admin_specs[ADMIN_SPECS];

/* wait_ms: for the whole answer. A status other than 200 is a fault, and *ret_answer its document where
 * it has one; else there is a document. The caller owns it. */
NODISCARD enum fault_err admin_ask(const struct admin_options *options,
                                   const char *method, const char *path, unsigned wait_ms,
                                   json_t **ret_answer, struct fault *fault);
void admin_print_json(const json_t *answer);
/* The gateway reads its configuration anew, and says for people what came of it. reload.c. */
NODISCARD enum fault_err admin_reload(const struct admin_options *options,
                                      struct fault *fault);

#endif
