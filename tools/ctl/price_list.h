/* price_list.h - what models cost by a public list, as its user downloaded it.
 *
 *   price_list_open(path, &list, &fault)
 *   n = price_list_match(list, "gpt-4o", names, ARRAY_LEN(names))      1: that is it
 *   price_list_price(list, names[0], PRICE_LIST_CHAT, &listed, &fault)
 *   price_listed_release(&listed), price_list_close(list)
 *
 * Two forms are known by their looks:
 *   LiteLLM's model_prices_and_context_window.json: an object of models, USD per token as JSON
 *       numbers: input_cost_per_token, output_cost_per_token, cache_read_input_token_cost,
 *       cache_creation_input_token_cost, output_cost_per_reasoning_token, input_cost_per_request,
 *       the first four also with _above_200k_tokens (any number), or tiered_pricing with ranges.
 *   OpenRouter's GET /api/v1/models: data[].pricing, USD per token as texts: prompt, completion,
 *       request, input_cache_read, input_cache_write, internal_reasoning; overrides[] of longer
 *       prompts (min_prompt_tokens) or of certain hours. "-1" is no price.
 *
 * Prices become integers of pico-USD per token without a floating point number between: every
 * decimal of up to 15 digits is taken as it is written, longer ones (a double's print of a sum)
 * to their 15th digit, and what is finer than a pico-USD is rounded up. A 0 of a cache or of
 * reasoning beside a price of tokens means that nobody said, and is not taken for free. Prices of
 * certain hours are not known here: the dearest of them holds always.
 */
#ifndef TOOLS_CTL_PRICE_LIST_H
#define TOOLS_CTL_PRICE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/domain/config.h"
#include "gateway/domain/jread.h"
#include "tools/ctl/fault.h"

#define PRICE_LIST_BYTES (64u << 20)

enum price_list_kind {
    PRICE_LIST_CHAT,
    PRICE_LIST_EMBEDDING,
};

struct price_list; /* owned by one thread */

struct price_listed {
    struct config_price price; /* from_s and as_of_s INT64_MIN, source NULL */
    bool writes_priced;        /* every rate of a cache write was given */
    char *left_out;            /* owned: members that price other things, or NULL */
    bool by_hours;             /* the dearest of several hours */
};

NODISCARD enum fault_err price_list_open(const char *path, struct price_list **ret_list,
                                         struct fault *fault);
void price_list_close(struct price_list *list); /* takes NULL */

/* "LiteLLM" or "OpenRouter". */
const char *price_list_source(const struct price_list *list);
size_t price_list_count(const struct price_list *list);

/* The model of that name; if there is none, those whose name ends in a slash and it, up to max;
 * returns how many there are, which may be more. Names are borrowed from the list. */
size_t price_list_match(const struct price_list *list, const char *model,
                        const char **ret_names, size_t max);
/* The one most like it, or NULL. */
const char *price_list_closest(const struct price_list *list, const char *model);

/* name: of price_list_match. FAULT_INPUT: it has no price per token. */
NODISCARD enum fault_err price_list_price(const struct price_list *list, const char *name,
                                          enum price_list_kind kind,
                                          struct price_listed *ret_listed,
                                          struct fault *fault);
/* The same of one entry of a list of OpenRouter's form; name is for messages. */
NODISCARD enum fault_err price_list_read_openrouter(struct jread_value entry,
                                                    const char *name,
                                                    enum price_list_kind kind,
                                                    struct price_listed *ret_listed,
                                                    struct fault *fault);
void price_listed_release(struct price_listed *listed); /* takes a zeroed one */

#endif
