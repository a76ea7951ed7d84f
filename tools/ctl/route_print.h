/* route_print.h - a decision as tables for a person, or as JSON. */
#ifndef TOOLS_CTL_ROUTE_PRINT_H
#define TOOLS_CTL_ROUTE_PRINT_H

#include <stddef.h>

#include <jansson.h>

#include "gateway/base/str.h"
#include "gateway/flow/decision.h"

struct route_told {
    const struct decision *decision; /* READY; borrowed */
    struct str text;                 /* routing text; borrowed */
    size_t neighbours;               /* to show */
};

void route_print(const struct route_told *told);
json_t *route_json(const struct route_told *told); /* a new reference */

#endif
