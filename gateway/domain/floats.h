/* floats.h - the vectors in an answer of /v1/embeddings, read without a tree.
 *
 * Takes {"data":[{"embedding":[0.1,...]|"base64 of little-endian
 * float32","index":0},...], "usage":{"prompt_tokens":8,"total_tokens":8}} in any order of
 * keys, unknown ones ignored. About 25 ns a number. Pure; any thread.
 */
#ifndef GATEWAY_DOMAIN_FLOATS_H
#define GATEWAY_DOMAIN_FLOATS_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/jread.h"

#define FLOATS_ERRORS(X)                                                                 \
    X(OK, "success")                                                                     \
    X(MALFORMED, "not valid JSON")                                                       \
    X(NO_VECTOR, "no such embedding in the answer")                                      \
    X(BAD_NUMBER, "an element is not a finite number")                                   \
    X(TOO_LONG, "more elements than the maximum")

enum floats_err {
#define X(name, text) FLOATS_##name,
    FLOATS_ERRORS(X)
#undef X
};

const char *floats_err_text(enum floats_err code);

/* The vector of the input number `index` (its "index", or its place where there is none).
 * ret_vector: room for max floats; ret_dim: how many there are (>= 1); ret_tokens:
 * reported prompt tokens, or -1. ret_tokens may be NULL. On failure ret_vector is
 * undefined, the others untouched. */
NODISCARD enum floats_err floats_read(struct str body, size_t index, float *ret_vector,
                                      size_t max, size_t *ret_dim, int64_t *ret_tokens);

/* One `embedding`: a list of numbers, or base64. ret_vector is undefined on failure. */
NODISCARD enum floats_err floats_vector(struct jread_value embedding, float *ret_vector,
                                        size_t max, size_t *ret_dim);

/* One JSON number, exactly rounded to float as strtof does; the whole of text. */
NODISCARD enum floats_err floats_number(struct str text, float *ret_value);

#endif
