/* agree.h - how far an answer says the same as that of a trusted expert.
 *
 * The trusted answer decides by what is compared, the first that applies:
 *   choice   the question has options, and the trusted answer chooses one: 1 or 0
 *   number   the trusted answer ends on a number that is meant as its result: in \boxed{},
 *            after ####, "answer is 7", "= 7", or a number with at most two words around it:
 *            1 or 0, equal as `number` says
 *   words    the trusted answer has at most AGREE_SHORT_WORDS words: equal, letter case,
 *            marks and full stop aside, or held by the answer as `contains` says: 1 or 0
 *   text     longer: to be judged, where there is a judge; else ROUGE-L, the F1 of the longest
 *            common subsequence of words (Lin 2004, "ROUGE: a package for automatic
 *            evaluation of summaries", section 3, with beta = 1): 0..1. It is a measure of
 *            wording, not of meaning: two good answers in other words may have 0.3.
 *
 * Pure. ROUGE-L looks at the first AGREE_WORDS words of each.
 */
#ifndef TOOLS_CTL_AGREE_H
#define TOOLS_CTL_AGREE_H

#define AGREE_SHORT_WORDS 6
#define AGREE_WORDS       2000

enum agree_by {
    AGREE_CHOICE,
    AGREE_NUMBER,
    AGREE_SHORT,
    AGREE_TEXT,
};

enum agree_by agree_by(const char *question, const char *trusted);
/* By agree_by(): 0..1. */
double agree_quality(const char *question, const char *trusted, const char *answer);

#endif
