/* answer.h - reads an HTTP/1.x answer: its head, and the framing of its body. Pure.
 *
 *      bytes  ->  answer_head_end()       where the head ends, as soon as it is whole
 *                 answer_head()           status, fields, framing; 1xx: go on with the next
 *                 answer_body()*          payload, moved together in place, until END
 *                 answer_close()          the peer closed: was that the end, or a cut?
 *
 * The same payload comes out however the bytes are sliced. What two readers could frame
 * differently is refused: differing or malformed Content-Length, an unknown
 * Transfer-Encoding, names with blanks, control characters. Lines may end in CRLF or LF;
 * folded lines are joined by blanks.
 */
#ifndef GATEWAY_IO_ANSWER_H
#define GATEWAY_IO_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"

#define ANSWER_FIELDS_MAX     64 /* kept; further ones are read for framing only */
#define ANSWER_OVERHEAD_BYTES (16U * 1024) /* of one chunk's extension, of all trailers */

struct answer_field {
    const char *name; /* lower case, NUL-terminated, in the head's own bytes */
    const char *value;
};

enum answer_state {
    ANSWER_MORE, /* bytes are missing */
    ANSWER_END,  /* the answer is complete */
    ANSWER_BAD   /* not HTTP */
};

enum answer_framing { ANSWER_LENGTH, ANSWER_CHUNKED, ANSWER_UNTIL_CLOSE };

struct answer { /* zero before the head; members are for reading */
    unsigned status;
    bool keeps;                  /* the connection may be used again after END */
    enum answer_framing framing; /* no body: LENGTH with left == 0 */
    uint64_t left;               /* of the body (LENGTH) or of the chunk (CHUNKED) */
    unsigned chunk_state;
    unsigned overhead_bytes;
    bool any_digit;
};

/* The length of the head at bytes[0..n), its empty line included; 0: it is not whole yet.
 * `from`: bytes that an earlier call has searched in vain. */
size_t answer_head_end(const char *bytes, size_t n, size_t from);

/* False as soon as the first n bytes cannot begin an HTTP/1.x answer. */
bool answer_may_begin(const char *bytes, size_t n);

/* Reads the whole head at head[0..n) (see answer_head_end()), which it writes into: fields
 * point there. False: not HTTP. */
NODISCARD bool answer_head(struct answer *answer, char *head, size_t n,
                           struct answer_field ret_fields[ANSWER_FIELDS_MAX],
                           size_t *ret_n_fields);

/* Takes bytes of the body: what of them is payload is moved together at bytes[0..
 * *ret_payload); *ret_used is what belongs to this answer (all of it but with END). Legal
 * with n == 0: an answer without a body is at its END at once. */
enum answer_state answer_body(struct answer *answer, char *bytes, size_t n,
                              size_t *ret_payload, size_t *ret_used);

/* The peer has closed after what was given: END when the close is the end, else BAD (cut). */
enum answer_state answer_close(const struct answer *answer);

#endif
