/* scores.c - scores as calibration rows; see scores.h. */
#include "tools/ctl/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/domain/jread.h"
#include "gateway/domain/routing_text.h"
#include "gateway/io/store_feedback.h"
#include "tools/ctl/memory.h"

#define VECTORS_DEPTH 4
#define ID_BYTES      256

/* What one key has given so far. */
struct giver {
    char *key;
    size_t taken;
};

struct adding {
    const struct scores_wish *wish;
    const struct rowset *set;
    struct fuser_rows *rows;
    struct scores_taken taken;
    size_t most; /* rows of one key */
    size_t n_givers;
    struct giver *givers; /* owned */
    enum fault_err err;
    struct fault *fault;
};

static struct giver *giver_of(struct adding *adding, struct str key)
{
    for (size_t i = 0; i < adding->n_givers; i++) {
        if (str_is(key, adding->givers[i].key))
            return &adding->givers[i];
    }
    adding->givers =
        memory_resize(adding->givers, adding->n_givers + 1, sizeof *adding->givers);
    adding->givers[adding->n_givers] =
        (struct giver){ .key = memory_text_n(key.p != NULL ? key.p : "", key.n) };
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

/* The vector of embedder e, if it was kept and is of the model that is built with; to be
 * freed. NULL: there is none. */
static float *vector_of(const struct rowset *set, size_t e, struct jread_value vectors)
{
    const struct fuser_embedder_info *info = &set->embedders[e];
    const struct jread_value kept = jread_get(vectors, info->name);
    float *vector;

    if (set->remotes[e] == NULL || info->dim == 0 ||
        !str_is(inside(jread_get(kept, "model")), set->remotes[e]->embedding.model))
        return NULL;
    vector = memory_new(info->dim, sizeof *vector);
    if (decode(inside(jread_get(kept, "f32")), vector, info->dim))
        return vector;
    free(vector);
    return NULL;
}

/* -- rows -------------------------------------------------------------------------------- */

static enum fault_err failed(struct adding *adding, enum fuser_err code,
                             const struct fuser_error *error)
{
    return rowset_fuser_fault(code, error, adding->fault);
}

static enum fault_err add_vectors(struct adding *adding, size_t row,
                                  struct jread_value vectors)
{
    struct fuser_error error = { 0 };

    for (size_t e = 0; e < adding->set->n_embedders; e++) {
        float *vector = vector_of(adding->set, e, vectors);
        enum fuser_err code = FUSER_OK;

        if (vector != NULL)
            code = fuser_rows_set_vector(adding->rows, row, e, vector,
                                         adding->set->embedders[e].dim, &error);
        free(vector);
        if (code != FUSER_OK)
            return failed(adding, code, &error);
    }
    return FAULT_OK;
}

static float known_tokens(int64_t tokens)
{
    return tokens >= 0 ? (float)tokens : NAN;
}

static enum fault_err add_row(struct adding *adding, const struct store_feedback *f,
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
                            : failed(adding, code, &error);
}

/* The text as this program would cut it; NULL: another version, or none. */
static struct str text_of(const struct store_feedback *f)
{
    if (f->text.n == 0 || !str_is(f->text_version, ROUTING_TEXT_VERSION))
        return (struct str){ 0 };
    return f->text;
}

static bool has_vector(const struct adding *adding, struct jread_value vectors)
{
    for (size_t e = 0; e < adding->set->n_embedders; e++) {
        float *vector = vector_of(adding->set, e, vectors);
        const bool has = vector != NULL;

        free(vector);
        if (has)
            return true;
    }
    return false;
}

static size_t find_expert(const struct rowset *set, struct str name)
{
    size_t j = 0;

    while (j < set->n_experts && !str_is(name, set->experts[j].name))
        j++;
    return j;
}

static bool add_score(void *context, const struct store_feedback *f)
{
    struct adding *adding = context;
    struct scores_taken *taken = &adding->taken;
    const size_t expert = find_expert(adding->set, f->expert);
    const struct str text = text_of(f);
    struct jread_value vectors = { .type = JREAD_NOTHING };
    struct giver *giver;

    taken->given++;
    if (f->vectors.n > 0)
        (void)!jread_parse(f->vectors, VECTORS_DEPTH, &vectors);
    if (!f->shared && !(adding->wish->key != NULL && str_is(f->key, adding->wish->key))) {
        taken->foreign++;
        return true;
    }
    if (expert == adding->set->n_experts) {
        taken->unknown++;
        return true;
    }
    if (text.n == 0 && !has_vector(adding, vectors)) {
        taken->textless++;
        return true;
    }
    giver = giver_of(adding, f->key);
    if (giver->taken == adding->most) {
        taken->crowded++;
        return true;
    }
    giver->taken++;
    taken->taken++;
    adding->err = add_row(adding, f, expert, text, vectors);
    return adding->err == FAULT_OK;
}

enum fault_err scores_add(const struct scores_wish *wish, const struct rowset *set,
                          struct fuser_rows *rows, struct scores_taken *ret_taken,
                          struct fault *fault)
{
    struct adding adding = { .wish = wish,
                             .set = set,
                             .rows = rows,
                             .most = (size_t)(wish->share * (double)set->n_prompts),
                             .fault = fault };
    struct store_error error = { "" };
    struct store_view view = { .file = NULL };
    enum store_err err =
        store_file_open(wish->store, STORE_FILE_READ, &view.file, &error);

    if (err == STORE_OK)
        err = store_feedback_each(&view, add_score, &adding, &error);
    if (err != STORE_OK)
        adding.err = fault_set(fault, FAULT_STORE, "%s", error.text);
    if (adding.err == FAULT_OK)
        *ret_taken = adding.taken;
    store_file_close(view.file);
    for (size_t i = 0; i < adding.n_givers; i++)
        free(adding.givers[i].key);
    free(adding.givers);
    return adding.err;
}
