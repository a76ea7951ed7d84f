/* translation.c - the body of another API becomes a chat request; see translation.h. */
#include "gateway/flow/translation.h"

#include <assert.h>

#include "gateway/domain/ability.h"
#include "gateway/domain/chat.h"

#define MORE_BYTES (1u << 20) /* frames of messages, beside what is copied */
#define MORE_DEPTH 8          /* levels that a translation may add */

static uint32_t needs_of(const struct translation_task *task)
{
    const struct chat_request own = { .shape = task->dialect->native,
                                      .scan = task->own_scan,
                                      .body = task->body };

    return task->own_scan != NULL ? ability_needs(&own) : 0;
}

/* A translation is at most twice its body: a quoted object has a backslash before each
 * quote. */
static void translate(void *arg)
{
    struct translation *t = arg;
    const struct translation_task *task = &t->task;
    unsigned depth = task->depth + MORE_DEPTH;

    t->needs = needs_of(task);
    buf_init(&t->chat, 2 * task->body.n + MORE_BYTES);
    if (task->dialect->request(task->body, &t->chat, task->gap, &t->error) != API_OK)
        return;
    scan_init(task->scan, depth < SCAN_MAX_DEPTH ? depth : SCAN_MAX_DEPTH);
    if (scan_feed(task->scan, t->chat.p, t->chat.n) != SCAN_OK ||
        scan_end(task->scan) != SCAN_OK)
        (void)chat_scan_error(task->scan, &t->error);
    if (t->error.code == API_OK && task->dialect->echo != NULL) {
        buf_init(&t->echo, task->body.n + MORE_BYTES);
        task->dialect->echo(task->body, &t->echo);
        if (t->echo.failed)
            (void)api_error_set(&t->error, API_NOMEM, NULL, NULL);
    }
}

static void back(void *arg)
{
    struct translation *t = arg;

    t->away = false;
    t->task.fn(t->task.arg);
}

void translation_start(struct translation *t, const struct translation_task *task)
{
    assert(!t->started && task->dialect->request != NULL);
    t->started = true;
    t->task = *task;
    t->job =
        (struct pool_job){ .run = translate, .done = back, .arg = t, .loop = task->loop };
    t->away = task->pool != NULL && task->body.n > TRANSLATION_LOOP_BYTES;
    if (t->away && pool_submit(task->pool, &t->job) != POOL_OK)
        t->away = false;
    else if (t->away)
        return;
    translate(t);
}

bool translation_started(const struct translation *t)
{
    return t->started;
}

bool translation_away(const struct translation *t)
{
    return t->away;
}

void translation_release(struct translation *t)
{
    assert(!t->away);
    buf_release(&t->chat);
    buf_release(&t->echo);
}
