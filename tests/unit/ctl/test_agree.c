/* Agreement with a trusted answer: by what it is told. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools/ctl/agree.h"

#define OPTIONS "Which?\nA) red\nB) blue"

static const struct {
    const char *question, *trusted;
    enum agree_by by;
    const char *answer;
    double quality;
} cases[] = {
    { OPTIONS, "The answer is (B).", AGREE_CHOICE, "b) blue", 1 },
    { OPTIONS, "The answer is (B).", AGREE_CHOICE, "A", 0 },
    { "12 * 7?", "84", AGREE_NUMBER, "12 times 7 makes 84.", 1 },
    { "12 * 7?", "12 * 7 = 84", AGREE_NUMBER, "85", 0 },
    { "12 * 7?", "First 10 * 7, then 2 * 7.\n#### 84", AGREE_NUMBER, "\\boxed{84}", 1 },
    { "12 * 7?", "Let me think about it. The answer is 84.", AGREE_NUMBER, "84", 1 },
    { "How far?", "About 3.5 km", AGREE_NUMBER, "3.5", 1 },
    { "Capital?", "Paris", AGREE_SHORT, "It is Paris.", 1 },
    { "Capital?", "**Paris**.", AGREE_SHORT, "paris", 1 },
    { "Capital?", "Paris", AGREE_SHORT, "Rome", 0 },
    { "Tell me", "The quick brown fox jumps over the lazy dog in 1999 at home",
      AGREE_TEXT, "The quick brown fox jumps over the lazy dog in 1999 at home", 1 },
    { "Tell me", "one two three four five six seven eight", AGREE_TEXT,
      "one three five seven", 8.0 / 12 },
    { "Tell me", "one two three four five six seven eight", AGREE_TEXT, "nothing", 0 },
    { "Tell me", "one two three four five six seven eight", AGREE_TEXT, "", 0 },
};

static void what_is_compared_follows_from_the_trusted_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum agree_by by = agree_by(cases[i].question, cases[i].trusted);
        double quality =
            agree_quality(cases[i].question, cases[i].trusted, cases[i].answer);
        if (by != cases[i].by || fabs(quality - cases[i].quality) > 1e-12)
            fail_msg("'%s', '%s': by %d, %g", cases[i].trusted, cases[i].answer, (int)by,
                     quality);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_compared_follows_from_the_trusted_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
