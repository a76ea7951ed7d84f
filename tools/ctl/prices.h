/* prices.h - which entry of a list is which expert's price: what `prices import` and
 * `prices diff` share.
 *
 *   prices_pick(&options, &pick, &fault)
 *   for (i < pick.config->n) pick.rows[i]       one row a part, in the configuration's order
 *   prices_release(&pick)
 */
#ifndef TOOLS_CTL_PRICES_H
#define TOOLS_CTL_PRICES_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/ctl/options.h"
#include "tools/ctl/price_config.h"
#include "tools/ctl/price_list.h"

struct prices_options {
    const char *config;
    struct option_list map, experts;
};

/* clang-format off */
#define PRICES_OPTIONS(at) \
    { .name = "config", .kind = OPTION_TEXT, .value = "FILE", .rule = OPTION_REQUIRED, \
      .help = "the gateway's configuration", \
      .offset = (at) + offsetof(struct prices_options, config) }, \
    { .name = "map", .kind = OPTION_LIST, .value = "EXPERT=NAME", \
      .help = "the entry of the list that an expert's price is; embedding:EXPERT=NAME for its " \
              "embedding. Without it an expert is looked up by its model", \
      .offset = (at) + offsetof(struct prices_options, map) }, \
    { .name = "experts", .kind = OPTION_LIST, .value = "NAMES", \
      .help = "only these; all of them must be in the list then", \
      .offset = (at) + offsetof(struct prices_options, experts) }
/* clang-format on */

struct prices_row {
    const char *name; /* of the list's entry; NULL: there is none, and note says why */
    struct price_listed listed;
    char *note;
    bool wrong; /* it should have one: the command fails */
};

struct prices_pick { /* all owned */
    struct price_config *config;
    struct price_list *list;
    struct prices_row *rows;
    size_t n_wrong;
};

/* Whatever comes of it: prices_release. */
NODISCARD enum fault_err prices_pick(const struct prices_options *options,
                                     const char *list_path, struct prices_pick *pick,
                                     struct fault *fault);
/* Tells of every row that has a note, on standard error. */
void prices_tell(const struct prices_pick *pick);
/* OK, or how many are wrong. */
NODISCARD enum fault_err prices_wrong(const struct prices_pick *pick,
                                      struct fault *fault);
void prices_release(struct prices_pick *pick); /* takes a zeroed one */

#endif
