/* pattern.h - a regular expression that looks at what strangers wrote, in bounded time.
 *
 *   struct pattern *pattern;
 *   if (pattern_new("(?i)\\bselect\\b", &pattern, &error) != ERR_OK) ... error.text, error.offset
 *   switch (pattern_find(pattern, text)) ...
 *   pattern_free(pattern);
 *
 * PCRE2, compiled to machine code where that is possible, over UTF-8. A match may go so many
 * steps and take about 2 ms of the thread's time, over all places where it may start, and no
 * further: then it is TOO_HARD. Measured, the slowest of "(?=.*\\d)x", ".*.*=.*", "(a+)+$" takes
 * 2.0 ms over 8,400 and 32,768 bytes; the slowest known is "\\w+\\s" over one word, 2.2 and 2.9.
 * Backreferences and conditions on groups are refused, since one step of theirs may be long.
 * Immutable once made; any thread may look.
 */
#ifndef GATEWAY_DOMAIN_PATTERN_H
#define GATEWAY_DOMAIN_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/err.h"
#include "gateway/base/str.h"

#define PATTERN_MAX_BYTES 4096

struct pattern;

struct pattern_error {
    char text[160]; /* what is wrong, in PCRE2's words, or why it is refused */
    size_t offset;  /* where, in bytes */
    bool refused; /* it is a regular expression, of a kind that is not taken; no offset */
};

enum pattern_found {
    PATTERN_ABSENT,
    PATTERN_FOUND,
    PATTERN_TOO_HARD, /* nobody knows: the text takes too long */
};

/* error may be NULL. INVALID or NOMEM. */
NODISCARD enum err pattern_new(struct str text, struct pattern **ret_pattern,
                               struct pattern_error *error);
void pattern_free(struct pattern *pattern); /* takes NULL */

/* text: valid UTF-8. Out of memory is TOO_HARD. */
enum pattern_found pattern_find(const struct pattern *pattern, struct str text);

#endif
