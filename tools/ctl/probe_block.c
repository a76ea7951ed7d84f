/* probe_block.c - what was learned, as the configuration writes it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/domain/ability.h"
#include "gateway/domain/adapt.h"
#include "tools/ctl/probe.h"
#include "tools/ctl/textfile.h"

static void put_words(struct buf *out, const char *key, const char *const *words,
                      size_t n, uint32_t mask)
{
    const char *comma = "";

    buf_putf(out, ",\n        \"%s\": [", key);
    for (size_t i = 0; i < n; i++) {
        if ((mask >> i & 1) == 0)
            continue;
        buf_putf(out, "%s\"%s\"", comma, words[i]);
        comma = ", ";
    }
    buf_put(out, "]");
}

/* Members whose dropping the configuration forbids stay: ceilings hang on them. */
static bool may_drop(const char *name)
{
    return adapt_forbids(ADAPT_DROP, str_of(name), STR("")) == NULL;
}

static void put_dialect(const struct probe_found *found, struct buf *out)
{
    const char *comma = "";
    size_t n = 0;

    for (size_t i = 0; i < found->n_drops; i++)
        n += may_drop(found->drops[i]);
    if (!found->completion_limit && n == 0)
        return;
    buf_put(out, ",\n        \"request\": {");
    if (found->completion_limit)
        buf_putf(out, " \"rename\": { \"max_tokens\": \"max_completion_tokens\" }%s",
                 n > 0 ? "," : "");
    if (n > 0) {
        buf_put(out, " \"drop\": [");
        for (size_t i = 0; i < found->n_drops; i++) {
            if (!may_drop(found->drops[i]))
                continue;
            buf_putf(out, "%s\"%s\"", comma, found->drops[i]);
            comma = ", ";
        }
        buf_put(out, "]");
    }
    buf_put(out, " }");
}

static void put_price(const struct probe_settings *settings,
                      const struct probe_found *found, bool embedding, struct buf *out)
{
    const char *price = embedding ? settings->embedding_price : settings->price;

    buf_put(out, ",\n        ");
    if (price != NULL)
        buf_putf(out, "\"price\": %s", price);
    else if (settings->usd_per_hour != NULL && found->tokens_per_second > 0)
        buf_putf(out,
                 "\"price\": { \"usd_per_hour\": %s, \"tokens_per_second\": %.1f, "
                 "\"source\": \"probe\" }",
                 settings->usd_per_hour,
                 found->tokens_per_second < 0.1 ? 0.1 : found->tokens_per_second);
    else
        buf_put(out, "\"free\": true");
}

static void put_generator(const struct probe_settings *settings,
                          const struct probe_found *found, struct buf *out)
{
    static const char *const apis[] = {
#define X(name, word) word,
        CONFIG_APIS(X)
#undef X
    };
    static const char *const abilities[] = {
#define X(name, word, param, text) word,
        ABILITIES(X)
#undef X
    };

    buf_put(out, ",\n      \"generator\": {\n        \"model\": ");
    buf_put_json(out, str_of(settings->model));
    put_words(out, "api", apis, ARRAY_LEN(apis), found->apis);
    if (found->chat)
        put_words(out, "capabilities", abilities, ARRAY_LEN(abilities), found->abilities);
    if (found->context_tokens > 0)
        buf_putf(out, ",\n        \"context\": %" PRId64, found->context_tokens);
    if (found->output_cap > 0)
        buf_putf(out, ",\n        \"max_output_tokens\": %" PRId64, found->output_cap);
    if (found->over_limit)
        buf_put(out, ",\n        \"prompt_bound\": \"none\"");
    else if (found->tokenizer_takes != NULL)
        buf_putf(out,
                 ",\n        \"prompt_bound\": \"tokenize\", \"tokenizer_takes\": \"%s\"",
                 found->tokenizer_takes);
    put_dialect(found, out);
    put_price(settings, found, false, out);
    buf_put(out, "\n      }");
}

enum fault_err probe_block(const struct probe_settings *settings,
                           const struct probe_found *found, struct buf *out,
                           struct fault *fault)
{
    struct config_error error = { .set = false };
    struct config *config = NULL;
    char line[1200];

    buf_put(out, "{\n  \"experts\": {\n    ");
    buf_put_json(out, str_of(settings->name));
    buf_put(out, ": {\n      \"endpoints\": [");
    buf_put_json(out, str_of(settings->base));
    buf_put(out, "]");
    if (settings->key_env != NULL) {
        buf_put(out, ",\n      \"key\": { \"env\": ");
        buf_put_json(out, str_of(settings->key_env));
        buf_put(out, " }");
        if (settings->line.key_header != NULL) {
            buf_put(out, ", \"key_header\": ");
            buf_put_json(out, str_of(settings->line.key_header));
        }
    }
    if (found->apis != 0)
        put_generator(settings, found, out);
    if (found->dim > 0) {
        buf_put(out, ",\n      \"embedding\": {\n        \"model\": ");
        buf_put_json(out,
                     str_of(settings->embedding_model != NULL ? settings->embedding_model
                                                              : settings->model));
        buf_putf(out, ",\n        \"dim\": %zu", found->dim);
        put_price(settings, found, true, out);
        buf_put(out, "\n      }");
    }
    buf_put(out, "\n    }\n  }\n}\n");
    if (config_parse(buf_str(out), "probe", &config, &error) != ERR_OK)
        return fault_set(fault, FAULT_CONFIG, "the block would be refused: %s",
                         config_error_text(&error, line, sizeof line));
    config_unref(config);
    return FAULT_OK;
}

/* Where a further member goes: behind the last value, or behind the opening brace. */
static const char *end_of(struct jread_value object, const char *name, bool *ret_first,
                          bool *ret_known)
{
    struct jread_iter it = jread_iter(object);
    const char *end = object.raw.p + 1;
    struct jread_value key, value;

    *ret_first = true;
    *ret_known = false;
    while (jread_next_member(&it, &key, &value)) {
        *ret_known = *ret_known || jread_string_is(key, name);
        *ret_first = false;
        end = value.raw.p + value.raw.n;
    }
    return end;
}

enum fault_err probe_add(const char *path, struct str block, struct buf *out,
                         struct fault *fault)
{
    struct jread_value root, added, experts, key, expert;
    bool first, known;
    struct buf file, name;
    enum fault_err err = textfile_read(path, CONFIG_MAX_FILE, &file, fault);

    buf_init(&name, CONFIG_MAX_NAME + 1);
    if (err == FAULT_OK && (!jread_parse(buf_str(&file), JREAD_MAX_DEPTH, &root) ||
                            !jread_parse(block, JREAD_MAX_DEPTH, &added)))
        err = fault_set(fault, FAULT_CONFIG, "'%s' is no JSON", path);
    if (err == FAULT_OK && jread_get(root, "experts").type != JREAD_MAP)
        err = fault_set(fault, FAULT_CONFIG,
                        "'%s' has no object 'experts': it begins with {\"experts\": {}}",
                        path);
    if (err == FAULT_OK) {
        struct jread_iter it = jread_iter(jread_get(added, "experts"));

        experts = jread_get(root, "experts");
        (void)jread_next_member(&it, &key, &expert);
        (void)jread_put_string(key, CONFIG_MAX_NAME, &name);
        buf_putf(&name, "%c", 0);
        const char *end = end_of(experts, name.p, &first, &known);
        size_t before = (size_t)(end - file.p);

        buf_put_str(out, str_first(buf_str(&file), before));
        buf_putf(out, "%s\n    " STR_FMT ": " STR_FMT, first ? "" : ",", STR_ARG(key.raw),
                 STR_ARG(expert.raw));
        buf_put(out, first ? "\n  " : "");
        buf_put_str(out, str_skip(buf_str(&file), before));
        if (known)
            err = fault_set(fault, FAULT_CONFIG,
                            "'%s' has an expert '%s': take another --name", path, name.p);
    }
    buf_release(&name);
    buf_release(&file);
    return err;
}

enum fault_err probe_may_add(const char *path, const char *name, struct fault *fault)
{
    struct buf block, out;

    buf_init(&block, CONFIG_MAX_FILE);
    buf_init(&out, 2 * (size_t)CONFIG_MAX_FILE);
    buf_put(&block, "{\"experts\":{");
    buf_put_json(&block, str_of(name));
    buf_put(&block, ":{}}}");
    enum fault_err err = probe_add(path, buf_str(&block), &out, fault);
    buf_release(&block);
    buf_release(&out);
    return err;
}
