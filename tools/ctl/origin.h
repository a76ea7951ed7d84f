/* origin.h - who said the qualities that a bundle is built of, and how far to trust them.
 *
 *   origin_read(&origin, store, least, fault)
 *   origin.text                     goes into the bundle, fuser_build.origin
 *   origin_warn("build", &origin)   judges that a person does not agree with, on stderr
 *   origin_print(&origin)           a line for each grader
 *   origin_release(&origin)
 *
 *   {"tool": "frugalctl 1.2", "least_agreement": 0.7, "graders": [
 *     {"grader": "judge:big", "cells": 900, "own_verdicts": 0, "labels": 50, "agreement": 0.82,
 *      "low": 0.69, "high": 0.9, "kappa": 0.6, ..., "below": false}]}
 *
 * No date and no path is in it, keys are sorted: the same store gives the same bundle. At
 * most ORIGIN_GRADERS are listed, in the order in which the store has them.
 */
#ifndef TOOLS_CTL_ORIGIN_H
#define TOOLS_CTL_ORIGIN_H

#include "tools/ctl/agreement.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"

#define ORIGIN_GRADERS 64

struct origin {
    char *text; /* JSON */
    double least;
    struct agreements graders;
};

NODISCARD enum fault_err origin_read(struct origin *ret_origin, struct calib *store,
                                     double least, struct fault *fault);
void origin_release(struct origin *origin); /* takes a zeroed one */

/* A person's labels say so, and they are below the least. */
bool origin_below(const struct origin *origin, const struct agreement_line *line);
void origin_warn(const char *command, const struct origin *origin);
void origin_print(const struct origin *origin);

#endif
