/* routing_text.c - text@1.
 *
 * A turn may have megabytes, of which a few kilobytes count. What is long is decoded at both
 * ends only; the middle is never touched.
 *
 *   head   [ first HALF bytes and the few behind them, to see whether more follow ]
 *   tail                                          [ at least the last HALF bytes ]
 */
#include "gateway/domain/routing_text.h"

#include <assert.h>
#include <string.h>

#include "gateway/domain/jread.h"

#define HALF ROUTING_TEXT_HALF
/* An escape of six bytes may mean one: so much raw text has surely HALF bytes of meaning. */
#define RAW_HALF (6 * HALF)
#define RAW_LONG (2 * RAW_HALF + 64) /* and so much has more than 2 * HALF */

struct clip {
    struct buf head; /* the first 2 * HALF + 4 bytes at most */
    struct buf tail; /* the last bytes, at least HALF of them where there are more */
    size_t n; /* bytes of the turn; at least so many where the middle was left out */
};

static void clip_init(struct clip *clip)
{
    buf_init(&clip->head, 2 * HALF + 4);
    buf_init(&clip->tail, (size_t)RAW_LONG + 4 * HALF);
    clip->n = 0;
}

static void clip_release(struct clip *clip)
{
    buf_release(&clip->head);
    buf_release(&clip->tail);
}

static void clip_add(struct clip *clip, struct str text)
{
    clip->n += text.n;
    buf_put_str(&clip->head, str_first(text, clip->head.max_bytes - clip->head.n));
    if (text.n > 2 * HALF)
        text = str_skip(text, text.n - 2 * HALF);
    buf_put_str(&clip->tail, text);
    if (clip->tail.n > 2 * HALF)
        buf_consume(&clip->tail, clip->tail.n - 2 * HALF);
}

/* Could the byte at `at` be inside an escape that begins before it? */
static bool in_escape(struct str raw, size_t at)
{
    for (size_t back = 1; back <= 5 && back <= at; back++) {
        size_t slashes = 0;

        while (slashes < at - back + 1 && raw.p[at - back - slashes] == '\\')
            slashes++;
        /* An odd run ends in a backslash that opens an escape; \u takes six bytes. */
        if (slashes % 2 == 1 && (back == 1 || raw.p[at - back + 1] == 'u'))
            return true;
    }
    return false;
}

static void clip_add_string(struct clip *clip, struct jread_value value)
{
    struct str raw = { value.raw.p + 1, value.raw.n - 2 };
    struct buf text;
    size_t at;

    buf_init(&text, RAW_LONG);
    if (raw.n <= RAW_LONG) {
        (void)jread_put_inside(raw, raw.n, &text);
        clip_add(clip, buf_str(&text));
    } else {
        (void)jread_put_string(value, HALF + 4, &text);
        clip_add(clip, buf_str(&text));
        buf_clear(&text);
        /* A surrogate pair is cut at worst: its rest is in front of what counts. */
        at = raw.n - RAW_HALF - 32;
        while (in_escape(raw, at))
            at++;
        (void)jread_put_inside(str_skip(raw, at), SIZE_MAX, &text);
        clip_add(clip, buf_str(&text));
        clip->n += 2 * HALF;
    }
    clip->head.failed = clip->head.failed || text.failed;
    buf_release(&text);
}

/* Adds head and tail to out, or the whole when it is short. */
static enum err clip_finish(struct clip *clip, struct buf *out)
{
    if (clip->head.failed || clip->tail.failed)
        return ERR_NOMEM;
    if (clip->n <= 2 * HALF)
        return buf_add_str(out, buf_str(&clip->head));
    buf_put_str(out, str_clip_utf8(buf_str(&clip->head), HALF));
    buf_put(out, "\n");
    return buf_add_str(out, str_tail_utf8(buf_str(&clip->tail), HALF));
}

/* The text of a message: its string content, or the text parts joined by a line feed. */
static void clip_add_message(struct clip *clip, struct jread_value message)
{
    struct jread_value content = jread_get(message, "content");
    struct jread_iter it = jread_iter(content);
    struct jread_value part, text;
    bool first = true;

    if (content.type == JREAD_TEXT)
        clip_add_string(clip, content);
    if (content.type != JREAD_LIST)
        return;
    while (jread_next_element(&it, &part)) {
        text = part.type == JREAD_TEXT ? part : jread_get(part, "text");
        if (text.type != JREAD_TEXT)
            continue;
        if (!first)
            clip_add(clip, STR("\n"));
        first = false;
        clip_add_string(clip, text);
    }
}

static struct jread_value message_at(const struct chat_request *chat, size_t i)
{
    const struct scan_place *place = &chat->scan->messages[i % SCAN_LAST_MESSAGES];

    return jread_trusted(
        (struct str){ chat->body.p + place->begin, place->end - place->begin });
}

/* Index of the last message before `end` with that role (NULL: any); SIZE_MAX: none. */
static size_t find_before(const struct chat_request *chat, size_t end, const char *role)
{
    size_t oldest =
        chat->n_messages > SCAN_LAST_MESSAGES ? chat->n_messages - SCAN_LAST_MESSAGES : 0;

    for (size_t i = end; i-- > oldest;) {
        struct jread_value message = message_at(chat, i);

        if (role ? jread_string_is(jread_get(message, "role"), role)
                 : jread_get(message, "content").type == JREAD_TEXT)
            return i;
    }
    return SIZE_MAX;
}

static enum err add_turn_before(const struct chat_request *chat, size_t turn,
                                struct buf *out)
{
    size_t before = find_before(chat, turn, "user");
    struct clip clip;
    enum err err = ERR_OK;

    if (before == SIZE_MAX)
        return ERR_OK;
    clip_init(&clip);
    clip_add_message(&clip, message_at(chat, before));
    if (clip.head.failed || clip.tail.failed) {
        err = ERR_NOMEM;
    } else if (clip.n > 0) {
        buf_put(out, "\n");
        err = buf_add_str(out, str_clip_utf8(buf_str(&clip.head), ROUTING_TEXT_BEFORE));
    }
    clip_release(&clip);
    return err;
}

/* The first of several: they are answered together, and are of one kind. */
static enum err text_of_prompt(const struct chat_request *chat, struct buf *out)
{
    struct jread_value prompt =
        jread_trusted(scan_raw(chat->scan, SCAN_PROMPT, chat->body));
    struct jread_iter it = jread_iter(prompt);
    struct clip clip;
    enum err err;

    if (prompt.type == JREAD_LIST && !jread_next_element(&it, &prompt))
        return ERR_OK;
    if (prompt.type != JREAD_TEXT)
        return ERR_OK;
    clip_init(&clip);
    clip_add_string(&clip, prompt);
    err = clip_finish(&clip, out);
    clip_release(&clip);
    return err;
}

enum err routing_text(const struct chat_request *chat, struct buf *out)
{
    size_t turn = find_before(chat, chat->n_messages, "user");
    struct clip clip;
    enum err err;
    bool is_short;

    if (chat->shape == CHAT_PROMPT)
        return text_of_prompt(chat, out);
    if (turn == SIZE_MAX)
        turn = find_before(chat, chat->n_messages, NULL);
    if (turn == SIZE_MAX)
        return ERR_OK;
    clip_init(&clip);
    clip_add_message(&clip, message_at(chat, turn));
    err = clip_finish(&clip, out);
    is_short = clip.n < ROUTING_TEXT_SHORT;
    clip_release(&clip);
    return err == ERR_OK && is_short ? add_turn_before(chat, turn, out) : err;
}

enum err routing_text_of_prompt(struct str prompt, struct buf *out)
{
    struct clip clip;
    enum err err;

    clip_init(&clip);
    clip_add(&clip, prompt);
    err = clip_finish(&clip, out);
    clip_release(&clip);
    return err;
}
