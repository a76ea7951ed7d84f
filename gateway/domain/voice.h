/* voice.h - a chat expert's answer, told in the words of another API.
 *
 *   struct voice voice;
 *   voice_init(&voice, &messages_voice, &facts, max_bytes);
 *   a stream:    voice_chunk(&voice, data, &out)*        events are added to out
 *                voice_usage(&voice, usage, cost)        at most once, before the end, or
 *                voice_guess(&voice, cost)               where there is none
 *                voice_end(&voice, &out)
 *   a whole:     voice_whole(&voice, body, usage, cost, &out)
 *   voice_release(&voice)
 *
 *   chunk: delta {"content":"Hel"}  --> open(text) more("Hel")
 *   chunk: delta {"content":"lo"}   --> more("lo")                       one part is open
 *   chunk: delta {"tool_calls":..}  --> close() open(tool) more("{..")   at a time
 *   chunk: finish_reason            --> (kept)
 *   [DONE]                          --> close() end()
 *
 * An answer is a list of parts: thinking, text, a refusal, tool calls. A whole answer goes
 * through the same calls as a stream, but shows no events: so both give the same. Texts are
 * passed on as the expert wrote them, escapes included. Only choice 0 is told: neither API
 * knows more. Bounded by max_bytes, the limit of an answer. Pure; one thread.
 */
#ifndef GATEWAY_DOMAIN_VOICE_H
#define GATEWAY_DOMAIN_VOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/jread.h"
#include "gateway/domain/usage.h"

enum voice_part { VOICE_NONE, VOICE_THINKING, VOICE_TEXT, VOICE_REFUSAL, VOICE_TOOL };

enum voice_finish {
    VOICE_STOP,     /* or anything we do not know */
    VOICE_LENGTH,   /* the output limit */
    VOICE_TOOLS,    /* a tool is to be called */
    VOICE_FILTERED, /* content filter */
};

struct voice;

struct voice_ops {
    const char *id_prefix;                               /* of the answer's id */
    void (*start)(struct voice *voice, struct buf *out); /* before the first part */
    void (*open)(struct voice *voice, struct buf *out);  /* voice->part begins */
    /* more of it: the inside of a JSON string */
    void (*more)(struct voice *voice, struct str inside, struct buf *out);
    /* it is whole: voice->text; adds it to voice->parts */
    void (*close)(struct voice *voice, struct buf *out);
    void (*end)(struct voice *voice, struct buf *out);   /* behind the last part */
    void (*whole)(struct voice *voice, struct buf *out); /* the answer as one object */
};

struct voice_facts {
    struct str echo;  /* members that the answer repeats, each behind a comma; borrowed */
    struct str id;    /* of the answer without its prefix; borrowed */
    struct str model; /* who answers; borrowed */
    int64_t created_s;
};

struct voice {
    const struct voice_ops *ops;
    struct voice_facts facts;
    bool streaming; /* events are wanted */
    bool started, ended;
    bool
        failed; /* no answer that could be told: a closed part went on, or out of memory */
    enum voice_part part;
    size_t n_parts;     /* opened so far; the open one is n_parts - 1 */
    int64_t tool_index; /* the expert's, of the last tool; -1: none */
    struct buf tool_id; /* insides of JSON strings */
    struct buf tool_name;
    struct buf text;     /* of the open part, the inside of a JSON string */
    struct buf parts;    /* those closed, as JSON, separated by commas */
    struct buf logprobs; /* elements of choices.logprobs.content, likewise */
    bool called;         /* a tool is to be called */
    enum voice_finish finish;
    struct buf stop; /* stop sequence, inside of a JSON string, where it is said */
    bool has_usage;
    struct usage usage;
    struct usage_cost cost;
    int64_t sequence; /* of the next event */
};

void voice_init(struct voice *voice, const struct voice_ops *ops,
                const struct voice_facts *facts, size_t max_bytes);
void voice_release(struct voice *voice); /* takes a zeroed one */

/* data: a valid chunk (delta.h), not [DONE]. False: the answer cannot be told. */
NODISCARD bool voice_chunk(struct voice *voice, struct str data, struct buf *out);
/* usage: the value of `usage`; cost is copied, what it points at is borrowed until the end. */
void voice_usage(struct voice *voice, struct jread_value usage,
                 const struct usage_cost *cost);
/* None was reported: the counts that are guessed, in cost, which says so. */
void voice_guess(struct voice *voice, const struct usage_cost *cost);
NODISCARD bool voice_end(struct voice *voice, struct buf *out);
/* usage_raw: empty where none was reported, which is then guessed. */
NODISCARD bool voice_whole(struct voice *voice, struct str body, struct str usage_raw,
                           const struct usage_cost *cost, struct buf *out);

/* For the ops: a JSON string out of its inside. */
void voice_put_inside(struct buf *out, const char *key, const struct buf *inside);
/* The arguments of a tool as they mean, not as they are quoted: a JSON object, {} where there
 * are none, {"invalid":".."} where the expert's are none. */
void voice_put_arguments(struct voice *voice, struct buf *out);

#endif
