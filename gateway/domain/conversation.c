/* conversation.c - the identity of a conversation; see conversation.h. */
#include "gateway/domain/conversation.h"

/* For a state on the stack; its layout is frozen since 0.8. */
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "gateway/domain/jread.h"

/* Of a longer message only the beginning is looked at, as it stands: pictures. */
#define LONG_MESSAGE (256u << 10)

const char *conversation_kind_word(enum conversation_kind kind)
{
    static const char *const words[] = {
#define X(name, word) word,
        CONVERSATION_KINDS(X)
#undef X
    };

    return words[kind];
}

/* -- what is hashed ---------------------------------------------------------------------- */

/* A few bytes at a time are cheap to add, since XXH3 gathers them; `left` bounds them. */
struct digest {
    XXH3_state_t state;
    size_t left;
};

static void digest_add(struct digest *digest, struct str text)
{
    text = str_first(text, digest->left);
    digest->left -= text.n;
    (void)XXH3_128bits_update(&digest->state, text.p != NULL ? text.p : "", text.n);
}

/* Without its quotes; as it was written, since one client writes one text in one way. */
static void digest_string(struct digest *digest, struct jread_value text)
{
    if (text.type == JREAD_TEXT)
        digest_add(digest, (struct str){ text.raw.p + 1, text.raw.n - 2 });
}

/* A picture or a sound: where it is, or what it begins with. */
static void digest_part(struct digest *digest, struct jread_value part)
{
    struct jread_iter it = jread_iter(part);
    struct jread_value key, value;

    while (jread_next_member(&it, &key, &value)) {
        if (jread_string_is(key, "cache_control") || jread_string_is(key, "type"))
            continue;
        digest_add(digest, str_first(value.raw, 1024));
    }
}

/* True: it is the first user turn, or must be taken for it. One pass over the message. */
static bool digest_message(struct digest *digest, struct jread_value message)
{
    struct jread_value role = { JREAD_NOTHING, { NULL, 0 } }, content = role;
    struct jread_value key, value, part, text;
    struct jread_iter it = jread_iter(message);
    bool is_user;

    digest->left = CONVERSATION_BYTES;
    if (message.raw.n > LONG_MESSAGE) {
        digest_add(digest, message.raw);
        return true;
    }
    while (jread_next_member(&it, &key, &value)) {
        if (jread_string_is(key, "role"))
            role = value;
        else if (jread_string_is(key, "content"))
            content = value;
    }
    is_user = jread_string_is(role, "user");
    digest_string(digest, role);
    digest_add(digest, STR("\n"));
    digest_string(digest, content);
    it = jread_iter(content);
    if (content.type != JREAD_LIST)
        return is_user;
    while (digest->left > 0 && jread_next_element(&it, &part)) {
        text = part.type == JREAD_TEXT ? part : jread_get(part, "text");
        if (text.type == JREAD_TEXT)
            digest_string(digest, text);
        else
            digest_part(digest, part);
    }
    return is_user;
}

/* Up to the first user turn; false: there is none, or too much stands before it. */
static bool hash_first_turns(const struct chat_request *chat, uint64_t ret_hash[2])
{
    struct jread_value messages =
        jread_trusted(scan_raw(chat->scan, SCAN_MESSAGES, chat->body));
    struct jread_iter it = jread_iter(messages);
    struct jread_value message;
    struct digest digest;
    XXH128_hash_t hash;
    bool found = false;

    (void)XXH3_128bits_reset(&digest.state);
    for (size_t i = 0; !found && i < CONVERSATION_MESSAGES; i++) {
        if (!jread_next_element(&it, &message))
            return false;
        found = digest_message(&digest, message);
        (void)XXH3_128bits_update(&digest.state, "\0", 1);
    }
    hash = XXH3_128bits_digest(&digest.state);
    ret_hash[0] = hash.low64;
    ret_hash[1] = hash.high64;
    return found;
}

/* -- where it stands --------------------------------------------------------------------- */

enum turn { TURN_OTHER, TURN_ASSISTANT, TURN_TOOL };

static enum turn turn_at(const struct chat_request *chat, size_t i)
{
    const struct scan_place *place = &chat->scan->messages[i % SCAN_LAST_MESSAGES];
    struct jread_value role =
        jread_get(jread_trusted((struct str){ chat->body.p + place->begin,
                                              place->end - place->begin }),
                  "role");

    if (role.type != JREAD_TEXT)
        return TURN_OTHER;
    if (jread_string_is(role, "assistant"))
        return TURN_ASSISTANT;
    return jread_string_is(role, "tool") || jread_string_is(role, "function")
               ? TURN_TOOL
               : TURN_OTHER;
}

/* Back from the end to the last answer. A user's words behind the results of tools (some
 * agents add reminders) do not end the loop. */
static void find_last_answer(const struct chat_request *chat, struct conversation *ret)
{
    size_t oldest =
        chat->n_messages > SCAN_LAST_MESSAGES ? chat->n_messages - SCAN_LAST_MESSAGES : 0;

    for (size_t i = chat->n_messages; i-- > oldest && !ret->begun;) {
        enum turn turn = turn_at(chat, i);

        ret->begun = turn != TURN_OTHER;
        ret->tool_loop = turn == TURN_TOOL;
    }
}

void conversation_of(const struct chat_request *chat, struct str id,
                     struct conversation *ret_conversation)
{
    struct conversation conversation = { .messages = chat->n_messages };
    XXH128_hash_t hash;

    if (chat->shape == CHAT_MESSAGES)
        find_last_answer(chat, &conversation);
    if (id.n > 0) {
        hash = XXH3_128bits_withSeed(id.p, id.n, CONVERSATION_HEADER);
        conversation.kind = CONVERSATION_HEADER;
        conversation.hash[0] = hash.low64;
        conversation.hash[1] = hash.high64;
    } else if (chat->shape == CHAT_MESSAGES &&
               hash_first_turns(chat, conversation.hash)) {
        conversation.kind = CONVERSATION_FIRST_TURNS;
    }
    *ret_conversation = conversation;
}
