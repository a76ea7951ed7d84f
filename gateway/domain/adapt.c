/* adapt.c - finds what an expert's dialect changes of a request; see adapt.h. */
#include "gateway/domain/adapt.h"

#include <assert.h>

#include "gateway/domain/jread.h"

/* -- what may be adapted ----------------------------------------------------------------- */

/* The members that no rule may touch: what is asked for, how often, and how it is answered. */
static const struct {
    enum scan_field field;
    const char *why;
} fixed[] = {
    { SCAN_MODEL, "the gateway sets it" },
    { SCAN_STREAM, "the answer is read by it" },
    { SCAN_N, "an answer's price is counted by it: use 'capabilities'" },
    { SCAN_MESSAGES, "it is what is asked" },
    { SCAN_PROMPT, "it is what is asked" },
    { SCAN_INPUT, "it is what is asked" },
    { SCAN_TOOLS, "it is what is asked for: use 'capabilities'" },
    { SCAN_FUNCTIONS, "it is what is asked for: use 'capabilities'" },
    { SCAN_MAX_TOKENS,
      "the output limit must arrive, as 'max_tokens' or 'max_completion_tokens'" },
    { SCAN_MAX_COMPLETION_TOKENS,
      "the output limit must arrive, as 'max_tokens' or 'max_completion_tokens'" },
    { SCAN_FRUGAL, "it never leaves the gateway" },
};

static const char *fixed_why(enum scan_field field)
{
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        if (fixed[i].field == field)
            return fixed[i].why;
    return NULL;
}

bool adapt_limit(struct str field, struct str to)
{
    const struct str names[] = { str_of(scan_field_key(SCAN_MAX_TOKENS)),
                                 str_of(scan_field_key(SCAN_MAX_COMPLETION_TOKENS)) };

    return (str_eq(field, names[0]) && str_eq(to, names[1])) ||
           (str_eq(field, names[1]) && str_eq(to, names[0]));
}

/* Servers that fold case take a name in other letters for the same. */
const char *adapt_forbids(enum adapt_way way, struct str field, struct str to)
{
    const enum scan_field known = scan_field_find(field);
    const char *why = known < SCAN_FIELD_COUNT ? fixed_why(known) : NULL;

    if (why != NULL)
        return why;
    switch (way) {
    case ADAPT_DROP:
        break;
    case ADAPT_SET:
        if (known < SCAN_FIELD_COUNT)
            return "it has a price of its own, or changes one, which no ceiling would "
                   "know";
        break;
    case ADAPT_RENAME:
        if (known == SCAN_STREAM_OPTIONS)
            return "usage is asked for by it: it can only be dropped";
        if (scan_field_find(to) < SCAN_FIELD_COUNT)
            return "the new name has a price of its own, or changes one, which no "
                   "ceiling "
                   "would know";
        break;
    }
    return NULL;
}

/* -- members of a body ------------------------------------------------------------------- */

struct member {
    struct jread_value key;
    size_t key_begin, end;
};

struct walk {
    const struct scan *scan;
    struct str body;
    struct jread_iter it;
};

static void walk_init(struct walk *walk, struct str body, const struct scan *scan)
{
    const struct str object = str_trim(body);

    *walk = (struct walk){ scan, body, jread_iter(jread_trusted(object)) };
}

/* Behind the value of a member whose place is known; 0: it is not. */
static size_t known_end(const struct scan *scan, size_t key_begin)
{
    for (size_t i = 0; i < SCAN_FIELD_COUNT; i++)
        if (scan->fields[i].type != JREAD_NOTHING &&
            scan->fields[i].key_begin == key_begin)
            return scan->fields[i].end;
    return 0;
}

static bool walk_next(struct walk *walk, struct member *member)
{
    struct jread_value value;

    if (!jread_next_key(&walk->it, &member->key))
        return false;
    member->key_begin = (size_t)(member->key.raw.p - walk->body.p);
    member->end = known_end(walk->scan, member->key_begin);
    if (member->end > 0) {
        jread_jump(&walk->it, walk->body.p + member->end);
        return true;
    }
    if (!jread_next_element(&walk->it, &value))
        return false;
    member->end = (size_t)(value.raw.p - walk->body.p) + value.raw.n;
    return true;
}

/* -- rules ------------------------------------------------------------------------------- */

static bool is_new_name(const struct adapt_rule *rule, struct jread_value key)
{
    return rule->way == ADAPT_RENAME && !rule->limit && jread_string_is(key, rule->to);
}

/* New names that the client has used itself: what would be renamed to them is dropped. */
static uint32_t taken_names(const struct adapt *adapt, struct str body,
                            const struct scan *scan)
{
    struct member member;
    struct walk walk;
    uint32_t taken = 0;

    walk_init(&walk, body, scan);
    while (walk_next(&walk, &member))
        for (size_t i = 0; i < adapt->n; i++)
            if (is_new_name(&adapt->rules[i], member.key))
                taken |= UINT32_C(1) << i;
    return taken;
}

static bool renames(const struct adapt *adapt)
{
    for (size_t i = 0; i < adapt->n; i++)
        if (adapt->rules[i].way == ADAPT_RENAME && !adapt->rules[i].limit)
            return true;
    return false;
}

/* ADAPT_MAX_RULES: none meets that member. */
static size_t rule_for(const struct adapt *adapt, struct jread_value key)
{
    for (size_t i = 0; i < adapt->n; i++)
        if (!adapt->rules[i].limit && jread_string_is(key, adapt->rules[i].field))
            return i;
    return ADAPT_MAX_RULES;
}

enum err adapt_find(const struct adapt *adapt, struct str body, const struct scan *scan,
                    struct adapt_found *found)
{
    uint32_t taken = renames(adapt) ? taken_names(adapt, body, scan) : 0;
    struct member member;
    struct walk walk;

    found->n = 0;
    found->rules = 0;
    for (size_t i = 0; i < adapt->n; i++)
        if (adapt->rules[i].way == ADAPT_SET)
            found->rules |= UINT32_C(1) << i;
    walk_init(&walk, body, scan);
    while (walk_next(&walk, &member)) {
        const size_t rule = rule_for(adapt, member.key);
        struct adapt_change *change = &found->list[found->n];

        if (rule == ADAPT_MAX_RULES)
            continue;
        if (found->n == ADAPT_MAX_CHANGES)
            return ERR_TOO_LARGE;
        found->n++;
        found->rules |= UINT32_C(1) << rule;
        *change = (struct adapt_change){
            member.key_begin, member.key_begin + member.key.raw.n, member.end, { NULL, 0 }
        };
        if (adapt->rules[rule].way == ADAPT_RENAME && (taken >> rule & 1) == 0)
            change->key = adapt->rules[rule].to_json;
    }
    return ERR_OK;
}
