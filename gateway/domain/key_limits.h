/* key_limits.h - what one key may spend and how fast it may ask: plain numbers.
 *
 * Read from the store or from the mounted file, kept to by flow/account.h. Windows are
 * UTC: a day begins at 00:00, a month on its first day, the total never ends.
 */
#ifndef GATEWAY_DOMAIN_KEY_LIMITS_H
#define GATEWAY_DOMAIN_KEY_LIMITS_H

#include <stdint.h>

#include "gateway/base/money.h"

/* X(name, word): the word is that of the file, of messages and of `frugalctl keys`. */
#define KEY_WINDOWS(X)                                                                   \
    X(DAY, "day")                                                                        \
    X(MONTH, "month")                                                                    \
    X(TOTAL, "total")

enum key_window {
#define X(name, word) KEY_##name,
    KEY_WINDOWS(X)
#undef X
        KEY_WINDOW_COUNT
};

/* Above it a rate could not be counted exactly in 64 bits. */
#define KEY_RATE_MAX INT64_C(10000000000)

struct key_limits {
    int64_t budget_pico[KEY_WINDOW_COUNT]; /* MONEY_NONE: none */
    int64_t requests_per_minute;           /* 0: no limit; at most KEY_RATE_MAX */
    int64_t tokens_per_minute;             /* the same */
};

#define KEY_LIMITS_NONE                                                                  \
    {                                                                                    \
        .budget_pico = { MONEY_NONE, MONEY_NONE, MONEY_NONE }                            \
    }

#endif
