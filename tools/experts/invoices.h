/* invoices.h - what each request would be billed, to the token: the upstream's own books.
 *
 * Tests hold a gateway's ledger against them. An invoice is written when a request is over,
 * under the id that its caller gave it (x-request-id); the last INVOICES_MAX are kept.
 *
 *     GET /invoices?after=N     {"next":M,"lost":0,"invoices":[{"id":..,"model":..,..}]}
 *
 * `next` is what to ask with for those that follow, `lost` how many went before they were
 * asked for. Any thread.
 */
#ifndef TOOLS_EXPERTS_INVOICES_H
#define TOOLS_EXPERTS_INVOICES_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/base/buf.h"

#define INVOICES_MAX      65536
#define INVOICES_RENDERED 10000 /* in one answer */
#define INVOICES_ID_BYTES 96    /* longer ids are cut */

struct invoice {
    char id[INVOICES_ID_BYTES]; /* printable ASCII */
    const char *model;          /* outlives the invoices */
    bool embedding;
    int64_t prompt_tokens, cached_tokens,
        cache_write_tokens;                      /* the latter in the first */
    int64_t completion_tokens, reasoning_tokens; /* likewise */
};

struct invoices;

struct invoices *invoices_new(void); /* NULL: out of memory */
void invoices_free(struct invoices *invoices);

void invoices_add(struct invoices *invoices, const struct invoice *invoice); /* copied */
void invoices_render(struct invoices *invoices, uint64_t after, struct buf *out);

#endif
