/* grade_text.h - graders that compare two texts.
 *
 *   exact     equal, white space at both ends aside
 *   number    the number the answer ends on equals the reference's number: the one in the
 *             last \boxed{}, else the one after the last ####, else the last one in the
 *             text. Thousands separators (also LaTeX's "{,}" and "\,"), a plus sign, a
 *             currency before it and a unit or per cent sign behind it do not count. Equal
 *             means within one millionth part of the reference (1e-9 where it is 0).
 *   contains  the reference stands in the answer: letters of ASCII in either case, any run
 *             of white space for any other, Markdown's * _ ` aside. Where the reference
 *             begins or ends in a letter or digit the answer's word does so, too: "4" is
 *             not in "14".
 *
 * Pure; NUL-terminated UTF-8; linear in time but for contains, which is bounded by the
 * product of the two lengths.
 */
#ifndef TOOLS_CTL_GRADE_TEXT_H
#define TOOLS_CTL_GRADE_TEXT_H

#include <stdbool.h>

double grade_exact(const char *reference, const char *answer);
double grade_number(const char *reference, const char *answer);
double grade_contains(const char *reference, const char *answer);

/* The number a text ends on, by the rule above. False: it holds none. */
bool grade_final_number(const char *text, double *ret_number);
/* Lower case, runs of white space as one blank, without Markdown's marks, blanks and full
 * stops at the ends; to be freed. */
char *grade_plain(const char *text);

#endif
