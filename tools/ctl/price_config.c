/* price_config.c - finds prices in the text of a configuration, and splices others in. */
#include "tools/ctl/price_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/memory.h"
#include "tools/ctl/textfile.h"

#define CONFIG_DEPTH 64
#define ARENA_BYTES  (1u << 20)

static enum fault_err fail_syntax(const char *path, struct str text, struct fault *fault)
{
    struct config_error error = { .set = false };
    struct config *config = NULL;
    char line[1200];

    if (config_parse(text, path, &config, &error) == ERR_OK) {
        config_unref(config);
        return fault_set(fault, FAULT_CONFIG, "'%s' is nested too deep", path);
    }
    return fault_set(fault, FAULT_CONFIG, "%s",
                     config_error_text(&error, line, sizeof line));
}

static const char *keep(struct price_config *config, struct jread_value text)
{
    struct str kept;

    return jread_string(text, &config->arena, &kept) == ERR_OK ? kept.p : "";
}

/* A generator's or an embedding's price. */
static enum fault_err add_part(struct price_config *config, const char *expert, bool free,
                               struct jread_value object, bool embedding,
                               struct fault *fault)
{
    struct price_part part = { .expert = expert,
                               .embedding = embedding,
                               .price = jread_get(object, "price"),
                               .free = free || jread_is_true(jread_get(object, "free")) };
    struct jread_value model = jread_get(object, "model");
    struct config_error error = { .set = false };

    if (object.type != JREAD_MAP)
        return FAULT_OK;
    part.model = keep(config, model);
    part.after = model.type != JREAD_NOTHING ? model.raw : str_first(object.raw, 1);
    if (part.price.type != JREAD_NOTHING &&
        config_parse_prices(part.price.raw, embedding, &part.owner, &part.prices,
                            &error) != ERR_OK)
        return fault_set(fault, FAULT_CONFIG, "%s: /experts/%s/%s/price%s: %s",
                         config->path, expert, embedding ? "embedding" : "generator",
                         error.pointer, error.text);
    config->parts = memory_resize(config->parts, config->n + 1, sizeof *config->parts);
    config->parts[config->n++] = part;
    return FAULT_OK;
}

static enum fault_err read_experts(struct price_config *config,
                                   struct jread_value experts, struct fault *fault)
{
    struct jread_iter it = jread_iter(experts);
    struct jread_value key, value;
    enum fault_err err = FAULT_OK;

    if (experts.type != JREAD_MAP)
        return fault_set(fault, FAULT_CONFIG, "%s: there is no object 'experts'",
                         config->path);
    while (err == FAULT_OK && jread_next_member(&it, &key, &value)) {
        const char *name = keep(config, key);
        bool free = jread_is_true(jread_get(value, "free"));

        err = add_part(config, name, free, jread_get(value, "generator"), false, fault);
        if (err == FAULT_OK)
            err =
                add_part(config, name, free, jread_get(value, "embedding"), true, fault);
    }
    return err;
}

enum fault_err price_config_open(const char *path, struct price_config **ret_config,
                                 struct fault *fault)
{
    struct price_config *config = memory_new(1, sizeof *config);
    struct jread_value root;
    enum fault_err err = textfile_read(path, CONFIG_MAX_FILE, &config->text, fault);

    config->path = path;
    arena_init(&config->arena, ARENA_BYTES);
    if (err == FAULT_OK && !jread_parse(buf_str(&config->text), CONFIG_DEPTH, &root))
        err = fail_syntax(path, buf_str(&config->text), fault);
    if (err == FAULT_OK)
        err = read_experts(config, jread_get(root, "experts"), fault);
    if (err == FAULT_OK)
        *ret_config = config;
    else
        price_config_close(config);
    return err;
}

void price_config_close(struct price_config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < config->n; i++) {
        config_unref(config->parts[i].owner);
        free(config->parts[i].edit);
    }
    free(config->parts);
    arena_release(&config->arena);
    buf_release(&config->text);
    free(config);
}

void price_config_set(struct price_config *config, size_t part, char **price)
{
    free(config->parts[part].edit);
    config->parts[part].edit = *price;
    *price = NULL;
}

/* Where the text goes on behind what is replaced. */
static const char *put_edit(const struct price_part *part, const char *from,
                            struct buf *out)
{
    struct str price = part->price.raw, after = part->after;

    if (part->price.type != JREAD_NOTHING) {
        buf_put_str(out, (struct str){ from, (size_t)(price.p - from) });
        buf_put(out, part->edit);
        return price.p + price.n;
    }
    buf_put_str(out, (struct str){ from, (size_t)(after.p + after.n - from) });
    if (after.n == 1 && after.p[0] == '{')
        buf_putf(out, " \"price\": %s,", part->edit); /* of an object that has no model */
    else
        buf_putf(out, ", \"price\": %s", part->edit);
    return after.p + after.n;
}

/* Is it the fault of a price? Everything else was so before, and is `--check-config`'s. */
static enum fault_err check(const struct price_config *config, struct str text,
                            struct fault *fault)
{
    struct config_error error = { .set = false };
    struct config *read = NULL;
    char line[1200];
    enum err err = config_parse(text, config->path, &read, &error);

    config_unref(read);
    if (err != ERR_OK && strstr(error.pointer, "/price") != NULL)
        return fault_set(fault, FAULT_CONFIG, "%s",
                         config_error_text(&error, line, sizeof line));
    return FAULT_OK;
}

enum fault_err price_config_text(const struct price_config *config, struct buf *out,
                                 struct fault *fault)
{
    struct str text = buf_str(&config->text);
    const char *from = text.p;

    /* An expert's embedding may stand before its generator. */
    for (;;) {
        const struct price_part *next = NULL;

        for (size_t i = 0; i < config->n; i++) {
            const struct price_part *part = &config->parts[i];
            const char *at = part->after.p;

            if (part->price.type != JREAD_NOTHING)
                at = part->price.raw.p;
            if (part->edit == NULL || at < from)
                continue;
            if (next == NULL ||
                at < (next->price.type != JREAD_NOTHING ? next->price.raw.p
                                                        : next->after.p))
                next = part;
        }
        if (next == NULL)
            break;
        from = put_edit(next, from, out);
    }
    buf_put_str(out, (struct str){ from, (size_t)(text.p + text.n - from) });
    if (out->failed)
        return fault_set(fault, FAULT_INPUT, "the configuration becomes too large");
    return check(config, buf_str(out), fault);
}

const char *price_part_name(const struct price_part *part)
{
    static _Thread_local char name[CONFIG_MAX_NAME + 16];

    (void)snprintf(name, sizeof name, "%.*s%s", CONFIG_MAX_NAME, part->expert,
                   part->embedding ? " (embedding)" : "");
    return name;
}
