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
 * What many prompts begin with may be taken off before all this: "..;strip=1a2b3c4d" names the
 * templates that a bundle carries, routing_strip.h.
 *
 * Beside the version stands, in rows and bundles, a hash of what the rule makes of some requests, of
 * its templates, too: "text@1#0123456789abcdef", the stamp. A program whose rule of that version makes
 * other texts of them is told apart from one that makes the same, whatever its authors thought.
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
#include "gateway/domain/routing_strip.h"

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
#define ROUTING_TEXT_STAMP   96    /* bytes of a version and its hash, with the 0 */

struct routing_rule {
    char version[ROUTING_TEXT_NAME]; /* as records show it */
    bool weighed;                    /* false: text@1, and the three below are void */
    double system, earlier;          /* shares, 0..1 */
    size_t bytes;
    struct routing_strip
        *strip; /* owned by who made the rule; NULL: nothing is taken off */
};

/* A version, or what stands behind "text@2;", with commas or semicolons: "system=0.2,bytes=4096";
 * empty is the default. INVALID: there is no such rule, *why (may be NULL) says why. */
NODISCARD enum err routing_rule_parse(struct str text, struct routing_rule *ret_rule,
                                      const char **ret_why);

/* Takes the templates, which become part of the version. strip NULL: none. TOO_LARGE: they are longer
 * than a bundle carries; *strip is then still the caller's. */
NODISCARD enum err routing_rule_strip(struct routing_rule *rule,
                                      struct routing_strip **strip);
/* The templates as a bundle carries them; nothing is added where there are none. */
NODISCARD enum err routing_rule_extra(const struct routing_rule *rule, struct buf *out);
/* Version and hash. NOMEM. */
NODISCARD enum err routing_rule_stamp(const struct routing_rule *rule,
                                      char ret_stamp[ROUTING_TEXT_STAMP]);
/* The rule of a bundle: by its stamp (or the version alone, as older ones have it) and its extra
 * bytes. INVALID: no rule of this program, or one that makes other texts here; *why says what to do
 * about it. To be released. */
NODISCARD enum err routing_rule_of_bundle(struct str stamp, struct str extra,
                                          struct routing_rule *ret_rule,
                                          const char **ret_why);
/* Of a stamp, the version. */
struct str routing_stamp_version(struct str stamp);
void routing_rule_release(struct routing_rule *rule); /* takes a zeroed one */

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
