/* models.h - the answers of GET /v1/models and /v1/models/{id}: policies and experts.
 *
 * Shape of OpenAI's list; owned_by is "frugal" for a policy, "expert" for an expert with
 * a generator. Prices and context stand in a `frugal` object. Test out->failed
 * afterwards.
 */
#ifndef GATEWAY_DOMAIN_MODELS_H
#define GATEWAY_DOMAIN_MODELS_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"
#include "gateway/domain/config.h"

/* created_s: when this configuration was loaded; now_s: whose prices are shown; seconds since
 * 1970. */
void models_list(const struct config *config, int64_t created_s, int64_t now_s,
                 struct buf *out);
/* False: no policy and no expert with a generator has that name. */
bool models_one(const struct config *config, struct str name, int64_t created_s,
                int64_t now_s, struct buf *out);

#endif
