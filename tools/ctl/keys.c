/* keys.c - what the commands `frugalctl keys ...` share; see keys.h. */
#include "tools/ctl/keys.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/domain/config.h"
#include "tools/ctl/memory.h"

#define SCRATCH_BYTES (1u << 20)

/* -- which database ---------------------------------------------------------------------- */

static enum fault_err place_of(const struct keys_place *place, char **ret_path,
                               struct fault *fault)
{
    struct config_error why = { .set = false };
    struct config *config;
    char text[1024];
    enum fault_err err = FAULT_OK;

    if ((place->store != NULL) == (place->config != NULL))
        return fault_set(fault, FAULT_USAGE, "give either --store or --config");
    if (place->store != NULL) {
        *ret_path = memory_text(place->store);
        return FAULT_OK;
    }
    if (config_load(place->config, &config, &why) != ERR_OK)
        return fault_set(fault, FAULT_CONFIG, "%s",
                         config_error_text(&why, text, sizeof text));
    if (config->store.path == NULL)
        err = fault_set(fault, FAULT_CONFIG, "'%s' names no store", place->config);
    else
        *ret_path = memory_text(config->store.path);
    config_unref(config);
    return err;
}

enum fault_err keys_failed(enum store_err err, const struct store_error *error,
                           struct fault *fault)
{
    return fault_set(fault, FAULT_STORE, "%s",
                     error->text[0] != '\0' ? error->text : store_err_text(err));
}

enum fault_err keys_open(const struct keys_place *place, enum store_file_mode mode,
                         struct store_file **ret_file, struct fault *fault)
{
    struct store_error error = { .text = "" };
    char *path = NULL;
    enum fault_err err = place_of(place, &path, fault);
    enum store_err why;

    if (err != FAULT_OK)
        return err;
    why = store_file_open(path, mode, ret_file, &error);
    free(path);
    return why == STORE_OK ? FAULT_OK : keys_failed(why, &error, fault);
}

/* -- a key's fields as options ----------------------------------------------------------- */

bool keys_any(const struct keys_fields *fields)
{
#define X(field, option, value, help)                                                    \
    if (fields->field != NULL)                                                           \
        return true;
    KEYS_FIELDS(X)
#undef X
    return false;
}

static enum err change(struct key_reader *reader, const char *field, const char *value)
{
    if (value == NULL)
        return ERR_OK;
    return key_change(reader, str_of(field), str_of(value));
}

enum fault_err keys_apply(struct key_reader *reader, const struct keys_fields *fields,
                          struct key_file_error *error, struct fault *fault)
{
    enum err err = ERR_OK;

    reader->error = error;
    reader->seen = 0;
    if (reader->scratch.max_bytes == 0)
        arena_init(&reader->scratch, SCRATCH_BYTES);
#define X(field, option, value, help)                                                    \
    if (err == ERR_OK)                                                                   \
        err = change(reader, #field, fields->field);
    KEYS_FIELDS(X)
#undef X
    if (err != ERR_OK)
        return fault_set(fault, FAULT_USAGE, "%s", error->text);
    return FAULT_OK;
}

/* -- showing ----------------------------------------------------------------------------- */

const char *keys_state(const struct key *key, int64_t now_us)
{
    if (key->revoked_us != 0 && key->revoked_us <= now_us)
        return "revoked";
    return key->expires_us != 0 && key->expires_us <= now_us ? "expired" : "active";
}

static json_t *time_json(int64_t wall_us)
{
    char text[CLOCK_TEXT_BYTES];

    return wall_us == 0 ? json_null() : json_string(clock_format(wall_us, text));
}

static json_t *list_json(const struct key_list *list)
{
    json_t *names = json_array();

    if (!list->given) {
        json_decref(names);
        return json_null();
    }
    for (size_t i = 0; i < list->n; i++)
        (void)json_array_append_new(names, json_string(list->names[i]));
    return names;
}

static json_t *usd_json(int64_t pico)
{
    return pico == MONEY_NONE ? json_null() : json_real(money_to_usd(pico));
}

static json_t *rate_json(int64_t per_minute)
{
    return per_minute == 0 ? json_null() : json_integer(per_minute);
}

json_t *keys_json(const struct key *key, int64_t now_us)
{
    const struct key_limits *limits = &key->limits;

    return json_pack("{s:s, s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
                     "s:o, s:s, s:s}",
                     "id", key->id, "name", key->name, "state", keys_state(key, now_us),
                     "secrets", (int)key->n_hashes, "created", time_json(key->created_us),
                     "expires", time_json(key->expires_us), "revoked",
                     time_json(key->revoked_us), "experts", list_json(&key->experts),
                     "policies", list_json(&key->policies), "day_usd",
                     usd_json(limits->budget_pico[KEY_DAY]), "month_usd",
                     usd_json(limits->budget_pico[KEY_MONTH]), "total_usd",
                     usd_json(limits->budget_pico[KEY_TOTAL]), "requests_per_minute",
                     rate_json(limits->requests_per_minute), "tokens_per_minute",
                     rate_json(limits->tokens_per_minute), "feedback",
                     key_feedback_word(key->feedback), "tags", key->tags);
}
