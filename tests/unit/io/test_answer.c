/* HTTP answers: every case of tests/cases/answer, whole and in pieces. */
#include "tests/unit/domain/cases.h"

#include "tests/unit/io/answer_print.h"

static void print_answer(struct str input, struct buf *out)
{
    struct buf other;
    answer_print(input.p, input.n, SIZE_MAX, out);
    buf_init(&other, CASES_MAX_BYTES);
    for (size_t piece = 1; piece <= 7; piece++) {
        buf_clear(&other);
        answer_print(input.p, input.n, piece, &other);
        if (!str_eq(buf_str(out), buf_str(&other)))
            fail_msg("in pieces of %zu: " STR_FMT, piece, STR_ARG(buf_str(&other)));
    }
    buf_release(&other);
}

static void answers_read_as_the_cases_say_in_every_slicing(void **state)
{
    (void)state;
    cases_run("answer", print_answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_read_as_the_cases_say_in_every_slicing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
