/* last_match.h - the last place at which a constant pattern matches: what answers that think
 * aloud end on.
 *
 * PCRE2 over UTF-8, unlike gateway/domain/pattern.h with groups: what is found is the group
 * of the match that took part and has the highest number. A pattern is a constant of the
 * program (one that does not compile is an assert), has at least one group, and takes at
 * most a million steps: beyond that nothing is found.
 */
#ifndef TOOLS_CTL_LAST_MATCH_H
#define TOOLS_CTL_LAST_MATCH_H

#include <stdbool.h>

#include "gateway/base/str.h"

/* text: valid UTF-8. *ret_group is borrowed from it. */
bool last_match(const char *pattern, const char *text, struct str *ret_group);

#endif
