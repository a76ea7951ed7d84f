/* judge.h - what a judge is asked, and what its words mean. No calls: see judging.h.
 *
 *   judge_wish_read("gpt,pairwise,criteria=good.txt", ...)     the settings of a grader
 *   messages = judge_messages(&asked, nonce)                   a chat request's messages
 *   judge_read(form, what the judge said, &quality)            or no verdict
 *
 * A judge is blind: it sees the question, the reference if there is one, and answers without
 * a name. Whatever it is shown was written by strangers, so each text stands between markers
 * that carry a nonce which the texts cannot know, and the judge is told before and after them
 * that they are data.
 *
 * Forms:
 *   rubric     one answer, "SCORE: 0".."SCORE: 10"; quality is a tenth of it
 *   pairwise   two answers, "VERDICT: A", "B" or "TIE"; quality of the first: 1, 0, 0.5.
 *              Judges prefer a place (Zheng et al. 2023, "Judging LLM-as-a-judge", 3.3;
 *              Wang et al. 2023, "Large language models are not fair evaluators"), so each
 *              pair is asked in both orders: judge_both().
 *
 * JUDGE_VERSION changes with any word of the prompts: verdicts of other versions are not
 * used. Pure; strings are borrowed, results are to be freed.
 */
#ifndef TOOLS_CTL_JUDGE_H
#define TOOLS_CTL_JUDGE_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/ctl/fault.h"
#include "tools/ctl/grader.h"

#define JUDGE_VERSION       "judge@1"
#define JUDGE_NONCE_BYTES   17 /* 16 hexadecimal digits and a NUL */
#define JUDGE_SHOWN_BYTES   33 /* 32 hexadecimal digits and a NUL */
#define JUDGE_OUTPUT_TOKENS 512
#define JUDGE_CRITERIA_MAX  65536

/* EXPERT[,rubric|,pairwise][,criteria=FILE][,against=EXPERT][,opponents=N][,tokens=N]; of
 * `agree`: EXPERT[,judge=EXPERT]. */
NODISCARD enum fault_err judge_wish_read(const char *argument, bool agree,
                                         struct judge_wish *ret_wish,
                                         struct fault *fault);
void judge_wish_release(struct judge_wish *wish);

struct judge_asked {
    enum judge_form form;
    const char *question;   /* as judge_question() writes it */
    const char *reference;  /* or NULL */
    const char *criteria;   /* or NULL */
    const char *answers[2]; /* in the order shown; pairwise: both */
    bool strict;            /* asked again, since no verdict was found */
};

/* A chat request's messages as one text for the judge: the text itself of a single user
 * turn, else each turn with its role. */
char *judge_question(const char *messages);
/* JSON array. No text holds the nonce: see judge_nonce(). */
char *judge_messages(const struct judge_asked *asked, const char *nonce);
/* A random nonce that none of the texts holds. */
void judge_nonce(const struct judge_asked *asked, char ret_nonce[JUDGE_NONCE_BYTES]);
/* Names everything the judge is shown but the nonce: equal texts, the same judgement. */
void judge_shown(const struct judge_asked *asked, char ret_shown[JUDGE_SHOWN_BYTES]);
/* Bytes of the messages around texts of that many bytes in all. */
size_t judge_frame_bytes(enum judge_form form, const char *criteria);

/* Quality of the (first) answer, 0..1. False: the words hold no verdict. */
bool judge_read(enum judge_form form, const char *said, double *ret_quality);
/* Quality of the first of a pair from the verdicts in both orders, each of the answer that
 * was shown first: a win counts only where both orders agree. */
double judge_both(double as_shown, double swapped);

#endif
