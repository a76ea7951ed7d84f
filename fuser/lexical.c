/* lexical.c - tf-idf over hashed n-grams, projected by a truncated SVD, with the form beside it.
 *
 * Fitting and embedding weight a prompt by the same function, so that a calibration
 * prompt met again lies exactly on its row. What must always hold: every float in `idf`
 * and `projection` is finite, also after loading.
 */
#include "fuser/lexical.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/err.h"
#include "fuser/gram.h"
#include "fuser/kernel.h"
#include "fuser/random.h"
#include "fuser/svd.h"

struct lexical {
    atomic_uint references;
    unsigned version;
    size_t words;        /* floats of a vector that are not of form */
    float *idf;          /* GRAM_FEATURES */
    float *projection;   /* GRAM_FEATURES x words */
    struct surface form; /* from version 2 on */
};

unsigned lexical_version(const char *model)
{
    return strcmp(model, "lexical@1") == 0 ? 1 : strcmp(model, "lexical@2") == 0 ? 2 : 0;
}

static size_t form_dim(unsigned version)
{
    return version >= 2 ? SURFACE_DIM : 0;
}

static float weight_of(uint16_t count, float idf)
{
    return count == 1 ? idf : (1.0f + logf((float)count)) * idf;
}

static struct lexical *lexical_new(unsigned version, size_t words)
{
    struct lexical *lexical = calloc(1, sizeof *lexical);

    if (!lexical)
        return NULL;
    atomic_init(&lexical->references, 1);
    lexical->version = version;
    lexical->words = words;
    lexical->idf = calloc(GRAM_FEATURES, sizeof *lexical->idf);
    lexical->projection = calloc(GRAM_FEATURES * words, sizeof *lexical->projection);
    if (!lexical->idf || !lexical->projection) {
        lexical_free(lexical);
        return NULL;
    }
    return lexical;
}

struct lexical *lexical_ref(struct lexical *lexical)
{
    unsigned before =
        atomic_fetch_add_explicit(&lexical->references, 1, memory_order_relaxed);

    assert(before > 0);
    (void)before;
    return lexical;
}

void lexical_free(struct lexical *lexical)
{
    if (!lexical ||
        atomic_fetch_sub_explicit(&lexical->references, 1, memory_order_acq_rel) != 1)
        return;
    free(lexical->idf);
    free(lexical->projection);
    free(lexical);
}

size_t lexical_dim(const struct lexical *lexical)
{
    return lexical->words + form_dim(lexical->version);
}

/* The texts of a fit as a sparse matrix of counts, weighted later. */
struct corpus {
    struct svd_sparse matrix;
    size_t *start;
    uint32_t *column;
    float *value;
    size_t room;
    uint32_t *frequency; /* texts that hold the feature */
    float *form;         /* [matrix.n][SURFACE_DIM] */
};

static void corpus_release(struct corpus *corpus)
{
    free(corpus->start);
    free(corpus->column);
    free(corpus->value);
    free(corpus->frequency);
    free(corpus->form);
}

static bool corpus_grow(struct corpus *corpus, size_t more)
{
    size_t n = corpus->start[corpus->matrix.n],
           room = corpus->room ? corpus->room : 65536;
    uint32_t *column;
    float *value;

    if (n + more <= corpus->room)
        return true;
    while (room < n + more)
        room *= 2;
    column = realloc(corpus->column, room * sizeof *column);
    if (!column)
        return false;
    corpus->column = column;
    value = realloc(corpus->value, room * sizeof *value);
    if (!value)
        return false;
    corpus->value = value;
    corpus->room = room;
    return true;
}

static bool corpus_add(struct corpus *corpus, struct gram_bag *bag,
                       const struct lexical_text *text)
{
    struct glyphs glyphs;
    size_t at = corpus->start[corpus->matrix.n];

    glyphs_read(&glyphs, text->text, text->bytes);
    surface_features(&glyphs, corpus->form + corpus->matrix.n * SURFACE_DIM);
    gram_count(bag, &glyphs);
    if (!corpus_grow(corpus, bag->n_used))
        return false;
    for (size_t i = 0; i < bag->n_used; i++) {
        uint16_t feature = bag->used[i];

        corpus->column[at] = feature;
        corpus->value[at++] = weight_of(bag->count[feature], 1.0f);
        corpus->frequency[feature]++;
    }
    corpus->start[++corpus->matrix.n] = at;
    return true;
}

static bool corpus_read(struct corpus *corpus, const struct lexical_text *texts, size_t n,
                        uint64_t seed)
{
    size_t m = n < LEXICAL_ROWS ? n : LEXICAL_ROWS;
    struct rng rng = rng_seeded(seed);
    uint32_t *chosen = calloc(m, sizeof *chosen);
    struct gram_bag *bag = calloc(1, sizeof *bag);
    bool ok = false;

    memset(corpus, 0, sizeof *corpus);
    corpus->start = calloc(m + 1, sizeof *corpus->start);
    corpus->frequency = calloc(GRAM_FEATURES, sizeof *corpus->frequency);
    corpus->form = calloc(m ? m : 1, SURFACE_DIM * sizeof *corpus->form);
    if (!chosen || !bag || !corpus->start || !corpus->frequency || !corpus->form)
        goto done;
    rng_sample(&rng, n, m, chosen);
    for (size_t i = 0; i < m; i++)
        if (!corpus_add(corpus, bag, &texts[chosen[i]]))
            goto done;
    corpus->matrix.f = GRAM_FEATURES;
    corpus->matrix.start = corpus->start;
    corpus->matrix.column = corpus->column;
    corpus->matrix.value = corpus->value;
    ok = true;
done:
    free(chosen);
    free(bag);
    return ok;
}

/* Smoothed as if one more text held every feature once. */
static void corpus_weigh(struct corpus *corpus, float *idf)
{
    size_t n = corpus->matrix.n;

    for (size_t f = 0; f < GRAM_FEATURES; f++)
        idf[f] = 1.0f + logf((float)(1 + n) / (float)(1 + corpus->frequency[f]));
    for (size_t i = 0; i < n; i++) {
        size_t start = corpus->start[i], end = corpus->start[i + 1];

        for (size_t e = start; e < end; e++)
            corpus->value[e] *= idf[corpus->column[e]];
        (void)kernel_unit(corpus->value + start, end - start);
    }
}

enum fuser_err lexical_fit(const struct lexical_text *texts, size_t n, unsigned version,
                           size_t dim, uint64_t seed, struct lexical **ret_lexical,
                           struct fuser_error *error)
{
    size_t form = form_dim(version), words = dim > form ? dim - form : 1;
    enum fuser_err err;
    struct lexical *lexical = NULL;
    struct corpus corpus;
    size_t rank = 0;

    assert(dim > 0 && dim <= LEXICAL_DIM_MAX);
    if (!corpus_read(&corpus, texts, n, seed)) {
        err = ferr_nomem(error);
        goto done;
    }
    words = words < corpus.matrix.n ? words : corpus.matrix.n;
    lexical = lexical_new(version, words ? words : 1);
    if (!lexical) {
        err = ferr_nomem(error);
        goto done;
    }
    corpus_weigh(&corpus, lexical->idf);
    if (n > 0 && corpus.start[corpus.matrix.n] > 0) {
        err = svd_right(&corpus.matrix, words, seed, lexical->projection, &rank, error);
        if (err)
            goto done;
    }
    if (rank == 0) {
        err = ferr_set(error, FUSER_INVALID, "no row has a text to fit 'lexical' on");
        goto done;
    }
    /* Columns beyond the rank are zero; they must not cost time in every search. */
    for (size_t f = 0; rank < words && f < GRAM_FEATURES; f++)
        memmove(lexical->projection + f * rank, lexical->projection + f * words,
                rank * sizeof(float));
    lexical->words = rank;
    if (version >= 2)
        surface_fit(&lexical->form, corpus.form, corpus.matrix.n);
    *ret_lexical = lexical;
    lexical = NULL;
    err = FUSER_OK;
done:
    lexical_free(lexical);
    corpus_release(&corpus);
    return err;
}

/* Behind words of unit length. A text that is average in form is all words. */
static void add_form(const struct lexical *lexical, const struct glyphs *glyphs,
                     float *vector)
{
    float *form = vector + lexical->words;
    float words_scale = sqrtf(1.0f - LEXICAL_FORM_SHARE),
          form_scale = sqrtf(LEXICAL_FORM_SHARE);

    if (!surface_embed(&lexical->form, glyphs, form)) {
        memset(form, 0, SURFACE_DIM * sizeof *form);
        return;
    }
    for (size_t i = 0; i < lexical->words; i++)
        vector[i] *= words_scale;
    for (size_t i = 0; i < SURFACE_DIM; i++)
        form[i] *= form_scale;
}

bool lexical_embed(const struct lexical *lexical, const struct glyphs *glyphs,
                   float *ret_vector)
{
    struct gram_bag bag;
    float weight[GRAM_USED_MAX], vector[LEXICAL_DIM_MAX];

    gram_count(&bag, glyphs);
    for (size_t i = 0; i < bag.n_used; i++)
        weight[i] = weight_of(bag.count[bag.used[i]], lexical->idf[bag.used[i]]);
    kernel_weighted_sum(lexical->projection, lexical->words, bag.used, weight, bag.n_used,
                        vector);
    if (!kernel_unit(vector, lexical->words))
        return false;
    memcpy(ret_vector, vector, lexical->words * sizeof *vector);
    if (lexical->version >= 2)
        add_form(lexical, glyphs, ret_vector);
    return true;
}

void lexical_save(const struct lexical *lexical, struct sink *sink)
{
    sink_u32(sink, (uint32_t)lexical->words);
    sink_u32(sink, GRAM_BITS);
    sink_bytes(sink, lexical->idf, GRAM_FEATURES * sizeof *lexical->idf);
    sink_bytes(sink, lexical->projection,
               GRAM_FEATURES * lexical->words * sizeof *lexical->projection);
    if (lexical->version >= 2)
        surface_save(&lexical->form, sink);
}

enum fuser_err lexical_load(struct source *source, unsigned version,
                            struct lexical **ret_lexical)
{
    size_t words = source_u32(source);
    uint32_t bits = source_u32(source);
    struct lexical *lexical;
    bool whole;

    if (source->failed || words == 0 || words > LEXICAL_DIM_MAX || bits != GRAM_BITS)
        return FUSER_CORRUPT;
    lexical = calloc(1, sizeof *lexical);
    if (!lexical)
        return FUSER_NOMEM;
    atomic_init(&lexical->references, 1);
    lexical->version = version;
    lexical->words = words;
    lexical->idf = source_array(source, GRAM_FEATURES, sizeof(float));
    lexical->projection = source_array(source, GRAM_FEATURES * words, sizeof(float));
    whole = !source->failed &&
            (version >= 2 ? surface_load(&lexical->form, source) : source_done(source));
    if (!whole || !wire_floats_within(lexical->idf, GRAM_FEATURES, 0, 1e6f, false) ||
        !wire_floats_within(lexical->projection, GRAM_FEATURES * words, -1e6f, 1e6f,
                            false)) {
        lexical_free(lexical);
        return FUSER_CORRUPT;
    }
    *ret_lexical = lexical;
    return FUSER_OK;
}
