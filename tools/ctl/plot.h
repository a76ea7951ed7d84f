/* plot.h - cost against quality as an SVG file: what people look at first. */
#ifndef TOOLS_CTL_PLOT_H
#define TOOLS_CTL_PLOT_H

#include "tools/ctl/fault.h"
#include "tools/ctl/measures.h"

/* All borrowed. Costs in USD per request, on a logarithmic axis. */
struct plot {
    const char *const *models;
    const struct measures_point *single; /* one a model */
    size_t n_single;
    const struct measures_point *zero; /* hull of the single models: random mixing */
    size_t n_zero;
    const struct measures_point *curve; /* the router */
    size_t n_curve;
    double oracle; /* quality */
};

NODISCARD enum fault_err plot_write(const struct plot *plot, const char *path,
                                    struct fault *fault);

#endif
