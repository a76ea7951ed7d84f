/* price_form.h - prices as the configuration writes them, and the list by date that a new one
 * makes of an old one.
 *
 *     no price yet                              the new one, without a date
 *     the price in force is the same            its as_of becomes today's; nothing else changes
 *     another one                               [ what there is, { "from": DATE, the new one } ]
 *     one that begins at DATE already           gives way to the new one
 *     one that begins later                     an error: which of the two is meant, is not known
 *
 * Old prices keep their text, remarks included. All pure but for memory.
 */
#ifndef TOOLS_CTL_PRICE_FORM_H
#define TOOLS_CTL_PRICE_FORM_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/ctl/price_config.h"
#include "tools/ctl/price_list.h"

struct price_dates {
    const char *from, *today; /* "2026-07-01" */
    int64_t from_s;           /* the first one */
};

/* "2026-07-01" of a moment. */
void price_form_day(int64_t at_s, char text[16]);
/* The moment of a date, as the configuration reads it. */
NODISCARD enum fault_err price_form_moment(const char *text, int64_t *ret_s,
                                           struct fault *fault);

/* Charge both the same, whatever the prompt? */
bool price_form_same(const struct config_price *a, const struct config_price *b);

/* The part's new `price`, the caller's to free. source: "LiteLLM: gpt-4o". */
NODISCARD enum fault_err price_form_merge(const struct price_part *part,
                                          const struct price_listed *listed,
                                          const char *source,
                                          const struct price_dates *dates,
                                          char **ret_price, struct fault *fault);

/* USD per million tokens of pico-USD per token; shortest exact decimal. */
const char *price_form_million(int64_t pico, char text[MONEY_TEXT_BYTES]);

#endif
