/* http_private.h - the client's inside: a front and two transports
 *
 *      http.c         the life of a call: start, name, limits, cancel, done events
 *      http_call.c    what every call has: request, limits, the answer's head and body
 *      http_plain.c   http://   our own: kept connections, each a http_conn.c, over the pure
 *                               parser of answer.h
 *      http_curl.c    https://  libcurl's multi interface; one call in http_curl_call.c
 *
 *      http_start -> NAMING -> QUEUED -> RUNNING -> ENDED -> TELLING -> IDLE
 *                      |          |        |  |       |                  ^
 *                      |          |        | DYING    |                  |
 *                      +----------+--------+--+-------+------------------+  http_cancel
 *
 *   NAMING    waits for a host name (or is given up when it has none)
 *   QUEUED    is handed to its transport in the next flush
 *   RUNNING   belongs to its transport
 *   DYING     cancelled while libcurl was on the stack: taken from it in the next flush
 *   ENDED     was taken from its transport; its done event is due
 *   TELLING   its done event is being made, or it was cancelled in another event of its own
 *   IDLE      on the free list: buffers and easy handle are kept for the next call
 *
 * A cancelled call is marked `dead`: it makes no event any more. When it cannot leave at
 * once it does so in the next flush (DYING) or with the mail that is on its way (NAMING).
 */
#ifndef GATEWAY_IO_HTTP_PRIVATE_H
#define GATEWAY_IO_HTTP_PRIVATE_H

#include <curl/curl.h>

#include "gateway/io/answer.h"
#include "gateway/io/http.h"

enum http_call_state {
    HTTP_IDLE,
    HTTP_NAMING,
    HTTP_QUEUED,
    HTTP_RUNNING,
    HTTP_DYING,
    HTTP_ENDED,
    HTTP_TELLING,
    HTTP_CALL_STATES
};

/* Which limit runs, besides total. */
enum http_stage { HTTP_CONNECTING, HTTP_WAITING, HTTP_READING };

/* A buffer that is kept from call to call. */
struct http_scratch {
    char *p;
    size_t n, size;
};

enum http_tls_file { HTTP_CA_FILE, HTTP_CERT_FILE, HTTP_KEY_FILE, HTTP_TLS_FILES };

struct http_call;
struct http_conn; /* http_conn.h */

/* What the front asks of a transport. */
struct http_transport {
    /* The request's text from the spec, which is not read again. False: out of memory. */
    bool (*fill)(struct http_call *call, const struct http_spec *spec);
    /* The call is RUNNING from here on. False: out of memory. */
    bool (*begin)(struct http_call *call);
    /* Closes the connection and forgets the call. False: the transport is on the stack and
     * still looks at the call; it is to be dropped again in the next flush. */
    bool (*drop)(struct http_call *call);
    /* The pause is over. */
    void (*resume)(struct http_call *call);
};

struct http_call {
    struct http *http; /* NULL: it was freed while the mail was on the way */
    struct loop *loop;
    struct http_call *prev, *next; /* in the list of its state */
    enum http_call_state state;
    bool dead;
    bool in_event; /* head or body: when cancelled it is TELLING until that returns */
    const struct http_transport *transport;

    const struct http_events *events;
    void *arg;

    /* The request. */
    struct http_scratch text; /* its head, as the transport wants it */
    const struct iovec *body;
    size_t n_body, body_bytes;
    size_t piece, piece_offset; /* the first byte not yet sent */

    /* The name. */
    char host[256]; /* lower case, v6 in brackets */
    uint16_t port;
    bool tls;
    const char *path; /* in the spec's URL: for fill() only */
    char pin_text
        [RESOLVE_PIN_BYTES]; /* "host:port:address,address"; "": host is numeric */
    uint64_t pin_generation;
    struct resolve_waiter waiter;
    bool waits; /* for the waiter's mail */

    /* Time. */
    struct loop_timer timer;
    struct http_timeouts timeouts;
    enum http_stage stage;
    uint64_t started_us, stage_us, last_byte_us;

    /* The answer. */
    struct http_scratch head;
    size_t head_bytes;
    bool head_given, paused;
    struct loop_task resume;
    enum http_result_code failed; /* why we ended it ourselves; HTTP_OK = we did not */
    char detail[HTTP_DETAIL_BYTES];
    struct http_result result;
    size_t max_answer_bytes;

    /* http_conn.c */
    struct http_conn *conn;
    bool retried;
    bool once, fresh, connect_only; /* as in the spec */

    /* http_curl.c */
    CURL *easy; /* NULL until the first https call */
    struct curl_slist lines[HTTP_CALLER_HEADERS_MAX + 4];
    struct curl_slist pin;
    struct http_scratch gathered; /* a small body */
    struct {
        uint32_t name, value; /* offsets in head */
    } fields[ANSWER_FIELDS_MAX];
    size_t n_fields;
    char *files[HTTP_TLS_FILES]; /* as the easy handle has them; NULL = none */
    bool streams_body, curl_paused;
};

/* -- http_call.c ------------------------------------------------------------------------- */

NODISCARD bool http_scratch_reserve(struct http_scratch *scratch, size_t n);
char *http_scratch_add(struct http_scratch *scratch, const char *bytes, size_t n);

/* Splits the URL: host, port, tls, path. */
bool http_call_parse_url(struct http_call *call, const char *url);
/* A recycled call is made new; the body is borrowed from the spec. */
void http_call_reset(struct http_call *call, const struct http_spec *spec);
/* Frees what is kept from call to call. */
void http_call_release(struct http_call *call);
/* The head of its request has a key in it. */
void http_call_wipe(struct http_call *call);

/* Sets (or moves) the timer to the nearest limit. False, out of memory, only when it was
 * not armed. */
bool http_call_arm(struct http_call *call);
/* Which limit is over now; HTTP_OK: none. */
enum http_result_code http_call_overdue(const struct http_call *call);

/* The transports tell, in this order; CONNECTING again when a request is sent once more.
 * give_* return false when the call must not be touched any more (it was cancelled in the
 * event; libcurl's calls stay DYING), or when it has `failed`: too large. */
void http_call_connecting(struct http_call *call);
void http_call_connected(struct http_call *call);
bool http_call_give_head(struct http_call *call, const struct http_header *headers,
                         size_t n);
bool http_call_give_body(struct http_call *call, const char *bytes, size_t n);

/* -- http.c ------------------------------------------------------------------------------ */

/* The transport has let go of the call: done is due. `detail` NULL: the code's own text. */
void http_end(struct http_call *call, enum http_result_code code, const char *detail);
/* The transport has let go of a dead call that was DYING. */
void http_reaped(struct http_call *call);
/* Makes the done events that are due. A transport calls it last, with nothing on the stack
 * that they could pull away. */
void http_deliver(struct http *http);
/* Has http_flush() run (again) in this turn. */
void http_want_flush(struct http *http);

struct loop *http_loop(const struct http *http);
const struct http_settings *http_settings_of(const struct http *http);
struct http_plain *http_plain_of(const struct http *http);
struct http_curl *http_curl_of(const struct http *http);

/* http_curl_call.c: the request, and what libcurl tells. */
bool http_curl_fill(struct http_call *call, const struct http_spec *spec);
enum http_result_code http_curl_classify(const struct http_call *call, CURLcode code);
/* http_curl.c: libcurl opens and closes sockets through these. */
curl_socket_t http_curl_open_socket(void *call, curlsocktype purpose,
                                    struct curl_sockaddr *address);
int http_curl_close_socket(void *curl, curl_socket_t fd);

/* -- the transports ---------------------------------------------------------------------- */

extern const struct http_transport http_plain_transport, http_curl_transport;

struct http_plain *http_plain_new(struct http *http);
void http_plain_free(struct http_plain *plain); /* no call is RUNNING any more */

struct http_curl *http_curl_new(struct http *http);
void http_curl_free(struct http_curl *curl);
void http_curl_flush(struct http_curl *curl); /* reaps the dying, starts the begun */

/* The field that carries the key, and what stands between its name and the key. */
const char *http_key_field(const struct http_spec *spec);
const char *http_key_scheme(const struct http_spec *spec);

#endif
