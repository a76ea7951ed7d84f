/* http.h - HTTP/1.1 client of one loop: https by libcurl, plain http on our own
 *
 *      http_new(loop, settings)                       one per worker; pools connections
 *      call = http_start(http, spec, events, arg)
 *           events->head(status, headers)             once, the final head (no 1xx)
 *           events->body(bytes) -> continue | pause   as they come; http_resume()
 *           events->done(result)                      exactly once, unless cancelled
 *      or   http_cancel(call)                         at any time; no event follows
 *
 * The answer's bytes are handed on as they come, undecoded (no Accept-Encoding is asked
 * for). Redirects are not followed: a 3xx is an answer. Environment proxies are ignored.
 * Certificates and host names are verified. `Expect: 100-continue` is never sent.
 *
 * Time. Four limits, each with its own result, kept by the loop's timers:
 *
 *      start --connect--> sent --first_byte--> body --idle--> body --idle--> end
 *      |<--------------------------------- total -------------------------------->|
 *
 * connect covers the look-up of the name, the connection and TLS; a kept connection passes
 * it at once. first_byte runs from then to the first byte of the answer's *body*: an expert
 * that sends its head at once and then thinks is still thinking. idle is the silence
 * between two pieces of the body; it does not run while the call is paused (then the client
 * is slow, not the expert). total runs always.
 *
 * Events come from inside loop callbacks, never from inside http_start(), http_resume() or
 * http_cancel(); every http_* function may be called in every event, also about the call
 * whose event it is.
 *
 * A request on a kept connection that the expert has closed meanwhile is sent once more on
 * a fresh one, never after a byte of an answer, unless the spec forbids it: what costs money
 * is sent again only by who counts it.
 *
 * Threads: everything on the loop's thread. curl_global_init() is http_global_init()'s.
 */
#ifndef GATEWAY_IO_HTTP_H
#define GATEWAY_IO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "gateway/base/err.h"
#include "gateway/io/loop.h"
#include "gateway/io/resolve.h"

#define HTTP_DETAIL_BYTES       256
#define HTTP_HEADERS_MAX        64 /* kept of an answer's head; the rest are dropped */
#define HTTP_HEAD_BYTES         (32U * 1024) /* of an answer's head; beyond: HTTP_TOO_LARGE */
#define HTTP_CALLER_HEADERS_MAX 32           /* in a spec */

/* name, label (closed set, for logs and metrics), text */
#define HTTP_RESULTS(X)                                                                  \
    X(OK, "ok", "the whole answer arrived")                                              \
    X(CONNECT, "connect", "cannot connect")                                              \
    X(DNS, "dns", "the host name cannot be resolved")                                    \
    X(TLS, "tls", "the TLS handshake or verification failed")                            \
    X(TIMEOUT_CONNECT, "timeout_connect", "no connection in time")                       \
    X(TIMEOUT_FIRST_BYTE, "timeout_first_byte", "no answer began in time")               \
    X(TIMEOUT_IDLE, "timeout_idle", "the answer went silent")                            \
    X(TIMEOUT_TOTAL, "timeout_total", "the answer took too long")                        \
    X(CUT, "cut", "the connection was closed in mid-answer")                             \
    X(PROTOCOL, "protocol", "what came back is not HTTP")                                \
    X(TOO_LARGE, "too_large", "the answer is over the limit")                            \
    X(NOMEM, "nomem", "out of memory")

enum http_result_code {
#define X(name, label, text) HTTP_##name,
    HTTP_RESULTS(X)
#undef X
};

const char *http_result_label(enum http_result_code code);
const char *http_result_text(enum http_result_code code);

struct http;
struct http_call;

struct http_header {
    const char *name; /* NUL-terminated; of an answer: in lower case */
    const char *value;
};

struct http_timeouts { /* milliseconds; 0 = no limit */
    unsigned connect_ms, first_byte_ms, idle_ms, total_ms;
};

/* How an https host is met. Texts are copied. */
struct http_tls {
    const char *ca_file;              /* PEM; NULL: the system's */
    const char *cert_file, *key_file; /* PEM, shown to it; NULL: none */
    bool unverified;                  /* its certificate and name are not checked */
    bool http2; /* offered, and spoken where it is taken: one request at a time on a
                   connection, since libcurl stops all of them when one is paused */
};

struct http_spec {
    const char *method; /* "GET", "POST" */
    const char *url;    /* http:// or https://; copied */
    /* Sent as they are, after Host; copied. Content-Length is ours. A value with CR, LF or
     * other control characters is a programming error (assert). */
    const struct http_header *headers;
    size_t n_headers; /* at most HTTP_CALLER_HEADERS_MAX */
    const char *key;  /* for "Authorization: Bearer KEY"; NULL or "": none; copied */
    const char
        *key_header; /* the field that carries the key as it is, such as "x-api-key";
                               NULL or "authorization": see above; copied */
    /* The pieces of the body, in order. Array and bytes are *borrowed* until done or
     * http_cancel(): plain http sends from them; for https small ones are gathered (one
     * send with the head), large ones read by libcurl as it sends. */
    const struct iovec *body;
    size_t n_body;
    struct http_timeouts timeouts;
    size_t max_answer_bytes; /* of the body; 0 = no limit */
    struct http_tls tls;
    bool once;         /* it is never sent a second time: see http_result.stale */
    bool fresh;        /* on no kept connection */
    bool connect_only; /* a connection is opened and closed: OK with status 0, nothing
                          is sent, and TLS is not begun */
};

struct http_timings { /* microseconds since http_start(); 0 = not reached */
    uint64_t connected_us, head_us, first_byte_us, done_us;
};

struct http_result {
    enum http_result_code code;
    const char *detail; /* borrowed for the event; no URL, no header, no key in it */
    unsigned status;    /* of the answer's head; 0 = none came */
    /* False: the request surely never reached the expert, so that nothing was bought.
     * True with code != OK: its fate is unknown. */
    bool sent;
    bool reused; /* on a kept connection */
    bool stale;  /* with CUT and spec.once: a kept connection ended before a byte of an
                    answer, most probably before the request came through */
    uint64_t body_bytes;
    struct http_timings timings;
};

enum http_flow { HTTP_CONTINUE, HTTP_PAUSE };

struct http_events {
    /* The final head. Headers are borrowed for the event. May be NULL. */
    void (*head)(void *arg, unsigned status, const struct http_header *headers, size_t n);
    /* Takes all n bytes (borrowed for the event). HTTP_PAUSE: no further event body until
     * http_resume(); the connection's window closes (done may still follow when these were
     * the last bytes). May be NULL. */
    enum http_flow (*body)(void *arg, const void *bytes, size_t n);
    /* The call is gone when it returns: its handle must not be used again. */
    void (*done)(void *arg, const struct http_result *result);
};

struct http_settings {
    unsigned connections_max; /* kept in the pool of this client; 0: 256 */
    unsigned idle_max_s;      /* a kept connection is not reused after; 0: 50 */
    struct resolve *resolve;  /* borrowed; NULL: only numeric hosts can be called */
    bool libcurl_only;        /* http:// too, for tests and comparisons */
    const char *unix_path;    /* every http:// call goes to this Unix socket, whatever its
                                 host says; borrowed; NULL: none */
};

/* Once in a process, before the first thread. False: libcurl cannot start. */
bool http_global_init(void);

/* NULL: out of memory. The loop is borrowed. */
struct http *http_new(struct loop *loop, const struct http_settings *settings);

/* Cancels what runs (no event follows) and closes every connection. NULL is fine. */
void http_free(struct http *http);

/* Starts a call. NULL: out of memory, and no event follows. Everything else that goes wrong
 * is told by done(), in a later turn or at the end of this one. events is borrowed until
 * done (a static table). */
NODISCARD struct http_call *http_start(struct http *http, const struct http_spec *spec,
                                       const struct http_events *events, void *arg);

/* After HTTP_PAUSE; harmless otherwise. */
void http_resume(struct http_call *call);

/* No event follows, the handle is dead, what the spec lent is given back; the connection
 * to the expert is closed in this turn at the latest. NULL is fine. */
void http_cancel(struct http_call *call);

/* Whether the request may have reached the expert by now (see http_result.sent). */
bool http_call_sent(const struct http_call *call);

unsigned http_in_flight(const struct http *http);

#endif
