/* adapt.h - an expert's dialect: which top-level members of a request it knows by another name,
 * does not take, or is always sent.
 *
 *   "request": { "rename": {"max_tokens": "max_completion_tokens"},        config_request.c
 *                "drop": ["logit_bias"], "set": {"reasoning_effort": "low"} }
 *
 *   adapt_find(adapt, body, scan, &found)      the members that the rules meet
 *   chat_splice()                              changes them with all else, in one go
 *
 *   body     {"model":"auto","logit_bias":{..},"messages":[ ... ],"top_p":1}
 *   found                    |remove          |              jumped over
 *
 * A member is dropped wherever it occurs; one that is renamed is dropped where its new name is
 * there already; one that is set replaces the client's. Members that the scan has placed are
 * jumped over, so the long ones are not read a second time.
 *
 * What money hangs on is not adapted (adapt_forbids): a request would cost what nobody has
 * reserved. The output limit may be renamed, since it still arrives: chat_splice writes it under
 * the only name that the expert knows. Pure; any thread; all is borrowed from the configuration.
 */
#ifndef GATEWAY_DOMAIN_ADAPT_H
#define GATEWAY_DOMAIN_ADAPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/scan.h"

#define ADAPT_MAX_RULES   32   /* of an expert; a bit each */
#define ADAPT_MAX_NAME    64   /* bytes of a member's name */
#define ADAPT_MAX_SET     4096 /* bytes of all that is set, as JSON */
#define ADAPT_MAX_CHANGES 64   /* members of one request that are changed */

enum adapt_way { ADAPT_RENAME, ADAPT_DROP, ADAPT_SET };

struct adapt_rule {
    enum adapt_way way;
    bool limit;         /* RENAME of the output limit: chat_splice's */
    const char *field;  /* its name, unescaped */
    const char *to;     /* RENAME: the new one; else NULL */
    struct str to_json; /* the same with its quotes */
};

struct adapt {
    size_t n; /* 0: requests go as they are */
    const struct adapt_rule *rules;
    struct str set; /* what is set, as members with a comma behind each; may be empty */
    bool no_stream_options; /* these are dropped: usage of a stream is not asked for */
};

/* Why a rule on that member would harm, as a clause ("the output limit must arrive"); NULL: it
 * would not. `to`: the new name of RENAME. The pair of both names of the output limit is
 * adapt_limit's. */
const char *adapt_forbids(enum adapt_way way, struct str field, struct str to);
/* max_tokens becomes max_completion_tokens, or the other way round. */
bool adapt_limit(struct str field, struct str to);

struct adapt_change {
    size_t key_begin, key_end,
        end;        /* of the body: the key with its quotes, behind the value */
    struct str key; /* what stands for the key; empty: the member goes */
};

struct adapt_found {
    size_t n;
    uint32_t rules; /* bit i: rules[i] has changed something */
    struct adapt_change list[ADAPT_MAX_CHANGES]; /* in the order of the body */
};

/* body: scanned. TOO_LARGE: more members than ADAPT_MAX_CHANGES, which needs repeated ones. */
NODISCARD enum err adapt_find(const struct adapt *adapt, struct str body,
                              const struct scan *scan, struct adapt_found *found);

#endif
