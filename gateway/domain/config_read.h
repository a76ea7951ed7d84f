/* config_read.h - private to config*.c: nodes of the file, tables of settings, errors that
 * know where they are.
 *
 * jansson parses; a struct config_node is one of its values with the way to it, so that an
 * error can name the JSON pointer and find the line by a second look at the text (jansson
 * keeps no positions). Nodes live on the stack of whoever walks; parents outlive children.
 */
#ifndef GATEWAY_DOMAIN_CONFIG_READ_H
#define GATEWAY_DOMAIN_CONFIG_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "gateway/domain/config.h"

struct config_reader {
    struct str text;            /* the file, valid JSON */
    struct config *config;      /* under construction; its arena takes every copy */
    struct config_error *error; /* never NULL */
};

struct config_node {
    struct config_reader *reader;
    const struct config_node *parent; /* NULL: the root */
    const char *key;                  /* in an object; NULL in a list */
    size_t index;                     /* in a list */
    json_t *json;                     /* borrowed from the tree; NULL: absent */
};

/* -- files -- */

/* The text of a file and its tree, both owned by the caller; reader->text is set, and an error
 * names the file. `text` is initialised. */
NODISCARD enum err config_file_tree(const char *path, struct config_reader *reader,
                                    struct buf *text, json_t **ret_tree);
/* Errors from here on are in that file. */
void config_error_file(struct config_error *error, const char *path);

/* -- walking -- */

struct config_node config_child(const struct config_node *object, const char *key);
struct config_node config_element(const struct config_node *list, size_t index);

/* Sets the reader's error for this node and returns ERR_INVALID. */
enum err config_fail(const struct config_node *node, const char *format, ...)
    PRINTF_LIKE(2, 3);
enum err config_fail_nomem(const struct config_node *node);

NODISCARD enum err config_want_object(const struct config_node *node);
/* Copies with a final 0 into the config's arena; NULL and an error when it is full. */
const char *config_keep(const struct config_node *node, struct str text);
/* The string value, kept; not empty. */
NODISCARD enum err config_text(const struct config_node *node, const char **ret_text);
/* An expert's, embedder's or policy's name: length and letters. */
NODISCARD enum err config_name(const struct config_node *node, const char *name);
NODISCARD enum err config_path(const struct config_node *node, const char **ret_path);
/* {"env": NAME} or {"file": PATH}: the secret itself, or NULL when optional and absent. */
NODISCARD enum err config_secret(const struct config_node *node, const char **ret_secret);

/* -- tables of settings -- */

enum setting_type {
    SETTING_INT,         /* int64_t */
    SETTING_NUMBER,      /* double */
    SETTING_BOOL,        /* bool */
    SETTING_TEXT,        /* const char * */
    SETTING_PATH,        /* const char *, resolved */
    SETTING_WORD,        /* enum: index in words */
    SETTING_USD,         /* int64_t, pico-USD */
    SETTING_PER_MILLION, /* int64_t, pico-USD per token from USD per million */
    SETTING_OTHER,       /* known key, read by code */
};

struct setting {
    const char *key;
    enum setting_type type;
    size_t offset;        /* in the target */
    const char *fallback; /* as in the file; NULL: absent means 0, NULL or MONEY_NONE */
    double low, high;     /* INT and NUMBER, both included */
    const char *const *words; /* WORD: ends in NULL */
    bool required;
    bool restart; /* a reload does not change it */
    const char *help;
};

/* Fills target: fallbacks, then what the object says. An unknown key is an error. */
NODISCARD enum err config_settings(const struct config_node *object,
                                   const struct setting *table, size_t n, void *target);
/* The same for what an earlier object has filled: what is absent stays as it is. */
NODISCARD enum err config_settings_over(const struct config_node *object,
                                        const struct setting *table, size_t n,
                                        void *target);
/* Tells of every setting of the table that needs a restart and that is not the same in both
 * targets. What has no type of its own (SETTING_OTHER) is for its reader to compare. */
void config_settings_differ(const char *section, const struct setting *table, size_t n,
                            const void *before, const void *after, config_named fn,
                            void *context);
void config_settings_help(const char *section, const struct setting *table, size_t n,
                          struct buf *out);

/* -- parts -- */

NODISCARD enum err config_read_cors(const struct config_node *cors);
NODISCARD enum err config_read_expert_headers(const struct config_node *headers);
NODISCARD enum err config_read_store(const struct config_node *store);
NODISCARD enum err config_read_stickiness(const struct config_node *stickiness);
/* From the text of the file, since jansson's double would not be exact. */
NODISCARD enum err config_per_million(const struct config_node *node, int64_t *ret_pico);
NODISCARD enum err config_read_experts(const struct config_node *experts);
NODISCARD enum err config_read_embedders(const struct config_node *embedders);
NODISCARD enum err config_read_rules(const struct config_node *rules);
/* The compiled expressions, which no arena holds. */
void config_rules_release(struct config *config);
/* After config_read_experts and with config->policies_file known; config_policies.c. */
NODISCARD enum err config_read_policies(const struct config_node *policies);
/* "2026-07-01" or "2026-07-01T12:00:00Z", UTC; seconds since 1970. */
NODISCARD enum err config_moment(const struct config_node *node, int64_t *ret_s);
/* A price, or a list of them by date; config_prices.c. For an embedding a number is one, too,
 * and only input and fee are read. */
NODISCARD enum err config_read_prices(const struct config_node *price, bool free,
                                      bool embedding, struct config_prices *ret_prices);
/* The section `request` of a generator, which may be absent; its output_limit_field is read
 * already, and is one of the rules. */
NODISCARD enum err config_read_request(const struct config_node *request,
                                       struct config_generator *generator);
void config_request_help(struct buf *out);
void config_store_differ(const struct config *before, const struct config *after,
                         config_named fn, void *context);
void config_stickiness_differ(const struct config *before, const struct config *after,
                              config_named fn, void *context);
void config_store_help(struct buf *out);
void config_routing_help(struct buf *out);
void config_experts_help(struct buf *out);
void config_prices_help(struct buf *out);
void config_policies_help(struct buf *out);

#endif
