/* test_manager.c - what the service manager hands over, and what it hears. */
#include "gateway/io/manager.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* As systemd calls them; the descriptors from 3 on are the test's own. */
static void hand_over(const char *names, unsigned n)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%ld", (long)getpid());
    (void)setenv("LISTEN_PID", text, 1);
    (void)snprintf(text, sizeof text, "%u", n);
    (void)setenv("LISTEN_FDS", text, 1);
    (void)setenv("LISTEN_FDNAMES", names, 1);
}

/* A socket under exactly that number. */
static void socket_at(int fd, int type, bool listens)
{
    int made = socket(AF_UNIX, type, 0);

    assert_true(made >= 0);
    if (made != fd) {
        assert_int_equal(dup2(made, fd), fd);
        (void)close(made);
    }
    if (listens) {
        struct sockaddr_un any = { .sun_family = AF_UNIX };

        assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any.sun_family), 0);
        assert_int_equal(listen(fd, 1), 0);
    }
}

static void sockets_are_found_by_name_and_made_fit(void **state)
{
    struct manager manager;
    struct manager_error error = { .text = "" };

    (void)state;
    for (int fd = 3; fd < 6; fd++)
        socket_at(fd, SOCK_STREAM, true);
    hand_over("public:admin:public", 3);
    assert_int_equal(manager_init(&manager, &error), ERR_OK);
    assert_int_equal(manager_socket(&manager, "public", 0), 3);
    assert_int_equal(manager_socket(&manager, "public", 1), 5);
    assert_int_equal(manager_socket(&manager, "public", 2), -1);
    assert_int_equal(manager_socket(&manager, "admin", 0), 4);
    assert_int_equal(manager_socket(&manager, "other", 0), -1);
    assert_true((fcntl(3, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(3, F_GETFD) & FD_CLOEXEC) != 0);
    assert_null(getenv("LISTEN_FDS")); /* not for a child */
    for (int fd = 3; fd < 6; fd++)
        (void)close(fd);
}

static void what_does_not_listen_is_refused(void **state)
{
    static const struct {
        int type;
        bool listens;
    } wrong[] = { { SOCK_STREAM, false }, { SOCK_DGRAM, false } };
    struct manager manager;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct manager_error error = { .text = "" };

        socket_at(3, wrong[i].type, wrong[i].listens);
        hand_over("public", 1);
        assert_int_equal(manager_init(&manager, &error), ERR_INVALID);
        assert_non_null(strstr(error.text, "'public' does not listen"));
        (void)close(3);
    }
}

static void sockets_of_another_process_are_not_ours(void **state)
{
    struct manager manager;

    (void)state;
    hand_over("public", 1);
    (void)setenv("LISTEN_PID", "1", 1);
    assert_int_equal(manager_init(&manager, NULL), ERR_OK);
    assert_int_equal(manager.n_sockets, 0);
}

static void the_watchdogs_time_is_taken(void **state)
{
    struct manager manager;

    (void)state;
    assert_int_equal(manager_init(&manager, NULL), ERR_OK);
    assert_int_equal(manager.watchdog_us, 0);
    (void)setenv("WATCHDOG_USEC", "5000000", 1);
    assert_int_equal(manager_init(&manager, NULL), ERR_OK);
    assert_int_equal(manager.watchdog_us, 5000000);
    assert_null(getenv("WATCHDOG_USEC"));
}

static void a_message_reaches_the_manager_and_nobody_without_one(void **state)
{
    struct manager manager = { .n_sockets = 0 };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char got[256] = "";
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    ssize_t n;

    (void)state;
    (void)snprintf(address.sun_path, sizeof address.sun_path, "/tmp/frugal-notify-%ld",
                   (long)getpid());
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    (void)unsetenv("NOTIFY_SOCKET");
    manager_say(&manager, "READY=1");
    (void)setenv("NOTIFY_SOCKET", address.sun_path, 1);
    manager_say(&manager, "READY=%d\nSTATUS=%s", 1, "serving");
    n = recv(fd, got, sizeof got - 1, 0);
    assert_int_equal(n, strlen("READY=1\nSTATUS=serving"));
    assert_string_equal(got, "READY=1\nSTATUS=serving");
    (void)close(fd);
    (void)unlink(address.sun_path);
    (void)unsetenv("NOTIFY_SOCKET");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_are_found_by_name_and_made_fit),
        cmocka_unit_test(what_does_not_listen_is_refused),
        cmocka_unit_test(sockets_of_another_process_are_not_ours),
        cmocka_unit_test(the_watchdogs_time_is_taken),
        cmocka_unit_test(a_message_reaches_the_manager_and_nobody_without_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
