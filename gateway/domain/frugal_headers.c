/* frugal_headers.c - one reader for both sources: a body's value becomes the text that a
 * header would have had. */
#include "gateway/domain/frugal_headers.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gateway/domain/jread.h"

#define PREFIX         "x-frugal-"
#define FORWARD        "x-frugal-fwd-"
#define MAX_DEADLINE   INT64_C(86400000)
#define MAX_KEY_BYTES  32
#define MAX_LIST_BYTES ((CONFIG_MAX_NAME + 2) * CONFIG_MAX_EXPERTS) /* of tags: less */

static const char *const keys[] = {
#define X(name, key, help) key,
    FRUGAL_OPTIONS(X)
#undef X
};

struct source {
    struct frugal_options *options;
    struct arena *arena;
    struct api_error *error;
    const char *param; /* as the client wrote it: header name, or frugal.key */
    bool before;       /* the other source gave this option, too */
};

void frugal_options_init(struct frugal_options *options)
{
    *options = (struct frugal_options){ .budget_pico = MONEY_NONE };
}

bool frugal_option_given(const struct frugal_options *options, enum frugal_option option)
{
    return (options->given >> option & 1) != 0;
}

bool frugal_has_lambda(const struct frugal_options *options)
{
    return frugal_option_given(options, FRUGAL_LAMBDA) ||
           frugal_option_given(options, FRUGAL_VALUE_USD);
}

/* -- values -- */

static enum api_err fail(const struct source *s, const char *wanted)
{
    return api_error_set(s->error, API_BAD_OPTION, s->param, "'%s' must be %s", s->param,
                         wanted);
}

static bool parse_number(struct str text, double *ret_number)
{
    struct jread_value value;

    return jread_parse(text, 0, &value) && jread_double(value, ret_number);
}

static enum api_err take_budget(const struct source *s, struct str value)
{
    int64_t pico;

    if (money_parse(value, &pico) != ERR_OK)
        return fail(s, "an amount of USD like 0.0025");
    if (pico < s->options->budget_pico)
        s->options->budget_pico = pico;
    return API_OK;
}

static enum api_err take_on_budget(const struct source *s, struct str value)
{
    static const char *const words[] = {
#define X(name, word) word,
        CONFIG_ON_BUDGETS(X)
#undef X
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!str_is(value, words[i]))
            continue;
        if (!s->before || (size_t)s->options->on_budget < i)
            s->options->on_budget = (enum config_on_budget)i;
        return API_OK;
    }
    return fail(s, "'trim', 'downgrade' or 'reject'");
}

/* More quality per USD asked for a dollar is more thrift: the higher is the stricter. */
static void raise_lambda(const struct source *s, double lambda)
{
    if (!frugal_has_lambda(s->options) || lambda > s->options->lambda)
        s->options->lambda = lambda;
}

static enum api_err take_value(const struct source *s, struct str value)
{
    int64_t pico;

    if (money_parse(value, &pico) != ERR_OK || pico == 0)
        return fail(s, "an amount of USD above 0");
    raise_lambda(s, 1 / money_to_usd(pico));
    return API_OK;
}

static enum api_err take_lambda(const struct source *s, struct str value)
{
    double lambda;

    if (!parse_number(value, &lambda) || lambda < 0)
        return fail(s, "a number that is not negative");
    raise_lambda(s, lambda);
    return API_OK;
}

static enum api_err take_min_quality(const struct source *s, struct str value)
{
    double quality;

    if (!parse_number(value, &quality) || quality < 0 || quality > 1)
        return fail(s, "a number from 0 to 1");
    s->options->min_quality = fmax(s->options->min_quality, quality);
    return API_OK;
}

static enum api_err take_deadline(const struct source *s, struct str value)
{
    uint64_t ms;

    if (str_to_u64(value, &ms) != ERR_OK || ms == 0 || ms > (uint64_t)MAX_DEADLINE)
        return fail(s, "an integer of milliseconds from 1 to 86400000");
    if (!s->before || (int64_t)ms < s->options->deadline_ms)
        s->options->deadline_ms = (int64_t)ms;
    return API_OK;
}

static bool list_has(const struct str *list, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i], name))
            return true;
    return false;
}

static enum api_err take_experts(const struct source *s, struct str value)
{
    struct frugal_options *options = s->options;
    struct str name, kept, *list;
    size_t n = 0;

    list = arena_array(s->arena, CONFIG_MAX_EXPERTS, sizeof(*list));
    if (!list || arena_copy(s->arena, value, &kept) != ERR_OK)
        return api_error_set(s->error, API_NOMEM, NULL, NULL);
    while (str_cut(&kept, ',', &name)) {
        name = str_trim(name);
        if (name.n == 0 || name.n > CONFIG_MAX_NAME)
            return fail(s, "names of experts, separated by commas");
        if (list_has(list, n, name) ||
            (s->before && !list_has(options->experts, options->n_experts, name)))
            continue;
        if (n == CONFIG_MAX_EXPERTS)
            return fail(s, "at most 64 names");
        list[n++] = name;
    }
    options->experts = list;
    options->n_experts = n;
    return API_OK;
}

static enum api_err take_conversation(const struct source *s, struct str value)
{
    struct str kept;

    if (value.n == 0 || value.n > FRUGAL_MAX_CONVERSATION)
        return fail(s, "a text of 1 to 128 bytes");
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] < '!' || value.p[i] > '~')
            return fail(s, "a text of visible ASCII characters");
    if (s->before && !str_eq(value, s->options->conversation_id))
        return fail(s, "the same in header and body");
    if (arena_copy(s->arena, value, &kept) != ERR_OK)
        return api_error_set(s->error, API_NOMEM, NULL, NULL);
    s->options->conversation_id = kept;
    return API_OK;
}

static enum api_err take_explain(const struct source *s, struct str value)
{
    bool yes = str_is(value, "true") || str_is(value, "1");

    if (!yes && !str_is(value, "false") && !str_is(value, "0"))
        return fail(s, "true or false");
    s->options->explain = s->options->explain || yes;
    return API_OK;
}

static bool tag_fits(struct str text, size_t max, const char *others)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || (c != '\0' && strchr(others, c) != NULL)))
            return false;
    }
    return text.n > 0 && text.n <= max;
}

/* Into its place among the names; false: there are too many, or it stands there with
 * another value, which `replace` allows. */
static bool tag_add(struct frugal_options *options, struct frugal_tag tag, size_t max,
                    bool replace)
{
    size_t at = 0;
    int order = 1;

    for (; at < options->n_tags; at++) {
        struct str other = options->tags[at].name;

        order = memcmp(tag.name.p, other.p, tag.name.n < other.n ? tag.name.n : other.n);
        if (order == 0)
            order = tag.name.n < other.n ? -1 : tag.name.n > other.n;
        if (order <= 0)
            break;
    }
    if (at < options->n_tags && order == 0) {
        if (replace)
            options->tags[at] = tag;
        return str_eq(tag.value, options->tags[at].value);
    }
    if (options->n_tags >= max)
        return false;
    memmove(&options->tags[at + 1], &options->tags[at],
            (options->n_tags - at) * sizeof tag);
    options->tags[at] = tag;
    options->n_tags++;
    return true;
}

/* False: it is no tag. */
static bool tag_read(struct str part, struct frugal_tag *ret_tag)
{
    part = str_trim(part);
    if (!str_cut(&part, '=', &ret_tag->name) || part.p == NULL)
        return false;
    ret_tag->value = part;
    return tag_fits(ret_tag->name, FRUGAL_MAX_TAG_NAME, "-_.") &&
           tag_fits(ret_tag->value, FRUGAL_MAX_TAG_VALUE, "!#$%&'*+-./:;?@[]^_{|}~()<>");
}

void frugal_options_key_tags(struct frugal_options *options, struct str tags)
{
    struct frugal_tag tag;
    struct str part;

    for (size_t n = 0; n < FRUGAL_MAX_TAGS && str_cut(&tags, ',', &part); n++) {
        if (tag_read(part, &tag))
            (void)tag_add(options, tag, ARRAY_LEN(options->tags), true);
    }
}

static enum api_err take_tags(const struct source *s, struct str value)
{
    struct str kept, part;

    if (arena_copy(s->arena, value, &kept) != ERR_OK)
        return api_error_set(s->error, API_NOMEM, NULL, NULL);
    while (str_cut(&kept, ',', &part)) {
        struct frugal_tag tag;

        if (!tag_read(part, &tag))
            return fail(s, "name=value: a name of 1 to 32 letters, digits and -_., a "
                           "value of 1 to 64 visible ASCII characters");
        if (!tag_add(s->options, tag, FRUGAL_MAX_TAGS, false))
            return fail(s, "at most 8 names, each with one value");
    }
    return API_OK;
}

static enum api_err take(const struct source *s, enum frugal_option option,
                         struct str value)
{
    value = str_trim(value);
    switch (option) {
    case FRUGAL_BUDGET_USD:
        return take_budget(s, value);
    case FRUGAL_ON_BUDGET:
        return take_on_budget(s, value);
    case FRUGAL_VALUE_USD:
        return take_value(s, value);
    case FRUGAL_LAMBDA:
        return take_lambda(s, value);
    case FRUGAL_MIN_QUALITY:
        return take_min_quality(s, value);
    case FRUGAL_DEADLINE_MS:
        return take_deadline(s, value);
    case FRUGAL_EXPERTS:
        return take_experts(s, value);
    case FRUGAL_CONVERSATION_ID:
        return take_conversation(s, value);
    case FRUGAL_EXPLAIN:
        return take_explain(s, value);
    case FRUGAL_TAGS:
        return take_tags(s, value);
    case FRUGAL_OPTION_COUNT:
        break;
    }
    return fail(s, "a known option");
}

/* -- names -- */

static int find_option(struct str key)
{
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (str_is(key, keys[i]))
            return (int)i;
    return -1;
}

static enum api_err fail_unknown(struct api_error *error, const char *param,
                                 struct str key, bool header)
{
    const char *nearest = NULL;
    char name[MAX_KEY_BYTES] = "";
    unsigned best = 3;

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        unsigned distance = str_distance(key, str_of(keys[i]), 2);

        if (distance < best)
            best = distance, nearest = keys[i];
    }
    if (!nearest)
        return api_error_set(error, API_BAD_OPTION, param, "unknown option '%s'", param);
    (void)snprintf(name, sizeof(name), "%s", nearest);
    for (char *p = name; header && *p != '\0'; p++)
        *p = *p == '_' ? '-' : *p;
    return api_error_set(error, API_BAD_OPTION, param,
                         "unknown option '%s': did you mean '%s%s'?", param,
                         header ? PREFIX : "frugal.", name);
}

/* One source that says one thing in two ways contradicts itself, or is about to. */
static enum api_err check_twins(const struct source *s, unsigned own, bool header)
{
    static const unsigned twins = 1u << FRUGAL_VALUE_USD | 1u << FRUGAL_LAMBDA;
    const char *value = header ? PREFIX "value-usd" : "frugal.value_usd";
    const char *lambda = header ? PREFIX "lambda" : "frugal.lambda";

    if ((own & twins) != twins)
        return API_OK;
    return api_error_set(s->error, API_BAD_OPTION, lambda,
                         "'%s' is 1 / '%s' and both are given: keep '%s' and leave out "
                         "'%s'",
                         lambda, value, value, lambda);
}

static enum api_err take_named(struct source *s, struct str key, struct str value,
                               bool header)
{
    struct frugal_options *options = s->options;
    unsigned *own = header ? &options->in_header : &options->in_body;
    int option = find_option(key);
    enum api_err err;

    if (option < 0)
        return fail_unknown(s->error, s->param, key, header);
    if ((*own >> option & 1) != 0)
        return api_error_set(s->error, API_BAD_OPTION, s->param, "'%s' is repeated",
                             s->param);
    s->before = frugal_option_given(options, (enum frugal_option)option);
    err = take(s, (enum frugal_option)option, value);
    if (err != API_OK)
        return err;
    *own |= 1u << option;
    options->given |= 1u << option;
    return check_twins(s, *own, header);
}

/* What a stranger wrote, fit to be shown: printable ASCII, cut. */
static void show_name(char *shown, size_t bytes, const char *prefix, struct str name)
{
    size_t n = (size_t)snprintf(shown, bytes, "%s", prefix);

    for (size_t i = 0; i < name.n && n + 1 < bytes; i++) {
        char c = name.p[i];

        if (c >= 'A' && c <= 'Z' && prefix[0] == '\0')
            c = (char)(c - 'A' + 'a');
        shown[n++] = c >= ' ' && c <= '~' ? c : '?';
    }
    shown[n] = '\0';
}

/* With any of its dashes as the underscores that some proxies and people make of them. */
static bool has_prefix(struct str name, bool *ret_underscored)
{
    const size_t n = strlen(PREFIX);
    char folded[sizeof(PREFIX)] = "";

    *ret_underscored = false;
    if (name.n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        folded[i] = name.p[i];
        if (folded[i] == '_') {
            folded[i] = '-';
            *ret_underscored = true;
        }
    }
    return str_starts_nocase((struct str){ folded, n }, PREFIX);
}

enum api_err frugal_options_header(struct frugal_options *options, struct str name,
                                   struct str value, struct arena *arena,
                                   struct api_error *error)
{
    struct source s = { options, arena, error, NULL, false };
    char param[64], key[MAX_KEY_BYTES];
    bool underscored;
    struct str rest;

    if (!has_prefix(name, &underscored) || str_starts_nocase(name, FORWARD))
        return API_OK;
    show_name(param, sizeof(param), "", name);
    s.param = param;
    rest = str_skip(str_of(param), strlen(PREFIX));
    if (rest.n >= sizeof(key) || underscored || memchr(rest.p, '_', rest.n))
        return fail_unknown(error, param, rest, true);
    memcpy(key, rest.p, rest.n);
    for (size_t i = 0; i < rest.n; i++)
        key[i] = key[i] == '-' ? '_' : key[i];
    return take_named(&s, (struct str){ key, rest.n }, value, true);
}

/* False: it has what separates tags in a header. */
static bool put_tag_word(struct jread_value word, struct buf *out)
{
    const size_t before = out->n;

    (void)jread_put_string(word, out->max_bytes, out);
    return out->n == before || (memchr(out->p + before, ',', out->n - before) == NULL &&
                                memchr(out->p + before, '=', out->n - before) == NULL);
}

/* The value as a header would have it; empty and false for what has no such form. */
static bool value_text(struct jread_value value, struct buf *out)
{
    struct jread_iter it = jread_iter(value);
    struct jread_value element, name;

    switch (value.type) {
    case JREAD_NUMBER:
    case JREAD_BOOL:
        buf_put_str(out, value.raw);
        return true;
    case JREAD_TEXT:
        (void)jread_put_string(value, out->max_bytes, out);
        return true;
    case JREAD_LIST:
        while (jread_next_element(&it, &element)) {
            if (element.type != JREAD_TEXT)
                return false;
            if (out->n > 0)
                buf_put(out, ",");
            (void)jread_put_string(element, out->max_bytes, out);
        }
        return true;
    case JREAD_MAP:
        while (jread_next_member(&it, &name, &element)) {
            if (element.type != JREAD_TEXT)
                return false;
            if (out->n > 0)
                buf_put(out, ",");
            if (!put_tag_word(name, out))
                return false;
            buf_put(out, "=");
            if (!put_tag_word(element, out))
                return false;
        }
        return true;
    default:
        return false;
    }
}

static enum api_err take_member(struct source *s, struct jread_value key,
                                struct jread_value value)
{
    struct str name = { key.raw.p + 1, key.raw.n - 2 };
    enum api_err err;
    char param[64];
    struct buf text;

    show_name(param, sizeof(param), "frugal.", name);
    s->param = param;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (jread_string_is(key, keys[i]))
            name = str_of(keys[i]);
    buf_init(&text, MAX_LIST_BYTES);
    if ((value.type == JREAD_LIST && !str_is(name, "experts")) ||
        (value.type == JREAD_MAP && !str_is(name, "tags")))
        err = fail(s, "a single value");
    else if (!value_text(value, &text) || text.failed)
        err = fail(s, str_is(name, "tags") ? "texts without , and ="
                                           : "a number, a text or true or false");
    else
        err = take_named(s, name, buf_str(&text), false);
    buf_release(&text);
    return err;
}

enum api_err frugal_options_body(struct frugal_options *options, struct str object,
                                 struct arena *arena, struct api_error *error)
{
    struct source s = { options, arena, error, NULL, false };
    struct jread_value root, key, value;
    struct jread_iter it;
    enum api_err err = API_OK;

    if (object.n == 0)
        return API_OK;
    if (!jread_parse(object, JREAD_MAX_DEPTH, &root) || root.type != JREAD_MAP)
        return api_error_set(error, API_BAD_TYPE, "frugal", "'frugal' must be an object");
    it = jread_iter(root);
    while (err == API_OK && jread_next_member(&it, &key, &value))
        err = take_member(&s, key, value);
    return err;
}

enum api_err frugal_options_mask(const struct frugal_options *options,
                                 const struct config *config, uint64_t *ret_mask,
                                 struct api_error *error)
{
    uint64_t mask = 0;

    if (!frugal_option_given(options, FRUGAL_EXPERTS)) {
        *ret_mask = UINT64_MAX;
        return API_OK;
    }
    for (size_t i = 0; i < options->n_experts; i++) {
        int expert = config_find_expert(config, options->experts[i]);

        if (expert < 0 || !config->experts[expert].has_generator)
            return api_error_set(error, API_BAD_OPTION,
                                 (options->in_header >> FRUGAL_EXPERTS) & 1
                                     ? "x-frugal-experts"
                                     : "frugal.experts",
                                 "there is no expert '" STR_FMT "' that generates",
                                 STR_ARG(options->experts[i]));
        mask |= UINT64_C(1) << expert;
    }
    *ret_mask = mask;
    return API_OK;
}
