/* answer_print.h - an HTTP answer as text, read in pieces of a given size: for the cases and
 * the fuzz target, which hold that the size does not matter. */
#ifndef TESTS_UNIT_IO_ANSWER_PRINT_H
#define TESTS_UNIT_IO_ANSWER_PRINT_H

#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/io/answer.h"

struct answer_print {
    struct buf head, body;
    struct answer answer;
    struct answer_field fields[ANSWER_FIELDS_MAX];
    size_t n_fields, searched;
    bool in_body;
    enum answer_state state;
};

static inline void answer_print_head(struct answer_print *p, struct buf *out)
{
    const size_t end = answer_head_end(p->head.p, p->head.n, p->searched);
    p->searched = p->head.n;
    if (end == 0) {
        if (!answer_may_begin(p->head.p, p->head.n))
            p->state = ANSWER_BAD;
        return;
    }
    if (!answer_head(&p->answer, p->head.p, end, p->fields, &p->n_fields)) {
        p->state = ANSWER_BAD;
        return;
    }
    buf_putf(out, "status %u\n", p->answer.status);
    for (size_t i = 0; i < p->n_fields; i++) {
        buf_putf(out, "%s: ", p->fields[i].name);
        buf_put_json(out, (struct str){ p->fields[i].value, strlen(p->fields[i].value) });
        buf_put(out, "\n");
    }
    buf_consume(&p->head, end);
    p->searched = 0;
    p->in_body = p->answer.status >= 200;
    if (p->in_body)
        buf_putf(out, "keeps %d\n", p->answer.keeps);
}

/* What is left after END is not printed: only whether there was something. */
static inline void answer_print(const char *bytes, size_t n, size_t piece,
                                struct buf *out)
{
    struct answer_print p = { .state = ANSWER_MORE };
    bool leftover = false;
    size_t at = 0;
    buf_init(&p.head, 1 << 24);
    buf_init(&p.body, 1 << 24);
    while (p.state == ANSWER_MORE && (at < n || p.head.n > 0)) {
        const size_t take = piece < n - at ? piece : n - at;
        const size_t before = p.head.n;
        IGNORE(buf_add(&p.head, bytes + at, take)); /* the pieces not yet understood */
        at += take;
        if (!p.in_body) {
            answer_print_head(&p, out);
            if (!p.in_body) {
                if (take == 0 && p.head.n == before)
                    break; /* no more bytes, and nothing was taken off */
                continue;
            }
        }
        size_t payload = 0, used = 0;
        p.state = answer_body(&p.answer, p.head.p, p.head.n, &payload, &used);
        IGNORE(buf_add(&p.body, p.head.p, payload));
        leftover = p.state == ANSWER_END && (used < p.head.n || at < n);
        buf_consume(&p.head, p.head.n);
    }
    if (p.in_body) {
        buf_put(out, "body ");
        buf_put_json(out, buf_str(&p.body));
        buf_put(out, "\n");
    }
    if (p.state == ANSWER_MORE)
        buf_putf(out, "more, a close is %s\n",
                 p.in_body && answer_close(&p.answer) == ANSWER_END ? "the end"
                                                                    : "a cut");
    else
        buf_put(out, p.state == ANSWER_BAD ? "bad\n"
                     : leftover            ? "end, and more\n"
                                           : "end\n");
    buf_release(&p.head);
    buf_release(&p.body);
}

#endif
