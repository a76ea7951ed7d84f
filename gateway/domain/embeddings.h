/* embeddings.h - vectors for a client of /v1/embeddings, in the form that it asked for.
 *
 *   embeddings_form(body, &form, &error)              encoding_format: numbers or base64
 *   an expert's answer:   embeddings_recode(body, form, &out)
 *   our own:              embeddings_begin(&e, form, model, &out)
 *                         embeddings_put(&e, vector, n)*
 *                         embeddings_end(&e, cost)
 *
 * Base64 is of little-endian floats, as OpenAI writes them. Pure; one thread; test
 * out->failed at the end.
 */
#ifndef GATEWAY_DOMAIN_EMBEDDINGS_H
#define GATEWAY_DOMAIN_EMBEDDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/base/jput.h"
#include "gateway/base/str.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/usage.h"

enum embeddings_form { EMBEDDINGS_FLOAT, EMBEDDINGS_BASE64 };

#define EMBEDDINGS_MAX_DIM 65536 /* floats of one vector that is recoded */

/* body: a scanned JSON object. */
NODISCARD enum api_err embeddings_form(struct str body, enum embeddings_form *ret_form,
                                       struct api_error *error);

/* body: an answer, a JSON object. False: its vectors have that form already, or are none
 * that we know; nothing was added. */
bool embeddings_recode(struct str body, enum embeddings_form form, struct buf *out);

struct embeddings {
    struct jput j;
    enum embeddings_form form;
    struct str model;
    int64_t n;
};

void embeddings_begin(struct embeddings *e, enum embeddings_form form, struct str model,
                      struct buf *out);
void embeddings_put(struct embeddings *e, const float *vector, size_t n);
/* Nothing is charged and no tokens are counted. */
void embeddings_end(struct embeddings *e);

#endif
