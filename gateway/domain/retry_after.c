/* retry_after.c - seconds, milliseconds or a date. The C library reads the dates; the
 * program never leaves the "C" locale, so that their names are the English ones. */
#include "gateway/domain/retry_after.h"

#include <string.h>
#include <time.h>

/* digits[.digits] in units of 1/scale, rounded up: coming too early is refused again. */
static enum err parse_decimal(struct str value, int64_t scale, int64_t *ret_scaled)
{
    struct str whole, fraction;
    uint64_t number = 0;
    int64_t scaled, unit = scale;

    if (!str_cut(&value, '.', &whole))
        return ERR_INVALID;
    if (str_to_u64(whole, &number) == ERR_INVALID || (value.p && value.n == 0))
        return ERR_INVALID;
    fraction = value.p ? value : STR("");
    for (size_t i = 0; i < fraction.n; i++)
        if (fraction.p[i] < '0' || fraction.p[i] > '9')
            return ERR_INVALID;
    if (str_to_u64(whole, &number) == ERR_OVERFLOW ||
        number > (uint64_t)(RETRY_AFTER_MAX_MS / 1000 * 1000)) {
        *ret_scaled = RETRY_AFTER_MAX_MS;
        return ERR_OK;
    }
    scaled = (int64_t)number * scale;
    for (size_t i = 0; i < fraction.n; i++) {
        if (unit == 1) { /* finer than a unit */
            scaled += fraction.p[i] != '0';
            if (fraction.p[i] != '0')
                break;
            continue;
        }
        unit /= 10;
        scaled += (fraction.p[i] - '0') * unit;
    }
    *ret_scaled = scaled < RETRY_AFTER_MAX_MS ? scaled : RETRY_AFTER_MAX_MS;
    return ERR_OK;
}

enum err retry_after_date(struct str value, int64_t *ret_s)
{
    static const char *const forms[] = {
        "%a, %d %b %Y %H:%M:%S GMT", /* IMF-fixdate */
        "%A, %d-%b-%y %H:%M:%S GMT", /* RFC 850 */
        "%a %b %e %H:%M:%S %Y",      /* asctime */
    };
    char text[64];

    if (value.n == 0 || value.n >= sizeof(text) || memchr(value.p, '\0', value.n))
        return ERR_INVALID;
    memcpy(text, value.p, value.n);
    text[value.n] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        struct tm tm = { .tm_mday = 1 };
        const char *end = strptime(text, forms[i], &tm);

        if (end && *end == '\0') {
            *ret_s = (int64_t)timegm(&tm);
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

enum err retry_after_parse(struct str value, int64_t now_s, int64_t *ret_ms)
{
    int64_t at_s, wait_s;

    value = str_trim(value);
    if (parse_decimal(value, 1000, ret_ms) == ERR_OK)
        return ERR_OK;
    if (retry_after_date(value, &at_s) != ERR_OK)
        return ERR_INVALID;
    wait_s = at_s > now_s ? at_s - now_s : 0;
    *ret_ms = wait_s < RETRY_AFTER_MAX_MS / 1000 ? wait_s * 1000 : RETRY_AFTER_MAX_MS;
    return ERR_OK;
}

enum err retry_after_parse_ms(struct str value, int64_t *ret_ms)
{
    return parse_decimal(str_trim(value), 1, ret_ms);
}
