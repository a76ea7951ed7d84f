/* returned.c - which headers of an expert's answer its client gets back; see returned.h. */
#include "gateway/flow/returned.h"

#include <string.h>

#define PREFIX "x-frugal-expert-"

/* Of the connection between the expert and us, or of the body as the expert framed it; and
 * what is given back in another form. */
static const char *const kept[] = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "content-type",
    "content-encoding",
    "content-range",
    "set-cookie",
    "set-cookie2",
    "www-authenticate",
    "authentication-info",
    "x-request-id",
    "request-id",
};

static bool is_kept(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (strcmp(name, kept[i]) == 0)
            return true;
    return strncmp(name, "x-frugal-", 9) == 0;
}

/* "close, x-of-this-line": its own words and names of headers that end here. */
static bool ends_here(const struct http_header *headers, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        struct str rest = str_of(headers[i].value), word;

        if (strcmp(headers[i].name, "connection") != 0)
            continue;
        while (str_cut(&rest, ',', &word))
            if (str_eq_nocase(str_trim(word), str_of(name)))
                return true;
    }
    return false;
}

static bool is_listed(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->n_expert_headers; i++) {
        struct str pattern = str_of(config->expert_headers[i]);

        if (pattern.p[pattern.n - 1] == '*' ? strncmp(name, pattern.p, pattern.n - 1) == 0
                                            : str_is(pattern, name))
            return true;
    }
    return false;
}

static bool is_printable(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] > 0x7e)
            return false;
    return true;
}

const struct returned *returned_of(const struct config *config,
                                   const struct http_header *headers, size_t n,
                                   struct arena *arena)
{
    struct returned *first = NULL, **last = &first;
    size_t left = RETURNED_BYTES, count = 0;

    for (size_t i = 0; i < n && count < RETURNED_MAX; i++) {
        struct str value = str_of(headers[i].value);
        size_t bytes = sizeof PREFIX + strlen(headers[i].name) + value.n;
        struct returned *one;

        if (!is_listed(config, headers[i].name) || is_kept(headers[i].name) ||
            bytes > left || value.n == 0 || !is_printable(value) ||
            ends_here(headers, n, headers[i].name))
            continue;
        one = arena_alloc(arena, sizeof *one);
        if (one == NULL)
            break;
        *one = (struct returned){ .name =
                                      arena_printf(arena, PREFIX "%s", headers[i].name) };
        if (one->name == NULL || arena_copy(arena, value, &one->value) != ERR_OK)
            break;
        left -= bytes;
        count++;
        *last = one;
        last = (struct returned **)&one->next;
    }
    return first;
}
