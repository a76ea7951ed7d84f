/* Names: what a call sees while a look-up runs, fails, or grows old; with a look-up that
 * waits at a gate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "gateway/io/http.h"
#include "gateway/io/resolve.h"
#include "tests/unit/io/script_server.h"

#define WATCHDOG_US 20000000

struct fake {
    struct script_gate *gate; /* NULL: no waiting */
    atomic_uint asked;
    atomic_bool fails;
    atomic_uint last; /* of 127.0.0.last, when not 1 */
};

static unsigned fake_lookup(void *arg, const char *host, char ret_address[][48],
                            unsigned n, const char **ret_why)
{
    struct fake *fake = arg;
    (void)host;
    atomic_fetch_add(&fake->asked, 1);
    if (fake->gate != NULL)
        script_gate_wait(fake->gate);
    if (atomic_load(&fake->fails)) {
        *ret_why = "no such name";
        return 0;
    }
    assert_true(n >= 2);
    const unsigned last = atomic_load(&fake->last);
    (void)snprintf(ret_address[0], 48, "127.0.0.%u", last != 0 ? last : 1);
    (void)snprintf(ret_address[1], 48, "::1");
    return 2;
}

static struct loop *loop;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(loop_new(&loop), LOOP_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

static struct resolve *make(struct fake *fake, unsigned ttl_ms, unsigned retry_ms)
{
    const struct resolve_settings settings = {
        .ttl_ms = ttl_ms, .retry_ms = retry_ms, .lookup = fake_lookup, .lookup_arg = fake
    };
    struct resolve *resolve = resolve_new(&settings);
    assert_non_null(resolve);
    return resolve;
}

static void count_mail(void *arg)
{
    ++*(unsigned *)arg;
}

static void run_until(const unsigned *count, unsigned n)
{
    const uint64_t start = loop_now_us(loop);
    while (*count < n) {
        loop_turn(loop, 50);
        assert_true(loop_now_us(loop) - start < WATCHDOG_US);
    }
}

static struct resolve_waiter waiter_for(unsigned *count)
{
    return (struct resolve_waiter){ .loop = loop,
                                    .mail = { .fn = count_mail, .arg = count } };
}

static void a_first_question_waits_and_the_next_is_answered(void **state)
{
    struct script_gate gate = SCRIPT_GATE_CLOSED;
    struct fake fake = { .gate = &gate };
    struct resolve *resolve = make(&fake, 0, 0);
    unsigned mails = 0;
    struct resolve_waiter one = waiter_for(&mails), two = waiter_for(&mails);
    char pin[RESOLVE_PIN_BYTES];
    uint64_t generation = 0;
    const char *why = NULL;
    (void)state;
    assert_int_equal(resolve_ask(resolve, "a.test", 80, &one, pin, &generation, &why),
                     RESOLVE_PENDING);
    assert_int_equal(resolve_ask(resolve, "a.test", 80, &two, pin, &generation, &why),
                     RESOLVE_PENDING);
    script_gate_open(&gate);
    run_until(&mails, 2);
    assert_int_equal(resolve_ask(resolve, "a.test", 80, NULL, pin, &generation, &why),
                     RESOLVE_PINNED);
    assert_string_equal(pin, "a.test:80:127.0.0.1,::1");
    assert_true(generation > 0);
    assert_int_equal(atomic_load(&fake.asked), 1);
    resolve_free(resolve);
}

static void who_forgets_gets_no_mail(void **state)
{
    struct script_gate gate = SCRIPT_GATE_CLOSED;
    struct fake fake = { .gate = &gate };
    struct resolve *resolve = make(&fake, 0, 0);
    unsigned mails = 0, none = 0;
    struct resolve_waiter waits = waiter_for(&mails), forgets = waiter_for(&none);
    char pin[RESOLVE_PIN_BYTES];
    uint64_t generation;
    const char *why;
    (void)state;
    assert_int_equal(resolve_ask(resolve, "a.test", 80, &forgets, pin, &generation, &why),
                     RESOLVE_PENDING);
    assert_int_equal(resolve_ask(resolve, "a.test", 80, &waits, pin, &generation, &why),
                     RESOLVE_PENDING);
    assert_true(resolve_forget(resolve, &forgets));
    script_gate_open(&gate);
    run_until(&mails, 1);
    assert_int_equal(none, 0);
    assert_false(resolve_forget(resolve, &waits)); /* its mail has come already */
    resolve_free(resolve);
}

static void old_addresses_serve_while_the_name_server_is_down(void **state)
{
    struct fake fake = { .gate = NULL };
    struct resolve *resolve = make(&fake, 20, 5);
    unsigned mails = 0;
    struct resolve_waiter waiter = waiter_for(&mails);
    char pin[RESOLVE_PIN_BYTES];
    uint64_t generation;
    const char *why;
    (void)state;
    if (resolve_ask(resolve, "a.test", 80, &waiter, pin, &generation, &why) ==
        RESOLVE_PENDING)
        run_until(&mails, 1);
    atomic_store(&fake.fails, true);
    const uint64_t start = loop_now_us(loop);
    /* Asked again and again beyond ttl: the failing look-ups are seen, the answer stays. */
    while (atomic_load(&fake.asked) < 3) {
        loop_turn(loop, 5);
        assert_int_equal(resolve_ask(resolve, "a.test", 80, NULL, pin, &generation, &why),
                         RESOLVE_PINNED);
        assert_true(loop_now_us(loop) - start < 150000); /* ten times ttl: 200 ms */
    }
    resolve_free(resolve);
}

static void news_change_the_generation_and_the_same_set_does_not(void **state)
{
    struct fake fake = { .gate = NULL };
    struct resolve *resolve = make(&fake, 10, 5);
    unsigned mails = 0;
    struct resolve_waiter waiter = waiter_for(&mails);
    char pin[RESOLVE_PIN_BYTES];
    uint64_t first = 0, now = 0;
    const char *why;
    (void)state;
    if (resolve_ask(resolve, "a.test", 80, &waiter, pin, &first, &why) ==
        RESOLVE_PENDING) {
        run_until(&mails, 1);
        assert_int_equal(resolve_ask(resolve, "a.test", 80, NULL, pin, &first, &why),
                         RESOLVE_PINNED);
    }
    while (atomic_load(&fake.asked) < 3) { /* refreshed twice, with the same answer */
        loop_turn(loop, 5);
        assert_int_equal(resolve_ask(resolve, "a.test", 80, NULL, pin, &now, &why),
                         RESOLVE_PINNED);
    }
    assert_int_equal(now, first);
    atomic_store(&fake.last, 2);
    const uint64_t start = loop_now_us(loop);
    while (now == first) {
        loop_turn(loop, 5);
        assert_int_equal(resolve_ask(resolve, "a.test", 80, NULL, pin, &now, &why),
                         RESOLVE_PINNED);
        assert_true(loop_now_us(loop) - start < WATCHDOG_US);
    }
    assert_string_equal(pin, "a.test:80:127.0.0.2,::1");
    resolve_free(resolve);
}

static void numeric_hosts_need_no_look_up(void **state)
{
    (void)state;
    assert_true(resolve_is_numeric("127.0.0.1"));
    assert_true(resolve_is_numeric("::1"));
    assert_true(resolve_is_numeric("[::1]"));
    assert_false(resolve_is_numeric("localhost"));
    assert_false(resolve_is_numeric("1.2.3.4.example"));
    assert_false(resolve_is_numeric("[localhost]"));
    assert_false(resolve_is_numeric(""));
}

/* -- calls to named hosts ---------------------------------------------------------------- */

struct told {
    unsigned dones;
    enum http_result_code code;
    bool sent;
    char detail[HTTP_DETAIL_BYTES];
};

static void on_done(void *arg, const struct http_result *result)
{
    struct told *told = arg;
    told->dones++;
    told->code = result->code;
    told->sent = result->sent;
    (void)snprintf(told->detail, sizeof told->detail, "%s", result->detail);
}

static const struct http_events events = { .done = on_done };

static void answer_once(struct script_peer *peer, void *arg)
{
    (void)script_read(peer);
    if (strcasestr(peer->request, "\r\nHost: expert.test:") != NULL)
        atomic_store((atomic_bool *)arg, true);
    script_send(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static struct told call_by_name(struct resolve *resolve, const char *url,
                                unsigned connect_ms,
                                struct script_gate *open_when_running, bool libcurl_only)
{
    const struct http_settings settings = { .resolve = resolve,
                                            .libcurl_only = libcurl_only };
    const struct http_spec spec = { .method = "GET",
                                    .url = url,
                                    .timeouts = { connect_ms, 5000, 5000, 9000 } };
    struct http *http = http_new(loop, &settings);
    struct told told = { .dones = 0 };
    assert_non_null(http);
    assert_non_null(http_start(http, &spec, &events, &told));
    if (open_when_running != NULL) {
        loop_turn(loop, 0);
        script_gate_open(open_when_running);
    }
    run_until(&told.dones, 1);
    http_free(http);
    return told;
}

static void call_waits_for_its_name(bool libcurl_only)
{
    struct script_gate gate = SCRIPT_GATE_CLOSED;
    struct fake fake = { .gate = &gate };
    struct resolve *resolve = make(&fake, 0, 0);
    atomic_bool named = false;
    struct script_server *server = script_server_new(answer_once, &named, 1);
    char url[64];
    (void)snprintf(url, sizeof url, "http://Expert.test:%u/", server->port);
    struct told told = call_by_name(resolve, url, 5000, &gate, libcurl_only);
    assert_int_equal(told.code, HTTP_OK);
    script_server_free(server);
    assert_true(atomic_load(&named));
    resolve_free(resolve);
}

static void a_call_waits_for_the_look_up_of_its_host(void **state)
{
    (void)state;
    call_waits_for_its_name(false);
    call_waits_for_its_name(true);
}

static void a_name_that_is_not_found_is_told_as_dns(void **state)
{
    struct fake fake = { .fails = true };
    struct resolve *resolve = make(&fake, 0, 0);
    struct told told = call_by_name(resolve, "http://no.test/", 5000, NULL, false);
    (void)state;
    assert_int_equal(told.code, HTTP_DNS);
    assert_false(told.sent);
    assert_string_equal(told.detail, "cannot resolve 'no.test': no such name");
    resolve_free(resolve);
}

static void a_look_up_that_takes_too_long_is_a_connect_timeout(void **state)
{
    struct script_gate gate = SCRIPT_GATE_CLOSED;
    struct fake fake = { .gate = &gate };
    struct resolve *resolve = make(&fake, 0, 0);
    struct told told = call_by_name(resolve, "http://slow.test/", 50, NULL, false);
    (void)state;
    assert_int_equal(told.code, HTTP_TIMEOUT_CONNECT);
    script_gate_open(&gate);
    resolve_free(resolve);
}

static void a_call_that_waits_for_its_name_can_be_cancelled(void **state)
{
    struct script_gate gate = SCRIPT_GATE_CLOSED;
    struct fake fake = { .gate = &gate };
    struct resolve *resolve = make(&fake, 0, 0);
    const struct http_settings settings = { .resolve = resolve };
    const struct http_spec spec = { .method = "GET", .url = "http://slow.test/" };
    struct http *http = http_new(loop, &settings);
    struct told told = { .dones = 0 };
    (void)state;
    struct http_call *call = http_start(http, &spec, &events, &told);
    loop_turn(loop, 0);
    http_cancel(call);
    assert_int_equal(http_in_flight(http), 0);
    script_gate_open(&gate);
    /* The client is gone before the mail could come. */
    http_free(http);
    resolve_free(resolve);
    loop_turn(loop, 0);
    assert_int_equal(told.dones, 0);
}

static void the_second_address_serves_when_the_first_refuses(void **state)
{
    struct fake fake = { .last = 9 }; /* nobody listens on 127.0.0.9 */
    struct resolve *resolve = make(&fake, 0, 0);
    struct sockaddr_in6 address = { .sin6_family = AF_INET6,
                                    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    socklen_t size = sizeof address;
    char url[64];
    (void)state;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0) {
        resolve_free(resolve);
        skip(); /* no IPv6 here */
    }
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    struct script_server server = {
        .listen_fd = fd, .n = 1, .script = answer_once, .arg = &(atomic_bool){ false }
    };
    assert_int_equal(pthread_create(&server.thread, NULL, script_serve, &server), 0);
    (void)snprintf(url, sizeof url, "http://two.test:%u/", ntohs(address.sin6_port));
    struct told told = call_by_name(resolve, url, 5000, NULL, false);
    assert_int_equal(told.code, HTTP_OK);
    pthread_join(server.thread, NULL);
    (void)close(fd);
    resolve_free(resolve);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_first_question_waits_and_the_next_is_answered),
        TEST(who_forgets_gets_no_mail),
        TEST(old_addresses_serve_while_the_name_server_is_down),
        TEST(news_change_the_generation_and_the_same_set_does_not),
        TEST(numeric_hosts_need_no_look_up),
        TEST(a_call_waits_for_the_look_up_of_its_host),
        TEST(a_name_that_is_not_found_is_told_as_dns),
        TEST(a_look_up_that_takes_too_long_is_a_connect_timeout),
        TEST(a_call_that_waits_for_its_name_can_be_cancelled),
        TEST(the_second_address_serves_when_the_first_refuses),
    };
    if (!http_global_init())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
