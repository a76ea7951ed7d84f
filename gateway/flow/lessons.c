/* lessons.c - scores as calibration rows; see lessons.h. */
#include "gateway/flow/lessons.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/domain/jread.h"
#include "gateway/domain/routing_text.h"
#include "gateway/io/store_feedback.h"

#define VECTORS_DEPTH 4
#define ID_BYTES      256

/* What one key has given so far. */
struct giver {
    char *key;
    size_t taken;
};

struct adding {
    const struct lessons_wish *wish;
    struct fuser_rows *rows;
    struct lessons_taken taken;
    size_t n_givers;
    struct giver *givers; /* owned */
    enum err err;
    struct lessons_error *error; /* may be NULL */
};

static enum err fail(struct lessons_error *error, enum err code, const char *text)
{
    if (error != NULL)
        (void)snprintf(error->text, sizeof error->text, "%s", text);
    return code;
}

static enum err no_memory(struct adding *adding)
{
    adding->err = fail(adding->error, ERR_NOMEM, err_text(ERR_NOMEM));
    return adding->err;
}

/* NULL: out of memory. */
static struct giver *giver_of(struct adding *adding, struct str key)
{
    struct giver *more;
    char *name;

    for (size_t i = 0; i < adding->n_givers; i++) {
        if (str_is(key, adding->givers[i].key))
            return &adding->givers[i];
    }
    more = realloc(adding->givers, (adding->n_givers + 1) * sizeof *more);
    if (more == NULL)
        return NULL;
    adding->givers = more;
    name = strndup(key.p != NULL ? key.p : "", key.n);
    if (name == NULL)
        return NULL;
    adding->givers[adding->n_givers] = (struct giver){ .key = name };
    return &adding->givers[adding->n_givers++];
}

/* -- vectors ----------------------------------------------------------------------------- */

static int digit_of(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(alphabet, c) : NULL;

    return at != NULL ? (int)(at - alphabet) : -1;
}

/* base64 of n floats; false: it is not that. */
static bool decode(struct str text, float *ret_vector, size_t n)
{
    unsigned char *to = (unsigned char *)ret_vector;
    const size_t bytes = n * sizeof *ret_vector;
    size_t done = 0;

    if (text.n != (bytes + 2) / 3 * 4)
        return false;
    for (size_t i = 0; i < text.n; i += 4) {
        unsigned group = 0;

        for (size_t k = 0; k < 4; k++) {
            const bool padding = text.p[i + k] == '=' && i + 4 == text.n && k >= 2;
            const int digit = padding ? 0 : digit_of(text.p[i + k]);

            if (digit < 0)
                return false;
            group = group << 6 | (unsigned)digit;
        }
        for (int shift = 16; shift >= 0 && done < bytes; shift -= 8)
            to[done++] = (unsigned char)(group >> shift);
    }
    return true;
}

static struct str inside(struct jread_value text)
{
    return text.type == JREAD_TEXT ? (struct str){ text.raw.p + 1, text.raw.n - 2 }
                                   : (struct str){ 0 };
}

/* The vector of embedder e, if it was kept and is of the model that the rows are of; to be
 * freed. NULL: there is none. */
static float *vector_of(const struct fuser_embedder_info *info,
                        struct jread_value vectors)
{
    const struct jread_value kept = jread_get(vectors, info->name);
    float *vector;

    if (info->kind != FUSER_REMOTE || info->dim == 0 ||
        !str_is(inside(jread_get(kept, "model")), info->model))
        return NULL;
    vector = calloc(info->dim, sizeof *vector);
    if (vector != NULL && decode(inside(jread_get(kept, "f32")), vector, info->dim))
        return vector;
    free(vector);
    return NULL;
}

/* -- rows -------------------------------------------------------------------------------- */

static enum err refused(struct adding *adding, enum fuser_err code,
                        const struct fuser_error *error)
{
    adding->err = fail(adding->error, code == FUSER_NOMEM ? ERR_NOMEM : ERR_INVALID,
                       error->text[0] != '\0' ? error->text : fuser_err_text(code));
    return adding->err;
}

static enum err add_vectors(struct adding *adding, size_t row, struct jread_value vectors)
{
    struct fuser_error error = { 0 };

    for (size_t e = 0; e < adding->wish->n_embedders; e++) {
        const struct fuser_embedder_info *info = &adding->wish->embedders[e];
        float *vector = vector_of(info, vectors);
        enum fuser_err code = FUSER_OK;

        if (vector != NULL)
            code = fuser_rows_set_vector(adding->rows, row, e, vector, info->dim, &error);
        free(vector);
        if (code != FUSER_OK)
            return refused(adding, code, &error);
    }
    return ERR_OK;
}

static float known_tokens(int64_t tokens)
{
    return tokens >= 0 ? (float)tokens : NAN;
}

static enum err add_row(struct adding *adding, const struct store_feedback *f,
                        size_t expert, struct str text, struct jread_value vectors)
{
    const double predicted = isnan(f->predicted) ? f->score : f->predicted;
    const struct fuser_cell cell = {
        .quality = (float)(f->weight * f->score + (1 - f->weight) * predicted),
        .input_tokens = known_tokens(f->input_tokens),
        .output_tokens = known_tokens(f->output_tokens),
        .latency_ms = NAN,
    };
    struct fuser_error error = { 0 };
    char id[ID_BYTES];
    size_t row = 0;

    (void)snprintf(id, sizeof id, "feedback/" STR_FMT "/" STR_FMT, STR_ARG(f->decision),
                   STR_ARG(f->expert));
    enum fuser_err code =
        fuser_rows_add(adding->rows, id, NULL, text.p, text.n, &row, &error);
    if (code == FUSER_OK)
        code = fuser_rows_set_cell(adding->rows, row, expert, &cell, &error);
    return code == FUSER_OK ? add_vectors(adding, row, vectors)
                            : refused(adding, code, &error);
}

/* The text as those of the rows are cut; NULL: another version, or none. */
static struct str text_of(const struct adding *adding, const struct store_feedback *f)
{
    if (f->text.n == 0 || !str_eq(f->text_version, adding->wish->text_version))
        return (struct str){ 0 };
    return f->text;
}

static bool has_vector(const struct adding *adding, struct jread_value vectors)
{
    for (size_t e = 0; e < adding->wish->n_embedders; e++) {
        float *vector = vector_of(&adding->wish->embedders[e], vectors);
        const bool has = vector != NULL;

        free(vector);
        if (has)
            return true;
    }
    return false;
}

static size_t find_expert(const struct lessons_wish *wish, struct str name)
{
    size_t j = 0;

    while (j < wish->n_experts && !str_is(name, wish->experts[j]))
        j++;
    return j;
}

static bool add_score(void *context, const struct store_feedback *f)
{
    struct adding *adding = context;
    struct lessons_taken *taken = &adding->taken;
    const size_t expert = find_expert(adding->wish, f->expert);
    const struct str text = text_of(adding, f);
    struct jread_value vectors = { .type = JREAD_NOTHING };
    struct giver *giver;

    taken->given++;
    if (f->vectors.n > 0)
        (void)!jread_parse(f->vectors, VECTORS_DEPTH, &vectors);
    if (!f->shared && !(adding->wish->key != NULL && str_is(f->key, adding->wish->key))) {
        taken->foreign++;
        return true;
    }
    if (expert == adding->wish->n_experts) {
        taken->unknown++;
        return true;
    }
    if (text.n == 0 && !has_vector(adding, vectors)) {
        taken->textless++;
        return true;
    }
    giver = giver_of(adding, f->key);
    if (giver == NULL)
        return no_memory(adding) == ERR_OK;
    if (giver->taken == adding->wish->most) {
        taken->crowded++;
        return true;
    }
    giver->taken++;
    taken->taken++;
    return add_row(adding, f, expert, text, vectors) == ERR_OK;
}

static enum err open_file(const char *path, struct store_view *view,
                          struct lessons_error *error)
{
    struct store_error why = { "" };

    if (store_file_open(path, STORE_FILE_READ, &view->file, &why) == STORE_OK)
        return ERR_OK;
    return fail(error, ERR_IO, why.text);
}

enum err lessons_stamp_of(const char *path, struct lessons_stamp *ret_stamp,
                          struct lessons_error *error)
{
    struct store_view view = { .file = NULL };
    struct store_error why = { "" };
    enum err err = open_file(path, &view, error);

    if (err == ERR_OK && store_feedback_stamp(&view, &ret_stamp->n, &ret_stamp->newest_us,
                                              &why) != STORE_OK)
        err = fail(error, ERR_IO, why.text);
    store_file_close(view.file);
    return err;
}

enum err lessons_add(const char *path, const struct lessons_wish *wish,
                     struct fuser_rows *rows, struct lessons_taken *ret_taken,
                     struct lessons_error *error)
{
    struct adding adding = { .wish = wish, .rows = rows, .error = error };
    struct store_error why = { "" };
    struct store_view view = { .file = NULL };

    adding.err = open_file(path, &view, error);
    if (adding.err == ERR_OK &&
        store_feedback_each(&view, add_score, &adding, &why) != STORE_OK)
        adding.err = fail(error, ERR_IO, why.text);
    if (adding.err == ERR_OK)
        *ret_taken = adding.taken;
    store_file_close(view.file);
    for (size_t i = 0; i < adding.n_givers; i++)
        free(adding.givers[i].key);
    free(adding.givers);
    return adding.err;
}

/* -- a bundle that has learned ------------------------------------------------------------- */

/* Rows with the columns of the bundle. */
static enum fuser_err rows_of(const struct fuser_bundle *bundle,
                              const char *experts[FUSER_MAX_GENERATORS],
                              struct fuser_embedder_info embedders[FUSER_MAX_EMBEDDERS],
                              struct fuser_rows **ret_rows, struct fuser_error *error)
{
    for (size_t g = 0; g < fuser_bundle_generators(bundle); g++)
        experts[g] = fuser_bundle_generator(bundle, g);
    for (size_t e = 0; e < fuser_bundle_embedders(bundle); e++)
        embedders[e] = *fuser_bundle_embedder(bundle, e);
    return fuser_rows_new(experts, fuser_bundle_generators(bundle), embedders,
                          fuser_bundle_embedders(bundle), ret_rows, error);
}

enum err lessons_learn(const char *path, struct fuser_bundle *bundle,
                       struct fuser_bundle **ret_bundle, struct lessons_taken *ret_taken,
                       struct lessons_error *error)
{
    const char *experts[FUSER_MAX_GENERATORS];
    struct fuser_embedder_info embedders[FUSER_MAX_EMBEDDERS];
    const struct lessons_wish wish = {
        .experts = experts,
        .n_experts = fuser_bundle_generators(bundle),
        .embedders = embedders,
        .n_embedders = fuser_bundle_embedders(bundle),
        .text_version = routing_stamp_version(str_of(fuser_bundle_text_version(bundle))),
        .most = (size_t)(LESSONS_SHARE * (double)fuser_bundle_rows(bundle)),
    };
    const struct fuser_add how = { .tables = false };
    struct fuser_error why = { 0 };
    struct fuser_rows *rows = NULL;
    enum err err = ERR_OK;
    enum fuser_err code = rows_of(bundle, experts, embedders, &rows, &why);

    if (code == FUSER_OK)
        err = lessons_add(path, &wish, rows, ret_taken, error);
    if (code == FUSER_OK && err == ERR_OK && ret_taken->taken == 0)
        *ret_bundle = fuser_bundle_ref(bundle);
    else if (code == FUSER_OK && err == ERR_OK)
        code = fuser_bundle_add(bundle, rows, &how, ret_bundle, &why);
    if (code != FUSER_OK)
        err = fail(error, code == FUSER_NOMEM ? ERR_NOMEM : ERR_INVALID,
                   why.text[0] != '\0' ? why.text : fuser_err_text(code));
    fuser_rows_free(rows);
    return err;
}
