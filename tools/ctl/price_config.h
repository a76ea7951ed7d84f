/* price_config.h - the prices in a configuration's text: where they stand, and new ones in their
 * place, every other byte as it was.
 *
 *   price_config_open(path, &config, &fault)
 *   for (i < config->n) config->parts[i]...             each generator and each embedding
 *   price_config_set(config, i, "{ \"input\": 1, .. }")
 *   price_config_text(config, &text)                    the whole file, edited
 *   price_config_close(config)
 *
 * The file is read as JSON and not as a configuration, since one that lacks its prices is none
 * yet, and secrets need not be there.
 */
#ifndef TOOLS_CTL_PRICE_CONFIG_H
#define TOOLS_CTL_PRICE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/domain/config.h"
#include "gateway/domain/jread.h"
#include "tools/ctl/fault.h"

struct price_part {
    const char *expert;
    const char *model;           /* the upstream's name of it; "" where it is missing */
    bool embedding;              /* or the generator */
    bool free;                   /* marked so */
    struct jread_value price;    /* NOTHING: there is none */
    struct config *owner;        /* of the prices */
    struct config_prices prices; /* n 0: there is none */
    struct str after;            /* the member behind which a new price goes */
    char *edit;                  /* owned; NULL: stays */
};

struct price_config { /* all owned; one thread */
    const char *path; /* borrowed */
    struct buf text;
    struct arena arena;
    size_t n;
    struct price_part *parts;
};

NODISCARD enum fault_err price_config_open(const char *path,
                                           struct price_config **ret_config,
                                           struct fault *fault);
void price_config_close(struct price_config *config); /* takes NULL */

/* Its new value, taken as it is. */
void price_config_set(struct price_config *config, size_t part, char **price);
/* Adds the edited file to out. FAULT_CONFIG: its prices would not be good; out is useless then. */
NODISCARD enum fault_err price_config_text(const struct price_config *config,
                                           struct buf *out, struct fault *fault);

/* "large", or "large (embedding)"; in a static buffer. */
const char *price_part_name(const struct price_part *part);

#endif
