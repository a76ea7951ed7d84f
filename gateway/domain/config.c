/* config.c - the configuration as a whole: the file, its top level, its life. */
#include "gateway/domain/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <xxhash.h>

#include "gateway/domain/config_read.h"

#define MAX_ARENA   (64 << 20)
#define MAX_WORKERS 64
#define GIB         1073741824.0

static const char *const levels[] = { "debug", "info", "warn", "error", NULL };

static const char *const unsures[] = {
#define X(name, word) word,
    CONFIG_UNSURES(X)
#undef X
        NULL
};

struct draft { /* top-level settings; the level is a word in the file */
    struct config config;
    int log_level;
};

#define AT(member) offsetof(struct draft, member)
static_assert(AT(config) == 0, "settings of a draft are compared in configurations");

static const struct setting top_settings[] = {
    { "listen", SETTING_TEXT, AT(config.listen), "127.0.0.1:8080", .restart = true,
      .help = "host:port for clients; port 0: any free one" },
    { "admin", SETTING_OTHER, .restart = true,
      .help = "host:port for operators, or unix:/path of a socket, which owner and group "
              "may use; null: none; default 127.0.0.1:8081" },
    { "tls", SETTING_OTHER,
      .help = "certificate of the public listener; absent: it speaks in clear" },
    { "workers", SETTING_INT, AT(config.workers), "0", 0, MAX_WORKERS, .restart = true,
      .help = "event loops; 0: one per processor" },
    { "instance", SETTING_INT, AT(config.instance), "0", 0, 65535, .restart = true,
      .help = "number of this gateway among several, shown in ids" },
    { "bundle", SETTING_PATH, AT(config.bundle),
      .help = "what was learned; absent: policies serve their default expert" },
    { "store", SETTING_OTHER, .restart = true,
      .help = "SQLite file of keys, ledger and decisions: its path, or settings; "
              "absent: nothing is kept" },
    { "keys", SETTING_OTHER, .help = "who may ask; absent: see the store's" },
    { "log_level", SETTING_WORD, AT(log_level), "info", .words = levels,
      .help = "lowest level that is written" },
    { "log_requests", SETTING_BOOL, AT(config.log_requests), "true",
      .help = "one line for every request" },
    { "resend", SETTING_WORD, AT(config.resend), "elsewhere", .words = unsures,
      .help = "what becomes of a request that a failed expert may have carried out: sent "
              "never again, elsewhere (to other experts), or anywhere" },
    { "core_dumps", SETTING_BOOL, AT(config.core_dumps), "false", .restart = true,
      .help = "a crash may leave a core, which has prompts and keys in it" },
    { "ping_ms", SETTING_INT, AT(config.ping_ms), "0", 0, 600000,
      .help = "a sign of life after so long a silence on a stream: a comment, or the "
              "ping event of Messages; 0: none" },
    { "ping_held", SETTING_BOOL, AT(config.ping_held), "false",
      .help =
          "the silence before the first event counts, too: then the head goes out and "
          "no other expert takes over" },
    { "cors", SETTING_OTHER,
      .help = "origins whose pages may ask from a browser, \"*\": all; default none" },
    { "expert_headers", SETTING_OTHER,
      .help =
          "of an expert's answer, given back as x-frugal-expert-NAME; may end in '*'" },
    { "limits", SETTING_OTHER, .help = "whatever a stranger can make grow" },
    { "stickiness", SETTING_OTHER, .help = "what is remembered of conversations" },
    { "experts", SETTING_OTHER, .required = true, .help = "who answers, by name" },
    { "embedders", SETTING_OTHER,
      .help = "evidence, at most 6 names; default [\"surface\", \"lexical\"]" },
    { "policies", SETTING_OTHER, .help = "virtual models, by name; absent: one, 'auto'" },
    { "policies_file", SETTING_PATH, AT(config.policies_file),
      .help = "file of more policies, as `frugalctl tune --policies` writes it; where "
              "'policies' has the name too, its settings stand" },
    { "rules", SETTING_OTHER,
      .help =
          "who may answer which requests, whatever was learned; all are looked at, in "
          "their order" },
};

static const struct setting tls_settings[] = {
    { "cert_file", SETTING_PATH, offsetof(struct config_tls, cert_file), .required = true,
      .help =
          "PEM: its certificate and those between it and the root; reread at reload" },
    { "key_file", SETTING_PATH, offsetof(struct config_tls, key_file), .required = true,
      .help = "PEM: its key, without a passphrase; reread at reload" },
    { "client_ca_file", SETTING_PATH, offsetof(struct config_tls, client_ca_file),
      .help =
          "PEM: authorities one of which must have signed the certificate of a client; "
          "absent: clients show none; reread at reload" },
};

static const struct setting keys_settings[] = {
    { "file", SETTING_PATH, offsetof(struct config, keys_file),
      .help = "hashes of keys and what each may use, JSON or a key a line; reread on "
              "SIGHUP" },
};

#define LIMIT(key, fallback, low, high, help)                                            \
    {                                                                                    \
#        key, SETTING_INT, offsetof(struct config_limits, key), fallback, low, high,     \
            NULL, false, false, help                                                     \
    }
/* Given to listeners and clients when they are made. */
#define FIXED_LIMIT(key, fallback, low, high, help)                                      \
    {                                                                                    \
#        key, SETTING_INT, offsetof(struct config_limits, key), fallback, low, high,     \
            NULL, false, true, help                                                      \
    }

static const struct setting limit_settings[] = {
    LIMIT(body_bytes, "16777216", 1024, GIB, "body of a request"),
    FIXED_LIMIT(header_bytes, "12288", 2048, 1048576,
                "head of a request, and 64 for each of its headers"),
    LIMIT(depth, "128", 8, 512, "nesting of a request's JSON"),
    FIXED_LIMIT(connections, "4096", 1, 1e6,
                "connections of clients, all workers together"),
    LIMIT(in_flight, "2048", 1, 1e6, "requests under way, all workers together"),
    LIMIT(queue, "1024", 0, 1e6, "requests that wait for a place: 503 beyond"),
    LIMIT(queue_ms, "1000", 1, 600000,
          "of waiting for a place, then 503; a quarter of it while the queue is not "
          "empty for so long"),
    LIMIT(bodies_bytes, "1073741824", 1048576, 1e12,
          "bodies of all requests: 503 beyond"),
    LIMIT(request_timeout_ms, "30000", 100, 3.6e6, "until a request is there as a whole"),
    LIMIT(request_deadline_ms, "900000", 100, 8.64e7, "of a request altogether"),
    LIMIT(arena_bytes, "1048576", 65536, GIB, "memory of a request beside its bodies"),
    LIMIT(answer_bytes, "33554432", 1024, GIB, "answer that is not streamed"),
    LIMIT(event_bytes, "1048576", 1024, GIB, "one server-sent event"),
    LIMIT(hold_bytes, "65536", 0, GIB, "held back before the commit point"),
    LIMIT(hold_chunks, "32", 0, 1e6, "events held back before the commit point"),
    LIMIT(hold_ms, "5000", 0, 600000, "time of holding back before the commit point"),
    LIMIT(queue_bytes, "262144", 4096, GIB,
          "queued for a slow client before the expert waits"),
    LIMIT(attempts, "3", 1, 64, "calls of generators for one request, all in all"),
    LIMIT(attempts_again, "1", 0, 63,
          "of them, of an expert that failed, after a pause, if nobody else is left"),
    LIMIT(backoff_ms, "100", 1, 60000, "that pause at most, the first time; then double"),
    LIMIT(backoff_max_ms, "2000", 1, 3.6e6,
          "that pause at most, and so long nobody's health is waited for"),
    LIMIT(embedding_cache_bytes, "0", 0, 1e11,
          "vectors of remote embedders that are kept, by text; 0: none"),
    LIMIT(drain_ms, "30000", 0, 3.6e6, "for what is under way at the end"),
    LIMIT(drain_grace_ms, "500", 0, 60000,
          "at the end, for a last request on connections that are open"),
    FIXED_LIMIT(upstream_connections, "256", 1, 1e5, "kept open to experts, per worker"),
    FIXED_LIMIT(keep_alive_ms, "75000", 1, 3.6e6, "for an idle connection of a client"),
};

/* -- errors -- */

const char *config_error_text(const struct config_error *error, char *text, size_t bytes)
{
    char line[32] = "";

    if (error->line > 0)
        (void)snprintf(line, sizeof(line), ":%d:%d", error->line, error->column);
    (void)snprintf(text, bytes, "%s%s: %s%s%s", error->file, line, error->pointer,
                   error->pointer[0] != '\0' ? ": " : "", error->text);
    return text;
}

void config_error_file(struct config_error *error, const char *path)
{
    (void)snprintf(error->file, sizeof(error->file), "%s", path);
}

static enum err fail_whole(struct config_error *error, const char *path, enum err err,
                           const char *text)
{
    if (error->set)
        return err;
    *error = (struct config_error){ .set = true };
    config_error_file(error, path);
    (void)snprintf(error->text, sizeof(error->text), "%s", text);
    return err;
}

/* -- top level -- */

static bool is_address(struct str address)
{
    struct str port = address;
    uint64_t number;
    size_t colon = address.n;

    while (colon > 0 && address.p[colon - 1] != ':')
        colon--;
    if (colon < 2)
        return false;
    port = str_skip(address, colon);
    address = str_first(address, colon - 1);
    if (memchr(address.p, ':', address.n) && address.p[0] != '[')
        return false;
    return str_to_u64(port, &number) == ERR_OK && number <= 65535;
}

/* A socket's path: absolute, and no longer than the kernel takes. */
static bool is_unix(const char *address)
{
    return address[5] == '/' && strlen(address) - 5 < CONFIG_MAX_UNIX_PATH;
}

static bool is_any_host(struct str host)
{
    return str_eq(host, str_of("*")) || str_eq(host, str_of("0.0.0.0")) ||
           str_eq(host, str_of("[::]"));
}

/* Could only one of the two listen? As far as it shows without a look-up of names; the start
 * finds out the rest. */
static bool is_same_place(const char *one, const char *other)
{
    const char *port = strrchr(one, ':');
    const char *other_port = strrchr(other, ':');
    struct str a = { one, (size_t)(port - one) };
    struct str b = { other, (size_t)(other_port - other) };
    uint64_t x = 0, y = 0;

    if (str_to_u64(str_of(port + 1), &x) != ERR_OK ||
        str_to_u64(str_of(other_port + 1), &y) != ERR_OK || x != y || x == 0)
        return false;
    if (str_eq(a, b))
        return true;
    if (is_any_host(a))
        return is_any_host(b) || isdigit((unsigned char)b.p[0]);
    return is_any_host(b) && isdigit((unsigned char)a.p[0]);
}

static enum err read_addresses(const struct config_node *root, struct config *config)
{
    struct config_node listen = config_child(root, "listen");
    struct config_node admin = config_child(root, "admin");
    enum err err = ERR_OK;

    config->admin = "127.0.0.1:8081";
    if (json_is_null(admin.json))
        config->admin = NULL;
    else if (admin.json)
        err = config_text(&admin, &config->admin);
    if (err != ERR_OK)
        return err;
    if (!is_address(str_of(config->listen)))
        return config_fail(&listen, "must be host:port, an IPv6 host in brackets");
    if (config->admin && str_starts(str_of(config->admin), "unix:")) {
        if (!is_unix(config->admin))
            return config_fail(&admin,
                               "must be unix: and an absolute path of less than "
                               "%d bytes",
                               CONFIG_MAX_UNIX_PATH);
    } else if (config->admin && !is_address(str_of(config->admin))) {
        return config_fail(&admin, "must be host:port, an IPv6 host in brackets, or "
                                   "unix:/path of a socket");
    } else if (config->admin && is_same_place(config->listen, config->admin)) {
        return config_fail(admin.json ? &admin : &listen,
                           "'%s' of 'listen' and '%s' of 'admin' are one port: clients "
                           "would reach the operators' side without a key: give "
                           "'listen' and 'admin' a port each",
                           config->listen, config->admin);
    }
    return ERR_OK;
}

static enum err read_top(const struct config_node *root, struct config *config)
{
    struct config_node limits = config_child(root, "limits");
    struct config_node keys = config_child(root, "keys");
    struct config_node tls = config_child(root, "tls");
    struct draft draft = { .log_level = 0 };
    enum err err = config_want_object(root);
    long processors;

    if (err == ERR_OK)
        err = config_settings(root, top_settings, ARRAY_LEN(top_settings), &draft);
    if (err != ERR_OK)
        return err;
    config->listen = draft.config.listen;
    config->workers = draft.config.workers;
    config->instance = draft.config.instance;
    config->bundle = draft.config.bundle;
    config->policies_file = draft.config.policies_file;
    config->log_level = levels[draft.log_level];
    config->log_requests = draft.config.log_requests;
    config->core_dumps = draft.config.core_dumps;
    config->resend = draft.config.resend;
    config->ping_ms = draft.config.ping_ms;
    config->ping_held = draft.config.ping_held;
    if (config->workers == 0) {
        processors = sysconf(_SC_NPROCESSORS_ONLN);
        config->workers = processors < 1 ? 1 : processors;
        if (config->workers > MAX_WORKERS)
            config->workers = MAX_WORKERS;
    }
    err = read_addresses(root, config);
    if (err == ERR_OK)
        err = config_settings(&tls, tls_settings, ARRAY_LEN(tls_settings), &config->tls);
    if (err == ERR_OK)
        err = config_settings(&keys, keys_settings, ARRAY_LEN(keys_settings), config);
    if (err != ERR_OK)
        return err;
    return config_settings(&limits, limit_settings, ARRAY_LEN(limit_settings),
                           &config->limits);
}

static enum err read_all(struct config_reader *reader, json_t *tree)
{
    struct config_node root = { reader, NULL, NULL, 0, tree };
    struct config_node cors, expert_headers, store, stickiness, experts, embedders,
        policies, rules;
    enum err err = read_top(&root, reader->config);

    cors = config_child(&root, "cors");
    expert_headers = config_child(&root, "expert_headers");
    store = config_child(&root, "store");
    stickiness = config_child(&root, "stickiness");
    experts = config_child(&root, "experts");
    embedders = config_child(&root, "embedders");
    policies = config_child(&root, "policies");
    rules = config_child(&root, "rules");
    if (err == ERR_OK)
        err = config_read_cors(&cors);
    if (err == ERR_OK)
        err = config_read_expert_headers(&expert_headers);
    if (err == ERR_OK)
        err = config_read_store(&store);
    if (err == ERR_OK)
        err = config_read_stickiness(&stickiness);
    if (err == ERR_OK)
        err = config_read_experts(&experts);
    if (err == ERR_OK)
        err = config_read_embedders(&embedders);
    if (err == ERR_OK)
        err = config_read_policies(&policies);
    if (err == ERR_OK)
        err = config_read_rules(&rules);
    return err;
}

/* -- the file -- */

/* jansson shows the text near a mistake; it may be a secret pasted in the wrong place. */
static void set_syntax_error(struct config_error *error, const char *path,
                             const json_error_t *syntax)
{
    char *near;

    if (error->set)
        return;
    *error = (struct config_error){ .set = true,
                                    .line = syntax->line,
                                    .column = syntax->column > 0 ? syntax->column : 1 };
    config_error_file(error, path);
    (void)snprintf(error->text, sizeof(error->text), "%s", syntax->text);
    near = strstr(error->text, " near ");
    if (near)
        *near = '\0';
}

static enum err config_new(const char *path, struct config **ret_config)
{
    struct config *config = calloc(1, sizeof(*config));
    const char *slash = strrchr(path, '/');
    struct str folder = { path, slash ? (size_t)(slash - path) : 0 };
    struct str kept_path, kept_folder;

    if (!config)
        return ERR_NOMEM;
    arena_init(&config->arena, MAX_ARENA);
    atomic_init(&config->references, 1);
    if (!slash)
        folder = STR(".");
    if (slash == path)
        folder = STR("/");
    if (arena_copy(&config->arena, str_of(path), &kept_path) != ERR_OK ||
        arena_copy(&config->arena, folder, &kept_folder) != ERR_OK) {
        config_unref(config);
        return ERR_NOMEM;
    }
    config->path = kept_path.p;
    config->folder = kept_folder.p;
    *ret_config = config;
    return ERR_OK;
}

static enum err parse_tree(struct str text, const char *path, struct config_error *error,
                           json_t **ret_tree)
{
    json_error_t syntax;
    json_t *tree;

    if (text.n > CONFIG_MAX_FILE)
        return fail_whole(error, path, ERR_INVALID, "the file is too large");
    tree = json_loadb(text.p ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &syntax);
    if (!tree) {
        set_syntax_error(error, path, &syntax);
        return ERR_INVALID;
    }
    *ret_tree = tree;
    return ERR_OK;
}

enum err config_parse(struct str text, const char *path, struct config **ret_config,
                      struct config_error *error)
{
    struct config_error unwanted = { .set = false };
    struct config_reader reader = { text, NULL, error ? error : &unwanted };
    json_t *tree = NULL;
    enum err err;

    error = reader.error;
    err = config_new(path, &reader.config);
    if (err != ERR_OK)
        return fail_whole(error, path, err, "out of memory");
    (void)snprintf(reader.config->version, sizeof reader.config->version, "%016llx",
                   (unsigned long long)XXH3_64bits(text.p, text.n));
    err = parse_tree(text, path, error, &tree);
    if (err != ERR_OK)
        goto cleanup;
    if (!error->set)
        config_error_file(error, path);
    err = read_all(&reader, tree);
    if (err != ERR_OK)
        goto cleanup;
    *ret_config = reader.config;
    reader.config = NULL;
cleanup:
    json_decref(tree);
    config_unref(reader.config);
    return err;
}

enum err config_parse_prices(struct str text, bool embedding, struct config **ret_owner,
                             struct config_prices *ret_prices, struct config_error *error)
{
    struct config_error unwanted = { .set = false };
    struct config_reader reader = { text, NULL, error ? error : &unwanted };
    struct config_node root = { .reader = &reader };
    enum err err = config_new("price", &reader.config);

    if (err != ERR_OK)
        return fail_whole(reader.error, "price", err, "out of memory");
    root.json = json_loadb(text.p ? text.p : "", text.n,
                           JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    err = root.json != NULL
              ? config_read_prices(&root, false, embedding, ret_prices)
              : fail_whole(reader.error, "price", ERR_INVALID, "is no JSON");
    json_decref(root.json);
    if (err == ERR_OK)
        *ret_owner = reader.config;
    else
        config_unref(reader.config);
    return err;
}

static enum err read_file(const char *path, struct buf *text, char *cause, size_t bytes)
{
    FILE *file = fopen(path, "re");
    enum err err = ERR_OK;
    size_t n = 1;
    char *room;

    if (!file) {
        (void)snprintf(cause, bytes, "cannot open: %s", strerror(errno));
        return ERR_IO;
    }
    while (err == ERR_OK && n > 0) {
        err = buf_room(text, 4096, &room);
        if (err == ERR_OK) {
            n = fread(room, 1, 4096, file);
            buf_commit(text, n);
        }
    }
    if (err != ERR_OK)
        (void)snprintf(cause, bytes, "cannot read: %s", err_text(err));
    else if (ferror(file)) {
        (void)snprintf(cause, bytes, "cannot read: %s", strerror(errno));
        err = ERR_IO;
    }
    (void)fclose(file);
    return err;
}

enum err config_file_tree(const char *path, struct config_reader *reader,
                          struct buf *text, json_t **ret_tree)
{
    char cause[128] = "";
    enum err err = read_file(path, text, cause, sizeof(cause));

    if (err != ERR_OK)
        return fail_whole(reader->error, path, err, cause);
    reader->text = buf_str(text);
    return parse_tree(reader->text, path, reader->error, ret_tree);
}

enum err config_load(const char *path, struct config **ret_config,
                     struct config_error *error)
{
    struct config_error unwanted = { .set = false };
    char cause[128] = "";
    struct buf text;
    enum err err;

    if (!error)
        error = &unwanted;
    buf_init(&text, CONFIG_MAX_FILE + 4096);
    err = read_file(path, &text, cause, sizeof(cause));
    if (err != ERR_OK)
        err = fail_whole(error, path, err, cause);
    else
        err = config_parse(buf_str(&text), path, ret_config, error);
    buf_release(&text);
    return err;
}

/* -- life -- */

struct config *config_ref(struct config *config)
{
    atomic_fetch_add_explicit(&config->references, 1, memory_order_relaxed);
    return config;
}

void config_unref(struct config *config)
{
    if (!config ||
        atomic_fetch_sub_explicit(&config->references, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < config->n_experts; i++) {
        /* The key lies in the arena, which is ours to write. */
        char *key = (char *)(uintptr_t)config->experts[i].key;

        if (key)
            explicit_bzero(key, strlen(key));
    }
    config_rules_release(config);
    arena_release(&config->arena);
    free(config);
}

int config_find_expert(const struct config *config, struct str name)
{
    for (size_t i = 0; i < config->n_experts; i++)
        if (str_is(name, config->experts[i].name))
            return (int)i;
    return -1;
}

int config_find_policy(const struct config *config, struct str name)
{
    for (size_t i = 0; i < config->n_policies; i++)
        if (str_is(name, config->policies[i].name))
            return (int)i;
    return -1;
}

void config_each_restart(const struct config *before, const struct config *after,
                         config_named fn, void *context)
{
    const char *admin_before = before->admin ? before->admin : "";
    const char *admin_after = after->admin ? after->admin : "";

    config_settings_differ("", top_settings, ARRAY_LEN(top_settings), before, after, fn,
                           context);
    if (strcmp(admin_before, admin_after) != 0)
        fn(context, "admin");
    if ((before->tls.cert_file == NULL) != (after->tls.cert_file == NULL))
        fn(context, "tls"); /* other files are taken over */
    config_settings_differ("limits", limit_settings, ARRAY_LEN(limit_settings),
                           &before->limits, &after->limits, fn, context);
    config_store_differ(before, after, fn, context);
    config_stickiness_differ(before, after, fn, context);
}

void config_print_help(struct buf *out)
{
    config_settings_help("", top_settings, ARRAY_LEN(top_settings), out);
    config_settings_help("tls", tls_settings, ARRAY_LEN(tls_settings), out);
    config_settings_help("keys", keys_settings, ARRAY_LEN(keys_settings), out);
    config_settings_help("limits", limit_settings, ARRAY_LEN(limit_settings), out);
    config_store_help(out);
    config_routing_help(out);
    config_experts_help(out);
    config_policies_help(out);
}
