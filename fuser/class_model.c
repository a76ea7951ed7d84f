/* class_model.c - fitted fusers of FoE-classification on the concatenated features of the experts asked.
 *
 * Features: one-hot(label) * confidence, or the probability vectors, in 0..1. Targets: one-hot(truth).
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/err.h"
#include "fuser/fit.h"
#include "fuser/fuser_classes.h"
#include "fuser/logistic.h"
#include "fuser/mlp.h"
#include "fuser/ridge.h"

#define LOGISTIC_STRENGTH 1.0

struct fuser_class_model {
    uint32_t mask;
    size_t n_experts, n_classes, d;
    enum fuser_class_head head;
    struct fit_linear linear;
    struct mlp mlp;
};

static void features_of(const struct fuser_class_set *set, uint32_t mask, size_t item,
                        float *x)
{
    size_t at = 0, c = set->n_classes;
    for (size_t e = 0; e < set->n_experts; e++) {
        size_t cell = item * set->n_experts + e;
        if ((mask >> e & 1) == 0)
            continue;
        if (set->probability != NULL)
            memcpy(x + at, set->probability + cell * c, c * sizeof(float));
        else
            x[at + set->label[cell]] = (float)set->confidence[cell] / 100.0f;
        at += c;
    }
}

static float *features(const struct fuser_class_set *set, uint32_t mask, size_t d)
{
    float *x = calloc(set->n_items * d, sizeof(float));
    for (size_t i = 0; x != NULL && i < set->n_items; i++)
        features_of(set, mask, i, x + i * d);
    return x;
}

enum fuser_err fuser_class_model_fit(const struct fuser_class_set *fit, uint32_t mask,
                                     enum fuser_class_head head, uint64_t seed,
                                     fuser_progress_fn progress, void *progress_context,
                                     struct fuser_class_model **ret_model,
                                     struct fuser_error *error)
{
    size_t d = (size_t)__builtin_popcount(mask) * fit->n_classes;
    struct fuser_class_model *model = calloc(1, sizeof(*model));
    float *x = features(fit, mask, d);
    float *y = calloc(fit->n_items * fit->n_classes, sizeof(float));
    enum fuser_err err = FUSER_NOMEM;

    if (model == NULL || x == NULL || y == NULL) {
        err = ferr_nomem(error);
        goto out;
    }
    model->mask = mask;
    model->n_experts = fit->n_experts;
    model->n_classes = fit->n_classes;
    model->d = d;
    model->head = head;
    for (size_t i = 0; i < fit->n_items; i++)
        y[i * fit->n_classes + fit->truth[i]] = 1.0f;
    struct fit_data data = { x, y, fit->n_items, d, fit->n_classes };
    struct mlp_how how = { .penalty = -1,
                           .seed = seed,
                           .progress = progress,
                           .progress_context = progress_context };
    if (head == FUSER_CLASS_RIDGE)
        err = ridge_fit(&data, &model->linear, NULL, NULL, error);
    else if (head == FUSER_CLASS_LOGISTIC)
        err = logistic_fit(&data, LOGISTIC_SOFTMAX, LOGISTIC_STRENGTH, 0, &model->linear,
                           error);
    else
        err = mlp_fit(&data, LOGISTIC_SOFTMAX, &how, &model->mlp, error);
out:
    free(x);
    free(y);
    if (err != FUSER_OK) {
        fuser_class_model_free(model);
        return err;
    }
    *ret_model = model;
    return FUSER_OK;
}

void fuser_class_model_free(struct fuser_class_model *model)
{
    if (model == NULL)
        return;
    fit_linear_release(&model->linear);
    mlp_release(&model->mlp);
    free(model);
}

enum fuser_err fuser_class_model_answer(const struct fuser_class_model *model,
                                        const struct fuser_class_set *set,
                                        uint8_t *ret_answers, struct fuser_error *error)
{
    size_t n = set->n_items, c = model->n_classes;
    float *x = NULL, *scores = NULL, *scratch = NULL;
    enum fuser_err err = FUSER_OK;

    if (set->n_experts != model->n_experts || set->n_classes != c)
        return ferr_set(error, FUSER_MISMATCH, "the set has other experts or classes");
    x = features(set, model->mask, model->d);
    scores = calloc(n * c, sizeof(float));
    scratch = malloc(n * (model->mlp.width[1] + model->mlp.width[2] + 1) * sizeof(float));
    if (x == NULL || scores == NULL || scratch == NULL)
        err = ferr_nomem(error);
    else if (model->head == FUSER_CLASS_MLP)
        mlp_apply(&model->mlp, x, n, scratch, scores);
    else
        fit_linear_apply(&model->linear, x, n, scores);
    for (size_t i = 0; err == FUSER_OK && i < n; i++) {
        size_t best = 0;
        assert(scores != NULL);
        for (size_t k = 1; k < c; k++)
            if (scores[i * c + k] > scores[i * c + best])
                best = k;
        ret_answers[i] = (uint8_t)best;
    }
    free(x);
    free(scores);
    free(scratch);
    return err;
}
