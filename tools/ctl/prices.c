/* prices.c - finds the entry of a list that belongs to an expert. */
#include "tools/ctl/prices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/domain/price.h"
#include "tools/ctl/memory.h"

#define CANDIDATES_SHOWN 8
#define EMBEDDING_PREFIX "embedding:"

static bool named(const struct option_list *list, const char *expert)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], expert) == 0)
            return true;
    return false;
}

/* Is "large=gpt-4o" about the part? NAME, or NULL. */
static const char *mapped(const char *item, const struct price_part *part)
{
    size_t prefix = strlen(EMBEDDING_PREFIX), n = strlen(part->expert);
    bool embedding = strncmp(item, EMBEDDING_PREFIX, prefix) == 0;

    if (embedding != part->embedding)
        return NULL;
    if (embedding)
        item += prefix;
    return strncmp(item, part->expert, n) == 0 && item[n] == '=' ? item + n + 1 : NULL;
}

static enum fault_err check_options(const struct prices_options *options,
                                    const struct price_config *config,
                                    struct fault *fault)
{
    for (size_t m = 0; m < options->map.count; m++) {
        bool found = false;

        for (size_t i = 0; i < config->n; i++)
            found = found || mapped(options->map.items[m], &config->parts[i]) != NULL;
        if (!found)
            return fault_set(fault, FAULT_USAGE,
                             "--map %s: there is no such expert; it reads EXPERT=NAME",
                             options->map.items[m]);
    }
    for (size_t e = 0; e < options->experts.count; e++) {
        bool found = false;

        for (size_t i = 0; i < config->n; i++)
            found =
                found || strcmp(options->experts.items[e], config->parts[i].expert) == 0;
        if (!found)
            return fault_set(fault, FAULT_USAGE, "there is no expert '%s'",
                             options->experts.items[e]);
    }
    return FAULT_OK;
}

static bool is_hourly(const struct price_part *part)
{
    return part->prices.n > 0 &&
           price_at(&part->prices, clock_wall_s(&clock_system))->hourly;
}

/* Several have the name of the model behind a slash. */
static char *candidates(const char *model, const char *const *names, size_t n)
{
    char *text = memory_format(
        "'%s' is %zu entries of the list: say which one with --map:", model, n);

    for (size_t i = 0; i < n && i < CANDIDATES_SHOWN; i++) {
        char *longer = memory_format("%s%s %s", text, i > 0 ? "," : "", names[i]);

        free(text);
        text = longer;
    }
    if (n > CANDIDATES_SHOWN) {
        char *longer = memory_format("%s, ...", text);

        free(text);
        text = longer;
    }
    return text;
}

static void find_entry(const struct prices_pick *pick, const struct price_part *part,
                       const char *model, struct prices_row *row)
{
    const char *names[CANDIDATES_SHOWN];
    size_t n = price_list_match(pick->list, model, names, ARRAY_LEN(names));
    struct fault fault = { "" };

    if (n > 1) {
        row->note = candidates(model, names, n);
        row->wrong = true;
    } else if (n == 0) {
        const char *near = price_list_closest(pick->list, model);

        row->note = memory_format("'%s' is not in the list%s%s%s", model,
                                  near != NULL ? ": is it '" : "",
                                  near != NULL ? near : "", near != NULL ? "'?" : "");
    } else if (price_list_price(pick->list, names[0],
                                part->embedding ? PRICE_LIST_EMBEDDING : PRICE_LIST_CHAT,
                                &row->listed, &fault) != FAULT_OK) {
        row->note = memory_text(fault.text);
        row->wrong = true;
    } else {
        row->name = names[0];
        if (row->listed.by_hours)
            row->note =
                memory_text("its price depends on the hour: the dearest is taken");
        else if (row->listed.left_out != NULL)
            row->note = memory_format("'%s' also charges for what has no setting: %s",
                                      row->name, row->listed.left_out);
    }
}

static void pick_row(const struct prices_options *options, const struct prices_pick *pick,
                     size_t i, struct prices_row *row)
{
    const struct price_part *part = &pick->config->parts[i];
    const char *model = NULL;
    bool asked;

    for (size_t m = 0; m < options->map.count && model == NULL; m++)
        model = mapped(options->map.items[m], part);
    asked = model != NULL || named(&options->experts, part->expert);
    if (options->experts.count > 0 && !asked)
        return;
    if (part->free) {
        row->note = memory_text("is marked \"free\": take that out to give it a price");
        row->wrong = asked;
    } else if (is_hourly(part) && !asked) {
        row->note = memory_text("is paid by the hour: left as it is");
    } else {
        find_entry(pick, part, model != NULL ? model : part->model, row);
        /* What was not asked for and has a price may keep it. */
        if (row->name == NULL && (asked || part->prices.n == 0))
            row->wrong = true;
    }
}

enum fault_err prices_pick(const struct prices_options *options, const char *list_path,
                           struct prices_pick *pick, struct fault *fault)
{
    enum fault_err err = price_config_open(options->config, &pick->config, fault);

    if (err == FAULT_OK)
        err = check_options(options, pick->config, fault);
    if (err == FAULT_OK)
        err = price_list_open(list_path, &pick->list, fault);
    if (err != FAULT_OK)
        return err;
    pick->rows = memory_new(pick->config->n, sizeof *pick->rows);
    for (size_t i = 0; i < pick->config->n; i++) {
        pick_row(options, pick, i, &pick->rows[i]);
        pick->n_wrong += pick->rows[i].wrong;
    }
    return FAULT_OK;
}

void prices_tell(const struct prices_pick *pick)
{
    for (size_t i = 0; i < pick->config->n; i++)
        if (pick->rows[i].note != NULL)
            (void)fprintf(stderr, "%s%s: %s\n", pick->rows[i].wrong ? "error: " : "",
                          price_part_name(&pick->config->parts[i]), pick->rows[i].note);
}

enum fault_err prices_wrong(const struct prices_pick *pick, struct fault *fault)
{
    if (pick->n_wrong == 0)
        return FAULT_OK;
    return fault_set(fault, FAULT_INPUT, "%zu price%s could not be found: see above",
                     pick->n_wrong, pick->n_wrong == 1 ? "" : "s");
}

void prices_release(struct prices_pick *pick)
{
    for (size_t i = 0; pick->rows != NULL && i < pick->config->n; i++) {
        price_listed_release(&pick->rows[i].listed);
        free(pick->rows[i].note);
    }
    free(pick->rows);
    price_list_close(pick->list);
    price_config_close(pick->config);
}
