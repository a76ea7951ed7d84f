/* calib.h - the calibration store: data on disk: what is known, and what was paid for.
 *
 *   prompts    id, the request's messages, routing text and its version, domain, split,
 *              reference, grader
 *   experts    name; the prices its cells were made with
 *   cells      prompt x expert: quality, tokens, cost, latency. A missing row or NULL is
 *              "not known", never 0
 *   vectors    prompt x embedder x model
 *   answers    prompt x expert x model x sample: text, usage, cost. Paid for: never asked
 *              again, graded again at will
 *   verdicts   judge x model x what it was shown: quality and text. Paid for, as answers
 *   labels     which of two answers a person found better
 *   spending   calls of unknown fate at their bound, so that no money is forgotten
 *   asked      questions under way: a row before the call is made, away with its answer.
 *              What a killed run leaves behind may have been paid for
 *
 * One SQLite file in WAL mode, schema versioned by user_version and marked by
 * application_id; an older schema is brought up step by step at opening, a newer one
 * refused. What calib_commit returned for is on disk after a crash of the program.
 *
 * Threads: one. Strings given to a callback are borrowed until it returns. Units: tokens
 * are counts, money is pico-USD, latency milliseconds. NAN (doubles) and MONEY_NONE
 * (money) stand for NULL.
 */
#ifndef TOOLS_CTL_CALIB_H
#define TOOLS_CTL_CALIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/money.h"
#include "tools/ctl/fault.h"

struct calib;

enum calib_mode {
    CALIB_CREATE,   /* made when absent */
    CALIB_EXISTING, /* absent: an error, since nothing would be found in it */
};

NODISCARD enum fault_err calib_open(const char *path, enum calib_mode mode,
                                    struct calib **ret_store, struct fault *fault);
/* Rolls an open transaction back. */
void calib_close(struct calib *store); /* takes NULL */

/* Everything between the two is on disk or none of it. Not nested. */
NODISCARD enum fault_err calib_begin(struct calib *store, struct fault *fault);
NODISCARD enum fault_err calib_commit(struct calib *store, struct fault *fault);

struct calib_prompt {
    const char *id;
    const char *messages;     /* JSON array, as in a request */
    const char *text;         /* routing text */
    const char *text_version; /* and hash: the stamp of routing_text.h */
    const char *domain, *split, *reference, *grade; /* NULL: none */
    const char
        *new_split; /* given: of a prompt that is new and has no split; NULL: none */
};

/* Adds the prompt, or brings domain, split, reference, grade and routing text of a known
 * id up to date; vectors of another routing text are dropped. FAULT_INPUT when the id is known with other messages: its cells would be
 * of another question. */
NODISCARD enum fault_err calib_put_prompt(struct calib *store,
                                          const struct calib_prompt *prompt,
                                          int64_t *ret_prompt, struct fault *fault);
/* splits: names, or n_splits 0 for every prompt. In the order in which they were added. */
typedef enum fault_err (*calib_prompt_fn)(void *context, int64_t prompt,
                                          const struct calib_prompt *known,
                                          struct fault *fault);
NODISCARD enum fault_err calib_each_prompt(struct calib *store, char *const *splits,
                                           size_t n_splits, calib_prompt_fn each,
                                           void *context, struct fault *fault);

/* The expert of that name, made when new. */
NODISCARD enum fault_err calib_expert(struct calib *store, const char *name,
                                      int64_t *ret_expert, struct fault *fault);
/* Per token, as in effect when the cells were made. */
NODISCARD enum fault_err calib_set_prices(struct calib *store, int64_t expert,
                                          int64_t input_pico, int64_t output_pico,
                                          struct fault *fault);
struct calib_expert {
    int64_t expert;
    const char *name;
    int64_t input_pico, output_pico; /* per token, or MONEY_NONE */
    int64_t known;                   /* cells with a quality */
};
typedef enum fault_err (*calib_expert_fn)(void *context, const struct calib_expert *known,
                                          struct fault *fault);
NODISCARD enum fault_err calib_each_expert(struct calib *store, calib_expert_fn each,
                                           void *context, struct fault *fault);

struct calib_cell {
    double quality; /* 0..1 */
    double input_tokens, output_tokens;
    double latency_ms;
    int64_t cost_pico;
    const char
        *grader; /* who said the quality, in the words of grader.h; NULL: not known */
};
/* Replaces what was known of this cell. */
NODISCARD enum fault_err calib_put_cell(struct calib *store, int64_t prompt,
                                        int64_t expert, const struct calib_cell *cell,
                                        struct fault *fault);
typedef enum fault_err (*calib_cell_fn)(void *context, int64_t prompt, int64_t expert,
                                        const struct calib_cell *cell,
                                        struct fault *fault);
NODISCARD enum fault_err calib_each_cell(struct calib *store, calib_cell_fn each,
                                         void *context, struct fault *fault);

NODISCARD enum fault_err calib_put_vector(struct calib *store, int64_t prompt,
                                          const char *embedder, const char *model,
                                          const float *vector, size_t dim,
                                          struct fault *fault);
typedef enum fault_err (*calib_vector_fn)(void *context, int64_t prompt,
                                          const float *vector, size_t dim,
                                          struct fault *fault);
NODISCARD enum fault_err calib_each_vector(struct calib *store, const char *embedder,
                                           const char *model, calib_vector_fn each,
                                           void *context, struct fault *fault);

struct calib_answer {
    const char *model;         /* the upstream's name for what answered */
    int64_t sample;            /* 0; more with repeated questions */
    const char *text;          /* what it said */
    const char *finish_reason; /* or NULL */
    double input_tokens, output_tokens, latency_ms;
    int64_t cost_pico;
    bool estimated; /* the expert reported no usage */
};
NODISCARD enum fault_err calib_put_answer(struct calib *store, int64_t prompt,
                                          int64_t expert,
                                          const struct calib_answer *answer,
                                          struct fault *fault);
/* The same for what was recorded elsewhere: one more sample of that expert and model, unless the
 * store knows these very words from them. What was paid for is never replaced. `sample` is not
 * read. */
NODISCARD enum fault_err calib_add_answer(struct calib *store, int64_t prompt,
                                          int64_t expert,
                                          const struct calib_answer *answer,
                                          struct fault *fault);
typedef enum fault_err (*calib_answer_fn)(void *context, int64_t prompt, int64_t expert,
                                          const struct calib_answer *answer,
                                          struct fault *fault);
/* All answers of one expert by one model, ordered by prompt and sample. */
NODISCARD enum fault_err calib_each_answer(struct calib *store, int64_t expert,
                                           const char *model, calib_answer_fn each,
                                           void *context, struct fault *fault);

/* What every answer of every expert and model came to, ordered by prompt. */
struct calib_usage {
    int64_t prompt, expert;
    double output_tokens, latency_ms;
    int64_t text_bytes;
};
typedef enum fault_err (*calib_usage_fn)(void *context, const struct calib_usage *usage,
                                         struct fault *fault);
NODISCARD enum fault_err calib_each_usage(struct calib *store, calib_usage_fn each,
                                          void *context, struct fault *fault);
/* How many samples of one prompt there are at most. */
NODISCARD enum fault_err calib_samples(struct calib *store, int64_t expert,
                                       const char *model, int64_t *ret_samples,
                                       struct fault *fault);

/* -- questions under way -- */

/* One question among all that an expert's model was ever asked. */
struct calib_ask {
    int64_t prompt, expert;
    const char *model;
    const char
        *what; /* "answer 0": the prompt itself, sample 0; others name other uses */
};

enum calib_state {
    CALIB_OPEN,   /* nothing is known of it, or it was answered */
    CALIB_SENT,   /* sent, and its end is not known: it may have been paid for */
    CALIB_FAILED, /* it ended without an answer */
};

/* Before it is sent: it may have cost up to bound_pico from now on. */
NODISCARD enum fault_err calib_put_sent(struct calib *store, const struct calib_ask *ask,
                                        int64_t bound_pico, struct fault *fault);
NODISCARD enum fault_err calib_put_failed(struct calib *store,
                                          const struct calib_ask *ask,
                                          const char *failure, struct fault *fault);
/* It is answered, or forgotten. */
NODISCARD enum fault_err
calib_drop_asked(struct calib *store, const struct calib_ask *ask, struct fault *fault);
NODISCARD enum fault_err calib_asked(struct calib *store, const struct calib_ask *ask,
                                     enum calib_state *ret_state, int64_t *ret_bound_pico,
                                     struct fault *fault);
/* Everything of one expert's model that is not CALIB_OPEN. */
typedef enum fault_err (*calib_asked_fn)(void *context, const struct calib_ask *ask,
                                         enum calib_state state, int64_t bound_pico,
                                         struct fault *fault);
NODISCARD enum fault_err calib_each_asked(struct calib *store, int64_t expert,
                                          const char *model, calib_asked_fn each,
                                          void *context, struct fault *fault);

/* The text of one answer, to be freed; *ret_text is NULL where there is none. */
NODISCARD enum fault_err calib_answer_text(struct calib *store, const char *expert,
                                           const char *model, int64_t prompt,
                                           int64_t sample, char **ret_text,
                                           struct fault *fault);
/* The same of whatever model of the expert answered last. */
NODISCARD enum fault_err calib_latest_text(struct calib *store, int64_t prompt,
                                           int64_t expert, char **ret_text,
                                           struct fault *fault);

struct calib_verdict {
    const char *judge; /* expert's name, or the command of a program */
    const char *model; /* the upstream's name for the judge, or the program's hash */
    const char *shown; /* names what it was shown: judge_shown() */
    int64_t prompt;
    int64_t first, second; /* experts whose answers were shown; second: 0 for none */
    const char *version;   /* of the words around them */
    double quality;        /* of the first, 0..1; NAN: no verdict was found */
    const char *text;      /* what it said */
    double input_tokens, output_tokens;
    int64_t cost_pico;
    bool estimated;
};
NODISCARD enum fault_err calib_put_verdict(struct calib *store,
                                           const struct calib_verdict *verdict,
                                           struct fault *fault);
/* All that a judge's model said; means over those of known usage, NAN: none. */
struct calib_verdicts {
    size_t n;
    double input_tokens, output_tokens;
};
NODISCARD enum fault_err calib_count_verdicts(struct calib *store, const char *judge,
                                              const char *model,
                                              struct calib_verdicts *ret_verdicts,
                                              struct fault *fault);
NODISCARD enum fault_err calib_find_verdict(struct calib *store, const char *judge,
                                            const char *model, const char *shown,
                                            bool *ret_found, double *ret_quality,
                                            struct fault *fault);
/* Verdicts of a judge about answers of its own. */
NODISCARD enum fault_err calib_own_verdicts(struct calib *store, const char *judge,
                                            int64_t *ret_own, struct fault *fault);

struct calib_label {
    int64_t prompt, first, second; /* first < second: rows of experts */
    char said;                     /* 'a': the first is better, 'b', 't'ie, 's'kipped */
};
NODISCARD enum fault_err calib_put_label(struct calib *store,
                                         const struct calib_label *label,
                                         struct fault *fault);
NODISCARD enum fault_err calib_drop_label(struct calib *store,
                                          const struct calib_label *label,
                                          struct fault *fault);
/* In the order in which they were given. */
typedef enum fault_err (*calib_label_fn)(void *context, const struct calib_label *label,
                                         struct fault *fault);
NODISCARD enum fault_err calib_each_label(struct calib *store, calib_label_fn each,
                                          void *context, struct fault *fault);

/* A call that may have cost up to bound_pico without an answer. */
NODISCARD enum fault_err calib_put_spending(struct calib *store, int64_t prompt,
                                            int64_t expert, const char *what,
                                            int64_t bound_pico, struct fault *fault);

#endif
