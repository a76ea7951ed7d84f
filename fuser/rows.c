/* rows.c - collecting calibration rows.
 *
 * Everything a caller says is checked here, once, so that the builder works on sound
 * numbers: no infinities, no vectors without length, no quality outside [0,1], no name
 * twice.
 */
#include "fuser/rows.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "fuser/err.h"
#include "fuser/kernel.h"
#include "fuser/lexical.h"
#include "fuser/surface.h"

#define FIRST_ROOM 256

static enum fuser_err check_name(const char *name, const char *what,
                                 struct fuser_error *error)
{
    if (!name || !*name)
        return ferr_set(error, FUSER_INVALID, "%s without a name", what);
    if (strnlen(name, FUSER_MAX_NAME) == FUSER_MAX_NAME)
        return ferr_set(error, FUSER_TOO_LARGE,
                        "%s '%.40s...': the name is over %d bytes", what, name,
                        FUSER_MAX_NAME - 1);
    return FUSER_OK;
}

static enum fuser_err take_generators(struct fuser_rows *rows, const char *const *names,
                                      size_t n, struct fuser_error *error)
{
    enum fuser_err err;

    if (n == 0)
        return ferr_set(error, FUSER_INVALID, "no generators");
    if (n > FUSER_MAX_GENERATORS)
        return ferr_set(error, FUSER_TOO_LARGE, "%zu generators: the limit is %d", n,
                        FUSER_MAX_GENERATORS);
    rows->generators = calloc(n, sizeof *rows->generators);
    if (!rows->generators)
        return ferr_nomem(error);
    rows->n_generators = n;
    for (size_t i = 0; i < n; i++) {
        err = check_name(names[i], "a generator", error);
        if (err)
            return err;
        for (size_t j = 0; j < i; j++)
            if (strcmp(names[i], rows->generators[j]) == 0)
                return ferr_set(error, FUSER_DUPLICATE, "generator '%s' is there twice",
                                names[i]);
        memcpy(rows->generators[i], names[i], strlen(names[i]) + 1);
    }
    return FUSER_OK;
}

static enum fuser_err take_embedder(struct fuser_rows *rows, size_t at,
                                    const struct fuser_embedder_info *info,
                                    struct fuser_error *error)
{
    enum fuser_err err = check_name(info->name, "an embedder", error);
    struct fuser_embedder_info *own = &rows->embedders[at];

    if (err)
        return err;
    assert(info != NULL);
    if (memchr(info->model, '\0', sizeof info->model) == NULL)
        return ferr_set(error, FUSER_TOO_LARGE,
                        "embedder '%s': the model's name is too long", info->name);
    if (info->dim > FUSER_MAX_DIM)
        return ferr_set(error, FUSER_TOO_LARGE,
                        "embedder '%s': %u floats, the limit is %d", info->name,
                        info->dim, FUSER_MAX_DIM);
    if (info->kind != FUSER_REMOTE && info->kind != FUSER_SURFACE &&
        info->kind != FUSER_LEXICAL)
        return ferr_set(error, FUSER_INVALID, "embedder '%s': unknown kind", info->name);
    for (size_t j = 0; j < at; j++)
        if (strcmp(info->name, rows->embedders[j].name) == 0 ||
            (info->kind != FUSER_REMOTE && info->kind == rows->embedders[j].kind))
            return ferr_set(error, FUSER_DUPLICATE, "embedder '%s' is there twice",
                            info->name);
    *own = *info;
    if (own->kind == FUSER_SURFACE)
        memcpy(own->model, SURFACE_MODEL, sizeof SURFACE_MODEL);
    if (own->kind == FUSER_LEXICAL && own->model[0] == '\0')
        memcpy(own->model, LEXICAL_MODEL, sizeof LEXICAL_MODEL);
    if (own->kind == FUSER_LEXICAL && lexical_version(own->model) == 0)
        return ferr_set(error, FUSER_INVALID, "embedder '%s': there is no model '%s'",
                        info->name, info->model);
    if (own->kind == FUSER_LEXICAL && own->dim > LEXICAL_DIM_MAX)
        return ferr_set(error, FUSER_TOO_LARGE,
                        "embedder '%s': %u floats, the limit is %d", info->name,
                        info->dim, LEXICAL_DIM_MAX);
    return FUSER_OK;
}

enum fuser_err fuser_rows_new(const char *const *generators, size_t n_generators,
                              const struct fuser_embedder_info *embedders,
                              size_t n_embedders, struct fuser_rows **ret_rows,
                              struct fuser_error *error)
{
    struct fuser_rows *rows;
    enum fuser_err err;

    ferr_clear(error);
    if (n_embedders == 0)
        return ferr_set(error, FUSER_INVALID, "no embedders");
    if (n_embedders > FUSER_MAX_EMBEDDERS)
        return ferr_set(error, FUSER_TOO_LARGE, "%zu embedders: the limit is %d",
                        n_embedders, FUSER_MAX_EMBEDDERS);
    rows = calloc(1, sizeof *rows);
    if (!rows)
        return ferr_nomem(error);
    err = take_generators(rows, generators, n_generators, error);
    for (size_t i = 0; !err && i < n_embedders; i++) {
        err = take_embedder(rows, i, &embedders[i], error);
        rows->n_embedders = i + 1;
    }
    if (err) {
        fuser_rows_free(rows);
        return err;
    }
    *ret_rows = rows;
    return FUSER_OK;
}

void fuser_rows_free(struct fuser_rows *rows)
{
    if (!rows)
        return;
    for (size_t i = 0; i < rows->n; i++)
        free(rows->entries[i].id);
    for (size_t e = 0; e < rows->n_embedders; e++) {
        free(rows->vectors[e]);
        free(rows->present[e]);
    }
    free(rows->generators);
    free(rows->entries);
    free(rows->cells);
    free(rows->slots);
    free(rows);
}

size_t fuser_rows_count(const struct fuser_rows *rows)
{
    return rows->n;
}

/* Makes *array hold `to` elements; what is new is zero. */
static bool grow(void **array, size_t from, size_t to, size_t size)
{
    unsigned char *larger;

    if (size > 0 && to > SIZE_MAX / size)
        return false;
    larger = realloc(*array, to * size);
    if (!larger)
        return false;
    memset(larger + from * size, 0, (to - from) * size);
    *array = larger;
    return true;
}

static size_t slot_of(const struct fuser_rows *rows, const char *id, size_t length)
{
    size_t slot = (size_t)XXH3_64bits(id, length) & (rows->n_slots - 1);

    while (rows->slots[slot] && strcmp(rows->entries[rows->slots[slot] - 1].id, id) != 0)
        slot = (slot + 1) & (rows->n_slots - 1);
    return slot;
}

static bool reserve_slots(struct fuser_rows *rows)
{
    size_t n_slots = rows->n_slots ? 2 * rows->n_slots : 2 * FIRST_ROOM;
    uint32_t *slots;

    if (2 * (rows->n + 1) <= rows->n_slots)
        return true;
    slots = calloc(n_slots, sizeof *slots);
    if (!slots)
        return false;
    free(rows->slots);
    rows->slots = slots;
    rows->n_slots = n_slots;
    for (size_t i = 0; i < rows->n; i++)
        slots[slot_of(rows, rows->entries[i].id, strlen(rows->entries[i].id))] =
            (uint32_t)i + 1;
    return true;
}

/* A growing step that fails half-way leaves longer arrays and the old room: harmless. */
static bool reserve_row(struct fuser_rows *rows)
{
    size_t room = rows->room ? 2 * rows->room : FIRST_ROOM;

    if (!reserve_slots(rows))
        return false;
    if (rows->n < rows->room)
        return true;
    if (!grow((void **)&rows->entries, rows->room, room, sizeof *rows->entries) ||
        !grow((void **)&rows->cells, rows->room, room,
              rows->n_generators * sizeof *rows->cells))
        return false;
    for (size_t e = 0; e < rows->n_embedders; e++) {
        if (!grow((void **)&rows->present[e], rows->room, room, 1))
            return false;
        if (rows->vectors[e] && !grow((void **)&rows->vectors[e], rows->room, room,
                                      rows->embedders[e].dim * sizeof(float)))
            return false;
    }
    rows->room = room;
    return true;
}

static enum fuser_err fill_entry(struct rows_entry *entry, const char *id,
                                 const char *domain, const char *text, size_t text_bytes)
{
    size_t id_bytes = strlen(id) + 1, domain_bytes = domain ? strlen(domain) + 1 : 0;
    char *block = malloc(id_bytes + domain_bytes + text_bytes + 1);

    if (!block)
        return FUSER_NOMEM;
    memset(entry, 0, sizeof *entry);
    entry->id = block;
    memcpy(block, id, id_bytes);
    block += id_bytes;
    if (domain) {
        entry->domain = block;
        memcpy(block, domain, domain_bytes);
        block += domain_bytes;
    }
    if (text) {
        entry->text = block;
        entry->text_bytes = text_bytes;
        if (text_bytes > 0)
            memcpy(block, text, text_bytes);
        block[text_bytes] = '\0';
    }
    return FUSER_OK;
}

enum fuser_err fuser_rows_add(struct fuser_rows *rows, const char *id, const char *domain,
                              const char *text, size_t text_bytes, size_t *ret_row,
                              struct fuser_error *error)
{
    size_t length = id ? strnlen(id, ROWS_ID_MAX) : 0, slot;

    ferr_clear(error);
    if (length == 0)
        return ferr_set(error, FUSER_INVALID, "a row without an id");
    if (length == ROWS_ID_MAX)
        return ferr_set(error, FUSER_TOO_LARGE, "row '%.40s...': the id is over %d bytes",
                        id, ROWS_ID_MAX - 1);
    if (domain && !*domain)
        domain = NULL;
    if (domain && strnlen(domain, ROWS_ID_MAX) == ROWS_ID_MAX)
        return ferr_set(error, FUSER_TOO_LARGE, "row '%s': the domain is over %d bytes",
                        id, ROWS_ID_MAX - 1);
    if (text_bytes > ROWS_TEXT_MAX)
        return ferr_set(error, FUSER_TOO_LARGE, "row '%s': the text is over %d bytes", id,
                        ROWS_TEXT_MAX);
    if (rows->n >= ROWS_MAX)
        return ferr_set(error, FUSER_TOO_LARGE, "over %u rows", ROWS_MAX);
    if (!reserve_row(rows))
        return ferr_nomem(error);
    slot = slot_of(rows, id, length);
    if (rows->slots[slot])
        return ferr_set(error, FUSER_DUPLICATE, "row '%s' is there twice", id);
    if (fill_entry(&rows->entries[rows->n], id, domain, text, text ? text_bytes : 0))
        return ferr_nomem(error);
    for (size_t g = 0; g < rows->n_generators; g++)
        rows->cells[rows->n * rows->n_generators + g] =
            (struct fuser_cell){ NAN, NAN, NAN, NAN };
    rows->slots[slot] = (uint32_t)rows->n + 1;
    *ret_row = rows->n++;
    return FUSER_OK;
}

static bool is_amount(float value)
{
    return isnan(value) || (value >= 0 && value <= ROWS_AMOUNT_MAX);
}

enum fuser_err fuser_rows_set_cell(struct fuser_rows *rows, size_t row, size_t generator,
                                   const struct fuser_cell *cell,
                                   struct fuser_error *error)
{
    ferr_clear(error);
    if (row >= rows->n || generator >= rows->n_generators)
        return ferr_set(error, FUSER_INVALID, "there is no row %zu with generator %zu",
                        row, generator);
    if (!isnan(cell->quality) && !(cell->quality >= 0 && cell->quality <= 1))
        return ferr_set(error, FUSER_INVALID,
                        "row '%s', generator '%s': quality %g is not within 0 and 1",
                        rows->entries[row].id, rows->generators[generator],
                        (double)cell->quality);
    if (!is_amount(cell->input_tokens) || !is_amount(cell->output_tokens) ||
        !is_amount(cell->latency_ms))
        return ferr_set(error, FUSER_INVALID,
                        "row '%s', generator '%s': tokens or latency out of range",
                        rows->entries[row].id, rows->generators[generator]);
    rows->cells[row * rows->n_generators + generator] = *cell;
    return FUSER_OK;
}

enum fuser_err fuser_rows_set_vector(struct fuser_rows *rows, size_t row, size_t embedder,
                                     const float *vector, size_t dim,
                                     struct fuser_error *error)
{
    struct fuser_embedder_info *info;
    float *own;

    ferr_clear(error);
    if (row >= rows->n || embedder >= rows->n_embedders)
        return ferr_set(error, FUSER_INVALID, "there is no row %zu with embedder %zu",
                        row, embedder);
    info = &rows->embedders[embedder];
    if (info->kind != FUSER_REMOTE)
        return ferr_set(error, FUSER_INVALID, "embedder '%s' makes its own vectors",
                        info->name);
    if (dim == 0 || dim > FUSER_MAX_DIM || (info->dim && dim != info->dim))
        return ferr_set(error, FUSER_MISMATCH,
                        "row '%s', embedder '%s': %zu floats, not %u",
                        rows->entries[row].id, info->name, dim, info->dim);
    info->dim = (uint32_t)dim;
    if (!rows->vectors[embedder]) {
        rows->vectors[embedder] = calloc(rows->room, dim * sizeof(float));
        if (!rows->vectors[embedder])
            return ferr_nomem(error);
    }
    own = rows->vectors[embedder] + row * dim;
    rows->present[embedder][row] = 0;
    memcpy(own, vector, dim * sizeof *own);
    if (!kernel_unit(own, dim))
        return ferr_set(error, FUSER_INVALID,
                        "row '%s', embedder '%s': the vector is zero or not finite",
                        rows->entries[row].id, info->name);
    rows->present[embedder][row] = 1;
    return FUSER_OK;
}
