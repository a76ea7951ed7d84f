/* archived.h - the gateway's records, as a command reads them: from the database's file
 * beside a running gateway, or over HTTP from its admin listener (or from the public one,
 * with a key).
 *
 *   archived_open(&archived, &options, &fault)
 *   archived_list(&archived, params, n, &list, &fault)       json_t of GET /v1/decisions
 *   archived_one(&archived, id, &record, &fault)             json_t of GET /v1/decisions/ID
 *   archived_release(&archived)
 *
 * Both ways give the same documents: the file is read by the gateway's own code.
 */
#ifndef TOOLS_CTL_ARCHIVED_H
#define TOOLS_CTL_ARCHIVED_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "gateway/io/store_query.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/network.h"
#include "tools/ctl/options.h"

struct archived_options {
    const char *store, *config, *url;
};

/* Lines of a command's table whose struct has its struct archived_options `at` bytes from
 * its beginning; ARCHIVED_FILE leaves --url out. */
/* clang-format off */
#define ARCHIVED_FILE(at) \
    { .name = "store", \
      .kind = OPTION_TEXT, \
      .value = "FILE", \
      .help = "the gateway's database; read beside a running gateway", \
      .offset = (at) + offsetof(struct archived_options, store) }, \
    { .name = "config", \
      .kind = OPTION_TEXT, \
      .value = "FILE", \
      .help = "the gateway's configuration: its `store` is read", \
      .offset = (at) + offsetof(struct archived_options, config) }
#define ARCHIVED_OPTIONS(at) \
    ARCHIVED_FILE(at), \
    { .name = "url", \
      .kind = OPTION_TEXT, \
      .value = "URL", \
      .help = "a running gateway's admin listener, as http://127.0.0.1:8081 or " \
              "unix:/run/frugal/admin.sock; or its public one, for what belongs to the key " \
              "in FRUGAL_KEY", \
      .offset = (at) + offsetof(struct archived_options, url) }
/* clang-format on */

struct archived {
    struct store_view view; /* file NULL: over HTTP */
    char *url;              /* owned; without a slash at the end */
    struct network network;
};

/* Exactly one of the options is to be given. Whatever comes of it: archived_release. */
NODISCARD enum fault_err archived_open(struct archived *archived,
                                       const struct archived_options *options,
                                       struct fault *fault);
void archived_release(struct archived *archived); /* takes a zeroed one */

/* A parameter of GET /v1/decisions; value NULL: not given. */
struct archived_param {
    const char *name, *value;
};
NODISCARD enum fault_err archived_list(struct archived *archived,
                                       const struct archived_param *params, size_t n,
                                       json_t **ret_list, struct fault *fault);
NODISCARD enum fault_err archived_one(struct archived *archived, const char *id,
                                      json_t **ret_record, struct fault *fault);

/* What a command shows of a document. Missing members and null are "" and NAN. */
const char *archived_text(const json_t *object, const char *key);
double archived_number(const json_t *object, const char *key);

#endif
