/* token_count.c - the tokenizer's question and answer; see token_count.h.
 *
 * What stands between the quotes of a checked JSON string may stand in another as it is, so the
 * text is never unescaped. Of two members with one name both are counted, since readers differ
 * in which they take. */
#include "gateway/domain/token_count.h"

#include "gateway/domain/jread.h"

#define ANSWER_DEPTH 16

/* The inside of a string, and a line end. */
static void put_inside(struct jread_value text, struct buf *out)
{
    buf_put_str(out, (struct str){ text.raw.p + 1, text.raw.n - 2 });
    buf_put(out, "\\n");
}

/* {"type":"text","text":"..."} and nothing else. */
static bool put_part(struct jread_value part, struct buf *out)
{
    struct jread_iter it = jread_iter(part);
    struct jread_value key, value;
    bool text = false;

    while (jread_next_member(&it, &key, &value)) {
        if (jread_string_is(key, "type") && jread_string_is(value, "text"))
            continue;
        if (!jread_string_is(key, "text") || value.type != JREAD_TEXT)
            return false;
        put_inside(value, out);
        text = true;
    }
    return text;
}

static bool put_content(struct jread_value content, struct buf *out)
{
    struct jread_iter it = jread_iter(content);
    struct jread_value part;

    if (content.type == JREAD_TEXT) {
        put_inside(content, out);
        return true;
    }
    if (content.type != JREAD_LIST)
        return false;
    while (jread_next_element(&it, &part))
        if (!put_part(part, out))
            return false;
    return true;
}

static bool put_message(struct jread_value message, struct buf *out)
{
    struct jread_iter it = jread_iter(message);
    struct jread_value key, value;

    while (jread_next_member(&it, &key, &value)) {
        bool word = jread_string_is(key, "role") || jread_string_is(key, "name");

        if (word && value.type == JREAD_TEXT)
            put_inside(value, out);
        else if (!jread_string_is(key, "content") || !put_content(value, out))
            return false;
    }
    return message.type == JREAD_MAP;
}

bool token_question(const struct chat_request *chat,
                    const struct config_generator *generator, struct buf *out)
{
    struct jread_value messages, message;
    struct jread_iter it;
    size_t empty;

    if (chat->shape != CHAT_MESSAGES || chat->n_images > 0 || chat->n_other_media > 0 ||
        chat->message_bytes > TOKEN_QUESTION_BYTES)
        return false;
    messages = jread_trusted(scan_raw(chat->scan, SCAN_MESSAGES, chat->body));
    it = jread_iter(messages);
    buf_put(out, "{\"content\":\"");
    empty = out->n;
    while (jread_next_element(&it, &message))
        if (!put_message(message, out))
            return false;
    if (out->n == empty)
        return false;
    buf_put(out, "\"}");
    if (generator->tokenizer_takes == CONFIG_TAKES_MESSAGES) {
        buf_clear(out);
        buf_put(out, "{\"model\":");
        buf_put_json(out, str_of(generator->model));
        buf_put(out, ",\"messages\":");
        buf_put_str(out, messages.raw);
        buf_put(out, "}");
    }
    return !out->failed;
}

int64_t token_answer(struct str answer)
{
    struct jread_value root, tokens, token;
    struct jread_iter it;
    int64_t listed = -1, count = -1;

    if (!jread_parse(answer, ANSWER_DEPTH, &root))
        return -1;
    tokens = jread_get(root, "tokens");
    it = jread_iter(tokens);
    if (tokens.type == JREAD_LIST)
        for (listed = 0; jread_next_element(&it, &token);)
            listed++;
    if (!jread_integer(jread_get(root, "count"), &count) || count < 0)
        count = -1;
    return count > listed ? count : listed;
}
