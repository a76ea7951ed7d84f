/* grade.h - is an answer right? Quality in 0..1 from the answer and the reference.
 *
 *   exact    the answer equals the reference, white space at both ends aside
 *   number   the number the answer ends on equals the reference's number: the one in the
 *            last \boxed{}, else the one after the last ####, else the last one in the
 *            text. Thousands separators, a plus sign, a currency before it and a unit or
 *            per cent sign behind it do not count. Equal means within one millionth
 *            part of the reference (1e-9 where it is 0).
 *
 * An answer without a number is wrong (0); a reference without one is an error of the
 * data. New graders are a line in GRADE_KINDS and a function.
 */
#ifndef TOOLS_CTL_GRADE_H
#define TOOLS_CTL_GRADE_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/ctl/fault.h"

#define GRADE_KINDS(X)                                                                   \
    X(EXACT, "exact", grade_exact)                                                       \
    X(NUMBER, "number", grade_number)

enum grade_kind {
#define X(name, word, function) GRADE_##name,
    GRADE_KINDS(X)
#undef X
};

#define GRADE_CHOICES "exact|number"

/* False for an unknown word. */
bool grade_find(const char *word, enum grade_kind *ret_kind);
const char *grade_word(enum grade_kind kind);
/* FAULT_INPUT: this reference cannot be compared with by this grader. */
NODISCARD enum fault_err grade_check(enum grade_kind kind, const char *reference,
                                     struct fault *fault);
/* The reference has passed grade_check. */
double grade_answer(enum grade_kind kind, const char *reference, const char *answer);

#endif
