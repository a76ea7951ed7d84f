/* prices_import.c - frugalctl prices import: a list's prices become the configuration's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "tools/ctl/command.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/price_form.h"
#include "tools/ctl/prices.h"
#include "tools/ctl/textfile.h"

struct import_options {
    struct prices_options prices;
    const char *from;
    bool write;
};

static enum fault_err merge_all(const struct prices_pick *pick,
                                const struct price_dates *dates, struct fault *fault)
{
    for (size_t i = 0; i < pick->config->n; i++) {
        const struct prices_row *row = &pick->rows[i];
        char *price = NULL, *source;
        enum fault_err err;

        if (row->name == NULL)
            continue;
        source = memory_format("%s: %s", price_list_source(pick->list), row->name);
        err = price_form_merge(&pick->config->parts[i], &row->listed, source, dates,
                               &price, fault);
        free(source);
        if (err != FAULT_OK)
            return err;
        price_config_set(pick->config, i, &price);
    }
    return FAULT_OK;
}

/* { "experts": { "large": { "generator": { "price": .. } } } }: what is to be changed. */
static void print_fragment(const struct price_config *config)
{
    const char *before = NULL;
    struct buf out;

    buf_init(&out, CONFIG_MAX_FILE);
    buf_put(&out, "{\n  \"experts\": {");
    for (size_t i = 0; i < config->n; i++) {
        const struct price_part *part = &config->parts[i];

        if (part->edit == NULL)
            continue;
        if (before != part->expert) {
            buf_put(&out, before != NULL ? " },\n    " : "\n    ");
            buf_put_json(&out, str_of(part->expert));
            buf_put(&out, ": {");
        } else {
            buf_put(&out, ",");
        }
        buf_putf(&out, "\n      \"%s\": { \"price\": %s }",
                 part->embedding ? "embedding" : "generator", part->edit);
        before = part->expert;
    }
    buf_putf(&out, "%s\n  }\n}\n", before != NULL ? " }" : "");
    (void)fwrite(out.p, 1, out.n, stdout);
    buf_release(&out);
}

static enum fault_err write_back(const struct price_config *config, struct str text,
                                 struct fault *fault)
{
    char *backup = NULL;
    enum fault_err err;

    if (str_eq(text, buf_str(&config->text))) {
        (void)printf("%s has these prices already\n", config->path);
        return FAULT_OK;
    }
    err = textfile_replace(config->path, text, &backup, fault);
    if (err == FAULT_OK)
        (void)printf("%s is written, the old one is %s\n"
                     "A running gateway takes it over with `frugalctl reload` or SIGHUP; "
                     "no bundle has to be built for it.\n",
                     config->path, backup);
    free(backup);
    return err;
}

static enum fault_err run(const void *given, const char *const *operands,
                          size_t n_operands, struct fault *fault)
{
    const struct import_options *options = given;
    struct prices_pick pick = { 0 };
    struct price_dates dates;
    char today[16];
    struct buf text;
    enum fault_err err;

    (void)n_operands;
    buf_init(&text, CONFIG_MAX_FILE);
    price_form_day(clock_wall_s(&clock_system), today);
    dates = (struct price_dates){ .from = options->from != NULL ? options->from : today,
                                  .today = today };
    err = price_form_moment(dates.from, &dates.from_s, fault);
    if (err == FAULT_OK)
        err = prices_pick(&options->prices, operands[0], &pick, fault);
    if (err == FAULT_OK) {
        prices_tell(&pick);
        err = prices_wrong(&pick, fault);
    }
    if (err == FAULT_OK)
        err = merge_all(&pick, &dates, fault);
    if (err == FAULT_OK)
        err = price_config_text(pick.config, &text, fault);
    if (err == FAULT_OK && options->write)
        err = write_back(pick.config, buf_str(&text), fault);
    else if (err == FAULT_OK)
        print_fragment(pick.config);
    buf_release(&text);
    prices_release(&pick);
    return err;
}

static const struct option_spec specs[] = {
    PRICES_OPTIONS(offsetof(struct import_options, prices)),
    { .name = "from",
      .kind = OPTION_TEXT,
      .value = "DATE",
      .help = "UTC date from which a changed price holds; without it today",
      .offset = offsetof(struct import_options, from) },
    { .name = "write",
      .kind = OPTION_FLAG,
      .help =
          "write the configuration; the old one is kept beside it. Without it what would "
          "change is printed",
      .offset = offsetof(struct import_options, write) },
};

const struct command command_prices_import = {
    .operands = "FILE",
    .about =
        "FILE is LiteLLM's model_prices_and_context_window.json, or the answer of\n"
        "OpenRouter's GET /api/v1/models, as you have downloaded it. Each expert's\n"
        "model is looked up in it; where several entries fit, --map says which one.\n"
        "Prices are taken exactly, in trillionths of a dollar, rounded up where they\n"
        "are finer.\n\n"
        "A price that is the same gets today's date as its `as_of`. Another one is put\n"
        "behind it, from --from on, so that requests of before are not recounted. The\n"
        "rest of the file stays as it is, byte by byte. Experts that are free or paid\n"
        "by the hour are left alone unless they are named.\n",
    .options = { specs, ARRAY_LEN(specs) },
    .options_bytes = sizeof(struct import_options),
    .min_operands = 1,
    .max_operands = 1,
    .run = run,
};
