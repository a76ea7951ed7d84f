/* usage.h - the tokens an expert says it used, and our cost written beside them.
 *
 * The answer travels on as it came; usage_splice only writes `cost` and `cost_details` into
 * its usage object, in place of what the expert says under these names. Where there is no
 * usage nothing is written, but for the last chunk of a stream whose client asked for one
 * (usage_put_guess), which says that it is an estimate.
 *
 *   {"choices":[..],"usage":{"prompt_tokens":9, ..}}
 *   {"choices":[..],"usage":{"prompt_tokens":9, .. ,"cost":0.0012,"cost_details":{..}}}
 *
 * Pure; any thread.
 */
#ifndef GATEWAY_DOMAIN_USAGE_H
#define GATEWAY_DOMAIN_USAGE_H

#include <sys/uio.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/jread.h"

struct usage {
    bool known;                 /* both counts were reported and make sense */
    int64_t input_tokens;       /* prompt, cached and written ones included */
    int64_t cached_tokens;      /* of them, read from a cache; 0 where not reported */
    int64_t output_tokens;      /* completion, reasoning included */
    int64_t cache_write_tokens; /* of the prompt's */
    int64_t reasoning_tokens;   /* of the output's */
    bool absurd; /* something was reported that cannot be: not known, and worth a word */
};

#define USAGE_MAX_TOKENS INT64_C(1000000000000) /* more is not believed */

/* From the value of `usage`: an object with prompt_tokens and completion_tokens, or
 * input_tokens and output_tokens, and their details. Reasoning that total_tokens counts
 * beside the completion is added to the output. Anything else: known = false, the rest 0;
 * absurd where a count is negative, no integer, more than USAGE_MAX_TOKENS, or where parts
 * are more than their whole. */
struct usage usage_read(struct jread_value value);
/* The same, seen beside what was answered: a prompt has tokens, and so has a text. */
struct usage usage_beside_text(struct usage usage, size_t text_bytes);

struct usage_cost {
    int64_t cost_pico;       /* of the whole request; MONEY_NONE: not known, no `cost` */
    bool estimated;          /* a part of it was not reported */
    int64_t bound_pico;      /* what it is counted as under a ceiling: the worst case of
                                what was not reported; MONEY_NONE: not said */
    int64_t generation_pico; /* its parts, for cost_details */
    int64_t evidence_pico;
    int64_t guess_input, guess_output; /* tokens, where the usage is not known */
    struct str decision_id;
    struct str expert;
    struct str explain; /* raw JSON for cost_details.decision, or empty */
};

/* What an expert calls itself and its answer: texts inside the answer, empty where there is
 * none, or where it is longer than USAGE_MAX_NAME or written with escapes, as no name is. */
#define USAGE_MAX_NAME 128
struct usage_names {
    struct str id, model, fingerprint;
};

/* Takes one top-level member; false: it is none of the three. */
bool usage_names_take(struct usage_names *names, struct jread_value key,
                      struct jread_value value);

/* ,"cost":..,"cost_details":{..}: behind the last member of a usage object. */
void usage_put_cost(struct buf *out, const struct usage_cost *cost);

/* A usage object of the counts that are guessed, with the cost. */
void usage_put_guess(struct buf *out, const struct usage_cost *cost);

#define USAGE_MAX_PIECES 4

/* json: a whole JSON object (an answer, or the data of a chunk). Writes the cost into its
 * top-level `usage`; one piece, json itself, where there is none. Pieces point into json and
 * the arena. NOMEM, or INVALID where json is no JSON object. */
NODISCARD enum err usage_splice(struct str json, const struct usage_cost *cost,
                                struct arena *arena,
                                struct iovec ret_pieces[USAGE_MAX_PIECES], size_t *ret_n,
                                size_t *ret_bytes);

/* The same where the place of the usage object is known already: two passes less.
 * usage_raw is a run of json; empty: there is none, nothing is added. */
NODISCARD enum err usage_splice_at(struct str json, struct str usage_raw,
                                   const struct usage_cost *cost, struct arena *arena,
                                   struct iovec ret_pieces[USAGE_MAX_PIECES],
                                   size_t *ret_n, size_t *ret_bytes);

/* What an answer that is not streamed says. */
struct usage_answer {
    struct usage usage;
    bool has_choices; /* a non-empty `choices` */
    bool has_data;    /* a non-empty `data`: vectors */
    bool has_error;   /* a top-level `error` that is not null */
    struct usage_names names;
    size_t output_bytes;  /* text in `choices`: an estimate where usage is missing */
    struct str usage_raw; /* the `usage` object in the body, or empty */
};

/* False: the body is no JSON object. */
NODISCARD bool usage_read_answer(struct str body, struct usage_answer *ret_answer);

/* Bytes of the strings in value, as written, but for those under `role`, `type`, `id`,
 * `object` and `finish_reason`: what an expert generated. */
size_t usage_text_bytes(struct jread_value value);

/* Tokens from bytes where nothing is reported: a quarter, at least 1 for a byte. */
int64_t usage_estimate_tokens(size_t bytes);

#endif
