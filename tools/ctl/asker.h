/* asker.h - asks experts many questions at once, within limits of number and money.
 *
 *      asker_new(settings)
 *      asker_run(asker, source)       until nothing is left to ask, or asker_stop();
 *           source->next(expert)        whenever that expert has a free place
 *           source->sending(bound)      before each attempt: from then on it may be paid for
 *           source->answered(answer)    exactly once per question that next() gave
 *      asker_run(asker, another source)   with what the first one left of the money
 *      asker_free(asker)
 *
 *   next -> reserve worst case -> sending -> POST /chat/completions -> settle -> answered
 *              ^                                   | 408 409 429 5xx, cut, timeout
 *              +-------------- wait ---------------+ at most `attempts` times
 *
 * Places: at most `concurrency` calls per expert, and no more than its max_in_flight;
 * experts are served in turn, or one after the other (by_expert). Money: before each
 * attempt its worst case is taken from the purse, so that the ceiling holds whatever
 * happens; an attempt of unknown fate stays counted at its worst case. Retry-after is
 * obeyed. An expert that fails ASKER_GIVE_UP questions in a row, or refuses key or model, is
 * given up: it is asked nothing more by this asker.
 *
 * Threads: one; the loop is the caller's. asker_stop may be called from callbacks of the
 * loop.
 */
#ifndef TOOLS_CTL_ASKER_H
#define TOOLS_CTL_ASKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/domain/config.h"
#include "gateway/domain/usage.h"
#include "gateway/io/http.h"
#include "gateway/io/loop.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/question.h"

#define ASKER_ID_BYTES     64
#define ASKER_GIVE_UP      5
#define ASKER_ANSWER_BYTES (16u << 20)
#define ASKER_WAIT_MAX_MS  60000

struct asker;

struct asker_question {
    size_t expert;             /* index in the configuration */
    size_t prompt;             /* the source's own number */
    struct question *question; /* owned by the source, until answered */
    char id[ASKER_ID_BYTES];   /* sent as x-request-id; "": none */
};

struct asker_answer {
    bool ok;
    bool dropped;              /* by a second asker_stop, when it had been sent */
    unsigned attempts;         /* that were sent; 0: nobody was asked */
    const char *error;         /* not ok: one line */
    const char *text;          /* ok: what the expert said; "" for nothing */
    const char *finish_reason; /* or NULL */
    int64_t input_tokens, output_tokens;
    bool estimated;    /* no usage was reported: tokens are taken from the bytes */
    int64_t cost_pico; /* of this answer */
    double latency_ms; /* of the attempt that succeeded */
    int64_t lost_pico; /* worst cases of attempts whose fate is unknown; also when ok */
};

struct asker_source {
    /* False: nothing for this expert, until an answer brings more. */
    bool (*next)(void *context, size_t expert, struct asker_question *ret_question);
    /* The question is about to be sent and may have cost up to bound_pico then, attempts of
     * unknown fate included. False: it is not sent, and nothing more is asked. */
    bool (*sending)(void *context, const struct asker_question *question,
                    int64_t bound_pico);
    void (*answered)(void *context, const struct asker_question *question,
                     const struct asker_answer *answer);
};

struct asker_settings {
    struct loop *loop;           /* borrowed */
    struct http *http;           /* borrowed */
    const struct config *config; /* borrowed */
    size_t concurrency;          /* of each expert, > 0 */
    bool by_expert;              /* an expert is done before the next one begins */
    unsigned attempts;           /* per question, > 0 */
    int64_t ceiling_pico;        /* of everything asked; MONEY_NONE: none */
};

struct asker *asker_new(const struct asker_settings *settings);
/* Nothing may be in flight. NULL is fine. */
void asker_free(struct asker *asker);
void asker_run(struct asker *asker, const struct asker_source *source, void *context);
/* Nothing new is asked; what is in flight is waited for. Called again: it is cancelled,
 * and counts as lost. */
void asker_stop(struct asker *asker);

bool asker_stopped(const struct asker *asker);
/* A question could not be asked since its worst case does not fit below the ceiling. */
bool asker_short(const struct asker *asker);
size_t asker_in_flight(const struct asker *asker);
/* What it probably cost, and what it cost at most: answers without usage are estimated in
 * the one and at their worst case in the other, lost calls at their worst case in both. */
int64_t asker_spent_pico(const struct asker *asker);
int64_t asker_bound_pico(const struct asker *asker);
/* For how long at least one call to the expert was under way. */
double asker_busy_ms(const struct asker *asker, size_t expert);
/* Why the expert was given up, or NULL. */
const char *asker_given_up(const struct asker *asker, size_t expert);

#endif
