/* Routes and listening sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/edge/listen.h"
#include "gateway/edge/routes.h"

static struct route_match find(enum route_surface surface, const char *method,
                               const char *path)
{
    static struct route_match match; /* its argument may point into itself */
    route_find(surface, str_of(method), str_of(path), &match);
    return match;
}

static void known_paths_are_found_with_their_methods(void **state)
{
    (void)state;
    assert_int_equal(find(ROUTE_PUBLIC, "POST", "/v1/chat/completions").route,
                     EXCHANGE_CHAT);
    assert_int_equal(find(ROUTE_PUBLIC, "GET", "/v1/models").route, EXCHANGE_MODELS);
    assert_int_equal(find(ROUTE_PUBLIC, "HEAD", "/healthz").route, EXCHANGE_HEALTHZ);
    assert_int_equal(find(ROUTE_ADMIN, "GET", "/metrics").route, EXCHANGE_METRICS);
}

static void surfaces_do_not_share_routes(void **state)
{
    (void)state;
    assert_int_equal(find(ROUTE_PUBLIC, "GET", "/metrics").route, EXCHANGE_NOT_FOUND);
    assert_int_equal(find(ROUTE_ADMIN, "POST", "/v1/chat/completions").route,
                     EXCHANGE_NOT_FOUND);
}

static void the_rest_of_the_path_is_the_argument(void **state)
{
    (void)state;
    struct route_match match = find(ROUTE_PUBLIC, "GET", "/v1/models/org/name");
    assert_int_equal(match.route, EXCHANGE_MODEL);
    assert_true(str_is(match.argument, "org/name"));
    assert_int_equal(find(ROUTE_PUBLIC, "GET", "/v1/models/").route, EXCHANGE_NOT_FOUND);
    assert_int_equal(find(ROUTE_PUBLIC, "GET", "/v1/model").route, EXCHANGE_NOT_FOUND);
}

static void a_part_in_the_middle_of_the_path_is_an_argument_too(void **state)
{
    (void)state;
    struct route_match match = find(ROUTE_PUBLIC, "POST", "/v1/decisions/dec_1/feedback");
    assert_int_equal(match.route, EXCHANGE_FEEDBACK);
    assert_true(str_is(match.argument, "dec_1"));
    match = find(ROUTE_ADMIN, "GET", "/v1/decisions/dec_1");
    assert_int_equal(match.route, EXCHANGE_RECORD);
    assert_true(str_is(match.argument, "dec_1"));
    assert_int_equal(find(ROUTE_PUBLIC, "POST", "/v1/decisions//feedback").route,
                     EXCHANGE_BAD_METHOD);
    assert_int_equal(find(ROUTE_PUBLIC, "POST", "/v1/decisions/feedback").route,
                     EXCHANGE_BAD_METHOD);
    assert_int_equal(find(ROUTE_PUBLIC, "GET", "/v1/decisions").route, EXCHANGE_RECORDS);
}

static void another_method_is_told_which_are_allowed(void **state)
{
    (void)state;
    struct route_match match = find(ROUTE_PUBLIC, "DELETE", "/v1/models/x");
    assert_int_equal(match.route, EXCHANGE_BAD_METHOD);
    assert_true(str_is(str_of(match.allow), "GET, HEAD, OPTIONS"));
    match = find(ROUTE_PUBLIC, "HEAD", "/v1/chat/completions");
    assert_int_equal(match.route, EXCHANGE_BAD_METHOD);
    assert_true(str_is(str_of(match.allow), "POST, OPTIONS"));
    match = find(ROUTE_PUBLIC, "OPTIONS", "/v1/messages");
    assert_int_equal(match.route, EXCHANGE_OPTIONS);
    assert_true(str_is(match.argument, "POST, OPTIONS"));
    match = find(ROUTE_PUBLIC, "GET", "/v1/decisions/dec_1/feedback");
    assert_int_equal(match.route, EXCHANGE_BAD_METHOD);
    assert_true(str_is(match.argument, "POST, OPTIONS"));
    assert_int_equal(find(ROUTE_PUBLIC, "OPTIONS", "/v1/none").route, EXCHANGE_NOT_FOUND);
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

static void all_sockets_share_the_port_that_the_first_was_given(void **state)
{
    int fds[3];
    char address[LISTEN_ADDRESS_BYTES], expect[LISTEN_ADDRESS_BYTES];
    (void)state;
    assert_int_equal(listen_open("127.0.0.1:0", 3, fds, address, NULL), 0);
    (void)snprintf(expect, sizeof expect, "127.0.0.1:%u", port_of(fds[0]));
    assert_string_equal(address, expect);
    assert_int_equal(port_of(fds[1]), port_of(fds[0]));
    assert_int_equal(port_of(fds[2]), port_of(fds[0]));
    for (int i = 0; i < 3; i++)
        (void)close(fds[i]);
}

static void what_cannot_be_listened_on_is_told_why(void **state)
{
    static const char *const bad[] = {
        "",       "8080",           "127.0.0.1",      "127.0.0.1:",
        "::1:80", "127.0.0.1:http", "127.0.0.1:99999"
    };
    int fds[2];
    char address[LISTEN_ADDRESS_BYTES] = "untouched";
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct listen_error error = { "" };
        assert_int_equal(listen_open(bad[i], 2, fds, address, &error), -1);
        assert_non_null(strstr(error.text, "cannot listen on '"));
        assert_string_equal(address, "untouched");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_paths_are_found_with_their_methods),
        cmocka_unit_test(surfaces_do_not_share_routes),
        cmocka_unit_test(the_rest_of_the_path_is_the_argument),
        cmocka_unit_test(a_part_in_the_middle_of_the_path_is_an_argument_too),
        cmocka_unit_test(another_method_is_told_which_are_allowed),
        cmocka_unit_test(all_sockets_share_the_port_that_the_first_was_given),
        cmocka_unit_test(what_cannot_be_listened_on_is_told_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
