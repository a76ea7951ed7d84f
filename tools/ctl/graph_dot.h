/* graph_dot.h - the graph reading of a walk: as Graphviz, and as three lines for people. */
#ifndef TOOLS_CTL_GRAPH_DOT_H
#define TOOLS_CTL_GRAPH_DOT_H

#include <stddef.h>
#include <stdio.h>

#include "fuser/fuser.h"

/* All borrowed. */
struct graph_told {
    const struct fuser_graph *graph;
    const struct fuser_verdict *verdict; /* of the same session */
    const char *const *embedders;        /* as in the fuser's names */
    size_t n_embedders;
};

/* Nodes are subsets, those of the greedy walk filled; edges cost prices, terminal edges lead to
 * `answer`. The greedy path is bold, the shortest one dashed where it is another. */
void graph_dot(const struct graph_told *told, FILE *out);
/* "greedy walk ...", "shortest path ...", "gap ...", each after `lead`. */
void graph_summary(const struct graph_told *told, const char *lead, FILE *out);

#endif
