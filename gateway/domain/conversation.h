/* conversation.h - which requests belong together: the identity of a conversation.
 *
 * Clients send a conversation again with every turn and say nothing about which one it is. So
 * its identity is what never changes in it: its first turns, that is whatever stands before
 * and in the first user turn (system prompt, developer's, the question it began with). A
 * client that knows better says so: x-frugal-conversation-id.
 *
 *   [system] [user]                                       not begun: an answer is still to come
 *   [system] [user] [assistant: calls] [tool] [tool]      begun, in a tool loop
 *   ^------------^ hashed: roles and texts, so that a mark of a prompt cache that wanders
 *                  from turn to turn, or a text that becomes a list of parts, changes nothing
 *
 * The hash is XXH3 of 128 bits: equal beginnings are one conversation, whoever sends them. Who
 * keeps something by it keeps tenants apart by something that cannot collide (sticky.h).
 * Of what is hashed at most CONVERSATION_BYTES count. Pure; any thread.
 */
#ifndef GATEWAY_DOMAIN_CONVERSATION_H
#define GATEWAY_DOMAIN_CONVERSATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/str.h"
#include "gateway/domain/chat.h"

#define CONVERSATION_BYTES    16384 /* of one first turn that are hashed */
#define CONVERSATION_MESSAGES 8     /* that may stand before the first user turn */

/* What it is known by: X(name, word). */
#define CONVERSATION_KINDS(X)                                                            \
    X(NONE, "none")              /* no conversation: a prompt, an input, no user turn */ \
    X(HEADER, "conversation_id") /* the client's own name for it */                      \
    X(FIRST_TURNS, "first_turns") /* the hash of its beginning */

enum conversation_kind {
#define X(name, word) CONVERSATION_##name,
    CONVERSATION_KINDS(X)
#undef X
};
const char *conversation_kind_word(enum conversation_kind kind);

struct conversation {
    enum conversation_kind kind;
    bool begun;     /* an answer is among its turns: an assistant's or a tool's */
    bool tool_loop; /* behind its last answer stands a tool's result */
    uint64_t hash[2];
    size_t messages; /* in this request */
};

/* id: the client's own, or empty. */
void conversation_of(const struct chat_request *chat, struct str id,
                     struct conversation *ret_conversation);

#endif
