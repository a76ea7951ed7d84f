/* script_server.h - a tiny HTTP server for tests: each connection is a script
 *
 *      struct script_server *s = script_server_new(script, arg, n);
 *      ... http://127.0.0.1:s->port ...
 *      script_server_free(s);           joins the thread: n connections must have come
 *
 * One thread serves n connections, one after the other, by script(connection, arg). There is
 * no sleeping: a script waits for bytes, for the peer to leave, or at a gate.
 */
#ifndef TESTS_UNIT_IO_SCRIPT_SERVER_H
#define TESTS_UNIT_IO_SCRIPT_SERVER_H

#include <arpa/inet.h>
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct script_peer {
    int fd;
    unsigned number; /* of the connection, from 0 */
    char *request;   /* the last one read, NUL-terminated */
    size_t head_bytes, body_bytes;
};

struct script_server {
    int listen_fd;
    uint16_t port;
    unsigned n;
    void (*script)(struct script_peer *peer, void *arg);
    void *arg;
    pthread_t thread;
};

/* Opened once by the test, waited for by the script. */
struct script_gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool open;
};

#define SCRIPT_GATE_CLOSED                                                               \
    {                                                                                    \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false                       \
    }

static inline void script_gate_open(struct script_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->opened);
    pthread_mutex_unlock(&gate->lock);
}

static inline void script_gate_wait(struct script_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    while (!gate->open)
        pthread_cond_wait(&gate->opened, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

/* A whole request (head, and Content-Length bytes of body). False: the peer left. */
static inline bool script_read(struct script_peer *peer)
{
    size_t n = 0, size = 1 << 16;
    free(peer->request);
    peer->request = malloc(size + 1);
    assert(peer->request != NULL);
    peer->head_bytes = peer->body_bytes = 0;
    for (;;) {
        peer->request[n] = '\0';
        char *end = strstr(peer->request, "\r\n\r\n");
        if (end != NULL && peer->head_bytes == 0) {
            char *length = strcasestr(peer->request, "\r\ncontent-length:");
            peer->head_bytes = (size_t)(end + 4 - peer->request);
            if (length != NULL && length < end)
                peer->body_bytes = strtoul(length + 17, NULL, 10);
        }
        if (peer->head_bytes != 0 && n >= peer->head_bytes + peer->body_bytes)
            return true;
        if (n == size) {
            size *= 2;
            peer->request = realloc(peer->request, size + 1);
            assert(peer->request != NULL);
        }
        ssize_t got = recv(peer->fd, peer->request + n, size - n, 0);
        if (got <= 0)
            return false;
        n += (size_t)got;
    }
}

static inline void script_send_bytes(struct script_peer *peer, const char *bytes,
                                     size_t n)
{
    while (n > 0) {
        ssize_t sent = send(peer->fd, bytes, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the peer left: the test sees to that */
        bytes += sent;
        n -= (size_t)sent;
    }
}

static inline void script_send(struct script_peer *peer, const char *text)
{
    script_send_bytes(peer, text, strlen(text));
}

/* Until the peer closes its connection (or resets it). */
static inline void script_wait_left(struct script_peer *peer)
{
    char bytes[4096];
    while (recv(peer->fd, bytes, sizeof bytes, 0) > 0) {
    }
}

static inline void *script_serve(void *arg)
{
    struct script_server *server = arg;
    for (unsigned i = 0; i < server->n; i++) {
        struct script_peer peer = { .fd = accept(server->listen_fd, NULL, NULL),
                                    .number = i };
        if (peer.fd < 0)
            break;
        server->script(&peer, server->arg);
        free(peer.request);
        (void)close(peer.fd);
    }
    return NULL;
}

static inline struct script_server *
script_server_new(void (*script)(struct script_peer *peer, void *arg), void *arg,
                  unsigned n)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    struct script_server *server = calloc(1, sizeof *server);
    assert(server != NULL);
    server->script = script;
    server->arg = arg;
    server->n = n;
    server->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = bind(server->listen_fd, (struct sockaddr *)&address, size);
    failed |= listen(server->listen_fd, 64);
    failed |= getsockname(server->listen_fd, (struct sockaddr *)&address, &size);
    server->port = ntohs(address.sin_port);
    failed |= pthread_create(&server->thread, NULL, script_serve, server);
    assert(failed == 0);
    (void)failed;
    return server;
}

static inline void script_server_free(struct script_server *server)
{
    pthread_join(server->thread, NULL);
    (void)close(server->listen_fd);
    free(server);
}

#endif
