/* retry_after.h - how long an upstream asks us to wait. Pure; any thread.
 *
 * `retry-after-ms` is milliseconds (a decimal number); `retry-after` is seconds (a
 * decimal number) or an HTTP date in its three forms (RFC 9110, 5.6.7).
 */
#ifndef GATEWAY_DOMAIN_RETRY_AFTER_H
#define GATEWAY_DOMAIN_RETRY_AFTER_H

#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/base/str.h"

#define RETRY_AFTER_MAX_MS INT64_C(86400000) /* longer is cut to a day */

/* Value of retry-after at the wall time now_s. A date in the past is 0. INVALID. */
NODISCARD enum err retry_after_parse(struct str value, int64_t now_s, int64_t *ret_ms);
/* Value of retry-after-ms. INVALID. */
NODISCARD enum err retry_after_parse_ms(struct str value, int64_t *ret_ms);
/* An HTTP date in seconds since 1970. INVALID. */
NODISCARD enum err retry_after_date(struct str value, int64_t *ret_s);

#endif
