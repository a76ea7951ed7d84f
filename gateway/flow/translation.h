/* translation.h - the body of another API becomes a chat request: at once, or on the pool.
 *
 *   struct translation t = { 0 };
 *   translation_start(&t, &task)        then either done already, or fn(arg) is called later
 *   translation_away(&t)                on the pool: nothing that it was given may change or go
 *   t.error, t.chat, t.echo, t.needs, *task.scan once it is not away any more
 *   translation_release(&t)             never while it is away
 *
 *      short body   loop: ----translate---->
 *      long body    loop: --+                              +--> fn(arg)
 *                   pool:   +--translate, scan, echo, needs+
 *
 * A body of megabytes is read several times and copied once, which takes longer than a loop
 * may stand still. On the pool only this struct, the scan and the gap are written, and only the body
 * and the table of dialects are read. Where the pool is full or there is none, the loop does it.
 *
 * Threads: all calls on the loop's thread; fn runs there. The struct stays where it is.
 */
#ifndef GATEWAY_FLOW_TRANSLATION_H
#define GATEWAY_FLOW_TRANSLATION_H

#include <stdbool.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/dialect.h"
#include "gateway/domain/scan.h"
#include "gateway/io/loop.h"
#include "gateway/io/pool.h"

#define TRANSLATION_LOOP_BYTES (32u << 10) /* longer bodies go to the pool: some 0.2 ms */

struct retell_gap;

struct translation_task {
    const struct dialect *dialect; /* with a `request` */
    struct str body;               /* scanned: one JSON object; borrowed while away */
    unsigned depth;                /* that the client's body may have */
    struct scan *scan;             /* becomes that of the chat request; the same */
    struct retell_gap *gap;        /* what it leaves out, or NULL; the same */
    const struct scan *own_scan; /* of the body, where it may go on as it came; or NULL */
    struct loop *loop;
    struct pool *pool; /* NULL: none */
    void (*fn)(void *arg);
    void *arg;
};

struct translation {
    struct api_error error; /* code OK: the rest is good */
    struct buf chat;        /* the chat request */
    struct buf echo;        /* what the answer repeats, see dialect.h */
    uint32_t needs; /* of the body as it came, see ability.h; without own_scan: 0 */

    /* private */
    struct translation_task task;
    struct pool_job job;
    bool started, away;
};

void translation_start(struct translation *t, const struct translation_task *task);
bool translation_started(const struct translation *t);
bool translation_away(const struct translation *t);
void translation_release(struct translation *t); /* takes a zeroed one */

#endif
