/* price_list_read.c - one model's entry of a list becomes a price as the configuration has it.
 *
 *   members --(table: which rate)--> draft: rates of the base and of each tier, MONEY_NONE where
 *   nothing is said --(finish: what falls back on what)--> struct config_price
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/money.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/price_list_private.h"

#define NUMBER_BYTES  64
#define KEY_BYTES     128
#define DOUBLE_DIGITS 15 /* that a double always keeps */

#define RATE(member)  offsetof(struct config_rates, member)

struct known {
    const char *key;
    size_t offset;
};
static const struct known litellm[] = {
    { "input_cost_per_token", RATE(input_pico) },
    { "output_cost_per_token", RATE(output_pico) },
    { "cache_read_input_token_cost", RATE(cached_input_pico) },
    { "input_cost_per_token_cache_hit", RATE(cached_input_pico) },
    { "cache_creation_input_token_cost", RATE(cache_write_pico) },
    { "output_cost_per_reasoning_token", RATE(reasoning_pico) },
    { "input_cost_per_request", RATE(request_pico) },
};
static const struct known openrouter[] = {
    { "prompt", RATE(input_pico) },
    { "completion", RATE(output_pico) },
    { "request", RATE(request_pico) },
    { "input_cache_read", RATE(cached_input_pico) },
    { "input_cache_write", RATE(cache_write_pico) },
    { "internal_reasoning", RATE(reasoning_pico) },
};

struct draft {
    const char *name;
    struct fault *fault;
    size_t n; /* tiers, the base included */
    struct config_tier tiers[CONFIG_MAX_TIERS];
    struct buf left_out;
    bool by_hours;
};

static int64_t *rate_of(struct config_rates *rates, size_t offset)
{
    return (int64_t *)(void *)((char *)rates + offset);
}

static const struct config_rates unsaid = { MONEY_NONE, MONEY_NONE, MONEY_NONE,
                                            MONEY_NONE, MONEY_NONE, MONEY_NONE };

static void draft_init(struct draft *draft, const char *name, struct fault *fault)
{
    *draft = (struct draft){ .name = name, .fault = fault, .n = 1 };
    draft->tiers[0].rates = unsaid;
    buf_init(&draft->left_out, 4096);
}

/* -- numbers -- */

/* The sum of two doubles is printed with 17 digits, of which the last ones say nothing. */
static void cut_noise(char text[NUMBER_BYTES])
{
    size_t digits = 0;

    for (const char *p = text; *p != '\0' && *p != 'e' && *p != 'E'; p++)
        digits += *p >= '0' && *p <= '9' && (digits > 0 || *p != '0');
    if (digits > DOUBLE_DIGITS)
        (void)snprintf(text, NUMBER_BYTES, "%.*g", DOUBLE_DIGITS, strtod(text, NULL));
}

/* A number, or a text that is one. False: it is none, as null. */
static bool text_of(struct jread_value value, char text[NUMBER_BYTES])
{
    struct buf buf;

    buf_init(&buf, NUMBER_BYTES);
    if (value.type == JREAD_NUMBER)
        buf_put_str(&buf, value.raw);
    else if (value.type == JREAD_TEXT)
        (void)jread_put_string(value, NUMBER_BYTES, &buf);
    bool good = !buf.failed && buf.n > 0 && buf.n < NUMBER_BYTES;
    if (good) {
        memcpy(text, buf.p, buf.n);
        text[buf.n] = '\0';
    }
    buf_release(&buf);
    return good;
}

static enum fault_err read_rate(struct draft *draft, const char *key,
                                struct jread_value value, int64_t *ret_pico)
{
    char text[NUMBER_BYTES];

    if (!text_of(value, text))
        return FAULT_OK; /* null: nothing is said */
    if (text[0] == '-')
        return fault_set(draft->fault, FAULT_INPUT,
                         "'%s' has no fixed price: its '%s' is %s", draft->name, key,
                         text);
    cut_noise(text);
    if (money_parse_up(str_of(text), ret_pico) != ERR_OK)
        return fault_set(draft->fault, FAULT_INPUT, "the '%s' of '%s' is no price: %s",
                         key, draft->name, text);
    return FAULT_OK;
}

/* -- tiers -- */

static struct config_tier *tier_at(struct draft *draft, int64_t above)
{
    for (size_t i = 0; i < draft->n; i++)
        if (draft->tiers[i].above_tokens == above)
            return &draft->tiers[i];
    if (draft->n == CONFIG_MAX_TIERS) {
        (void)fault_set(draft->fault, FAULT_INPUT,
                        "'%s' has more than %d prices by length of the prompt",
                        draft->name, CONFIG_MAX_TIERS);
        return NULL;
    }
    size_t at = draft->n++;
    for (; at > 1 && draft->tiers[at - 1].above_tokens > above; at--)
        draft->tiers[at] = draft->tiers[at - 1];
    draft->tiers[at] = (struct config_tier){ above, unsaid };
    return &draft->tiers[at];
}

/* "_above_200k_tokens", "_above_1m_tokens" is unknown. */
static bool read_above(const char *suffix, int64_t *ret_tokens)
{
    int64_t thousands;
    int end = 0;

    if (sscanf(suffix, "_above_%" SCNd64 "k_tokens%n", &thousands, &end) != 1 ||
        end == 0 || suffix[end] != '\0' || thousands < 1 || thousands > 1000000)
        return false;
    *ret_tokens = thousands * 1000;
    return true;
}

static int64_t higher(int64_t a, int64_t b)
{
    return a == MONEY_NONE || (b != MONEY_NONE && b > a) ? b : a;
}

/* -- falling back -- */

/* What a list does not say of a cache or of reasoning is as dear as the rest; 0 beside a price
 * says nothing either. */
static void fall_back(int64_t *pico, int64_t on)
{
    if (*pico == MONEY_NONE || (*pico == 0 && on > 0))
        *pico = on;
}

static enum fault_err finish(struct draft *draft, enum price_list_kind kind,
                             struct price_listed *ret_listed)
{
    struct config_rates *base = &draft->tiers[0].rates;
    struct price_listed listed = { .writes_priced = true, .by_hours = draft->by_hours };

    if (kind == PRICE_LIST_EMBEDDING && base->output_pico == MONEY_NONE)
        base->output_pico = 0;
    if (base->input_pico == MONEY_NONE || base->output_pico == MONEY_NONE)
        return fault_set(
            draft->fault, FAULT_INPUT, "'%s' has no price per token of its %s%s" STR_FMT,
            draft->name, base->input_pico == MONEY_NONE ? "prompt" : "answer",
            draft->left_out.n > 0 ? ", only " : "", STR_ARG(buf_str(&draft->left_out)));
    if (base->request_pico == MONEY_NONE)
        base->request_pico = 0;
    for (size_t i = 0; i < draft->n; i++) {
        struct config_rates *rates = &draft->tiers[i].rates;

        if (i > 0) {
            const struct config_rates *below = &draft->tiers[i - 1].rates;

            fall_back(&rates->input_pico, below->input_pico);
            fall_back(&rates->output_pico, below->output_pico);
            fall_back(&rates->request_pico, below->request_pico);
        }
        listed.writes_priced = listed.writes_priced &&
                               rates->cache_write_pico != MONEY_NONE &&
                               (rates->cache_write_pico > 0 || rates->input_pico == 0);
        fall_back(&rates->cached_input_pico, rates->input_pico);
        fall_back(&rates->cache_write_pico, rates->input_pico);
        fall_back(&rates->reasoning_pico, rates->output_pico);
        if (kind == PRICE_LIST_EMBEDDING)
            *rates = (struct config_rates){ .input_pico = rates->input_pico,
                                            .cached_input_pico = rates->input_pico,
                                            .cache_write_pico = rates->input_pico,
                                            .request_pico = rates->request_pico };
    }
    listed.price = (struct config_price){ .from_s = INT64_MIN,
                                          .as_of_s = INT64_MIN,
                                          .n_tiers = draft->n };
    memcpy(listed.price.tiers, draft->tiers, sizeof listed.price.tiers);
    if (draft->left_out.n > 0)
        listed.left_out = memory_text_n(draft->left_out.p, draft->left_out.n);
    *ret_listed = listed;
    return FAULT_OK;
}

/* -- members -- */

static void key_text(struct jread_value key, char text[KEY_BYTES])
{
    struct buf buf;

    buf_init(&buf, KEY_BYTES);
    size_t n = jread_put_string(key, KEY_BYTES - 1, &buf);
    memcpy(text, buf.p != NULL ? buf.p : "", n);
    text[n] = '\0';
    buf_release(&buf);
}

/* A member that prices something else is named, since the configuration cannot say it. */
static void leave_out(struct draft *draft, const char *key, struct jread_value value)
{
    char text[NUMBER_BYTES];
    bool amount = text_of(value, text) && strtod(text, NULL) != 0;

    if (amount || value.type == JREAD_MAP || value.type == JREAD_LIST)
        buf_putf(&draft->left_out, "%s%s", draft->left_out.n > 0 ? ", " : "", key);
}

/* What is asked of OpenAI's service tiers and batches is refused under a ceiling anyway. */
static bool of_service_tier(const char *key)
{
    static const char *const words[] = { "_batches", "_priority", "_flex" };

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strstr(key, words[i]) != NULL)
            return true;
    return false;
}

static enum fault_err litellm_member(struct draft *draft, struct config_tier *tier,
                                     const char *key, struct jread_value value)
{
    for (size_t i = 0; i < ARRAY_LEN(litellm); i++) {
        size_t n = strlen(litellm[i].key);
        int64_t above;

        if (strcmp(key, litellm[i].key) == 0)
            return read_rate(draft, key, value, rate_of(&tier->rates, litellm[i].offset));
        if (strncmp(key, litellm[i].key, n) != 0 || !read_above(key + n, &above))
            continue;
        if (value.type != JREAD_NUMBER && value.type != JREAD_TEXT)
            return FAULT_OK;
        tier = tier_at(draft, above);
        if (tier == NULL)
            return FAULT_INPUT;
        return read_rate(draft, key, value, rate_of(&tier->rates, litellm[i].offset));
    }
    if (strstr(key, "cost") != NULL && !of_service_tier(key))
        leave_out(draft, key, value);
    return FAULT_OK;
}

static enum fault_err litellm_object(struct draft *draft, struct config_tier *tier,
                                     struct jread_value object)
{
    struct jread_iter it = jread_iter(object);
    struct jread_value key, value;
    enum fault_err err = FAULT_OK;
    char text[KEY_BYTES];

    while (err == FAULT_OK && jread_next_member(&it, &key, &value)) {
        key_text(key, text);
        err = litellm_member(draft, tier, text, value);
    }
    return err;
}

/* [{"range": [0, 32000], "input_cost_per_token": ...}, {"range": [32000, 128000], ...}] */
static enum fault_err litellm_ranges(struct draft *draft, struct jread_value list)
{
    struct jread_iter it = jread_iter(list);
    struct jread_value range;
    enum fault_err err = FAULT_OK;

    while (err == FAULT_OK && jread_next_element(&it, &range)) {
        struct jread_iter ends = jread_iter(jread_get(range, "range"));
        struct jread_value low;
        int64_t above;

        if (!jread_next_element(&ends, &low) || !jread_integer(low, &above) || above < 0)
            return fault_set(draft->fault, FAULT_INPUT,
                             "the 'tiered_pricing' of '%s' has no ranges of tokens",
                             draft->name);
        struct config_tier *tier = tier_at(draft, above);
        err = tier != NULL ? litellm_object(draft, tier, range) : FAULT_INPUT;
    }
    return err;
}

enum fault_err price_list_read_litellm(struct jread_value entry, const char *name,
                                       enum price_list_kind kind,
                                       struct price_listed *ret_listed,
                                       struct fault *fault)
{
    struct draft draft;

    draft_init(&draft, name, fault);
    enum fault_err err = litellm_object(&draft, &draft.tiers[0], entry);
    if (err == FAULT_OK)
        err = litellm_ranges(&draft, jread_get(entry, "tiered_pricing"));
    if (err == FAULT_OK)
        err = finish(&draft, kind, ret_listed);
    buf_release(&draft.left_out);
    return err;
}

/* Rates of one object. What is no rate is left out with its name or, where ret_conditions is
 * given, a condition under which the rates hold. */
static enum fault_err openrouter_object(struct draft *draft, struct config_rates *rates,
                                        struct jread_value object, bool *ret_conditions)
{
    struct jread_iter it = jread_iter(object);
    struct jread_value key, value;
    char text[KEY_BYTES];

    while (jread_next_member(&it, &key, &value)) {
        size_t i = 0;

        key_text(key, text);
        while (i < ARRAY_LEN(openrouter) && strcmp(text, openrouter[i].key) != 0)
            i++;
        if (i < ARRAY_LEN(openrouter)) {
            enum fault_err err =
                read_rate(draft, text, value, rate_of(rates, openrouter[i].offset));
            if (err != FAULT_OK)
                return err;
        } else if (ret_conditions != NULL) {
            *ret_conditions = *ret_conditions || strcmp(text, "min_prompt_tokens") != 0;
        } else if (strcmp(text, "overrides") != 0 && strcmp(text, "discount") != 0) {
            leave_out(draft, text, value);
        }
    }
    return FAULT_OK;
}

/* Of longer prompts: a tier from so many tokens on. Of certain hours, and whatever else there may
 * come: the dearer of it and of what holds otherwise. */
static enum fault_err openrouter_override(struct draft *draft,
                                          struct jread_value override)
{
    struct jread_value least = jread_get(override, "min_prompt_tokens");
    struct config_rates rates = unsaid;
    bool conditions = false;
    int64_t tokens = 1;
    enum fault_err err = openrouter_object(draft, &rates, override, &conditions);

    if (err != FAULT_OK)
        return err;
    if (least.type != JREAD_NOTHING && !jread_integer(least, &tokens))
        return fault_set(draft->fault, FAULT_INPUT,
                         "the 'min_prompt_tokens' of '%s' is no number", draft->name);
    struct config_tier *tier = tier_at(draft, tokens > 1 ? tokens - 1 : 0);
    if (tier == NULL)
        return FAULT_INPUT;
    draft->by_hours = draft->by_hours || conditions;
    for (size_t i = 0; i < ARRAY_LEN(openrouter); i++) {
        int64_t *kept = rate_of(&tier->rates, openrouter[i].offset);
        int64_t said = *rate_of(&rates, openrouter[i].offset);

        *kept = higher(*kept, said);
    }
    return FAULT_OK;
}

enum fault_err price_list_read_openrouter(struct jread_value entry, const char *name,
                                          enum price_list_kind kind,
                                          struct price_listed *ret_listed,
                                          struct fault *fault)
{
    struct jread_value pricing = jread_get(entry, "pricing"), override;
    struct jread_iter it = jread_iter(jread_get(pricing, "overrides"));
    struct draft draft;

    draft_init(&draft, name, fault);
    enum fault_err err = openrouter_object(&draft, &draft.tiers[0].rates, pricing, NULL);
    while (err == FAULT_OK && jread_next_element(&it, &override))
        err = openrouter_override(&draft, override);
    if (err == FAULT_OK)
        err = finish(&draft, kind, ret_listed);
    buf_release(&draft.left_out);
    return err;
}
