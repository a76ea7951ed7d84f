/* routing_text.h - the text of a request that is embedded: one function for the daemon
 * and for every tool, so that calibration and routing see the same.
 *
 * By which rule is said by its version, which a bundle keeps: whoever loads the bundle reads
 * requests by its rule, and there is no second place to say it.
 *
 * "text@1", the default: the text of the last user turn (string content, or the text parts
 * joined by a line feed), clipped to its first and last ROUTING_TEXT_HALF bytes. A last
 * turn below ROUTING_TEXT_SHORT bytes ("and in miles?") says little alone: the user turn
 * before it follows after a line feed, clipped to ROUTING_TEXT_BEFORE bytes; so the last
 * turn always weighs most.
 *
 * "text@2;system=S;earlier=E;bytes=B": B bytes, of which the share S is for the system prompt
 * (messages of system and developer before the first user turn) and E for user turns before the last,
 * the newest first; the last one has the rest, and what the others do not need:
 *
 *     last user turn | line feed | the turn before it | .. | line feed | system prompt
 *
 * What is too long for its share keeps its beginning and its end. The newest stands in front, since
 * embedders cut at the end what is too long for them.
 *
 * Without a user turn the last message that has text counts. The result is valid UTF-8 and
 * may be empty (images only). Turns beyond the last SCAN_LAST_MESSAGES messages are not
 * looked at, but for the system prompt. Of a completion it is the prompt, or the first of several,
 * clipped likewise; prompts of tokens have none.
 */
#ifndef GATEWAY_DOMAIN_ROUTING_TEXT_H
#define GATEWAY_DOMAIN_ROUTING_TEXT_H

#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/chat.h"

#define ROUTING_TEXT_VERSION "text@1"
#define ROUTING_TEXT_HALF    4000
#define ROUTING_TEXT_SHORT   120
#define ROUTING_TEXT_BEFORE  400
#define ROUTING_TEXT_MAX     (2 * ROUTING_TEXT_HALF + ROUTING_TEXT_BEFORE + 2) /* bytes */

#define ROUTING_TEXT_LEAST   256   /* of `bytes` */
#define ROUTING_TEXT_MOST    32768 /* of `bytes`: no text by any rule is longer */
#define ROUTING_TEXT_BYTES   8192  /* where a rule does not say */
#define ROUTING_TEXT_SHARED  0.9   /* at most, of both shares: the last turn has some */
#define ROUTING_TEXT_NAME    64    /* bytes of a version, with its 0 */

struct routing_rule {
    char version[ROUTING_TEXT_NAME]; /* as bundles keep it */
    bool weighed;                    /* false: text@1, and the three below are void */
    double system, earlier;          /* shares, 0..1 */
    size_t bytes;
};

/* A version, or what stands behind "text@2;", with commas or semicolons: "system=0.2,bytes=4096";
 * empty is the default. INVALID: there is no such rule, *why (may be NULL) says why. */
NODISCARD enum err routing_rule_parse(struct str text, struct routing_rule *ret_rule,
                                      const char **ret_why);

/* Adds the text to out (init it with at least ROUTING_TEXT_MOST). NOMEM or TOO_LARGE. */
NODISCARD enum err routing_text_by(const struct routing_rule *rule,
                                   const struct chat_request *chat, struct buf *out);
/* The same for a prompt that stands alone, as calibration prompts do: equal to
 * routing_text_by of a request with this one user turn. */
NODISCARD enum err routing_text_of_prompt_by(const struct routing_rule *rule,
                                             struct str prompt, struct buf *out);

/* By the default; ROUTING_TEXT_MAX bytes are enough. */
NODISCARD enum err routing_text(const struct chat_request *chat, struct buf *out);
NODISCARD enum err routing_text_of_prompt(struct str prompt, struct buf *out);

#endif
