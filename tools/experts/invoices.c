/* invoices.c - a ring of what was billed; see invoices.h. */
#include "tools/experts/invoices.h"

#include <pthread.h>
#include <stdlib.h>

struct invoices {
    pthread_mutex_t lock; /* guards all of it; nothing else is taken under it */
    uint64_t n;           /* ever written */
    struct invoice list[INVOICES_MAX];
};

struct invoices *invoices_new(void)
{
    struct invoices *invoices = calloc(1, sizeof *invoices);
    if (invoices != NULL)
        (void)pthread_mutex_init(&invoices->lock, NULL);
    return invoices;
}

void invoices_free(struct invoices *invoices)
{
    if (invoices == NULL)
        return;
    (void)pthread_mutex_destroy(&invoices->lock);
    free(invoices);
}

void invoices_add(struct invoices *invoices, const struct invoice *invoice)
{
    (void)pthread_mutex_lock(&invoices->lock);
    invoices->list[invoices->n++ % INVOICES_MAX] = *invoice;
    (void)pthread_mutex_unlock(&invoices->lock);
}

static void render(const struct invoice *invoice, struct buf *out)
{
    buf_put(out, "{\"id\":");
    buf_put_json(out, str_of(invoice->id));
    buf_put(out, ",\"model\":");
    buf_put_json(out, str_of(invoice->model));
    buf_putf(out,
             ",\"embedding\":%s,\"prompt_tokens\":%lld,\"cached_tokens\":%lld,"
             "\"cache_write_tokens\":%lld,\"completion_tokens\":%lld,"
             "\"reasoning_tokens\":%lld}",
             invoice->embedding ? "true" : "false", (long long)invoice->prompt_tokens,
             (long long)invoice->cached_tokens, (long long)invoice->cache_write_tokens,
             (long long)invoice->completion_tokens, (long long)invoice->reasoning_tokens);
}

void invoices_render(struct invoices *invoices, uint64_t after, struct buf *out)
{
    (void)pthread_mutex_lock(&invoices->lock);
    uint64_t oldest = invoices->n > INVOICES_MAX ? invoices->n - INVOICES_MAX : 0;
    uint64_t at = after < oldest ? oldest : after;
    uint64_t lost = at - after, first = at;
    buf_put(out, "{\"invoices\":[");
    for (; at < invoices->n && at - first < INVOICES_RENDERED; at++) {
        buf_put(out, at > first ? "," : "");
        render(&invoices->list[at % INVOICES_MAX], out);
    }
    (void)pthread_mutex_unlock(&invoices->lock);
    buf_putf(out, "],\"next\":%llu,\"lost\":%llu}\n", (unsigned long long)at,
             (unsigned long long)lost);
}
