/* graph_dot.c - subsets, edges and expected losses around a prompt. */
#include "tools/ctl/graph_dot.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#define SUBSETS (1u << FUSER_MAX_EMBEDDERS)

/* A path from {} to the answer: the nodes that it leads through. */
struct path {
    size_t n; /* nodes, {} among them */
    uint32_t nodes[FUSER_MAX_EMBEDDERS + 1];
};

static void step_to(struct path *path, int embedder)
{
    path->nodes[path->n] = path->nodes[path->n - 1] | 1u << embedder;
    path->n++;
}

/* In the order in which the walk bought. */
static struct path greedy_path(const struct graph_told *told)
{
    struct path path = { .n = 1 };

    for (size_t s = 0; s < told->verdict->n_steps; s++) {
        int j = told->verdict->steps[s].embedder;
        if (j >= 0 && (told->graph->walked >> j & 1) != 0)
            step_to(&path, j);
    }
    return path;
}

/* Prices add up in any order: the embedders' own is taken, unless the walk leads there too. */
static struct path shortest_path(const struct graph_told *told)
{
    struct path path = { .n = 1 };

    if (told->graph->best == told->graph->walked)
        return greedy_path(told);
    for (size_t j = 0; j < told->n_embedders; j++) {
        if (told->graph->best >> j & 1)
            step_to(&path, (int)j);
    }
    return path;
}

static bool passes(const struct path *path, uint32_t from, uint32_t to)
{
    for (size_t i = 0; i + 1 < path->n; i++) {
        if (path->nodes[i] == from && path->nodes[i + 1] == to)
            return true;
    }
    return false;
}

static bool visits(const struct path *path, uint32_t node)
{
    for (size_t i = 0; i < path->n; i++) {
        if (path->nodes[i] == node)
            return true;
    }
    return false;
}

static void put_text(const char *text, FILE *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            (void)fputc('\\', out);
        (void)fputc(*text, out);
    }
}

static void put_subset(const struct graph_told *told, uint32_t subset, FILE *out)
{
    const char *comma = "";

    (void)fputc('{', out);
    for (size_t j = 0; j < told->n_embedders; j++) {
        if ((subset >> j & 1) == 0)
            continue;
        (void)fputs(comma, out);
        put_text(told->embedders[j], out);
        comma = ", ";
    }
    (void)fputc('}', out);
}

static bool reached(const struct fuser_graph *graph, uint32_t subset)
{
    return isfinite(graph->loss[subset]);
}

static const char *style_of(bool greedy, bool shortest)
{
    return greedy     ? ", color=\"firebrick\", penwidth=2.5"
           : shortest ? ", color=\"royalblue\", style=dashed, penwidth=2"
                      : "";
}

static void put_node(const struct graph_told *told, uint32_t subset, bool walked,
                     FILE *out)
{
    (void)fprintf(out, "  s%u [label=\"", subset);
    put_subset(told, subset, out);
    (void)fprintf(out, "\\npaid %.4f, in all %.4f\"%s];\n",
                  fuser_graph_length(told->graph, subset) - told->graph->loss[subset],
                  fuser_graph_length(told->graph, subset),
                  walked ? ", style=filled, fillcolor=\"mistyrose\"" : "");
}

void graph_dot(const struct graph_told *told, FILE *out)
{
    const struct fuser_graph *graph = told->graph;
    struct path greedy = greedy_path(told), shortest = shortest_path(told);

    graph_summary(told, "// ", out);
    (void)fputs("digraph frugalfoe {\n  rankdir=LR;\n  node [shape=box];\n"
                "  answer [shape=doublecircle];\n",
                out);
    for (uint32_t s = 0; s < SUBSETS; s++) {
        if (reached(graph, s))
            put_node(told, s, visits(&greedy, s), out);
    }
    for (uint32_t s = 0; s < SUBSETS; s++) {
        for (uint32_t j = 0; reached(graph, s) && j < told->n_embedders; j++) {
            uint32_t to = s | 1u << j;
            if (to != s && reached(graph, to))
                (void)fprintf(out, "  s%u -> s%u [label=\"%.4f\"%s];\n", s, to,
                              graph->price[j],
                              style_of(passes(&greedy, s, to), passes(&shortest, s, to)));
        }
        if (reached(graph, s))
            (void)fprintf(out, "  s%u -> answer [label=\"%.4f\"%s];\n", s, graph->loss[s],
                          style_of(s == graph->walked, s == graph->best));
    }
    (void)fputs("}\n", out);
}

static void put_path(const struct graph_told *told, const struct path *path, FILE *out)
{
    uint32_t end = path->nodes[path->n - 1];

    for (size_t i = 0; i < path->n; i++) {
        put_subset(told, path->nodes[i], out);
        (void)fputs(" -> ", out);
    }
    (void)fprintf(out, "answer: evidence %.4f + expected loss %.4f = %.4f\n",
                  fuser_graph_length(told->graph, end) - told->graph->loss[end],
                  told->graph->loss[end], fuser_graph_length(told->graph, end));
}

void graph_summary(const struct graph_told *told, const char *lead, FILE *out)
{
    struct path greedy = greedy_path(told), shortest = shortest_path(told);

    (void)fprintf(out, "%sgreedy walk    ", lead);
    put_path(told, &greedy, out);
    (void)fprintf(out, "%sshortest path  ", lead);
    put_path(told, &shortest, out);
    (void)fprintf(out, "%sgap            %.4f (the walk stopped: %s)\n", lead,
                  fuser_graph_length(told->graph, told->graph->walked) -
                      fuser_graph_length(told->graph, told->graph->best),
                  fuser_stop_word(told->verdict->stop));
}
