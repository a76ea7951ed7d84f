/* routing_rule.c - the rule by which a request becomes a text, out of its version and back. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gateway/domain/jread.h"
#include "gateway/domain/routing_text.h"

#define WEIGHED "text@2"

static bool take(struct routing_rule *rule, struct str key, double number)
{
    if (str_is(key, "system") && number >= 0 && number <= 1)
        rule->system = round(number * 1000) / 1000;
    else if (str_is(key, "earlier") && number >= 0 && number <= 1)
        rule->earlier = round(number * 1000) / 1000;
    else if (str_is(key, "bytes") && number >= ROUTING_TEXT_LEAST &&
             number <= ROUTING_TEXT_MOST && number == floor(number))
        rule->bytes = (size_t)number;
    else
        return false;
    return true;
}

/* "system=0.2;bytes=4096" */
static bool take_all(struct routing_rule *rule, struct str text)
{
    while (text.n > 0) {
        size_t n = 0;
        struct str part, key;
        struct jread_value value;
        double number;

        while (n < text.n && text.p[n] != ';' && text.p[n] != ',')
            n++;
        part = str_trim(str_first(text, n));
        text = str_skip(text, n < text.n ? n + 1 : n);
        if (!str_cut(&part, '=', &key) || !jread_parse(part, 0, &value) ||
            !jread_double(value, &number) || !take(rule, key, number))
            return false;
    }
    return true;
}

enum err routing_rule_parse(struct str text, struct routing_rule *ret_rule,
                            const char **ret_why)
{
    struct routing_rule rule = { .weighed = true, .bytes = ROUTING_TEXT_BYTES };
    const char *why = NULL;

    if (text.n == 0 || str_is(text, ROUTING_TEXT_VERSION)) {
        *ret_rule = (struct routing_rule){ .version = ROUTING_TEXT_VERSION };
        return ERR_OK;
    }
    if (str_starts(text, WEIGHED))
        text = str_skip(text, strlen(WEIGHED));
    if (text.n > 0 && text.p[0] == ';')
        text = str_skip(text, 1);
    if (!take_all(&rule, text))
        why =
            "it is 'text@1', or of system=S, earlier=E (shares, 0 to 1) and bytes=B (256 "
            "to 32768)";
    else if (rule.system + rule.earlier > ROUTING_TEXT_SHARED)
        why = "system and earlier together may have 0.9 of the bytes";
    if (why != NULL) {
        if (ret_why != NULL)
            *ret_why = why;
        return ERR_INVALID;
    }
    (void)snprintf(rule.version, sizeof rule.version,
                   WEIGHED ";system=%.3g;earlier=%.3g;bytes=%zu", rule.system,
                   rule.earlier, rule.bytes);
    *ret_rule = rule;
    return ERR_OK;
}
