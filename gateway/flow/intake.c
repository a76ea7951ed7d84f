/* intake.c - reads the head of a request; see intake.h.
 *
 * A header reaches an expert only if it is named here; what a client sends to us
 * (Authorization above all) never travels on by accident.
 */
#include "gateway/flow/intake.h"

#include <string.h>

#include "gateway/flow/exchange_parts.h"

#define ORIGIN_MAX     512  /* bytes of what a browser says of its page */
#define VERSION_MAX    1024 /* bytes of one */
#define FORWARD_PREFIX "x-frugal-fwd-"

/* What an expert takes from us, or what frames the message: never a client's to set. */
static const char *const ours[] = {
    "authorization",
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "accept",
    "accept-encoding",
    "connection",
    "transfer-encoding",
    "expect",
    "proxy-authorization",
    "keep-alive",
    "te",
    "upgrade",
    "trailer",
    "user-agent",
    "x-request-id",
    "x-api-key",
    "cookie",
};

static bool is_token(struct str s)
{
    static const char punctuation[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || (c != '\0' && strchr(punctuation, c) != NULL)))
            return false;
    }
    return s.n > 0;
}

static bool is_printable(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return true;
}

static bool fit_as_id(struct str s)
{
    if (s.n == 0 || s.n > INTAKE_ID_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '\\' ||
            s.p[i] == '=')
            return false;
    }
    return true;
}

struct str intake_request_id(const struct exchange_request *request, struct arena *arena)
{
    struct str id = { 0 };

    for (size_t i = 0; i < request->n_headers; i++) {
        const struct exchange_header *header = &request->headers[i];

        if (!str_eq_nocase(header->name, STR("x-request-id")) ||
            !fit_as_id(header->value))
            continue;
        if (arena_copy(arena, header->value, &id) != ERR_OK)
            return (struct str){ 0 };
        break;
    }
    return id;
}

/* A browser says whose page asks. "null" and other texts are kept as they are: they are
 * compared, and given back where they were allowed. */
static enum err keep_origin(struct exchange *x)
{
    const struct exchange_request *request = x->request;
    enum err err = ERR_OK;

    for (size_t i = 0; i < request->n_headers && err == ERR_OK; i++) {
        struct str name = request->headers[i].name, value = request->headers[i].value;

        if (value.n > ORIGIN_MAX || !is_printable(value))
            continue;
        if (str_eq_nocase(name, STR("origin"))) {
            if (config_allows_origin(exchange_config(x), value))
                err = arena_copy(&x->arena, value, &x->origin);
        } else if (x->route == EXCHANGE_OPTIONS &&
                   str_eq_nocase(name, STR("access-control-request-headers"))) {
            err = arena_copy(&x->arena, value, &x->asked_headers);
        }
    }
    return err;
}

/* Of Anthropic's API, for experts that speak it: its version, and the betas that the client
 * has asked for in one header or in several. */
static enum err keep_versions(struct exchange *x)
{
    const struct exchange_request *request = x->request;
    const char *version = "2023-06-01", *betas = NULL;

    for (size_t i = 0; i < request->n_headers; i++) {
        struct str name = request->headers[i].name, value = request->headers[i].value;
        const bool is_beta = str_eq_nocase(name, STR("anthropic-beta"));
        const char *kept;

        if ((!is_beta && !str_eq_nocase(name, STR("anthropic-version"))) ||
            value.n > VERSION_MAX || !is_printable(value))
            continue;
        kept =
            arena_printf(&x->arena, "%s%s" STR_FMT, is_beta && betas != NULL ? betas : "",
                         is_beta && betas != NULL ? "," : "", STR_ARG(value));
        if (kept == NULL)
            return ERR_NOMEM;
        *(is_beta ? &betas : &version) = kept;
    }
    x->versions[0] = (struct http_header){ "anthropic-version", version };
    if (betas != NULL)
        x->versions[1] = (struct http_header){ "anthropic-beta", betas };
    return ERR_OK;
}

enum err intake_head(struct exchange *x)
{
    const struct exchange_request *request = x->request;
    char id[ID_TEXT_BYTES];
    enum err err;

    x->admin = request->admin;
    x->request_id = intake_request_id(request, &x->arena);
    if (x->request_id.n == 0) {
        worker_new_id(x->worker, "req", id);
        err = arena_copy(&x->arena, str_of(id), &x->request_id);
        if (err != ERR_OK)
            return err;
    }
    err = arena_copy(&x->arena, request->method, &x->method);
    if (err == ERR_OK)
        err = arena_copy(&x->arena, request->path, &x->path);
    if (err == ERR_OK)
        err = arena_copy(&x->arena, request->argument, &x->argument);
    if (err == ERR_OK)
        err = arena_copy(&x->arena, request->peer, &x->peer);
    if (err == ERR_OK && x->route == EXCHANGE_MESSAGES)
        err = keep_versions(x);
    return err == ERR_OK && exchange_config(x)->n_cors > 0 ? keep_origin(x) : err;
}

/* The secret in one header; false: it is not one that carries a secret. An empty secret is
 * one of a wrong form. */
static bool secret_of(const struct exchange_header *header, struct str *ret_secret)
{
    static const char scheme[] = "bearer ";

    if (str_eq_nocase(header->name, STR("x-api-key"))) {
        *ret_secret = header->value;
        return true;
    }
    if (!str_eq_nocase(header->name, STR("authorization")))
        return false;
    *ret_secret = (struct str){ 0 };
    if (str_starts_nocase(header->value, scheme))
        *ret_secret = str_trim(str_skip(header->value, sizeof scheme - 1));
    return true;
}

enum intake_secret intake_secret(const struct exchange_request *request,
                                 struct str *ret_secret)
{
    struct str found = { 0 };
    bool given = false;

    for (size_t i = 0; i < request->n_headers; i++) {
        struct str secret;

        if (!secret_of(&request->headers[i], &secret))
            continue;
        if (secret.n == 0 || (given && !str_eq(secret, found)))
            return INTAKE_SECRET_BAD;
        found = secret;
        given = true;
    }
    if (!given)
        return INTAKE_SECRET_NONE;
    *ret_secret = found;
    return INTAKE_SECRET_GIVEN;
}

static bool is_ours(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        if (str_eq_nocase(name, str_of(ours[i])))
            return true;
    }
    return false;
}

static enum api_err forward(struct str name, struct str value, struct arena *arena,
                            struct http_header *ret_header, struct api_error *error)
{
    struct str name_copy, value_copy;

    if (arena_copy(arena, name, &name_copy) != ERR_OK ||
        arena_copy(arena, value, &value_copy) != ERR_OK)
        return api_error_set(error, API_NOMEM, NULL, NULL);
    *ret_header = (struct http_header){ .name = name_copy.p, .value = value_copy.p };
    return API_OK;
}

static enum api_err check_forward(struct str header, struct str name, struct str value,
                                  bool room, struct api_error *error)
{
    char param[64];

    if (is_token(name) && is_printable(value) && !is_ours(name) && room)
        return API_OK;
    header = str_first(header, sizeof param - 1);
    memcpy(param, header.p, header.n);
    param[header.n] = '\0';
    return api_error_set(error, API_BAD_OPTION, param, "'%s' %s", param,
                         room ? "cannot be forwarded"
                              : "is one too many to be forwarded");
}

enum api_err intake_headers(const struct exchange_request *request,
                            struct frugal_options *options, struct arena *arena,
                            struct http_header *ret_forwarded, size_t max, size_t *ret_n,
                            struct api_error *error)
{
    enum api_err err = API_OK;
    size_t n = 0;

    for (size_t i = 0; i < request->n_headers && err == API_OK; i++) {
        struct str name = request->headers[i].name;
        struct str value = request->headers[i].value;
        struct str inner = str_skip(name, sizeof FORWARD_PREFIX - 1);

        if (str_starts_nocase(name, FORWARD_PREFIX)) {
            err = check_forward(name, inner, value, n < max, error);
            if (err == API_OK)
                err = forward(inner, value, arena, &ret_forwarded[n++], error);
        } else if (str_eq_nocase(name, STR("traceparent")) ||
                   str_eq_nocase(name, STR("tracestate"))) {
            if (n < max && is_printable(value))
                err = forward(name, value, arena, &ret_forwarded[n++], error);
        } else {
            err = frugal_options_header(options, name, value, arena, error);
        }
    }
    *ret_n = n;
    return err;
}
