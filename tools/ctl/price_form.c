/* price_form.c - writes prices, and puts a new one behind those that there are. */
#include "tools/ctl/price_form.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/domain/price.h"
#include "tools/ctl/memory.h"

#define PER_MILLION 1000000

void price_form_day(int64_t at_s, char text[16])
{
    time_t at = at_s;
    struct tm utc;

    (void)gmtime_r(&at, &utc);
    (void)strftime(text, 16, "%Y-%m-%d", &utc);
}

enum fault_err price_form_moment(const char *text, int64_t *ret_s, struct fault *fault)
{
    struct config *owner = NULL;
    struct config_prices prices;
    struct buf list;
    enum err err;

    buf_init(&list, 4096);
    buf_put(&list, "[{\"input\":0},{\"input\":0,\"from\":");
    buf_put_json(&list, str_of(text));
    buf_put(&list, "}]");
    err = config_parse_prices(buf_str(&list), true, &owner, &prices, NULL);
    buf_release(&list);
    if (err != ERR_OK)
        return fault_set(fault, FAULT_USAGE,
                         "'%s' is no date like 2026-07-01 or 2026-07-01T12:00:00Z", text);
    *ret_s = prices.list[1].from_s;
    config_unref(owner);
    return FAULT_OK;
}

const char *price_form_million(int64_t pico, char text[MONEY_TEXT_BYTES])
{
    return money_format(money_mul(pico, PER_MILLION), text);
}

bool price_form_same(const struct config_price *a, const struct config_price *b)
{
    if (a->n_tiers != b->n_tiers)
        return false;
    for (size_t i = 0; i < a->n_tiers; i++) {
        const struct config_rates *x = &a->tiers[i].rates, *y = &b->tiers[i].rates;

        if (a->tiers[i].above_tokens != b->tiers[i].above_tokens ||
            x->input_pico != y->input_pico || x->output_pico != y->output_pico ||
            x->cached_input_pico != y->cached_input_pico ||
            x->cache_write_pico != y->cache_write_pico ||
            x->reasoning_pico != y->reasoning_pico || x->request_pico != y->request_pico)
            return false;
    }
    return true;
}

/* -- writing -- */

static void put_rate(struct buf *out, const char *name, int64_t pico)
{
    char text[MONEY_TEXT_BYTES];

    buf_putf(out, ", \"%s\": %s", name, price_form_million(pico, text));
}

static void put_rates(struct buf *out, const struct config_rates *rates, bool embedding,
                      bool writes, const struct config_rates *below)
{
    char text[MONEY_TEXT_BYTES];

    buf_putf(out, "\"input\": %s", price_form_million(rates->input_pico, text));
    if (!embedding) {
        if (rates->cached_input_pico != rates->input_pico)
            put_rate(out, "cached_input", rates->cached_input_pico);
        if (writes || rates->cache_write_pico != rates->input_pico)
            put_rate(out, "cache_write", rates->cache_write_pico);
        put_rate(out, "output", rates->output_pico);
        if (rates->reasoning_pico != rates->output_pico)
            put_rate(out, "reasoning", rates->reasoning_pico);
    }
    if (rates->request_pico != (below != NULL ? below->request_pico : 0))
        buf_putf(out, ", \"request\": %s", money_format(rates->request_pico, text));
}

/* from: NULL: no date. */
static void put_price(struct buf *out, const struct price_listed *listed, bool embedding,
                      const char *source, const char *from, const char *today)
{
    const struct config_price *price = &listed->price;

    buf_put(out, "{ ");
    if (from != NULL)
        buf_putf(out, "\"from\": \"%s\", ", from);
    put_rates(out, &price->tiers[0].rates, embedding, listed->writes_priced, NULL);
    for (size_t i = 1; i < price->n_tiers; i++) {
        buf_putf(out, "%s{ \"tokens\": %" PRId64 ", ",
                 i > 1                 ? ", "
                 : price->n_tiers == 2 ? ", \"above\": "
                                       : ", \"above\": [",
                 price->tiers[i].above_tokens);
        put_rates(out, &price->tiers[i].rates, embedding, listed->writes_priced,
                  &price->tiers[i - 1].rates);
        buf_put(out, " }");
    }
    buf_putf(out, "%s, \"as_of\": \"%s\", \"source\": ", price->n_tiers > 2 ? "]" : "",
             today);
    buf_put_json(out, str_of(source));
    buf_put(out, " }");
}

/* -- merging -- */

static void put_member(struct buf *out, struct jread_value object, const char *name,
                       const char *text)
{
    struct jread_value old = jread_get(object, name);
    struct str raw = buf_str(out);
    /* out holds the object alone; where `old` stands in it. */
    size_t at = old.type != JREAD_NOTHING ? (size_t)(old.raw.p - object.raw.p) : 0;
    struct buf made;

    buf_init(&made, CONFIG_MAX_FILE);
    if (old.type != JREAD_NOTHING) {
        buf_put_str(&made, str_first(raw, at));
        buf_put_json(&made, str_of(text));
        buf_put_str(&made, str_skip(raw, at + old.raw.n));
    } else {
        size_t end = raw.n - 1; /* the brace; white space before it moves behind */

        while (end > 0 && strchr(" \t\r\n", raw.p[end - 1]) != NULL)
            end--;
        buf_put_str(&made, str_first(raw, end));
        buf_putf(&made, "%s\"%s\": ", raw.p[end - 1] == '{' ? " " : ", ", name);
        buf_put_json(&made, str_of(text));
        buf_put_str(&made, str_skip(raw, end));
    }
    buf_clear(out);
    buf_put_str(out, buf_str(&made));
    buf_release(&made);
}

/* The old element, looked at today. */
static void put_confirmed(struct buf *out, struct jread_value element, const char *source,
                          const char *today)
{
    struct jread_value root;
    struct buf one;

    buf_init(&one, CONFIG_MAX_FILE);
    if (element.type == JREAD_NUMBER)
        buf_putf(&one, "{ \"input\": " STR_FMT " }", STR_ARG(element.raw));
    else
        buf_put_str(&one, element.raw);
    /* Each step reads what the one before has written. */
    for (int step = 0; step < 2; step++) {
        char *text = memory_text_n(one.p, one.n);

        if (jread_parse(str_of(text), 64, &root))
            put_member(&one, root, step == 0 ? "as_of" : "source",
                       step == 0 ? today : source);
        free(text);
    }
    buf_put_str(out, buf_str(&one));
    buf_release(&one);
}

static struct jread_value element_at(struct jread_value price, size_t at)
{
    struct jread_iter it = jread_iter(price);
    struct jread_value element = price;

    if (price.type == JREAD_LIST)
        for (size_t i = 0; i <= at && jread_next_element(&it, &element); i++)
            ;
    return element;
}

/* What there is with element `at` replaced by the text, or, at its end, followed by it. */
static char *spliced(struct jread_value price, size_t n, size_t at, const char *text)
{
    struct jread_value old = element_at(price, at < n ? at : n - 1);
    bool list = price.type == JREAD_LIST;
    size_t from = (size_t)(old.raw.p - price.raw.p);

    if (!list && at < n)
        return memory_text(text);
    if (!list)
        return memory_format("[ " STR_FMT ", %s ]", STR_ARG(price.raw), text);
    if (at == n)
        from += old.raw.n;
    struct str rest = str_skip(price.raw, at < n ? from + old.raw.n : from);

    return memory_format("%.*s%s%s" STR_FMT, (int)from, price.raw.p, at < n ? "" : ", ",
                         text, STR_ARG(rest));
}

enum fault_err price_form_merge(const struct price_part *part,
                                const struct price_listed *listed, const char *source,
                                const struct price_dates *dates, char **ret_price,
                                struct fault *fault)
{
    const struct config_prices *prices = &part->prices;
    size_t n = prices->n, at = 0;
    char day[16];
    struct buf text;

    buf_init(&text, CONFIG_MAX_FILE);
    if (n > 0)
        at = (size_t)(price_at(prices, dates->from_s) - prices->list);
    if (n > 0 && price_form_same(&prices->list[at], &listed->price)) {
        put_confirmed(&text, element_at(part->price, at), source, dates->today);
    } else if (n > 0 && at + 1 < n) {
        price_form_day(prices->list[at + 1].from_s, day);
        buf_release(&text);
        return fault_set(
            fault, FAULT_INPUT,
            "%s has a price from %s on already: begin after it with --from, or "
            "take it out first",
            price_part_name(part), day);
    } else {
        bool again = n > 0 && prices->list[at].from_s == dates->from_s;

        put_price(&text, listed, part->embedding, source, n > 0 ? dates->from : NULL,
                  dates->today);
        if (!again)
            at = n;
    }
    if (at == n && n == CONFIG_MAX_PRICES) {
        buf_release(&text);
        return fault_set(fault, FAULT_INPUT,
                         "%s has %d prices: take out those that have ended",
                         price_part_name(part), CONFIG_MAX_PRICES);
    }
    buf_putf(&text, "%c", 0);
    *ret_price = n > 0 ? spliced(part->price, n, at, text.p) : memory_text(text.p);
    buf_release(&text);
    return FAULT_OK;
}
