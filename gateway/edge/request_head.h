/* request_head.h - what stands in the head of a request, and what is wrong with it
 *
 *      struct request_head head;
 *      request_head_read(&head, mhd)
 *      fault = request_head_fault(&head, version, most_bytes, &large)     NULL: nothing
 *      request_head_body_bytes(&head)
 *
 * What two servers in a row could read differently is a fault, and so is a head larger than
 * it may be, the library's notes of it included: behind it must be room for the head of an
 * answer, in the same pool of libmicrohttpd's. All strings are *borrowed* from that pool: valid while the request is.
 */
#ifndef GATEWAY_EDGE_REQUEST_HEAD_H
#define GATEWAY_EDGE_REQUEST_HEAD_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/str.h"
#include "gateway/flow/exchange.h"

#define REQUEST_HEADERS_MAX 128
#define REQUEST_HEADER_NOTE                                                              \
    64 /* bytes of the pool that the library takes for each header */

struct request_head {
    size_t n, n_host, n_length, n_encoding;
    size_t bytes;  /* as it came */
    bool odd;      /* a name or a value has a byte that no header has */
    bool overflow; /* more than REQUEST_HEADERS_MAX */
    struct str length, encoding, expect;
    struct exchange_header headers[REQUEST_HEADERS_MAX]; /* the first n are filled in */
};

void request_head_read(struct request_head *head, struct MHD_Connection *mhd);
/* ret_large: it is the size, which has a status of its own. */
const char *request_head_fault(const struct request_head *head, const char *version,
                               size_t most_bytes, bool *ret_large);
int64_t request_head_body_bytes(const struct request_head *head); /* -1: chunked */

#endif
