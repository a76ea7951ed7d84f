/* claim.h - one process at a time asks for a store.
 *
 *      claim_take(store's path, &claim, fault)      waits for whoever has it, and says so
 *      claim_release(&claim)
 *
 * Two that ask for the same store would ask, and pay, twice. The claim is a lock on the file
 * "STORE-asking" beside the store (flock), which goes with its holder however that ends; the
 * file is removed with the claim.
 */
#ifndef TOOLS_CTL_CLAIM_H
#define TOOLS_CTL_CLAIM_H

#include "tools/ctl/fault.h"

struct claim { /* zeroed: none */
    char *path;
    int fd;
};

/* Ctrl-C ends the wait, and the program, as long as nobody watches signals. */
NODISCARD enum fault_err claim_take(const char *store, struct claim *ret_claim,
                                    struct fault *fault);
void claim_release(struct claim *claim); /* takes a zeroed one */

#endif
