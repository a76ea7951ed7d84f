/* http_call.c - one call: its request, what libcurl tells about its answer, its limits
 *
 * What must always hold: a dead call makes no event; bytes that the spec lent are not read
 * once the call is dead; no curl_multi_* function is called in here, as all of this runs
 * inside libcurl or right before it. */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/io/http_private.h"

static const char *const result_labels[] = {
#define X(name, label, text) label,
    HTTP_RESULTS(X)
#undef X
};

static const char *const result_texts[] = {
#define X(name, label, text) text,
    HTTP_RESULTS(X)
#undef X
};

const char *http_result_label(enum http_result_code code)
{
    return result_labels[code];
}

const char *http_result_text(enum http_result_code code)
{
    return result_texts[code];
}

bool http_global_init(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

/* -- the request ------------------------------------------------------------------------- */

static bool scratch_reserve(struct http_scratch *scratch, size_t n)
{
    if (n > scratch->size) {
        char *p = realloc(scratch->p, n);
        if (p == NULL)
            return false;
        scratch->p = p;
        scratch->size = n;
    }
    return true;
}

static char *scratch_add(struct http_scratch *scratch, const char *bytes, size_t n)
{
    char *at = scratch->p + scratch->n;
    assert(n <= scratch->size - scratch->n);
    memcpy(at, bytes, n);
    scratch->n += n;
    return at;
}

static bool is_clean(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' && *text != '\t')
            return false;
    return true;
}

static struct curl_slist *add_line(struct http_call *call, size_t *n, const char *name,
                                   const char *between, const char *value)
{
    struct curl_slist *line = &call->lines[*n];
    assert(is_clean(name) && is_clean(value));
    line->data = scratch_add(&call->text, name, strlen(name));
    (void)scratch_add(&call->text, between, strlen(between));
    (void)scratch_add(&call->text, value, strlen(value) + 1);
    line->next = NULL;
    if (*n > 0)
        call->lines[*n - 1].next = line;
    (*n)++;
    return line;
}

/* The lines are built in the call's own memory: libcurl only reads the list. */
static bool fill_headers(struct http_call *call, const struct http_spec *spec)
{
    size_t bytes = 64, n = 0;
    bool typed = false;
    assert(spec->n_headers <= HTTP_CALLER_HEADERS_MAX);
    for (size_t i = 0; i < spec->n_headers; i++) {
        bytes += strlen(spec->headers[i].name) + strlen(spec->headers[i].value) + 3;
        typed = typed || strcasecmp(spec->headers[i].name, "content-type") == 0;
    }
    if (spec->key != NULL)
        bytes += strlen(spec->key) + sizeof "Authorization: Bearer ";
    call->text.n = 0;
    if (!scratch_reserve(&call->text, bytes))
        return false;
    (void)add_line(call, &n, "Expect", ":", "");
    if (!typed)
        (void)add_line(call, &n, "Content-Type", ":", "");
    if (spec->key != NULL && spec->key[0] != '\0')
        (void)add_line(call, &n, "Authorization", ": Bearer ", spec->key);
    for (size_t i = 0; i < spec->n_headers; i++) {
        const struct http_header *header = &spec->headers[i];
        /* "Name;" is libcurl's way of writing a header without a value. */
        (void)add_line(call, &n, header->name, header->value[0] != '\0' ? ": " : ";",
                       header->value);
    }
    return true;
}

static bool fill_body(struct http_call *call, const struct http_spec *spec)
{
    call->body = spec->body;
    call->n_body = spec->n_body;
    call->body_bytes = 0;
    call->piece = call->piece_offset = 0;
    for (size_t i = 0; i < spec->n_body; i++)
        call->body_bytes += spec->body[i].iov_len;
    call->streams_body = call->body_bytes > HTTP_GATHER_BYTES;
    if (call->streams_body)
        return true;
    call->gathered.n = 0;
    if (!scratch_reserve(&call->gathered, call->body_bytes > 0 ? call->body_bytes : 1))
        return false;
    for (size_t i = 0; i < spec->n_body; i++)
        if (spec->body[i].iov_len > 0)
            (void)scratch_add(&call->gathered, spec->body[i].iov_base,
                              spec->body[i].iov_len);
    return true;
}

static CURLcode set_method(struct http_call *call, const char *method)
{
    CURL *easy = call->easy;
    if (strcmp(method, "GET") == 0)
        return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    assert(strcmp(method, "POST") == 0);
    CURLcode code = curl_easy_setopt(easy, CURLOPT_POST, 1L);
    if (code == CURLE_OK)
        code = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                (curl_off_t)call->body_bytes);
    if (code == CURLE_OK)
        code = curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                                call->streams_body ? NULL : call->gathered.p);
    return code;
}

static bool set_ca_file(struct http_call *call, const char *ca_file)
{
    if (ca_file == call->ca_file ||
        (ca_file != NULL && call->ca_file != NULL && strcmp(ca_file, call->ca_file) == 0))
        return true;
    char *copy = ca_file != NULL ? strdup(ca_file) : NULL;
    if (ca_file != NULL && copy == NULL)
        return false;
    free(call->ca_file);
    call->ca_file = copy;
    if (copy != NULL)
        return curl_easy_setopt(call->easy, CURLOPT_CAINFO, copy) == CURLE_OK;
    /* libcurl has no "back to the default": the handle is made anew. */
    curl_easy_cleanup(call->easy);
    call->easy = NULL;
    return http_call_setup(call);
}

bool http_call_fill(struct http_call *call, const struct http_spec *spec)
{
    if (!set_ca_file(call, spec->ca_file) || !fill_headers(call, spec) ||
        !fill_body(call, spec) ||
        curl_easy_setopt(call->easy, CURLOPT_URL, spec->url) != CURLE_OK ||
        curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->lines) != CURLE_OK ||
        curl_easy_setopt(call->easy, CURLOPT_RESOLVE, NULL) != CURLE_OK ||
        set_method(call, spec->method) != CURLE_OK)
        return false;
    call->timeouts = spec->timeouts;
    call->max_answer_bytes = spec->max_answer_bytes;
    call->stage = HTTP_CONNECTING;
    call->started_us = call->stage_us = call->last_byte_us = loop_now_us(call->loop);
    call->head.n = call->n_fields = call->head_bytes = 0;
    call->head_given = call->paused = call->curl_paused = false;
    call->dead = call->waits = false;
    call->pin_generation = 0;
    call->failed = HTTP_OK;
    call->detail[0] = '\0';
    memset(&call->result, 0, sizeof call->result);
    return true;
}

bool http_call_parse_url(struct http_call *call, const char *url)
{
    unsigned long port;
    if (strncmp(url, "http://", 7) == 0) {
        port = 80;
        url += 7;
    } else if (strncmp(url, "https://", 8) == 0) {
        port = 443;
        url += 8;
    } else {
        return false;
    }
    size_t n = *url == '[' ? strcspn(url, "]/?#") + 1 : strcspn(url, ":/?#");
    if (n == 0 || n >= sizeof call->host || memchr(url, '@', strcspn(url, "/?#")) != NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        call->host[i] = (char)tolower((unsigned char)url[i]);
    call->host[n] = '\0';
    if (url[n] == ':') {
        char *end;
        port = strtoul(url + n + 1, &end, 10);
        if (end == url + n + 1 || port == 0 || port > 65535)
            return false;
    }
    call->port = (uint16_t)port;
    return true;
}

/* -- time -------------------------------------------------------------------------------- */

static unsigned stage_limit_ms(const struct http_call *call)
{
    switch (call->stage) {
    case HTTP_CONNECTING:
        return call->timeouts.connect_ms;
    case HTTP_WAITING:
        return call->timeouts.first_byte_ms;
    case HTTP_READING:
        return call->paused ? 0 : call->timeouts.idle_ms;
    }
    return 0;
}

static uint64_t stage_due_us(const struct http_call *call)
{
    const unsigned limit_ms = stage_limit_ms(call);
    const uint64_t from =
        call->stage == HTTP_READING ? call->last_byte_us : call->stage_us;
    return limit_ms != 0 ? from + (uint64_t)limit_ms * 1000 : UINT64_MAX;
}

static uint64_t total_due_us(const struct http_call *call)
{
    return call->timeouts.total_ms != 0
               ? call->started_us + (uint64_t)call->timeouts.total_ms * 1000
               : UINT64_MAX;
}

enum http_result_code http_call_overdue(const struct http_call *call)
{
    static const enum http_result_code codes[] = {
        [HTTP_CONNECTING] = HTTP_TIMEOUT_CONNECT,
        [HTTP_WAITING] = HTTP_TIMEOUT_FIRST_BYTE,
        [HTTP_READING] = HTTP_TIMEOUT_IDLE,
    };
    const uint64_t now = loop_now_us(call->loop);
    if (stage_due_us(call) <= now)
        return codes[call->stage];
    return total_due_us(call) <= now ? HTTP_TIMEOUT_TOTAL : HTTP_OK;
}

/* Bytes only move last_byte_us: a timer that comes too early looks again. So it is touched
 * when a stage begins whose limit is nearer, and not for each piece of a stream. It is
 * always armed, if only for the end of time: moving an armed timer cannot fail. */
bool http_call_arm(struct http_call *call)
{
    const uint64_t stage = stage_due_us(call), total = total_due_us(call);
    const uint64_t due = stage < total ? stage : total;
    if (call->timer.slot != 0 && call->timer.due_us <= due)
        return true;
    return loop_timer_set(call->loop, &call->timer, due) == LOOP_OK;
}

static void enter(struct http_call *call, enum http_stage stage)
{
    call->stage = stage;
    call->stage_us = call->last_byte_us = loop_now_us(call->loop);
    const bool armed = http_call_arm(call);
    assert(armed);
    (void)armed;
}

static uint64_t since_start_us(const struct http_call *call)
{
    const uint64_t us = loop_now_us(call->loop) - call->started_us;
    return us > 0 ? us : 1; /* 0 means "not reached" */
}

/* -- what libcurl tells ------------------------------------------------------------------ */

/* Connected (TLS included), about to send; again when the request is sent once more. */
static int on_connected(void *clientp, char *remote, char *local, int remote_port,
                        int local_port)
{
    struct http_call *call = clientp;
    (void)remote, (void)local, (void)remote_port, (void)local_port;
    if (call->dead || call->failed != HTTP_OK)
        return CURL_PREREQFUNC_ABORT;
    call->result.sent = true;
    call->result.timings.connected_us = since_start_us(call);
    enter(call, HTTP_WAITING);
    return CURL_PREREQFUNC_OK;
}

static size_t read_body(char *to, size_t size, size_t n, void *userdata)
{
    struct http_call *call = userdata;
    size_t room = size * n, done = 0;
    if (call->dead)
        return CURL_READFUNC_ABORT;
    while (room > 0 && call->piece < call->n_body) {
        const struct iovec *piece = &call->body[call->piece];
        size_t take = piece->iov_len - call->piece_offset;
        if (take > room)
            take = room;
        if (take > 0)
            memcpy(to + done, (const char *)piece->iov_base + call->piece_offset, take);
        done += take;
        room -= take;
        call->piece_offset += take;
        if (call->piece_offset == piece->iov_len) {
            call->piece++;
            call->piece_offset = 0;
        }
    }
    return done;
}

/* libcurl goes back to the start when it sends once more on a fresh connection. */
static int seek_body(void *userdata, curl_off_t offset, int origin)
{
    struct http_call *call = userdata;
    if (origin != SEEK_SET || offset != 0)
        return CURL_SEEKFUNC_CANTSEEK;
    call->piece = call->piece_offset = 0;
    return CURL_SEEKFUNC_OK;
}

/* A header line into the head's buffer, name in lower case. Lines that are no header are
 * left out; more than we keep are dropped. */
static bool keep_header(struct http_call *call, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n);
    if (colon == NULL || call->n_fields == HTTP_HEADERS_MAX)
        return true;
    size_t name_n = (size_t)(colon - line);
    const char *value = colon + 1, *end = line + n;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && isspace((unsigned char)end[-1]))
        end--;
    size_t value_n = (size_t)(end - value);
    size_t need = call->head.n + name_n + value_n + 2;
    if (need > call->head.size &&
        !scratch_reserve(&call->head, need > 1024 ? 2 * need : 1024))
        return false;
    call->fields[call->n_fields].name = (uint32_t)call->head.n;
    char *name = scratch_add(&call->head, line, name_n);
    for (size_t i = 0; i < name_n; i++)
        name[i] = (char)tolower((unsigned char)name[i]);
    (void)scratch_add(&call->head, "", 1);
    call->fields[call->n_fields].value = (uint32_t)call->head.n;
    (void)scratch_add(&call->head, value, value_n);
    (void)scratch_add(&call->head, "", 1);
    call->n_fields++;
    return true;
}

static void give_head(struct http_call *call)
{
    struct http_header headers[HTTP_HEADERS_MAX];
    for (size_t i = 0; i < call->n_fields; i++) {
        headers[i].name = call->head.p + call->fields[i].name;
        headers[i].value = call->head.p + call->fields[i].value;
    }
    call->head_given = true;
    call->result.timings.head_us = since_start_us(call);
    if (call->events->head != NULL)
        call->events->head(call->arg, call->result.status, headers, call->n_fields);
}

static size_t on_header(char *line, size_t size, size_t n, void *userdata)
{
    struct http_call *call = userdata;
    n *= size;
    if (call->dead || call->failed != HTTP_OK)
        return 0;
    if (call->head_given) /* trailers */
        return n;
    call->head_bytes += n;
    if (call->head_bytes > HTTP_HEAD_BYTES) {
        call->failed = HTTP_TOO_LARGE;
        return 0;
    }
    if (n >= 12 && memcmp(line, "HTTP/", 5) == 0) {
        long status = 0;
        (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        call->result.status = (unsigned)status;
        call->head.n = call->n_fields = 0;
    } else if (line[0] == '\r' || line[0] == '\n') {
        if (call->result.status >= 200)
            give_head(call);
        if (call->dead)
            return 0;
    } else if (!keep_header(call, line, n)) {
        call->failed = HTTP_NOMEM;
        return 0;
    }
    return n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *userdata)
{
    struct http_call *call = userdata;
    n *= size;
    if (call->dead || call->failed != HTTP_OK)
        return CURL_WRITEFUNC_ERROR;
    if (call->paused) {
        call->curl_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (call->stage != HTTP_READING) {
        call->result.timings.first_byte_us = since_start_us(call);
        enter(call, HTTP_READING);
    }
    call->last_byte_us = loop_now_us(call->loop);
    call->result.body_bytes += n;
    if (call->max_answer_bytes != 0 && call->result.body_bytes > call->max_answer_bytes) {
        call->failed = HTTP_TOO_LARGE;
        return CURL_WRITEFUNC_ERROR;
    }
    if (call->events->body != NULL &&
        call->events->body(call->arg, bytes, n) == HTTP_PAUSE)
        call->paused = true;
    return call->dead ? CURL_WRITEFUNC_ERROR : n;
}

/* A request that is sent once more, since its kept connection was dead, connects again. */
static curl_socket_t open_socket(void *clientp, curlsocktype purpose,
                                 struct curl_sockaddr *address)
{
    struct http_call *call = clientp;
    (void)purpose;
    if (call->stage == HTTP_WAITING)
        enter(call, HTTP_CONNECTING);
    return http_open_socket(call->http, address);
}

/* -- the handle -------------------------------------------------------------------------- */

#define SET(option, value)                                                               \
    do {                                                                                 \
        if (curl_easy_setopt(easy, option, value) != CURLE_OK)                           \
            return false;                                                                \
    } while (0)

bool http_call_setup(struct http_call *call)
{
    CURL *easy = call->easy = curl_easy_init();
    if (easy == NULL)
        return false;
    SET(CURLOPT_PRIVATE, call);
    SET(CURLOPT_ERRORBUFFER, call->detail);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_HTTP_TRANSFER_DECODING, 1L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_PREREQFUNCTION, on_connected);
    SET(CURLOPT_PREREQDATA, call);
    SET(CURLOPT_READFUNCTION, read_body);
    SET(CURLOPT_READDATA, call);
    SET(CURLOPT_SEEKFUNCTION, seek_body);
    SET(CURLOPT_SEEKDATA, call);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, call);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, call);
    SET(CURLOPT_MAXAGE_CONN, (long)call->idle_max_s);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, call);
    SET(CURLOPT_CLOSESOCKETFUNCTION, http_close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, call->http);
    return true;
}

void http_call_release(struct http_call *call)
{
    curl_easy_cleanup(call->easy);
    free(call->ca_file);
    free(call->text.p);
    free(call->gathered.p);
    free(call->head.p);
}

enum http_result_code http_call_classify(const struct http_call *call, CURLcode code)
{
    if (call->failed != HTTP_OK)
        return call->failed;
    switch (code) {
    case CURLE_OK:
        return HTTP_OK;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return HTTP_DNS;
    case CURLE_COULDNT_CONNECT:
        return HTTP_CONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return HTTP_TIMEOUT_CONNECT; /* libcurl's own limit is that of connecting */
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_USE_SSL_FAILED:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return HTTP_TLS;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
        return HTTP_CUT;
    case CURLE_RECV_ERROR: /* libcurl reports broken chunks with the same code */
        if (strstr(call->detail, "chunk") != NULL)
            return HTTP_PROTOCOL;
        return call->result.sent ? HTTP_CUT : HTTP_CONNECT;
    case CURLE_OUT_OF_MEMORY:
        return HTTP_NOMEM;
    default:
        return HTTP_PROTOCOL;
    }
}

const char *http_call_detail(const struct http_call *call, enum http_result_code code)
{
    const bool ours = call->failed != HTTP_OK || call->detail[0] == '\0';
    return ours ? http_result_text(code) : call->detail;
}

bool http_call_sent(const struct http_call *call)
{
    return call->result.sent;
}
