/* keys_change.c - frugalctl keys add, limit, rotate, revoke: what makes a key or changes
 * one in the gateway's database.
 *
 * A secret is made here, printed once on standard output and wiped; what goes on is its
 * hash. Remarks go to standard error, so that SECRET=$(frugalctl keys add ...) works.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "tools/ctl/command.h"
#include "tools/ctl/keys.h"
#include "tools/ctl/report.h"

static void print_secret(const char *id, const char *secret, bool json)
{
    if (json) {
        report_print_json(json_pack("{s:s, s:s}", "id", id, "secret", secret));
        return;
    }
    (void)puts(secret);
    (void)fprintf(stderr, "the secret of key '%s' is shown this once\n", id);
}

static enum fault_err ready(struct fault *fault)
{
    if (!key_start())
        return fault_set(fault, FAULT_IO, "the system has no source of randomness");
    return FAULT_OK;
}

static enum fault_err check_id(const char *id, struct fault *fault)
{
    if (!key_id_ok(str_of(id)))
        return fault_set(fault, FAULT_USAGE,
                         "'%s' cannot be an id: letters, digits, - _ . and :, not '%s'",
                         id, KEY_BOOTSTRAP_ID);
    return FAULT_OK;
}

/* What is being changed, for the store's callback. */
struct change {
    const struct keys_fields *fields;
    struct key_reader reader;
    struct key_file_error error;
    struct fault *fault;
    uint8_t hash[KEY_HASH_BYTES];
    bool finish, at_once;
};

static enum fault_err edit(const struct keys_place *place, const char *id,
                           store_keys_edit_fn fn, struct change *change,
                           struct fault *fault)
{
    struct store_file *file = NULL;
    struct store_error error = { .text = "" };
    enum fault_err err = keys_open(place, STORE_FILE_WRITE, &file, fault);
    enum store_err why;

    if (err != FAULT_OK)
        return err;
    change->fault = fault;
    why = store_keys_edit(file, str_of(id), fn, change, &error);
    if (why != STORE_OK && fault->text[0] != '\0')
        err = FAULT_USAGE; /* the callback has said it */
    else if (why != STORE_OK)
        err = keys_failed(why, &error, fault);
    store_file_close(file);
    return err;
}

/* -- add --------------------------------------------------------------------------------- */

struct add_options {
    struct keys_place place;
    struct keys_fields fields;
    bool json;
};

#define X(field, option, value, help)                                                    \
    KEYS_FIELD(struct add_options, field, option, value, help)
static const struct option_spec add_specs[] = {
    KEYS_PLACE(offsetof(struct add_options, place)),
    KEYS_FIELDS(X) KEYS_JSON(offsetof(struct add_options, json)),
};
#undef X

static enum fault_err add_key(const struct add_options *options, struct key *key,
                              struct fault *fault)
{
    char secret[KEY_SECRET_BYTES];
    struct store_file *file = NULL;
    struct store_error error = { .text = "" };
    enum fault_err err = keys_open(&options->place, STORE_FILE_CREATE, &file, fault);
    enum store_err why;

    if (err != FAULT_OK)
        return err;
    key_secret_new(secret);
    key_hash(str_of(secret), key->hashes[0]);
    key->n_hashes = 1;
    key->created_us = clock_wall_us(&clock_system);
    why = store_keys_add(file, key, &error);
    store_file_close(file);
    if (why == STORE_REFUSED)
        err = fault_set(fault, FAULT_STORE, "there is a key '%s' already", key->id);
    else if (why != STORE_OK)
        err = keys_failed(why, &error, fault);
    else
        print_secret(key->id, secret, options->json);
    key_wipe(secret, sizeof secret);
    return err;
}

static enum fault_err add_run(const void *given, const char *const *operands,
                              size_t n_operands, struct fault *fault)
{
    const struct add_options *options = given;
    struct key_file_error error = { .text = "" };
    struct key_reader reader = { .error = NULL };
    enum fault_err err = ready(fault);

    (void)n_operands;
    key_init(&reader.key);
    reader.key.id = operands[0];
    if (err == FAULT_OK)
        err = check_id(operands[0], fault);
    if (err == FAULT_OK)
        err = keys_apply(&reader, &options->fields, &error, fault);
    if (err == FAULT_OK)
        err = add_key(options, &reader.key, fault);
    arena_release(&reader.scratch);
    return err;
}

const struct command command_keys_add = {
    .operands = "ID",
    .about =
        "Makes a key in the gateway's database and prints its secret, once: only a hash "
        "is\n"
        "kept. A running gateway knows it within a second. ID is what the key is called "
        "in\n"
        "logs and reports. Without options it may use everything, without limits. "
        "Budgets\n"
        "are USD in UTC days and months; they bind the worst case of what is under way\n"
        "together with what was spent. The database is made when absent.\n"
        "\n"
        "  SECRET=$(frugalctl keys add team-a --store frugal.db --day-usd 5)\n",
    .options = { add_specs, ARRAY_LEN(add_specs) },
    .options_bytes = sizeof(struct add_options),
    .min_operands = 1,
    .max_operands = 1,
    .run = add_run,
};

/* -- limit ------------------------------------------------------------------------------- */

struct limit_options {
    struct keys_place place;
    struct keys_fields fields;
};

#define X(field, option, value, help)                                                    \
    KEYS_FIELD(struct limit_options, field, option, value, help)
static const struct option_spec limit_specs[] = {
    KEYS_FIELDS(X) KEYS_PLACE(offsetof(struct limit_options, place)),
};
#undef X

static bool limit_key(void *context, struct key *key, struct store_error *error)
{
    struct change *change = context;

    change->reader.key = *key;
    if (keys_apply(&change->reader, change->fields, &change->error, change->fault) !=
        FAULT_OK) {
        (void)store_error_set(error, STORE_REFUSED, "%s", change->error.text);
        return false;
    }
    *key = change->reader.key;
    return true;
}

static enum fault_err limit_run(const void *given, const char *const *operands,
                                size_t n_operands, struct fault *fault)
{
    const struct limit_options *options = given;
    struct change change = { .fields = &options->fields };
    enum fault_err err;

    (void)n_operands;
    if (!keys_any(&options->fields))
        return fault_set(fault, FAULT_USAGE, "nothing is to be changed");
    err = edit(&options->place, operands[0], limit_key, &change, fault);
    arena_release(&change.reader.scratch);
    return err;
}

const struct command command_keys_limit = {
    .operands = "ID",
    .about =
        "Changes what a key may use and spend; what is not named stays. The value "
        "\"none\"\n"
        "takes a limit away. What the key has spent and reserved stays counted: a "
        "budget\n"
        "below it lets nothing more in until its window ends.\n"
        "\n"
        "  frugalctl keys limit team-a --store frugal.db --day-usd 10 --experts none\n",
    .options = { limit_specs, ARRAY_LEN(limit_specs) },
    .options_bytes = sizeof(struct limit_options),
    .min_operands = 1,
    .max_operands = 1,
    .run = limit_run,
};

/* -- rotate ------------------------------------------------------------------------------ */

struct rotate_options {
    struct keys_place place;
    bool finish, at_once, json;
};

#define AT(member) .offset = offsetof(struct rotate_options, member)
static const struct option_spec rotate_specs[] = {
    { .name = "finish",
      .kind = OPTION_FLAG,
      .help = "no new secret: the older of the two is refused from now on",
      AT(finish) },
    { .name = "at-once",
      .kind = OPTION_FLAG,
      .help = "a new secret, and all older ones are refused from now on",
      AT(at_once) },
    KEYS_PLACE(offsetof(struct rotate_options, place)),
    KEYS_JSON(offsetof(struct rotate_options, json)),
};
#undef AT

static bool rotate_key(void *context, struct key *key, struct store_error *error)
{
    struct change *change = context;

    if (change->finish && key->n_hashes < KEY_SECRETS) {
        (void)store_error_set(error, STORE_REFUSED, "key '%s' has one secret", key->id);
        return false;
    }
    if (!change->finish && !change->at_once && key->n_hashes == KEY_SECRETS) {
        (void)store_error_set(error, STORE_REFUSED,
                              "key '%s' has two secrets already: `frugalctl keys rotate "
                              "%s --finish` takes the older one away",
                              key->id, key->id);
        return false;
    }
    if (change->finish) {
        memcpy(key->hashes[0], key->hashes[1], KEY_HASH_BYTES);
        key->n_hashes = 1;
        return true;
    }
    if (change->at_once)
        key->n_hashes = 0;
    memcpy(key->hashes[key->n_hashes++], change->hash, KEY_HASH_BYTES);
    return true;
}

static enum fault_err rotate_run(const void *given, const char *const *operands,
                                 size_t n_operands, struct fault *fault)
{
    const struct rotate_options *options = given;
    struct change change = { .finish = options->finish, .at_once = options->at_once };
    char secret[KEY_SECRET_BYTES] = "";
    enum fault_err err = ready(fault);

    (void)n_operands;
    if (err == FAULT_OK && options->finish && options->at_once)
        err = fault_set(fault, FAULT_USAGE, "give either --finish or --at-once");
    if (err != FAULT_OK)
        return err;
    key_secret_new(secret);
    key_hash(str_of(secret), change.hash);
    err = edit(&options->place, operands[0], rotate_key, &change, fault);
    if (err == FAULT_OK && !options->finish)
        print_secret(operands[0], secret, options->json);
    key_wipe(secret, sizeof secret);
    return err;
}

const struct command command_keys_rotate = {
    .operands = "ID",
    .about =
        "Gives a key a second secret and prints it, once. Both are good until the older "
        "one\n"
        "is taken away with --finish, so that clients go over without a gap:\n"
        "\n"
        "  frugalctl keys rotate team-a --store frugal.db            the new secret\n"
        "  ... every client has it ...\n"
        "  frugalctl keys rotate team-a --store frugal.db --finish   the old one is "
        "refused\n"
        "\n"
        "Limits, budgets and what was spent stay with the key.\n",
    .options = { rotate_specs, ARRAY_LEN(rotate_specs) },
    .options_bytes = sizeof(struct rotate_options),
    .min_operands = 1,
    .max_operands = 1,
    .run = rotate_run,
};

/* -- revoke ------------------------------------------------------------------------------ */

struct revoke_options {
    struct keys_place place;
};

static const struct option_spec revoke_specs[] = {
    KEYS_PLACE(offsetof(struct revoke_options, place)),
};

static bool revoke_key(void *context, struct key *key, struct store_error *error)
{
    (void)context;
    (void)error;
    if (key->revoked_us == 0)
        key->revoked_us = clock_wall_us(&clock_system);
    return true;
}

static enum fault_err revoke_run(const void *given, const char *const *operands,
                                 size_t n_operands, struct fault *fault)
{
    const struct revoke_options *options = given;
    struct change change = { .fields = NULL };

    (void)n_operands;
    return edit(&options->place, operands[0], revoke_key, &change, fault);
}

const struct command command_keys_revoke = {
    .operands = "ID",
    .about = "Takes a key back for good: within a second a running gateway refuses it, "
             "while what\n"
             "it has begun comes to its end. Its records and what it spent are kept; the "
             "id is\n"
             "not given again.\n",
    .options = { revoke_specs, ARRAY_LEN(revoke_specs) },
    .options_bytes = sizeof(struct revoke_options),
    .min_operands = 1,
    .max_operands = 1,
    .run = revoke_run,
};
