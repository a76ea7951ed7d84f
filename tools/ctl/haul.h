/* haul.h - all prompts that an import brings, in memory, before any of them is in the store.
 *
 *     haul_init(&haul)
 *     haul_add(&haul, &brought, where, &fault)    for each; the same prompt twice is one prompt
 *     haul_settle(&haul)                          answers whose prompt came later find it
 *     alike_drop(..), cluster_domains(..)         see alike.h and cluster.h
 *     haul_sample(&haul, 500, seed)
 *     haul_hold_out(&haul, 0.2)
 *     haul_write(&haul, store, ..)                in one transaction of the caller
 *     haul_release(&haul)
 *
 * Prompts without an id get one that follows from their messages: who imports a log again changes
 * nothing, and answers of several experts to one question come together on one prompt.
 *
 * Every choice here is by a hash of the messages, none by their order or their number: prompts that
 * were chosen, or held out, are so again when the log has grown.
 *
 * Memory: the messages, routing texts and answers of all that is brought, a small multiple of the
 * file's size. One thread.
 */
#ifndef TOOLS_CTL_HAUL_H
#define TOOLS_CTL_HAUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/ctl/brought.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/names.h"
#include "tools/ctl/progress.h"

#define HAUL_CALIB "calib" /* splits that an import gives */
#define HAUL_DEV   "dev"

/* What became of a prompt. */
enum haul_fate {
    HAUL_KEPT,
    HAUL_ALIKE,       /* another one is nearly the same */
    HAUL_NOT_SAMPLED, /* not among those that were drawn */
};

struct haul_answer {
    char *expert, *model;       /* of a stray: or NULL */
    char *text, *finish_reason; /* or NULL */
    double input_tokens, output_tokens, latency_ms, quality;
    int64_t cost_pico;
};

struct haul_prompt {
    char *id, *messages, *text;
    char *asked; /* the model that the request names, or NULL */
    char *domain, *split, *reference, *grade; /* NULL: none */
    uint64_t hash;                            /* of the messages */
    size_t line;
    struct haul_answer *answers;
    size_t n_answers;
    enum haul_fate fate;
    size_t like;       /* HAUL_ALIKE: index of the prompt that stays for it */
    double similarity; /* ... and how alike they are */
};

struct haul {
    struct haul_prompt *prompts;
    size_t n, room;
    size_t merged; /* came more than once */
    struct names ids;
    struct haul_stray { /* answers whose prompt has not come yet */
        char *id;
        struct haul_answer *answers;
        size_t n_answers;
    } * strays;
    size_t n_strays;
};

void haul_init(struct haul *haul);
void haul_release(struct haul *haul);

/* Copies. line: where it stands, for messages. FAULT_INPUT: the messages are wrong, or the id is
 * another prompt's already. */
NODISCARD enum fault_err haul_add(struct haul *haul, const struct brought *brought,
                                  size_t line, struct fault *fault);
/* How many answers are left without a prompt; they are gone then. */
size_t haul_settle(struct haul *haul);

/* All answers of one prompt become another one's. */
void haul_move_answers(struct haul_prompt *from, struct haul_prompt *to);

size_t haul_count(const struct haul *haul, enum haul_fate fate);

/* Keeps n of the kept ones, each domain with its share (and with one at least, while n is not
 * below the number of domains). n 0: all. */
void haul_sample(struct haul *haul, size_t n, uint64_t seed);
/* Gives kept prompts without a split HAUL_DEV (a share of them) or HAUL_CALIB. */
void haul_hold_out(struct haul *haul, double share);

/* Writes the kept ones; new_split: of those that are new to the store and have none (NULL: none).
 * Answers that the store has already stay as they are. */
NODISCARD enum fault_err haul_write(const struct haul *haul, struct calib *store,
                                    const char *new_split, struct progress *bar,
                                    struct fault *fault);

#endif
