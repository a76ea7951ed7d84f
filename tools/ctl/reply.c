/* reply.c - choices[0].message and error.message, unescaped. */
#include "tools/ctl/reply.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/buf.h"
#include "gateway/domain/jread.h"
#include "tools/ctl/memory.h"

#define REPLY_REASON_BYTES  64
#define REPLY_MESSAGE_BYTES 200
#define REPLY_ERROR_DEPTH   64

/* The member as a text that ends in a NUL and holds none: those become blanks. */
static char *text_of(struct jread_value value, size_t max_bytes)
{
    struct buf buf;

    buf_init(&buf, max_bytes);
    (void)jread_put_string(value, max_bytes, &buf);
    for (size_t i = 0; i < buf.n; i++) {
        if (buf.p[i] == '\0')
            buf.p[i] = ' ';
    }
    char *text = memory_text_n(buf.p != NULL ? buf.p : "", buf.n);
    buf_release(&buf);
    return text;
}

bool reply_read(struct str body, size_t max_bytes, struct reply *ret_reply)
{
    struct reply reply = { .text = NULL };
    struct jread_value root, choice;

    if (!str_is_utf8(body) || !usage_read_answer(body, &reply.usage) ||
        !reply.usage.has_choices || reply.usage.has_error ||
        !jread_parse(body, JREAD_MAX_DEPTH, &root))
        return false;
    struct jread_iter it = jread_iter(jread_get(root, "choices"));
    if (!jread_next_element(&it, &choice))
        return false;
    struct jread_value message = jread_get(choice, "message");
    struct jread_value said = jread_get(message, "content");
    if (said.type != JREAD_TEXT)
        said = jread_get(message, "refusal");
    reply.text = text_of(said, max_bytes);
    reply.finish_reason = text_of(jread_get(choice, "finish_reason"), REPLY_REASON_BYTES);
    if (reply.finish_reason[0] == '\0') {
        free(reply.finish_reason);
        reply.finish_reason = NULL;
    }
    *ret_reply = reply;
    return true;
}

void reply_release(struct reply *reply)
{
    free(reply->text);
    free(reply->finish_reason);
    *reply = (struct reply){ .text = NULL };
}

void reply_refusal(struct str body, unsigned status, char *text, size_t bytes)
{
    struct jread_value root;
    char *said = NULL;

    if (jread_parse(body, REPLY_ERROR_DEPTH, &root))
        said =
            text_of(jread_get(jread_get(root, "error"), "message"), REPLY_MESSAGE_BYTES);
    for (char *at = said; at != NULL && *at != '\0'; at++) {
        if ((unsigned char)*at < ' ')
            *at = ' ';
    }
    bool more = said != NULL && said[0] != '\0';
    (void)snprintf(text, bytes, "status %u%s%s", status, more ? ": " : "",
                   more ? said : "");
    free(said);
}
