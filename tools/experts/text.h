/* text.h - an expert in letters and words: reversing, counting, sorting, comparing. */
#ifndef TOOLS_EXPERTS_TEXT_H
#define TOOLS_EXPERTS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/experts/prompt.h"
#include "tools/experts/reply.h"

struct text_skill {
    size_t letters; /* letters seen one by one; what stands behind is skipped or left */
    size_t words;   /* words held in mind when sorting or picking */
    bool folds;     /* capital and small letters are the same letter when counting */
    bool looks_past_blanks; /* palindromes and anagrams: blanks and signs do not count */
};

void text_answer(const struct text_skill *skill, const struct prompt *prompt,
                 struct reply *reply);

#endif
