/* test_log.c - one event is one line, whatever a stranger puts into it; ids and time. */
#include "gateway/base/log.h"

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/base/id.h"
#include "gateway/base/money.h"

static int64_t fake_us(void *context)
{
    return *(const int64_t *)context;
}

static int64_t now_us = INT64_C(1769860800123456); /* 2026-01-31T12:00:00.123456Z */
static const struct clock fake = { fake_us, fake_us, &now_us };
static int pipe_fds[2];

static int setup(void **state)
{
    (void)state;
    log_set_clock(&fake);
    if (pipe(pipe_fds) != 0)
        return -1;
    log_set_fd(pipe_fds[1]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_set_fd(STDERR_FILENO);
    log_set_level(LOG_INFO);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    return 0;
}

static const char *written(void)
{
    static char text[2 * LOG_LINE_BYTES];
    ssize_t n = read(pipe_fds[0], text, sizeof(text) - 1);

    assert_true(n > 0);
    text[n] = '\0';
    return text;
}

static void a_line_is_logfmt(void **state)
{
    struct log_line line;

    (void)state;
    log_begin(&line, LOG_INFO, "request");
    log_text(&line, "expert", "small");
    log_text(&line, "absent", NULL);
    log_int(&line, "status", 200);
    log_bool(&line, "stream", true);
    log_fixed(&line, "quality", 0.81264, 3);
    log_usd(&line, "cost_usd", 1200000000);
    log_usd(&line, "unknown_usd", MONEY_NONE);
    log_end(&line);
    assert_string_equal(written(), "ts=2026-01-31T12:00:00.123Z level=info event=request "
                                   "expert=small status=200 stream=true quality=0.813 "
                                   "cost_usd=0.0012\n");
}

static void numbers_are_written_in_full(void **state)
{
    struct log_line line;

    (void)state;
    log_begin(&line, LOG_INFO, "x");
    log_int(&line, "min", INT64_MIN);
    log_int(&line, "max", INT64_MAX);
    log_int(&line, "zero", 0);
    log_fixed(&line, "a", 0.0004, 3);
    log_fixed(&line, "b", -1.06, 1);
    log_fixed(&line, "c", 12345.678, 0);
    log_fixed(&line, "d", 0.05, 6);
    log_fixed(&line, "e", -0.0001, 2);
    log_fixed(&line, "f", 1e30, 2);
    log_fixed(&line, "g", NAN, 2);
    log_end(&line);
    assert_non_null(strstr(written(), " min=-9223372036854775808 max=9223372036854775807 "
                                      "zero=0 a=0.000 b=-1.1 c=12346 d=0.050000 e=0.00 "
                                      "f=1e+30 g=nan\n"));
}

static void strange_values_are_quoted_on_one_line(void **state)
{
    struct log_line line;

    (void)state;
    log_begin(&line, LOG_WARN, "x");
    log_text(&line, "a", "two words");
    log_text(&line, "b", "x=1 event=forged\nts=now");
    log_text(&line, "c", "q\"\\");
    log_text(&line, "d", "");
    log_text(&line, "e", "\xff\x01\xc3\xa9");
    log_end(&line);
    assert_string_equal(written(),
                        "ts=2026-01-31T12:00:00.123Z level=warn event=x a=\"two words\" "
                        "b=\"x=1 event=forged\\nts=now\" c=\"q\\\"\\\\\" d=\"\" "
                        "e=\"\\xff\\x01\xc3\xa9\"\n");
}

static void what_does_not_fit_is_dropped_and_said(void **state)
{
    struct log_line line;
    char big[LOG_LINE_BYTES];
    const char *text;

    (void)state;
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    log_begin(&line, LOG_INFO, "x");
    log_text(&line, "big", big);
    log_text(&line, "small", "1");
    log_end(&line);
    text = written();
    assert_null(strstr(text, "big="));
    assert_non_null(strstr(text, " small=1 cut=true\n"));
}

static void a_full_line_has_room_for_its_end(void **state)
{
    struct log_line line;
    const char *text;

    (void)state;
    log_begin(&line, LOG_INFO, "x");
    for (int i = 0; i < LOG_LINE_BYTES; i++)
        log_int(&line, "k", i % 10);
    log_end(&line);
    text = written();
    assert_true(strlen(text) <= LOG_LINE_BYTES);
    assert_string_equal(text + strlen(text) - 10, " cut=true\n");
}

static void what_is_below_the_level_is_not_written(void **state)
{
    enum log_level level = LOG_DEBUG;

    (void)state;
    log_message(LOG_DEBUG, "x", "no");
    log_set_level(LOG_ERROR);
    log_message(LOG_WARN, "x", "no");
    log_message(LOG_ERROR, "x", "yes %d", 1);
    assert_string_equal(
        written(), "ts=2026-01-31T12:00:00.123Z level=error event=x msg=\"yes 1\"\n");
    assert_int_equal(log_level_parse(STR("warn"), &level), ERR_OK);
    assert_int_equal(level, LOG_WARN);
    assert_int_equal(log_level_parse(STR("loud"), &level), ERR_INVALID);
}

static void count_up(void *context, void *bytes, size_t n)
{
    unsigned char *next = context;

    for (size_t i = 0; i < n; i++)
        ((unsigned char *)bytes)[i] = (*next)++;
}

static void ids_sort_by_time_and_do_not_repeat(void **state)
{
    char first[ID_TEXT_BYTES], second[ID_TEXT_BYTES], later[ID_TEXT_BYTES];
    char floor[ID_TEXT_BYTES];
    struct id_source source;
    unsigned char next = 0;

    (void)state;
    id_source_init(&source, &fake, 0x0a1f, count_up, &next);
    id_new(&source, "req", first);
    id_new(&source, "req", second);
    now_us += 1000;
    id_new(&source, "req", later);
    id_floor("req", now_us, floor);
    now_us -= 1000;
    assert_true(strcmp(first, floor) < 0 && strcmp(floor, later) < 0);
    assert_int_equal(strncmp(floor, later, strlen(floor)), 0);
    assert_string_not_equal(first, second);
    assert_true(strcmp(first, later) < 0 && strncmp(first, later, 14) < 0);
    assert_int_equal(strncmp(first, "req_", 4), 0);
    assert_int_equal(strncmp(first + 14, "-0a1f-", 6), 0);
    assert_int_equal(strspn(first + 20, "0123456789abcdefghjkmnpqrstvwxyz"), 12);
}

static void random_ids_of_the_system_differ(void **state)
{
    struct id_source a, b;

    (void)state;
    id_source_init(&a, &clock_system, 1, NULL, NULL);
    id_source_init(&b, &clock_system, 1, NULL, NULL);
    for (int i = 0; i < 100; i++)
        assert_true(id_random(&a) != id_random(&b));
}

static void system_time_goes_forward(void **state)
{
    int64_t before = clock_us(&clock_system);

    (void)state;
    assert_true(clock_us(&clock_system) >= before);
    assert_true(clock_wall_s(&clock_system) > 1700000000);
    assert_true(clock_ms(&fake) == now_us / 1000);
}

static void count(void *arg)
{
    ++*(int *)arg;
}

static bool nothing_written(void)
{
    struct pollfd fd = { .fd = pipe_fds[0], .events = POLLIN };

    return poll(&fd, 1, 0) == 0;
}

static void collected_lines_are_written_together(void **state)
{
    static struct log_collector collector;
    int due = 0;

    (void)state;
    collector = (struct log_collector){ .due = count, .arg = &due };
    log_collect(&collector);
    log_message(LOG_INFO, "one", "1");
    log_message(LOG_INFO, "two", "2");
    assert_int_equal(due, 1);
    assert_true(nothing_written());
    log_flush();
    assert_non_null(strstr(written(), "event=one msg=1\nts="));
    log_message(LOG_INFO, "three", "3");
    assert_int_equal(due, 2);
    log_collect(NULL);
    assert_non_null(strstr(written(), "event=three"));
    log_message(LOG_INFO, "four", "4");
    assert_non_null(strstr(written(), "event=four"));
}

static void a_full_collector_is_written_before_it_takes_more(void **state)
{
    static struct log_collector collector;
    static char text[LOG_COLLECT_BYTES];
    size_t lines = 0, n = 0;
    int due = 0;

    (void)state;
    collector = (struct log_collector){ .due = count, .arg = &due };
    assert_true(fcntl(pipe_fds[1], F_SETPIPE_SZ, 4 * LOG_COLLECT_BYTES) > 0);
    log_collect(&collector);
    for (; due < 2; lines++)
        log_message(LOG_INFO, "line", "%0100d", 7);
    log_collect(NULL);
    while (!nothing_written()) {
        ssize_t got = read(pipe_fds[0], text, sizeof(text));

        assert_true(got > 0);
        for (ssize_t i = 0; i < got; i++)
            n += text[i] == '\n';
    }
    assert_int_equal(n, lines);
}

static void *write_many(void *name)
{
    static _Thread_local struct log_collector own = { .due = count };
    int dues = 0;

    own.arg = &dues;
    log_collect(&own);
    for (int i = 0; i < 3000; i++) {
        struct log_line line;

        log_begin(&line, LOG_INFO, name);
        log_text(&line, "long",
                 "a line as long as that of a request: ids, names, numbers");
        log_text(&line, "end", name);
        log_end(&line);
    }
    log_collect(NULL);
    return NULL;
}

/* A pipe that is nearly always full, as that of a slow reader is. */
static void lines_of_two_threads_do_not_mix_in_a_full_pipe(void **state)
{
    static char one[] = "one", two[] = "two";
    char text[4096];
    pthread_t threads[2];
    size_t lines = 0;
    FILE *reader;

    (void)state;
    assert_true(fcntl(pipe_fds[1], F_SETPIPE_SZ, 4096) > 0);
    assert_int_equal(pthread_create(&threads[0], NULL, write_many, one), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, write_many, two), 0);
    reader = fdopen(dup(pipe_fds[0]), "r");
    while (lines < 6000 && fgets(text, sizeof(text), reader) != NULL) {
        const char *event = strstr(text, "event=") + strlen("event=");
        const char *end = strstr(text, "end=");

        assert_memory_equal(text, "ts=", 3);
        assert_non_null(end);
        assert_int_equal(strlen(end), strlen("end=one\n"));
        assert_memory_equal(event, end + strlen("end="), 3);
        lines++;
    }
    assert_int_equal(lines, 6000);
    (void)fclose(reader);
    assert_int_equal(pthread_join(threads[0], NULL) | pthread_join(threads[1], NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_is_logfmt, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_are_written_in_full, setup, teardown),
        cmocka_unit_test_setup_teardown(strange_values_are_quoted_on_one_line, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_dropped_and_said, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_line_has_room_for_its_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_below_the_level_is_not_written, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(collected_lines_are_written_together, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_collector_is_written_before_it_takes_more,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(lines_of_two_threads_do_not_mix_in_a_full_pipe,
                                        setup, teardown),
        cmocka_unit_test(ids_sort_by_time_and_do_not_repeat),
        cmocka_unit_test(random_ids_of_the_system_differ),
        cmocka_unit_test(system_time_goes_forward),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
