/* material.c - outcomes at today's prices, and the vectors that belong to them. */
#include "tools/ctl/material.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/domain/price.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/network.h"
#include "tools/ctl/question.h"
#include "tools/ctl/recut.h"
#include "tools/ctl/text_rule.h"

/* -- which prompts and which experts ----------------------------------------------------------- */

/* The configured experts that generate; borrowed names, the list itself to be freed. */
static struct option_list configured(const struct config *config)
{
    struct option_list list = { memory_new(config->n_experts, sizeof(char *)), 0 };

    for (size_t i = 0; i < config->n_experts; i++)
        if (config->experts[i].has_generator)
            list.items[list.count++] = (char *)(uintptr_t)config->experts[i].name;
    return list;
}

/* -- today's prices ------------------------------------------------------------------------------ */

static void price_anew(struct outcomes *outcomes, size_t j,
                       const struct config_generator *generator)
{
    const struct config_price *price =
        price_at(&generator->prices, clock_wall_s(&clock_system));

    outcomes->input_pico[j] = price->tiers[0].rates.input_pico;
    outcomes->output_pico[j] = price->tiers[0].rates.output_pico;
    outcomes->request_pico[j] = price->tiers[0].rates.request_pico;
    for (size_t i = 0; i < outcomes->n; i++) {
        size_t at = i * outcomes->n_models + j;
        double input = outcomes->input[at], output = outcomes->output[at];

        if (isnan(input) || isnan(output))
            continue;
        const struct config_rates *rates = price_rates(price, (int64_t)input);
        outcomes->cost_usd[at] =
            1e-12 * (input * (double)rates->input_pico +
                     output * (double)rates->output_pico + (double)rates->request_pico);
    }
}

static void take_prices(struct material *material)
{
    struct outcomes *outcomes = material->outcomes;

    for (size_t j = 0; material->config != NULL && j < outcomes->n_models; j++) {
        int i = config_find_expert(material->config, str_of(outcomes->models[j]));

        if (i >= 0 && material->config->experts[i].has_generator)
            price_anew(outcomes, j, &material->config->experts[i].generator);
    }
}

/* -- texts --------------------------------------------------------------------------------------- */

/* The store's own, by the rule that is wished for. */
static enum fault_err cut_store(struct material *material, struct fault *fault)
{
    const struct material_wish *wish = &material->wish;
    struct routing_rule rule = { .strip = NULL };
    size_t n_cut = 0;
    enum fault_err err = text_rule_make(material->store, &material->splits.list,
                                        wish->rule, wish->strip, &rule, fault);

    if (err == FAULT_OK)
        err =
            recut_prompts(material->store, &material->splits.list, &rule, &n_cut, fault);
    routing_rule_release(&rule);
    return err;
}

static enum fault_err cut_row(struct outcomes_row *row, const struct routing_rule *rule,
                              bool remote, struct fault *fault)
{
    struct question *question = NULL;
    enum fault_err err = question_new(NULL, row->messages, 0, &question, fault);

    if (err == FAULT_OK)
        err = question_cut(question, rule, fault);
    if (err == FAULT_OK) {
        struct str text = question_text(question);
        if (remote && !str_is(text, row->text))
            err =
                fault_set(fault, FAULT_INPUT,
                          "the store's texts are not by the bundle's rule '%s', and the "
                          "vectors of its remote embedders are of the store's: run "
                          "`frugalctl build` by this rule on the store first",
                          rule->version);
        free(row->text);
        row->text = memory_text_n(text.p, text.n);
    }
    question_free(question);
    return err;
}

enum fault_err material_cut(struct material *material, const struct fuser_bundle *bundle,
                            struct fault *fault)
{
    const char *stamp = fuser_bundle_text_version(bundle), *why = NULL;
    struct routing_rule rule = { .strip = NULL };
    struct str extra = { 0 };
    bool remote = false;
    enum fault_err err = FAULT_OK;

    extra.p = fuser_bundle_text_extra(bundle, &extra.n);
    if (routing_rule_of_bundle(str_of(stamp), extra, &rule, &why) != ERR_OK)
        return fault_set(fault, FAULT_FUSER, "the bundle's texts are '%s', which is %s",
                         stamp, why);
    for (size_t e = 0; e < fuser_bundle_embedders(bundle); e++)
        remote = remote || fuser_bundle_embedder(bundle, e)->kind == FUSER_REMOTE;
    for (size_t i = 0; err == FAULT_OK && i < material->outcomes->n; i++)
        err = cut_row(&material->outcomes->rows[i], &rule, remote, fault);
    routing_rule_release(&rule);
    return err;
}

enum fault_err material_open(struct material *material, const struct material_wish *wish,
                             struct fault *fault)
{
    struct option_list models = *wish->models, known = { NULL, 0 };
    enum fault_err err = FAULT_OK;

    *material = (struct material){ .wish = *wish };
    if ((wish->store != NULL) == (wish->folders->count > 0))
        return fault_set(fault, FAULT_USAGE,
                         "give one of --store and a folder of outcomes");
    if (wish->config != NULL)
        err = network_config(wish->config, &material->config, fault);
    if (err == FAULT_OK && wish->store == NULL) {
        err = outcomes_read(wish->folders, &models, &material->outcomes, fault);
    } else if (err == FAULT_OK) {
        if (material->config != NULL && models.count == 0)
            models = known = configured(material->config);
        err = calib_open(wish->store, CALIB_EXISTING, &material->store, fault);
        if (err == FAULT_OK)
            err = splits_find(&material->splits, material->store, wish->splits,
                              wish->split, fault);
        if (err == FAULT_OK && wish->rule != NULL)
            err = cut_store(material, fault);
        if (err == FAULT_OK)
            err = outcomes_of_store(material->store, &material->splits.list, &models,
                                    &material->outcomes, &material->prompts, fault);
    }
    if (err == FAULT_OK)
        take_prices(material);
    free(known.items);
    return err;
}

/* -- embedders ------------------------------------------------------------------------------------- */

struct vector_reader {
    const struct material *material;
    struct trial_vectors *vectors;
};

static int by_number(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

static enum fault_err take_vector(void *context, int64_t prompt, const float *vector,
                                  size_t dim, struct fault *fault)
{
    const struct vector_reader *reader = context;
    struct trial_vectors *vectors = reader->vectors;
    size_t n = reader->material->outcomes->n;
    const int64_t *at =
        bsearch(&prompt, reader->material->prompts, n, sizeof(prompt), by_number);

    if (at == NULL)
        return FAULT_OK;
    if (vectors->vectors == NULL) {
        vectors->dim = dim;
        vectors->vectors = memory_new(n * dim, sizeof(float));
        for (size_t i = 0; i < n; i++)
            vectors->vectors[i * dim] = NAN;
    }
    if (vectors->dim != dim)
        return fault_set(fault, FAULT_INPUT,
                         "the store has vectors of %zu and %zu floats", vectors->dim,
                         dim);
    memcpy(vectors->vectors + (size_t)(at - reader->material->prompts) * dim, vector,
           dim * sizeof(*vector));
    return FAULT_OK;
}

/* Of the mean prompt. */
static int64_t vector_pico(const struct material *material,
                           const struct config_embedding *embedding)
{
    const struct config_rates *rates =
        &price_at(&embedding->prices, clock_wall_s(&clock_system))->tiers[0].rates;
    const struct outcomes *outcomes = material->outcomes;
    double tokens = 0;

    for (size_t i = 0; i < outcomes->n; i++)
        tokens += outcomes->rows[i].input_tokens / (double)outcomes->n;
    return llround(tokens * (double)rates->input_pico) + rates->request_pico;
}

static enum fault_err take_remote(struct material *material,
                                  struct fuser_embedder_info *info, int64_t *ret_pico,
                                  struct trial_vectors *vectors, struct fault *fault)
{
    struct vector_reader reader = { material, vectors };
    int expert = material->config == NULL
                     ? -1
                     : config_find_expert(material->config, str_of(info->name));

    if (material->prompts == NULL || expert < 0 ||
        !material->config->experts[expert].has_embedding)
        return fault_set(fault, FAULT_USAGE,
                         "'%s' is not built in: it needs --store, and an expert with an "
                         "embedding in --config",
                         info->name);
    const struct config_embedding *embedding =
        &material->config->experts[expert].embedding;
    enum fault_err err = calib_each_vector(material->store, info->name, embedding->model,
                                           take_vector, &reader, fault);
    if (err == FAULT_OK && vectors->vectors == NULL)
        err =
            fault_set(fault, FAULT_INPUT,
                      "the store has no vectors of '%s': build once, which fetches them",
                      info->name);
    if (err != FAULT_OK)
        return err;
    (void)snprintf(info->model, sizeof(info->model), "%s", embedding->model);
    info->kind = FUSER_REMOTE;
    info->dim = (uint32_t)vectors->dim;
    *ret_pico = vector_pico(material, embedding);
    return FAULT_OK;
}

enum fault_err material_embedder(struct material *material,
                                 struct fuser_embedder_info *info, int64_t *ret_pico,
                                 const struct trial_vectors **ret_vectors,
                                 struct fault *fault)
{
    bool surface = strcmp(info->name, "surface") == 0;

    if (surface || strcmp(info->name, "lexical") == 0) {
        info->kind = surface ? FUSER_SURFACE : FUSER_LEXICAL;
        *ret_pico = 0;
        *ret_vectors = NULL;
        return FAULT_OK;
    }
    if (material->n_vectors == ARRAY_LEN(material->vectors))
        return fault_set(fault, FAULT_USAGE, "too many embedders");
    struct trial_vectors *vectors = &material->vectors[material->n_vectors++];
    enum fault_err err = take_remote(material, info, ret_pico, vectors, fault);
    if (err == FAULT_OK)
        *ret_vectors = vectors;
    return err;
}

void material_release(struct material *material)
{
    for (size_t v = 0; v < material->n_vectors; v++)
        free(material->vectors[v].vectors);
    outcomes_free(material->outcomes);
    free(material->prompts);
    calib_close(material->store);
    config_unref(material->config);
}
