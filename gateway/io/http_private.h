/* http_private.h - what http.c (the client) and http_call.c (one call) share
 *
 *      http_start -> NAMING -> QUEUED -> RUNNING -> ENDED -> IDLE
 *                      |          |        |          |       ^
 *                      +----------+--------+----------+-------+   http_cancel
 *
 *   NAMING    waits for a host name (or is given up when it has none)
 *   QUEUED    is handed to libcurl in the next flush
 *   RUNNING   belongs to libcurl's multi handle
 *   DYING     cancelled while libcurl was on the stack: taken from it in the next flush
 *   ENDED     was taken from libcurl; its done event is due
 *   TELLING   its done event is being made
 *   IDLE      on the free list: easy handle and buffers are kept for the next call
 *
 * A cancelled call is marked `dead`: it makes no event any more. When it cannot leave at
 * once it does so in the next flush (DYING) or with the mail that is on its way (NAMING).
 */
#ifndef GATEWAY_IO_HTTP_PRIVATE_H
#define GATEWAY_IO_HTTP_PRIVATE_H

#include <curl/curl.h>

#include "gateway/io/http.h"

/* A body up to this size leaves in one packet train with the head; libcurl's own limit for
 * that is 64 KiB. */
#define HTTP_GATHER_BYTES (32U * 1024)

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

struct http_call {
    struct http *http; /* NULL: it was freed while the mail was on the way */
    struct loop *loop;
    unsigned idle_max_s;
    struct http_call *prev, *next; /* in the list of its state */
    enum http_call_state state;
    bool dead;

    const struct http_events *events;
    void *arg;
    CURL *easy;

    /* The request. */
    struct http_scratch text; /* header lines, URL */
    struct curl_slist lines[HTTP_CALLER_HEADERS_MAX + 4];
    struct http_scratch gathered;
    const struct iovec *body;
    size_t n_body, body_bytes;
    size_t piece, piece_offset; /* where libcurl reads on, when not gathered */
    bool streams_body;
    char *ca_file; /* as the easy handle has it; NULL = the system's */

    /* The name. */
    char host[256];
    uint16_t port;
    struct curl_slist pin;
    uint64_t pin_generation; /* of pin_text; 0 = this call carries no pin */
    char pin_text[RESOLVE_PIN_BYTES];
    struct resolve_waiter waiter;
    bool waits; /* for the waiter's mail */

    struct loop_task resume;

    /* Time. */
    struct loop_timer timer;
    struct http_timeouts timeouts;
    enum http_stage stage;
    uint64_t started_us, stage_us, last_byte_us;

    /* The answer. */
    struct http_scratch head;
    struct {
        uint32_t name, value; /* offsets in head */
    } fields[HTTP_HEADERS_MAX];
    size_t n_fields, head_bytes;
    bool head_given, paused, curl_paused;
    enum http_result_code failed; /* why we ended it ourselves; HTTP_OK = we did not */
    char detail[CURL_ERROR_SIZE];
    struct http_result result;
    size_t max_answer_bytes;
};

/* http_call.c */

/* Copies the spec into the call, which is zero or recycled. False: out of memory. */
bool http_call_fill(struct http_call *call, const struct http_spec *spec);
/* Splits the call's URL into host and port. */
bool http_call_parse_url(struct http_call *call, const char *url);
/* Sets the options that stay over the life of the handle. */
bool http_call_setup(struct http_call *call);
/* Frees what is kept from call to call. */
void http_call_release(struct http_call *call);
/* Sets (or moves) the timer to the nearest limit. False, out of memory, only when it was
 * not armed. */
bool http_call_arm(struct http_call *call);
/* Which limit is over now; HTTP_OK: none. */
enum http_result_code http_call_overdue(const struct http_call *call);
/* What libcurl's verdict means to our callers. */
enum http_result_code http_call_classify(const struct http_call *call, CURLcode code);
/* Why, in words: libcurl's own, or ours where we ended it. */
const char *http_call_detail(const struct http_call *call, enum http_result_code code);

/* http.c: libcurl opens and closes sockets through these. */
curl_socket_t http_open_socket(struct http *http, struct curl_sockaddr *address);
int http_close_socket(void *http, curl_socket_t fd);

#endif
