/* play.h - performs a request: the body, or the events of a stream one after another.
 *
 *     play_new(&request, number, &play)             takes the request
 *     stream:   step = play_next(play, out, &wait_ms)   until it is not PLAY_MORE
 *     else:     step = play_body(play, out)
 *     play_free(play)
 *
 *       ROLE -> reasoning* -> content* -> FINISH -> USAGE -> DONE
 *                 any chunk may be the one at which the script cuts, stalls or breaks
 *
 * Responses and Messages are performed by play_native.c, in events of their own.
 * Pure but for the time of day in `created`: no sockets, no threads, no waiting. The same
 * request gives the same bytes.
 */
#ifndef TOOLS_EXPERTS_PLAY_H
#define TOOLS_EXPERTS_PLAY_H

#include <stdint.h>

#include "gateway/base/buf.h"
#include "tools/experts/invoices.h"
#include "tools/experts/request.h"

#define PLAY_BODY_BYTES (256u << 20) /* an answer is never longer */

enum play_step {
    PLAY_MORE,  /* bytes were added; call again, not before ret_wait_ms */
    PLAY_END,   /* that was all, bytes may have been added */
    PLAY_CUT,   /* send what was added, then cut the line */
    PLAY_STALL, /* send what was added, then nothing until the client goes */
};

struct play;

/* NULL: out of memory, the request is untouched. `number` becomes part of the id. */
struct play *play_new(struct request *request, uint64_t number);
void play_free(struct play *play); /* takes NULL */

const struct request *play_request(const struct play *play);
/* Tokens as they would be invoiced for what was sent so far. */
size_t play_completion_tokens(const struct play *play);
/* The invoice, but for the id. False: nothing is to be paid, the request was refused. */
bool play_bill(const struct play *play, struct invoice *invoice);

enum play_step play_next(struct play *play, struct buf *out, int *ret_wait_ms);
enum play_step play_body(struct play *play, struct buf *out);

/* {"error":{...}} as that API writes it. */
void play_error(const struct request_error *error, enum request_api api, struct buf *out);

#endif
