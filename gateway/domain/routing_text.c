/* routing_text.c - text@1 and text@2; the rule itself: routing_rule.c.
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

#define FIRST_MESSAGES 8 /* among which system prompts are looked for */

struct clip {
    size_t half;
    struct buf head; /* the first 2 * half + 4 bytes at most */
    struct buf tail; /* the last bytes, at least half of them where there are more */
    size_t n; /* bytes of the turn; at least so many where the middle was left out */
    const struct routing_templates *templates; /* what may be taken off; NULL: nothing */
    bool whole;                                /* ... but not all of it */
};

/* An escape of six bytes may mean one: so much raw text has surely half bytes of meaning. */
static size_t raw_half(const struct clip *clip)
{
    return 6 * clip->half;
}

/* And so much has more than 2 * half. */
static size_t raw_long(const struct clip *clip)
{
    return 2 * raw_half(clip) + 64;
}

static void clip_init(struct clip *clip, size_t half)
{
    clip->half = half;
    buf_init(&clip->head, 2 * half + 4);
    buf_init(&clip->tail, raw_long(clip) + 4 * half);
    clip->n = 0;
    clip->templates = NULL;
    clip->whole = true;
}

/* For a turn of the user. */
static void clip_init_turn(struct clip *clip, size_t half,
                           const struct routing_rule *rule)
{
    clip_init(clip, half);
    if (rule->strip != NULL && rule->strip->turn.n > 0)
        clip->templates = &rule->strip->turn;
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
    if (text.n > 2 * clip->half)
        text = str_skip(text, text.n - 2 * clip->half);
    buf_put_str(&clip->tail, text);
    if (clip->tail.n > 2 * clip->half)
        buf_consume(&clip->tail, clip->tail.n - 2 * clip->half);
}

/* The first of a turn, without the template that it begins with. */
static void clip_add_first(struct clip *clip, struct str text)
{
    char mark[ROUTING_STRIP_MARK];
    size_t n_mark;

    text = routing_strip_cut(clip->templates, text, clip->whole, mark, &n_mark);
    if (n_mark > 0)
        clip_add(clip, (struct str){ mark, n_mark });
    clip_add(clip, text);
}

static void clip_add_any(struct clip *clip, struct str text, bool first)
{
    if (first)
        clip_add_first(clip, text);
    else
        clip_add(clip, text);
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
    bool first = clip->n == 0 && clip->templates != NULL;
    /* A template in front is decoded in addition, and six bytes may mean one. */
    size_t more = first ? clip->templates->longest : 0, most = raw_long(clip) + 6 * more;
    struct buf text;
    size_t at;

    buf_init(&text, most);
    if (raw.n <= most) {
        (void)jread_put_inside(raw, raw.n, &text);
        clip_add_any(clip, buf_str(&text), first);
    } else {
        (void)jread_put_string(value, clip->half + 4 + more, &text);
        clip_add_any(clip, buf_str(&text), first);
        buf_clear(&text);
        /* A surrogate pair is cut at worst: its rest is in front of what counts. */
        at = raw.n - raw_half(clip) - 32;
        while (in_escape(raw, at))
            at++;
        (void)jread_put_inside(str_skip(raw, at), SIZE_MAX, &text);
        clip_add(clip, buf_str(&text));
        clip->n += 2 * clip->half;
    }
    clip->head.failed = clip->head.failed || text.failed;
    buf_release(&text);
}

/* Adds head and tail to out, or the whole when it is short. */
static enum err clip_finish(struct clip *clip, struct buf *out)
{
    if (clip->head.failed || clip->tail.failed)
        return ERR_NOMEM;
    if (clip->n <= 2 * clip->half)
        return buf_add_str(out, buf_str(&clip->head));
    buf_put_str(out, str_clip_utf8(buf_str(&clip->head), clip->half));
    buf_put(out, "\n");
    return buf_add_str(out, str_tail_utf8(buf_str(&clip->tail), clip->half));
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

static enum err add_turn_before(const struct routing_rule *rule,
                                const struct chat_request *chat, size_t turn,
                                struct buf *out)
{
    size_t before = find_before(chat, turn, "user");
    struct clip clip;
    enum err err = ERR_OK;

    if (before == SIZE_MAX)
        return ERR_OK;
    clip_init_turn(&clip, ROUTING_TEXT_HALF, rule);
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

/* The last user turn, or what stands for it; SIZE_MAX: there is none. */
static size_t last_turn(const struct chat_request *chat)
{
    size_t turn = find_before(chat, chat->n_messages, "user");

    return turn != SIZE_MAX ? turn : find_before(chat, chat->n_messages, NULL);
}

/* -- text@2 ------------------------------------------------------------------------------ */

/* So that both halves and the line feed between them are at most `bytes`. */
static size_t half_of(size_t bytes)
{
    return bytes > 1 ? (bytes - 1) / 2 : 0;
}

/* Behind what is there already, on a line of its own. */
static enum err finish_part(struct clip *clip, struct buf *out)
{
    if (clip->n > 0 && out->n > 0)
        buf_put(out, "\n");
    return clip_finish(clip, out);
}

/* User turns before `turn`, the newest first, while there is room. */
static enum err add_earlier(const struct routing_rule *rule,
                            const struct chat_request *chat, size_t turn, size_t bytes,
                            struct buf *out)
{
    enum err err = ERR_OK;

    while (err == ERR_OK && bytes > out->n + 1 && half_of(bytes - out->n - 1) > 0) {
        struct clip clip;

        turn = find_before(chat, turn, "user");
        if (turn == SIZE_MAX)
            break;
        clip_init_turn(&clip, half_of(bytes - out->n - 1), rule);
        clip_add_message(&clip, message_at(chat, turn));
        err = finish_part(&clip, out);
        clip_release(&clip);
    }
    return err;
}

/* Messages of system and developer before the first user turn, in their order. */
static enum err add_system(const struct routing_rule *rule,
                           const struct chat_request *chat, size_t bytes, struct buf *out)
{
    struct jread_iter it =
        jread_iter(jread_trusted(scan_raw(chat->scan, SCAN_MESSAGES, chat->body)));
    struct jread_value message;
    struct clip clip;
    enum err err;

    if (half_of(bytes) == 0)
        return ERR_OK;
    clip_init(&clip, half_of(bytes));
    if (rule->strip != NULL && rule->strip->system.n > 0) {
        clip.templates = &rule->strip->system;
        clip.whole = false;
    }
    for (size_t i = 0; i < FIRST_MESSAGES && jread_next_element(&it, &message); i++) {
        struct jread_value role = jread_get(message, "role");

        if (!jread_string_is(role, "system") && !jread_string_is(role, "developer"))
            break;
        if (clip.n > 0)
            clip_add(&clip, STR("\n"));
        clip_add_message(&clip, message);
    }
    err = clip_finish(&clip, out);
    clip_release(&clip);
    return err;
}

static size_t share_of(const struct routing_rule *rule, double share)
{
    return (size_t)((double)rule->bytes * share);
}

static enum err put_part(struct buf *part, struct buf *out)
{
    if (part->n == 0)
        return ERR_OK;
    if (out->n > 0)
        buf_put(out, "\n");
    return buf_add_str(out, buf_str(part));
}

/* What the others do not need is the last turn's. */
static enum err text_weighed(const struct routing_rule *rule,
                             const struct chat_request *chat, struct buf *out)
{
    size_t turn = last_turn(chat), used;
    struct buf earlier, system;
    struct clip clip;
    enum err err = ERR_OK;

    buf_init(&earlier, rule->bytes);
    buf_init(&system, rule->bytes);
    if (rule->system > 0)
        err = add_system(rule, chat, share_of(rule, rule->system), &system);
    if (err == ERR_OK && rule->earlier > 0 && turn != SIZE_MAX)
        err = add_earlier(rule, chat, turn, share_of(rule, rule->earlier), &earlier);
    used = earlier.n + system.n + 2;
    clip_init_turn(&clip, half_of(rule->bytes > used ? rule->bytes - used : 0), rule);
    if (err == ERR_OK && turn != SIZE_MAX) {
        clip_add_message(&clip, message_at(chat, turn));
        err = clip_finish(&clip, out);
    }
    clip_release(&clip);
    if (err == ERR_OK)
        err = put_part(&earlier, out);
    if (err == ERR_OK)
        err = put_part(&system, out);
    buf_release(&earlier);
    buf_release(&system);
    return err;
}

/* -- both -------------------------------------------------------------------------------- */

/* Of a text that stands alone. */
static size_t half_by(const struct routing_rule *rule)
{
    return rule->weighed ? half_of(rule->bytes - 2) : ROUTING_TEXT_HALF;
}

/* The first of several: they are answered together, and are of one kind. */
static enum err text_of_prompt(const struct routing_rule *rule,
                               const struct chat_request *chat, struct buf *out)
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
    clip_init_turn(&clip, half_by(rule), rule);
    clip_add_string(&clip, prompt);
    err = clip_finish(&clip, out);
    clip_release(&clip);
    return err;
}

static enum err text_of_turn(const struct routing_rule *rule,
                             const struct chat_request *chat, struct buf *out)
{
    size_t turn = last_turn(chat);
    struct clip clip;
    enum err err;
    bool is_short;

    if (turn == SIZE_MAX)
        return ERR_OK;
    clip_init_turn(&clip, ROUTING_TEXT_HALF, rule);
    clip_add_message(&clip, message_at(chat, turn));
    err = clip_finish(&clip, out);
    is_short = clip.n < ROUTING_TEXT_SHORT;
    clip_release(&clip);
    return err == ERR_OK && is_short ? add_turn_before(rule, chat, turn, out) : err;
}

enum err routing_text_by(const struct routing_rule *rule, const struct chat_request *chat,
                         struct buf *out)
{
    if (chat->shape == CHAT_PROMPT)
        return text_of_prompt(rule, chat, out);
    if (chat->shape != CHAT_MESSAGES)
        return ERR_OK;
    return rule->weighed ? text_weighed(rule, chat, out) : text_of_turn(rule, chat, out);
}

enum err routing_text_of_prompt_by(const struct routing_rule *rule, struct str prompt,
                                   struct buf *out)
{
    struct clip clip;
    enum err err;

    clip_init_turn(&clip, half_by(rule), rule);
    clip_add_any(&clip, prompt, clip.templates != NULL);
    err = clip_finish(&clip, out);
    clip_release(&clip);
    return err;
}

static const struct routing_rule by_default = { .version = ROUTING_TEXT_VERSION };

enum err routing_text(const struct chat_request *chat, struct buf *out)
{
    return routing_text_by(&by_default, chat, out);
}

enum err routing_text_of_prompt(struct str prompt, struct buf *out)
{
    return routing_text_of_prompt_by(&by_default, prompt, out);
}
