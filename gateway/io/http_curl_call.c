/* http_curl_call.c - one call through libcurl: its request, and what libcurl tells of the answer
 *
 * What must always hold: a dead call makes no event; bytes that the spec lent are not read
 * once the call is dead (small bodies are gathered, for large ones read_body() looks); no
 * curl_multi_* function is called in here, as most of this runs inside libcurl. */
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/io/http_private.h"

/* A body up to this size leaves in one packet train with the head; libcurl's own limit for
 * that is 64 KiB. */
#define GATHER_BYTES (32U * 1024)

_Static_assert(HTTP_DETAIL_BYTES >= CURL_ERROR_SIZE, "libcurl writes into call->detail");

/* -- the request ------------------------------------------------------------------------- */

static void add_line(struct http_call *call, size_t *n, const char *name,
                     const char *between, const char *value)
{
    struct curl_slist *line = &call->lines[*n];
    line->data = http_scratch_add(&call->text, name, strlen(name));
    (void)http_scratch_add(&call->text, between, strlen(between));
    (void)http_scratch_add(&call->text, value, strlen(value) + 1);
    line->next = NULL;
    if (*n > 0)
        call->lines[*n - 1].next = line;
    (*n)++;
}

/* The lines are built in the call's own memory: libcurl only reads the list. */
static bool fill_headers(struct http_call *call, const struct http_spec *spec)
{
    size_t bytes = 64, n = 0;
    bool typed = false;
    for (size_t i = 0; i < spec->n_headers; i++) {
        bytes += strlen(spec->headers[i].name) + strlen(spec->headers[i].value) + 3;
        typed = typed || strcasecmp(spec->headers[i].name, "content-type") == 0;
    }
    if (spec->key != NULL)
        bytes += strlen(spec->key) + strlen(http_key_field(spec)) + sizeof ": Bearer ";
    if (!http_scratch_reserve(&call->text, bytes))
        return false;
    add_line(call, &n, "Expect", ":", "");
    if (!typed)
        add_line(call, &n, "Content-Type", ":", "");
    if (spec->key != NULL && spec->key[0] != '\0')
        add_line(call, &n, http_key_field(spec), http_key_scheme(spec), spec->key);
    for (size_t i = 0; i < spec->n_headers; i++) {
        const struct http_header *header = &spec->headers[i];
        /* "Name;" is libcurl's way of writing a header without a value. */
        add_line(call, &n, header->name, header->value[0] != '\0' ? ": " : ";",
                 header->value);
    }
    return true;
}

static bool gather_body(struct http_call *call)
{
    call->streams_body = call->body_bytes > GATHER_BYTES;
    call->gathered.n = 0;
    if (call->streams_body)
        return true;
    if (!http_scratch_reserve(&call->gathered, call->body_bytes + 1))
        return false;
    for (size_t i = 0; i < call->n_body; i++)
        if (call->body[i].iov_len > 0)
            (void)http_scratch_add(&call->gathered, call->body[i].iov_base,
                                   call->body[i].iov_len);
    return true;
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

/* -- the answer: libcurl is on the stack -------------------------------------------------- */

/* Connected (TLS included), about to send; again when the request is sent once more. */
static int on_connected(void *clientp, char *remote, char *local, int remote_port,
                        int local_port)
{
    struct http_call *call = clientp;
    (void)remote, (void)local, (void)remote_port, (void)local_port;
    if (call->dead || call->failed != HTTP_OK)
        return CURL_PREREQFUNC_ABORT;
    if (call->once && call->result.sent) {
        call->failed = HTTP_CUT;
        call->result.stale = true;
        return CURL_PREREQFUNC_ABORT;
    }
    http_call_connected(call);
    return CURL_PREREQFUNC_OK;
}

/* A header line into the head's buffer, name in lower case. Lines that are no header are
 * left out; more than we keep are dropped. */
static bool keep_header(struct http_call *call, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n);
    if (colon == NULL || call->n_fields == ANSWER_FIELDS_MAX)
        return true;
    const size_t name_n = (size_t)(colon - line);
    const char *value = colon + 1, *end = line + n;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && isspace((unsigned char)end[-1]))
        end--;
    const size_t value_n = (size_t)(end - value);
    if (!http_scratch_reserve(&call->head, call->head.n + name_n + value_n + 2))
        return false;
    call->fields[call->n_fields].name = (uint32_t)call->head.n;
    char *name = http_scratch_add(&call->head, line, name_n);
    for (size_t i = 0; i < name_n; i++)
        name[i] = (char)tolower((unsigned char)name[i]);
    (void)http_scratch_add(&call->head, "", 1);
    call->fields[call->n_fields].value = (uint32_t)call->head.n;
    (void)http_scratch_add(&call->head, value, value_n);
    (void)http_scratch_add(&call->head, "", 1);
    call->n_fields++;
    return true;
}

static bool give_head(struct http_call *call)
{
    struct http_header headers[ANSWER_FIELDS_MAX];
    for (size_t i = 0; i < call->n_fields; i++) {
        headers[i].name = call->head.p + call->fields[i].name;
        headers[i].value = call->head.p + call->fields[i].value;
    }
    return http_call_give_head(call, headers, call->n_fields);
}

/* Ends the transfer from inside: nothing that is on its way may be waited for on a kept
 * connection. Fewer bytes than there were are an error to libcurl. */
static size_t refuse(struct http_call *call)
{
    (void)curl_easy_setopt(call->easy, CURLOPT_FORBID_REUSE, 1L);
    return CURL_WRITEFUNC_ERROR;
}

static size_t on_header(char *line, size_t size, size_t n, void *userdata)
{
    struct http_call *call = userdata;
    n *= size;
    if (call->dead || call->failed != HTTP_OK)
        return refuse(call);
    if (call->head_given) /* trailers */
        return n;
    call->head_bytes += n;
    if (call->head_bytes > HTTP_HEAD_BYTES) {
        call->failed = HTTP_TOO_LARGE;
        return refuse(call);
    }
    if (n >= 12 && memcmp(line, "HTTP/", 5) == 0) {
        long status = 0;
        (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        call->result.status = (unsigned)status;
        call->head.n = call->n_fields = 0;
    } else if (line[0] == '\r' || line[0] == '\n') {
        if (call->result.status >= 200 && !give_head(call))
            return refuse(call);
    } else if (!keep_header(call, line, n)) {
        call->failed = HTTP_NOMEM;
        return refuse(call);
    }
    return n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *userdata)
{
    struct http_call *call = userdata;
    n *= size;
    if (call->dead || call->failed != HTTP_OK)
        return refuse(call);
    if (call->paused) {
        call->curl_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    return http_call_give_body(call, bytes, n) ? n : refuse(call);
}

enum http_result_code http_curl_classify(const struct http_call *call, CURLcode code)
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
    case CURLE_HTTP2_STREAM: /* it was reset */
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

/* -- the handle ------------------------------------------------------------------------- */

#define SET(option, value)                                                               \
    do {                                                                                 \
        if (curl_easy_setopt(easy, option, value) != CURLE_OK)                           \
            return false;                                                                \
    } while (0)

/* The options that stay over the life of the handle. */
static bool make_handle(struct http_call *call)
{
    struct http_curl *curl = http_curl_of(call->http);
    CURL *easy = call->easy = curl_easy_init();
    if (easy == NULL)
        return false;
    SET(CURLOPT_PRIVATE, call);
    SET(CURLOPT_ERRORBUFFER, call->detail);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
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
    SET(CURLOPT_MAXAGE_CONN, (long)http_settings_of(call->http)->idle_max_s);
    SET(CURLOPT_OPENSOCKETFUNCTION, http_curl_open_socket);
    SET(CURLOPT_OPENSOCKETDATA, call);
    SET(CURLOPT_CLOSESOCKETFUNCTION, http_curl_close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, curl);
    return true;
}

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* libcurl has no "back to the default": a handle that had a file and is to have none is made
 * anew. It gives a connection only to calls with the same files. */
static bool set_files(struct http_call *call, const struct http_tls *tls)
{
    static const CURLoption options[HTTP_TLS_FILES] = {
        [HTTP_CA_FILE] = CURLOPT_CAINFO,
        [HTTP_CERT_FILE] = CURLOPT_SSLCERT,
        [HTTP_KEY_FILE] = CURLOPT_SSLKEY,
    };
    const char *const wanted[HTTP_TLS_FILES] = {
        [HTTP_CA_FILE] = tls->ca_file,
        [HTTP_CERT_FILE] = tls->cert_file,
        [HTTP_KEY_FILE] = tls->key_file,
    };
    bool changed = false, anew = false;
    for (size_t i = 0; i < HTTP_TLS_FILES; i++) {
        changed = changed || !same(wanted[i], call->files[i]);
        anew = anew || (wanted[i] == NULL && call->files[i] != NULL);
    }
    if (!changed)
        return true;
    if (anew) {
        curl_easy_cleanup(call->easy);
        if (!make_handle(call))
            return false;
    }
    for (size_t i = 0; i < HTTP_TLS_FILES; i++) {
        free(call->files[i]);
        call->files[i] = wanted[i] != NULL ? strdup(wanted[i]) : NULL;
        if (wanted[i] == NULL)
            continue;
        if (call->files[i] == NULL ||
            curl_easy_setopt(call->easy, options[i], call->files[i]) != CURLE_OK)
            return false;
    }
    return true;
}

static bool set_version(struct http_call *call, bool http2)
{
    const long version = http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
    return curl_easy_setopt(call->easy, CURLOPT_HTTP_VERSION, version) == CURLE_OK;
}

/* libcurl gives a connection only to calls that check alike. */
static bool set_verify(struct http_call *call, bool verify)
{
    return curl_easy_setopt(call->easy, CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L) ==
               CURLE_OK &&
           curl_easy_setopt(call->easy, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L) ==
               CURLE_OK;
}

static bool set_method(struct http_call *call, const char *method)
{
    CURL *easy = call->easy;
    if (strcmp(method, "GET") == 0) {
        SET(CURLOPT_HTTPGET, 1L);
        return true;
    }
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_bytes);
    SET(CURLOPT_POSTFIELDS, call->streams_body ? NULL : call->gathered.p);
    return true;
}

bool http_curl_fill(struct http_call *call, const struct http_spec *spec)
{
    if (call->easy == NULL && !make_handle(call))
        return false;
    call->n_fields = 0;
    call->curl_paused = false;
    if (curl_easy_setopt(call->easy, CURLOPT_FRESH_CONNECT, call->fresh ? 1L : 0L) !=
            CURLE_OK ||
        curl_easy_setopt(call->easy, CURLOPT_FORBID_REUSE, 0L) != CURLE_OK)
        return false;
    return set_files(call, &spec->tls) && set_verify(call, !spec->tls.unverified) &&
           set_version(call, spec->tls.http2) && fill_headers(call, spec) &&
           gather_body(call) &&
           curl_easy_setopt(call->easy, CURLOPT_URL, spec->url) == CURLE_OK &&
           curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->lines) == CURLE_OK &&
           set_method(call, spec->method);
}
