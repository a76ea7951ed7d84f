/* money.h - amounts in integer pico-USD (1e-12 USD), never in floating point.
 *
 * int64_t holds +-9.2 million USD. MONEY_NONE (INT64_MAX) is "no bound" or "unknown": it
 * is absorbing in money_add and money_mul, and compares as more than every amount.
 * Whatever would not fit becomes MONEY_NONE as well, so an overflow can only ever make
 * something too dear, never cheap. Amounts here are not negative; a negative operand is a
 * bug (assert).
 *
 * An input price of 0.06 USD per million tokens is 60,000 pico-USD per token.
 */
#ifndef GATEWAY_BASE_MONEY_H
#define GATEWAY_BASE_MONEY_H

#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/base/str.h"

#define MONEY_NONE       INT64_MAX
#define MONEY_USD        INT64_C(1000000000000) /* pico-USD in one USD */
#define MONEY_TEXT_BYTES 32                     /* room for money_format, with the 0 */

/* "0.0123", "12", "1.5e-3": a JSON number, not negative, read exactly. INVALID: another
 * form, or finer than one pico-USD. OVERFLOW: more than fits. */
NODISCARD enum err money_parse(struct str text, int64_t *ret_pico);

/* USD per million tokens, as price lists have it, into pico-USD per token. Finer than
 * 1e-6 USD per million is INVALID. */
NODISCARD enum err money_parse_per_million(struct str text, int64_t *ret_pico_per_token);

/* As money_parse, but what is finer than one pico-USD is rounded up: a price list may know
 * finer prices than we do, and a price is never too low. INVALID, OVERFLOW as above. */
NODISCARD enum err money_parse_up(struct str text, int64_t *ret_pico);

/* Shortest exact decimal in USD: "0.000123", "0", "12.5". Returns text. */
const char *money_format(int64_t pico, char text[MONEY_TEXT_BYTES]);
double money_to_usd(int64_t pico); /* for estimates and metrics only; NONE: INFINITY */

int64_t money_add(int64_t a, int64_t b);
int64_t money_mul(int64_t pico, int64_t count);
int64_t money_sub(int64_t a, int64_t b); /* a - b, at least 0; a NONE stays NONE */

#endif
