/* models.h - the answers of GET /v1/models and /v1/models/{id}: policies and experts.
 *
 * Shape of OpenAI's list; owned_by is "frugal" for a policy, "expert" for an expert. What an
 * expert may be asked for (chat, completions, embeddings), its prices and its context stand
 * in a `frugal` object; of one that has only an embedding they are the embedding's. Test
 * out->failed afterwards.
 */
#ifndef GATEWAY_DOMAIN_MODELS_H
#define GATEWAY_DOMAIN_MODELS_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"
#include "gateway/domain/config.h"
#include "gateway/domain/key.h"

/* allow: what the key may use, all else is left out. created_s: when this configuration was
 * loaded; now_s: whose prices are shown; seconds since 1970. */
void models_list(const struct config *config, const struct key_allow *allow,
                 int64_t created_s, int64_t now_s, struct buf *out);
/* False: no policy and no expert with a generator has that name, or it is not allowed. */
bool models_one(const struct config *config, const struct key_allow *allow,
                struct str name, int64_t created_s, int64_t now_s, struct buf *out);

#endif
