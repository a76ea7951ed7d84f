/* build.h - the store's rows into a bundle, for commands that know more about how than an operator
 * says. */
#ifndef TOOLS_CTL_BUILD_H
#define TOOLS_CTL_BUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "fuser/fuser.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/options.h"

/* As on the command line of `build`. */
struct build_options {
    const char *store, *out, *config;
    struct option_list embedders, splits, experts;
    int64_t k, neighbours, seed;
    double prior;
    const char *routing_text; /* NULL: the default */
    bool strip;               /* --strip-common-prefix */
    const char *with_feedback, *feedback_key;
    double feedback_share;
    double least_agreement; /* AGREEMENT_LEAST, unless somebody says otherwise */
    bool json;
};

/* Builds and saves; says nothing but of judges that are not to be trusted. */
NODISCARD enum fault_err build_tuned(const struct build_options *options,
                                     const struct fuser_tuned *tuned,
                                     struct fault *fault);

#endif
