/* relay.h - an expert's stream of events on its way to the client: held, passed, mended.
 *
 *   expert's bytes --sse--> event --delta--> held (out) ---commit---> out ---> client
 *                                     |         |
 *                                     |         +-- content, or a hold limit
 *                                     +-- usage: priced and passed on, or dropped;
 *                                         where a client asked for one that never came,
 *                                         an estimate before [DONE], marked so
 *
 *   relay_init(&relay, &rules, cost, arg)
 *   for each piece:   relay_feed(&relay, p, n)      then look at state and out
 *   hold time over:   relay_commit(&relay)
 *   transport ended:  relay_finish(&relay)          whole = it ended as HTTP says
 *   relay_release(&relay)
 *
 * The commit point: nothing is shown to the client before the first event that carries
 * more than a role, or before a hold limit runs out, so that until then another expert can
 * still take over. Afterwards `out` is what the client is to get; whoever drains it calls
 * buf_consume.
 *
 * Comments are passed on once the stream is committed. An event without data is none (the
 * standard dispatches it to nobody, and some clients stumble over it): it is dropped.
 *
 * A stream is ENDED only if the expert said so ([DONE], or a finish reason and a proper
 * end of its HTTP answer). Anything else is BROKEN, and after the commit point the client
 * is told so by the caller, never by a clean end. An expert that speaks the client's other API
 * itself ends its stream as that API says (native.h), and nothing else is an end. With a voice the client hears the same in
 * the events of another API (voice.h); what is held, when it is committed and how it ends is
 * decided on the expert's own events all the same. Pure; one thread.
 */
#ifndef GATEWAY_FLOW_RELAY_H
#define GATEWAY_FLOW_RELAY_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/base/money.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/native.h"
#include "gateway/domain/refusal.h"
#include "gateway/domain/sse.h"
#include "gateway/domain/usage.h"
#include "gateway/domain/voice.h"

struct relay_rules {
    size_t hold_bytes, hold_chunks; /* of events held back */
    size_t event_bytes;             /* of one event; larger: BROKEN */
    bool usage_wanted;              /* the client asked for the usage chunk */
    enum chat_shape shape; /* whose events come: a chat's, or another API's own */
    /* The client hears the stream in another API's words: initialised, borrowed; NULL: the
     * events are passed on as they are. */
    struct voice *voice;
    size_t voice_bytes; /* what the voice may add to `out` at once */
};

enum relay_state {
    RELAY_HOLDING, /* out must not be sent yet */
    RELAY_OPEN,    /* committed: out goes to the client */
    RELAY_ENDED,   /* the expert is done; out has the rest */
    RELAY_BROKEN,  /* see why; out is void if it never was committed */
};

#define RELAY_FAULTS(X)                                                                  \
    X(NONE, "none", "nothing is wrong")                                                  \
    X(CUT, "cut", "the stream was cut")                                                  \
    X(MALFORMED, "malformed", "an event is not a chat completion chunk")                 \
    X(TOO_LARGE, "too_large", "an event is over the limit")                              \
    X(IN_BAND, "in_band", "the expert reported an error in its stream")                  \
    X(NOMEM, "no_memory", "out of memory")

enum relay_fault {
#define X(name, word, text) RELAY_FAULT_##name,
    RELAY_FAULTS(X)
#undef X
};
const char *relay_fault_text(enum relay_fault fault);

struct relay {
    enum relay_state state;
    enum relay_fault fault;
    bool committed;     /* OPEN was reached */
    struct buf out;     /* for the client; see above */
    struct usage usage; /* last one reported */
    bool told_usage;    /* to the client */
    bool content;       /* something that a client would miss has come */
    bool done;          /* [DONE] */
    bool finished;      /* a finish reason */
    bool shown_error;   /* the expert's own error event was passed on */
    int error_status;   /* IN_BAND: HTTP status it names, or 0 */
    /* IN_BAND, before anything was said: an expert that refuses in its stream. Then `out` has
     * its error as a body. */
    enum refusal refusal;
    size_t output_bytes; /* of text in the deltas: an estimate where usage is missing */
    size_t events;       /* with data */
    int64_t sequence;    /* of an API that numbers its events: the next one's */
    /* Of the expert, as its first event has them; in name_text. */
    struct usage_names names;
    char name_text[3][USAGE_MAX_NAME];
    int64_t created; /* likewise; 0: not said */

    /* private */
    struct relay_rules rules;
    struct sse sse;
    struct native_tally tally;
    size_t held;          /* events in out before the commit point */
    struct arena scratch; /* of one event */
    void (*cost)(void *arg, const struct usage *usage, struct usage_cost *ret_cost);
    void *arg;
};

/* cost: asked for each usage that goes to the client. */
void relay_init(struct relay *relay, const struct relay_rules *rules,
                void (*cost)(void *arg, const struct usage *usage,
                             struct usage_cost *ret_cost),
                void *arg);
void relay_release(struct relay *relay); /* takes a zeroed one */

/* Takes all bytes; after ENDED and BROKEN they are ignored. */
void relay_feed(struct relay *relay, const char *bytes, size_t n);
/* HOLDING becomes OPEN; otherwise nothing. */
void relay_commit(struct relay *relay);
/* whole: the HTTP answer was complete. */
void relay_finish(struct relay *relay, bool whole);

#endif
