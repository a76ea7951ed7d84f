/* bench_first.c - the first content of a stream: bench_first CONNECTIONS SECONDS PORT MODEL...
 *
 * Each connection asks for one stream after the other, reads it to its end and notes how
 * long the first content was under way from the request's last byte; between two it pauses
 * for 0 to PAUSE_US, so that streams begin when they like. With BENCH_TOGETHER=1 all begin
 * in the same moment, each time anew when the last has ended. Several targets (PORT MODEL,
 * PORT MODEL...) are asked in turn, a round each, so that what the machine does beside it
 * falls on all of them alike.
 *
 * One line of JSON a target: {"port":..,"streams":..,"mean_us":..,"p50_us":..,"p99_us":..}.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/str.h"

#define CONNECTIONS_MAX 4096
#define TARGETS_MAX     8
#define ROUND_MS        500
#define PAUSE_US        20000
#define ROOM            (256 << 10) /* of one answer */

struct target {
    int port;
    char request[1024];
    size_t request_n;
    int64_t *took_us;
    size_t n, room;
};

struct connection {
    int fd;
    int64_t sent_us, ask_us; /* ask_us: 0 while it streams */
    bool first;
    size_t n;
    char answer[ROOM];
};

static struct connection *connections;
static size_t n_connections;
static bool together;
static unsigned seed = 1;

static int64_t pause_us(void)
{
    seed = seed * 1103515245u + 12345u;
    return together ? 0 : (int64_t)(seed >> 8) % PAUSE_US;
}

static void fail(const char *what)
{
    (void)fprintf(stderr, "bench_first: %s: %s\n", what, strerror(errno));
    exit(1);
}

static size_t number(const char *text, size_t most)
{
    uint64_t value;

    if (str_to_u64(str_of(text), &value) != ERR_OK || value < 1 || value > most) {
        (void)fprintf(stderr, "usage: bench_first CONNECTIONS SECONDS PORT MODEL...\n");
        exit(2);
    }
    return (size_t)value;
}

static void ask(struct connection *c, const struct target *target)
{
    c->n = 0;
    c->first = false;
    c->ask_us = 0;
    if (write(c->fd, target->request, target->request_n) != (ssize_t)target->request_n)
        fail("write");
    c->sent_us = clock_us(&clock_system);
}

static void open_all(const struct target *target, int epoll_fd)
{
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)target->port),
                                         .sin_addr = { htonl(INADDR_LOOPBACK) } };
    const int one = 1;

    for (size_t i = 0; i < n_connections; i++) {
        struct connection *c = &connections[i];
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (c->fd < 0 ||
            connect(c->fd, (const struct sockaddr *)&address, sizeof address) != 0)
            fail("connect");
        (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
            fail("epoll_ctl");
    }
}

static void note(struct target *target, int64_t us)
{
    if (target->n == target->room) {
        target->room = target->room > 0 ? 2 * target->room : 4096;
        target->took_us =
            realloc(target->took_us, target->room * sizeof *target->took_us);
        if (target->took_us == NULL)
            fail("memory");
    }
    target->took_us[target->n++] = us;
}

/* A content that is not empty. */
static bool has_content(const struct connection *c)
{
    static const char key[] = "\"content\":\"";
    const char *at = c->answer, *end = c->answer + c->n;

    while ((at = memmem(at, (size_t)(end - at), key, sizeof key - 1)) != NULL) {
        at += sizeof key - 1;
        if (at < end && *at != '"')
            return true;
    }
    return false;
}

/* True: the stream is over. */
static bool take(struct connection *c, struct target *target, bool counts)
{
    static const char last[] = "\r\n0\r\n\r\n";
    ssize_t n = read(c->fd, c->answer + c->n, ROOM - c->n);

    if (n <= 0)
        fail("the stream was cut");
    c->n += (size_t)n;
    if (!c->first && has_content(c)) {
        c->first = true;
        if (counts)
            note(target, clock_us(&clock_system) - c->sent_us);
    }
    if (c->n < sizeof last - 1 ||
        memcmp(c->answer + c->n - (sizeof last - 1), last, sizeof last - 1) != 0)
        return false;
    if (!c->first) {
        (void)fprintf(stderr, "bench_first: port %d: no content in '%.*s'\n",
                      target->port, (int)(c->n < 2000 ? c->n : 2000), c->answer);
        exit(1);
    }
    return true;
}

/* Asks where it is time; returns for how many ms there is nothing to ask. */
static int ask_all(const struct target *target, bool all_idle)
{
    int64_t now = clock_us(&clock_system), next = now + 100000;

    for (size_t i = 0; i < n_connections; i++) {
        struct connection *c = &connections[i];

        if (c->ask_us == 0)
            continue;
        if (together ? all_idle : c->ask_us <= now)
            ask(c, target);
        else if (c->ask_us < next)
            next = c->ask_us;
    }
    return together ? 100 : (int)((next - now + 999) / 1000);
}

/* All connections stream at once until the time is over; what is under way then ends. */
static void run_round(struct target *target, int64_t ms, bool counts)
{
    const int64_t begin = clock_us(&clock_system), until = begin + 1000 * ms;
    const int epoll_fd = epoll_create1(0);
    struct epoll_event events[256];
    size_t busy = 0;

    if (epoll_fd < 0)
        fail("epoll_create1");
    open_all(target, epoll_fd);
    for (size_t i = 0; i < n_connections; i++)
        connections[i].ask_us = begin + pause_us() * 5;
    for (;;) {
        int64_t now = clock_us(&clock_system);
        int n, wait_ms = now < until ? ask_all(target, busy == 0) : 1000;

        busy = 0;
        for (size_t i = 0; i < n_connections; i++)
            busy += connections[i].ask_us == 0;
        if (now >= until && busy == 0)
            break;
        n = epoll_wait(epoll_fd, events, 256, wait_ms);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;

            if (!take(c, target, counts))
                continue;
            c->ask_us = clock_us(&clock_system) + 1 + pause_us();
            busy--;
        }
    }
    for (size_t i = 0; i < n_connections; i++)
        (void)close(connections[i].fd);
    (void)close(epoll_fd);
}

static void make_request(struct target *target, const char *port, const char *model)
{
    char body[512];
    int n = snprintf(body, sizeof body,
                     "{\"model\":\"%s\",\"stream\":true,\"messages\":[{\"role\":\"user\","
                     "\"content\":\"hello\"}]}",
                     model);

    target->port = (int)number(port, UINT16_MAX);
    target->request_n = (size_t)snprintf(
        target->request, sizeof target->request,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nContent-Type: "
        "application/json\r\nContent-Length: %d\r\n\r\n%s",
        port, n, body);
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void print(struct target *target)
{
    int64_t sum = 0;

    qsort(target->took_us, target->n, sizeof *target->took_us, compare);
    for (size_t i = 0; i < target->n; i++)
        sum += target->took_us[i];
    printf(
        "{\"port\":%d,\"streams\":%zu,\"mean_us\":%.1f,\"p50_us\":%lld,\"p99_us\":%lld}"
        "\n",
        target->port, target->n, (double)sum / (double)target->n,
        (long long)target->took_us[target->n / 2],
        (long long)target->took_us[target->n * 99 / 100]);
}

int main(int argc, char **argv)
{
    static struct target targets[TARGETS_MAX];
    size_t n_targets = argc >= 5 ? ((size_t)argc - 3) / 2 : 0;
    int64_t ms;

    if (n_targets == 0 || n_targets > TARGETS_MAX || argc % 2 == 0)
        (void)number("", 0);
    n_connections = number(argv[1], CONNECTIONS_MAX);
    ms = 1000 * (int64_t)number(argv[2], 3600);
    together = getenv("BENCH_TOGETHER") != NULL;
    connections = calloc(n_connections, sizeof *connections);
    if (connections == NULL)
        fail("memory");
    for (size_t t = 0; t < n_targets; t++) {
        make_request(&targets[t], argv[3 + 2 * t], argv[4 + 2 * t]);
        run_round(&targets[t], ROUND_MS, false);
    }
    for (int64_t done = 0; done < ms; done += ROUND_MS)
        for (size_t t = 0; t < n_targets; t++)
            run_round(&targets[t], ROUND_MS, true);
    for (size_t t = 0; t < n_targets; t++)
        print(&targets[t]);
    free(connections);
    return 0;
}
