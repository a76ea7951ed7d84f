/* routing_text.h - the text of a request that is embedded: one function for the daemon
 * and for every tool, so that calibration and routing see the same.
 *
 * Version text@1: the text of the last user turn (string content, or the text parts
 * joined by a line feed), clipped to its first and last ROUTING_TEXT_HALF bytes. A last
 * turn below ROUTING_TEXT_SHORT bytes ("and in miles?") says little alone: the user turn
 * before it follows after a line feed, clipped to ROUTING_TEXT_BEFORE bytes; so the last
 * turn always weighs most. Without a user turn the last message that has text counts. The
 * result is valid UTF-8 and may be empty (images only). Turns beyond the last
 * SCAN_LAST_MESSAGES messages are not looked at. Of a completion it is the prompt, or the
 * first of several, clipped likewise; prompts of tokens have none.
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

/* Adds the text to out (init it with at least ROUTING_TEXT_MAX). NOMEM or TOO_LARGE. */
NODISCARD enum err routing_text(const struct chat_request *chat, struct buf *out);
/* The same for a prompt that stands alone, as calibration prompts do: equal to
 * routing_text of a request with this one user turn. */
NODISCARD enum err routing_text_of_prompt(struct str prompt, struct buf *out);

#endif
