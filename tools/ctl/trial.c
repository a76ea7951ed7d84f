/* trial.c - builds a fuser on some rows and walks its sessions on others. */
#include "tools/ctl/trial.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/domain/routing_text.h"
#include "tools/ctl/csv.h"
#include "tools/ctl/dice.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/names.h"
#include "tools/ctl/rowset.h"

struct trials *trials_new(const struct outcomes *measure, const struct trial_how *how)
{
    struct trials *trials = memory_new(1, sizeof(*trials));
    size_t decisions = how->n_lambdas * measure->n;
    trials->measure = measure;
    trials->how = how;
    trials->predicted = memory_new(measure->n * measure->n_models, sizeof(double));
    trials->chosen = memory_new(decisions, 1);
    trials->paid = memory_new(decisions, sizeof(double));
    trials->bought = memory_new(decisions, 1);
    trials->trial = (struct trial){ .n = measure->n,
                                    .n_models = measure->n_models,
                                    .n_lambdas = how->n_lambdas,
                                    .quality = measure->quality,
                                    .cost = measure->cost_usd,
                                    .predicted = trials->predicted,
                                    .chosen = trials->chosen,
                                    .paid = trials->paid };
    return trials;
}

void trials_free(struct trials *trials)
{
    if (trials == NULL)
        return;
    free(trials->predicted);
    free(trials->chosen);
    free(trials->paid);
    free(trials->bought);
    free(trials);
}

void trial_lambdas(const struct outcomes *fit, struct trial_how *how)
{
    double dear = 0, n = 0;
    for (size_t i = 0; i < fit->n * fit->n_models; i++)
        if (!isnan(fit->cost_usd[i])) {
            dear += fit->cost_usd[i];
            n += 1;
        }
    double mean = fmax(dear / fmax(n, 1), 1e-12);
    how->n_lambdas = TRIAL_LAMBDAS;
    how->lambdas[0] = 0;
    for (size_t l = 1; l < TRIAL_LAMBDAS; l++)
        how->lambdas[l] =
            pow(10, -3.0 + 6.0 * (double)(l - 1) / (TRIAL_LAMBDAS - 2)) / mean;
}

static void shuffle(size_t n, uint64_t seed, uint32_t *numbers)
{
    struct dice dice = dice_seeded(seed);
    for (size_t i = n; i-- > 1;) {
        size_t j = dice_below(&dice, i + 1);
        uint32_t swap = numbers[i];
        numbers[i] = numbers[j];
        numbers[j] = swap;
    }
}

void trial_order(size_t n, uint64_t seed, uint32_t *ret_order)
{
    for (size_t i = 0; i < n; i++)
        ret_order[i] = (uint32_t)i;
    shuffle(n, seed ^ 0x6F72646572, ret_order);
}

void trial_folds(size_t n, size_t folds, uint64_t seed, uint32_t *ret_part)
{
    for (size_t i = 0; i < n; i++)
        ret_part[i] = (uint32_t)(i % folds);
    shuffle(n, seed, ret_part);
}

/* -- build -------------------------------------------------------------------------------------- */

static enum fuser_err add_row(struct fuser_rows *rows, const struct outcomes *fit,
                              const struct trial_how *how, uint32_t from,
                              struct fuser_error *error)
{
    const struct outcomes_row *row = &fit->rows[from];
    size_t at;
    enum fuser_err err = fuser_rows_add(rows, row->id, row->domain, row->text,
                                        strlen(row->text), &at, error);
    for (size_t j = 0; err == FUSER_OK && j < fit->n_models; j++) {
        size_t cell = from * fit->n_models + j;
        struct fuser_cell known = { .quality = (float)fit->quality[cell],
                                    .input_tokens = (float)fit->input[cell],
                                    .output_tokens = (float)fit->output[cell],
                                    .latency_ms = NAN };
        if (!isnan(known.quality) || !isnan(known.output_tokens))
            err = fuser_rows_set_cell(rows, at, j, &known, error);
    }
    for (size_t e = 0; err == FUSER_OK && e < how->n_embedders; e++) {
        const struct trial_vectors *v = how->fit_vectors[e];
        if (v != NULL && !isnan(v->vectors[from * v->dim]))
            err = fuser_rows_set_vector(rows, at, e, v->vectors + from * v->dim, v->dim,
                                        error);
    }
    return err;
}

static enum fuser_err build(const struct trials *trials, const struct outcomes *fit,
                            const uint32_t *fit_rows, size_t n_fit,
                            struct fuser **ret_fuser, struct fuser_error *error)
{
    const struct trial_how *how = trials->how;
    struct fuser_build build = { .head = how->head,
                                 .k = how->k,
                                 .walk_m = how->walk_m,
                                 .prior_rows = how->prior_rows,
                                 .seed = how->seed,
                                 .tuned = how->tuned,
                                 .text_version = ROUTING_TEXT_VERSION };
    const char *embedders[FUSER_MAX_EMBEDDERS];
    struct fuser_names names = { (const char *const *)fit->models, fit->n_models,
                                 embedders, how->n_embedders, NULL };
    struct fuser_rows *rows = NULL;
    struct fuser_bundle *bundle = NULL;
    enum fuser_err err = fuser_rows_new(names.generators, fit->n_models, how->embedders,
                                        how->n_embedders, &rows, error);
    for (size_t e = 0; e < how->n_embedders; e++)
        embedders[e] = how->embedders[e].name;
    for (size_t i = 0; err == FUSER_OK && i < n_fit; i++)
        err = add_row(rows, fit, how, fit_rows[i], error);
    if (err == FUSER_OK)
        err = fuser_bundle_build(rows, &build, &bundle, error);
    if (err == FUSER_OK)
        err = fuser_new(bundle, &names, ret_fuser, error);
    fuser_bundle_unref(bundle);
    fuser_rows_free(rows);
    return err;
}

/* -- decide --------------------------------------------------------------------------------------- */

struct walker {
    struct trials *trials;
    struct fuser *fuser;
    const uint32_t *rows;
    size_t n_rows, first;
    atomic_size_t *done;
    struct progress *bar;
    double from, to;
    enum fuser_err err;
    struct fuser_error error;
    pthread_t thread;
};

static void tell(const struct walker *walker, struct fuser_session *session, size_t e,
                 uint32_t row)
{
    const struct trial_how *how = walker->trials->how;
    const struct trial_vectors *v = how->measure_vectors[e];
    const float *vector = v->vectors + row * v->dim;
    if (isnan(*vector) ||
        fuser_tell(session, e, vector, v->dim, how->price_pico[e], 0, NULL) != FUSER_OK)
        fuser_fail(session, e, how->price_pico[e]);
}

static void note(struct trials *trials, const struct fuser_verdict *verdict, size_t l,
                 uint32_t row)
{
    size_t at = l * trials->measure->n + row;
    bool told = verdict->stop == FUSER_STOP_NOT_WORTH ||
                verdict->evidence == FUSER_EVIDENCE_GOOD || trials->how->fallback == NULL;
    trials->chosen[at] =
        told ? (uint8_t)verdict->ranked[0].generator : trials->how->fallback[l];
    trials->paid[at] = (double)verdict->paid_pico * 1e-12;
    for (size_t s = 0; s < verdict->n_steps; s++)
        if (verdict->steps[s].embedder >= 0)
            trials->bought[at] |= (uint8_t)(1u << verdict->steps[s].embedder);
    for (size_t i = 0; l == 0 && i < verdict->n_ranked; i++)
        trials
            ->predicted[row * trials->measure->n_models + verdict->ranked[i].generator] =
            verdict->ranked[i].quality;
}

static enum fuser_err decide(struct walker *walker, const struct fuser_ask *ask, size_t l,
                             uint32_t row)
{
    struct fuser_session *session = NULL;
    struct fuser_verdict verdict;
    struct fuser_step step;
    enum fuser_err err = fuser_session_new(walker->fuser, ask, &session, &walker->error);
    if (err != FUSER_OK)
        return err;
    for (;;) {
        fuser_next(&session, 1, &step);
        if (step.action == FUSER_ANSWER)
            break;
        tell(walker, session, step.embedder, row);
    }
    fuser_verdict(session, INT64_MAX, &verdict);
    fuser_session_free(session);
    note(walker->trials, &verdict, l, row);
    return FUSER_OK;
}

static enum fuser_err decide_row(struct walker *walker, uint32_t row)
{
    const struct outcomes *measure = walker->trials->measure;
    const struct trial_how *how = walker->trials->how;
    struct fuser_ask_generator generators[FUSER_MAX_GENERATORS];
    struct fuser_ask_embedder embedders[FUSER_MAX_EMBEDDERS];
    const struct outcomes_row *prompt = &measure->rows[row];
    struct fuser_ask ask = { .switch_z = how->switch_z,
                             .gain_se = how->gain_se,
                             .look = true,
                             .ceiling_pico = INT64_MAX,
                             .text = prompt->text,
                             .text_bytes = strlen(prompt->text),
                             .generators = generators,
                             .embedders = embedders };
    enum fuser_err err = FUSER_OK;
    for (size_t j = 0; j < measure->n_models; j++)
        generators[j] = (struct fuser_ask_generator){
            .allowed = true,
            .prompt_pico =
                (int64_t)(prompt->input_tokens * (double)measure->input_pico[j]) +
                measure->request_pico[j],
            .request_pico = measure->request_pico[j],
            .input_pico = measure->input_pico[j],
            .output_pico = measure->output_pico[j]
        };
    for (size_t e = 0; e < how->n_embedders; e++)
        embedders[e] = (struct fuser_ask_embedder){ .allowed = true,
                                                    .price_pico = how->price_pico[e] };
    for (size_t l = 0; err == FUSER_OK && l < how->n_lambdas; l++) {
        ask.lambda = how->lambdas[l];
        err = decide(walker, &ask, l, row);
    }
    return err;
}

static void *walk(void *context)
{
    struct walker *walker = context;
    uint32_t threads = walker->trials->how->threads;
    for (size_t i = walker->first; walker->err == FUSER_OK && i < walker->n_rows;
         i += threads) {
        walker->err = decide_row(walker, walker->rows[i]);
        size_t done = atomic_fetch_add_explicit(walker->done, 1, memory_order_relaxed);
        if (walker->first == 0)
            progress_set(walker->bar,
                         walker->from + (walker->to - walker->from) * (double)done /
                                            (double)walker->n_rows,
                         NULL);
    }
    return NULL;
}

/* Walkers 1.. on threads of their own, walker 0 and those that get no thread here. */
static enum fuser_err walk_all(struct walker *walkers, uint32_t threads,
                               struct fuser_error *error)
{
    uint32_t started = 1;
    enum fuser_err err = FUSER_OK;
    while (started < threads &&
           pthread_create(&walkers[started].thread, NULL, walk, &walkers[started]) == 0)
        started++;
    walk(&walkers[0]);
    for (uint32_t t = started; t < threads; t++)
        walk(&walkers[t]);
    for (uint32_t t = 1; t < started; t++)
        pthread_join(walkers[t].thread, NULL);
    for (uint32_t t = 0; t < threads; t++)
        if (err == FUSER_OK && walkers[t].err != FUSER_OK) {
            err = walkers[t].err;
            *error = walkers[t].error;
        }
    return err;
}

enum fault_err trials_build(const struct trials *trials, const struct outcomes *fit,
                            const uint32_t *fit_rows, size_t n_fit,
                            struct fuser **ret_fuser, struct fault *fault)
{
    struct fuser_error error = { 0 };
    enum fuser_err err = build(trials, fit, fit_rows, n_fit, ret_fuser, &error);
    return err == FUSER_OK ? FAULT_OK : rowset_fuser_fault(err, &error, fault);
}

enum fault_err trials_walk(struct trials *trials, struct fuser *fuser,
                           const uint32_t *rows, size_t n_rows, struct progress *bar,
                           double from, double to, struct fault *fault)
{
    struct fuser_error error = { 0 };
    struct walker *walkers = memory_new(trials->how->threads, sizeof(*walkers));
    atomic_size_t done = 0;
    for (uint32_t t = 0; t < trials->how->threads; t++)
        walkers[t] = (struct walker){ .trials = trials,
                                      .fuser = fuser,
                                      .rows = rows,
                                      .n_rows = n_rows,
                                      .first = t,
                                      .done = &done,
                                      .bar = bar,
                                      .from = from,
                                      .to = to };
    enum fuser_err err = walk_all(walkers, trials->how->threads, &error);
    free(walkers);
    return err == FUSER_OK ? FAULT_OK : rowset_fuser_fault(err, &error, fault);
}

enum fault_err trials_run(struct trials *trials, const struct outcomes *fit,
                          const uint32_t *fit_rows, size_t n_fit, const uint32_t *rows,
                          size_t n_rows, struct progress *bar, double from, double to,
                          struct fault *fault)
{
    struct fuser *fuser = NULL;
    enum fault_err err = trials_build(trials, fit, fit_rows, n_fit, &fuser, fault);
    if (err == FAULT_OK)
        err = trials_walk(trials, fuser, rows, n_rows, bar, from, to, fault);
    fuser_unref(fuser);
    return err;
}

/* -- vectors ---------------------------------------------------------------------------------------- */

/* vector: its first number is NAN as long as it was not read. */
static enum fault_err read_vector(const struct csv *csv, const char *const *fields,
                                  size_t dim, float *vector, struct fault *fault)
{
    bool direction = false;
    if (!isnan(vector[0]))
        return fault_at(fault, FAULT_INPUT, csv_path(csv), csv_line(csv),
                        "'%s' stands here a second time", fields[0]);
    for (size_t d = 0; d < dim; d++) {
        char *end = NULL;
        vector[d] = strtof(fields[d + 1], &end);
        if (end == fields[d + 1] || *end != '\0' || !isfinite(vector[d]))
            return fault_at(fault, FAULT_INPUT, csv_path(csv), csv_line(csv),
                            "'%s' is not a finite number", fields[d + 1]);
        direction = direction || vector[d] != 0;
    }
    if (!direction)
        return fault_at(fault, FAULT_INPUT, csv_path(csv), csv_line(csv),
                        "the vector of '%s' is all zeros", fields[0]);
    return FAULT_OK;
}

static enum fault_err read_vectors(struct csv *csv, struct names *ids, size_t n,
                                   struct trial_vectors *v, struct fault *fault)
{
    const char *const *fields = NULL;
    size_t count = 0, row;
    enum fault_err err = csv_next(csv, &fields, &count, fault);
    if (err == FAULT_OK && (fields == NULL || count < 2 || count > FUSER_MAX_DIM + 1 ||
                            strcmp(fields[0], "id") != 0))
        return fault_at(fault, FAULT_INPUT, csv_path(csv), 1,
                        "the header is not id,v0,v1,..");
    if (err != FAULT_OK)
        return err;
    v->dim = count - 1;
    v->vectors = memory_new(n * v->dim, sizeof(float));
    for (size_t i = 0; i < n; i++)
        v->vectors[i * v->dim] = NAN;
    for (;;) {
        err = csv_next(csv, &fields, &count, fault);
        if (err != FAULT_OK || fields == NULL)
            return err;
        if (count != v->dim + 1)
            return fault_at(fault, FAULT_INPUT, csv_path(csv), csv_line(csv),
                            "%zu fields, not %zu", count, v->dim + 1);
        if (names_find(ids, fields[0], &row))
            err = read_vector(csv, fields, v->dim, v->vectors + row * v->dim, fault);
        if (err != FAULT_OK)
            return err;
    }
}

enum fault_err trial_vectors_read(const char *path, const struct outcomes *outcomes,
                                  struct trial_vectors *ret_vectors, struct fault *fault)
{
    struct trial_vectors vectors = { 0, NULL };
    struct names ids = { 0 };
    struct csv *csv = NULL;
    for (size_t i = 0; i < outcomes->n; i++)
        (void)names_add(&ids, outcomes->rows[i].id, i);
    enum fault_err err = csv_open(path, &csv, fault);
    if (err == FAULT_OK)
        err = read_vectors(csv, &ids, outcomes->n, &vectors, fault);
    csv_close(csv);
    names_release(&ids);
    if (err != FAULT_OK) {
        free(vectors.vectors);
        return err;
    }
    *ret_vectors = vectors;
    return FAULT_OK;
}
