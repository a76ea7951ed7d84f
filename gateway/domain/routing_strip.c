/* routing_strip.c - templates, the longest first, in one piece of memory. */
#include "gateway/domain/routing_strip.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "gateway/base/arena.h"
#include "gateway/domain/jread.h"

static int compare(const void *a, const void *b)
{
    const struct str *left = a, *right = b;

    if (left->n != right->n)
        return left->n < right->n ? 1 : -1;
    return memcmp(left->p, right->p, left->n);
}

static bool fits(const struct str *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (from[i].n == 0 || from[i].n > ROUTING_STRIP_LONG)
            return false;
    }
    return n <= ROUTING_STRIP_MOST;
}

static char *take(struct routing_templates *into, const struct str *from, size_t n,
                  char *memory)
{
    for (size_t i = 0; i < n; i++) {
        memcpy(memory, from[i].p, from[i].n);
        into->at[into->n++] = (struct str){ memory, from[i].n };
        memory += from[i].n;
    }
    qsort(into->at, into->n, sizeof into->at[0], compare);
    into->longest = n > 0 ? into->at[0].n : 0;
    return memory;
}

enum err routing_strip_new(const struct str *turn, size_t n_turn,
                           const struct str *system, size_t n_system,
                           struct routing_strip **ret_strip)
{
    struct routing_strip *strip;
    size_t bytes = 1;

    if (!fits(turn, n_turn) || !fits(system, n_system))
        return ERR_INVALID;
    for (size_t i = 0; i < n_turn; i++)
        bytes += turn[i].n;
    for (size_t i = 0; i < n_system; i++)
        bytes += system[i].n;
    strip = calloc(1, sizeof *strip);
    if (strip == NULL)
        return ERR_NOMEM;
    strip->memory = malloc(bytes);
    if (strip->memory == NULL) {
        free(strip);
        return ERR_NOMEM;
    }
    char *rest = take(&strip->turn, turn, n_turn, strip->memory);
    (void)take(&strip->system, system, n_system, rest);
    *ret_strip = strip;
    return ERR_OK;
}

void routing_strip_free(struct routing_strip *strip)
{
    if (strip == NULL)
        return;
    free(strip->memory);
    free(strip);
}

static void write_list(const char *key, const struct routing_templates *list,
                       struct buf *out)
{
    buf_put(out, key);
    for (size_t i = 0; i < list->n; i++) {
        buf_put(out, i > 0 ? "," : "");
        buf_put_json(out, list->at[i]);
    }
    buf_put(out, "]");
}

enum err routing_strip_write(const struct routing_strip *strip, struct buf *out)
{
    size_t before = out->n;

    write_list("{\"turn\":[", &strip->turn, out);
    write_list(",\"system\":[", &strip->system, out);
    buf_put(out, "}");
    if (out->failed)
        return ERR_NOMEM;
    return out->n - before > ROUTING_STRIP_BYTES ? ERR_TOO_LARGE : ERR_OK;
}

static enum err read_list(struct jread_value list, struct arena *arena, struct str *into,
                          size_t *ret_n)
{
    struct jread_iter it = jread_iter(list);
    struct jread_value one;

    *ret_n = 0;
    if (list.type != JREAD_LIST)
        return ERR_INVALID;
    while (jread_next_element(&it, &one)) {
        if (*ret_n == ROUTING_STRIP_MOST)
            return ERR_INVALID;
        enum err err = jread_string(one, arena, &into[*ret_n]);
        if (err != ERR_OK)
            return err;
        ++*ret_n;
    }
    return ERR_OK;
}

enum err routing_strip_read(struct str bytes, struct routing_strip **ret_strip)
{
    struct str turn[ROUTING_STRIP_MOST], system[ROUTING_STRIP_MOST];
    size_t n_turn = 0, n_system = 0;
    struct jread_value root;
    struct arena arena;
    enum err err;

    if (bytes.n > ROUTING_STRIP_BYTES || !str_is_utf8(bytes) ||
        !jread_parse(bytes, 4, &root))
        return ERR_INVALID;
    arena_init(&arena, 4 * (size_t)ROUTING_STRIP_BYTES);
    err = read_list(jread_get(root, "turn"), &arena, turn, &n_turn);
    if (err == ERR_OK)
        err = read_list(jread_get(root, "system"), &arena, system, &n_system);
    if (err == ERR_OK)
        err = routing_strip_new(turn, n_turn, system, n_system, ret_strip);
    arena_release(&arena);
    return err;
}

/* "kgpa ": letters, since the words of a text are made of them. */
static size_t put_mark(struct str template, char *mark)
{
    uint64_t hash = XXH3_64bits(template.p, template.n);

    for (size_t i = 0; i < ROUTING_STRIP_MARK - 1; i++, hash >>= 4)
        mark[i] = (char)('a' + (hash & 15));
    mark[ROUTING_STRIP_MARK - 1] = ' ';
    return ROUTING_STRIP_MARK;
}

struct str routing_strip_cut(const struct routing_templates *templates, struct str text,
                             bool whole, char *mark, size_t *ret_mark)
{
    *ret_mark = 0;
    for (size_t i = 0; i < templates->n; i++) {
        struct str one = templates->at[i];
        struct str rest;

        if (text.n < one.n || memcmp(text.p, one.p, one.n) != 0)
            continue;
        rest = str_skip(text, one.n);
        while (rest.n > 0 && (rest.p[0] == ' ' || rest.p[0] == '\n' ||
                              rest.p[0] == '\r' || rest.p[0] == '\t'))
            rest = str_skip(rest, 1);
        if (rest.n == 0 && whole)
            return text;
        if (templates->n > 1)
            *ret_mark = put_mark(one, mark);
        return rest;
    }
    return text;
}
