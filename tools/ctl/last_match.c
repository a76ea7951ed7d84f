/* last_match.c - see last_match.h. */
#include "tools/ctl/last_match.h"

#include <assert.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define STEPS  1000000 /* of one match */
#define GROUPS 8

bool last_match(const char *pattern, const char *text, struct str *ret_group)
{
    int code = 0;
    size_t offset = 0, n = strlen(text), at = 0;
    bool found = false;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                         PCRE2_UTF, &code, &offset, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create(GROUPS, NULL);

    assert(compiled != NULL && limits != NULL && data != NULL);
    (void)pcre2_set_match_limit(limits, STEPS);
    while (at <= n) {
        code = pcre2_match(compiled, (PCRE2_SPTR)text, n, at, PCRE2_NO_UTF_CHECK, data,
                           limits);
        if (code < 2)
            break;
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(data);
        size_t group = (size_t)code - 1;
        *ret_group =
            (struct str){ text + ends[2 * group], ends[2 * group + 1] - ends[2 * group] };
        found = true;
        if (ends[1] <= at)
            break; /* an empty match would be found for ever */
        at = ends[1];
    }
    pcre2_match_data_free(data);
    pcre2_match_context_free(limits);
    pcre2_code_free(compiled);
    return found;
}
