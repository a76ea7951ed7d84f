/* grade_choice.h - which letter an answer to a question with options chooses.
 *
 * Options are lines of the question that begin "A) ", "(A) ", "A. " or "A: " (Markdown
 * aside), from A on without a gap; of several such lists the last.
 *
 * The answer is read by these rules, the first that finds a letter wins; of several finds
 * of a rule the last, since answers that think aloud end on what they mean:
 *   1. the last \boxed{B}, \boxed{\text{(B)}} or \boxed{text of an option}
 *   2. "answer is (B)", "Answer: **B**", "correct option: B", "I choose B", "B is correct"
 *   3. nothing but a letter, "b" and "(B)." too, or a first line "B) Paris" where no other
 *      line begins like an option
 *   4. the last letter in brackets, bold or before a bracket: "(B)", "**B**", "B)", or one
 *      that ends the text
 *   5. the text of one option, and of no other
 *   6. the last standing capital, the article A and the pronoun I aside
 * Letters beyond the options do not count; without known options A to Z do.
 *
 * The reference is a letter in any of these dresses, or an option's text. Where it is
 * neither, the answer must hold it, as `contains` does.
 */
#ifndef TOOLS_CTL_GRADE_CHOICE_H
#define TOOLS_CTL_GRADE_CHOICE_H

#include <stddef.h>

#include "gateway/base/str.h"

#define GRADE_CHOICES_MAX 26

struct grade_choices {
    size_t n;                           /* 0: none are known */
    struct str text[GRADE_CHOICES_MAX]; /* borrowed from the question */
};

void grade_choices_of(const char *question, struct grade_choices *ret_choices);
/* 0 for A and so on; -1: it chooses none. */
int grade_choice_of(const char *answer, const struct grade_choices *choices);

double grade_choice(const char *question, const char *reference, const char *answer);

#endif
