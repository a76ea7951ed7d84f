/* import_routing.c - frugalctl import --from routing: a folder of recorded outcomes goes into the
 * store, whole or not at all. */
#include <math.h>
#include <stdlib.h>

#include <jansson.h>

#include "gateway/base/money.h"
#include "tools/ctl/calib.h"
#include "tools/ctl/dataset.h"
#include "tools/ctl/import_read.h"
#include "tools/ctl/progress.h"
#include "tools/ctl/question.h"
#include "tools/ctl/report.h"

struct importer {
    const struct dataset *dataset;
    struct calib *store;
    struct progress bar;
};

static void show_reading(void *context, double done)
{
    struct importer *importer = context;

    progress_set(&importer->bar, done / 2, NULL);
}

static enum fault_err write_cells(const struct importer *importer, size_t i,
                                  int64_t prompt, const int64_t *experts,
                                  struct fault *fault)
{
    const struct dataset *dataset = importer->dataset;

    for (size_t j = 0; j < dataset->n_models; j++) {
        size_t at = i * dataset->n_models + j;
        struct calib_cell cell = {
            .quality = dataset->quality[at],
            .cost_pico = dataset->cost_pico[at],
            .latency_ms = NAN,
        };
        if (isnan(cell.quality) && cell.cost_pico == MONEY_NONE)
            continue;
        dataset_tokens(dataset, i, j, &cell.input_tokens, &cell.output_tokens);
        enum fault_err err =
            calib_put_cell(importer->store, prompt, experts[j], &cell, fault);
        if (err != FAULT_OK)
            return err;
    }
    return FAULT_OK;
}

static enum fault_err write_prompts(struct importer *importer, const int64_t *experts,
                                    struct fault *fault)
{
    const struct dataset *dataset = importer->dataset;
    char stamp[ROUTING_TEXT_STAMP];
    enum fault_err err = question_stamp(stamp, fault);

    for (size_t i = 0; err == FAULT_OK && i < dataset->n_prompts; i++) {
        const struct dataset_prompt *from = &dataset->prompts[i];
        struct calib_prompt prompt = {
            .id = from->id,
            .messages = from->messages,
            .text = from->text,
            .text_version = stamp,
            .domain = from->domain,
            .split = from->split,
            .reference = from->reference,
            .grade = from->grade,
        };
        int64_t row;
        err = calib_put_prompt(importer->store, &prompt, &row, fault);
        if (err == FAULT_OK)
            err = write_cells(importer, i, row, experts, fault);
        progress_set(&importer->bar, 0.5 + 0.5 * (double)i / (double)dataset->n_prompts,
                     NULL);
    }
    return err;
}

static enum fault_err write_all(struct importer *importer, struct fault *fault)
{
    const struct dataset *dataset = importer->dataset;
    int64_t *experts = calloc(dataset->n_models, sizeof(*experts));
    enum fault_err err = calib_begin(importer->store, fault);

    for (size_t j = 0; err == FAULT_OK && j < dataset->n_models; j++) {
        const struct dataset_model *model = &dataset->models[j];
        err = calib_expert(importer->store, model->name, &experts[j], fault);
        if (err == FAULT_OK)
            err = calib_set_prices(importer->store, experts[j], model->input_pico,
                                   model->output_pico, fault);
    }
    if (err == FAULT_OK)
        err = write_prompts(importer, experts, fault);
    if (err == FAULT_OK)
        err = calib_commit(importer->store, fault);
    free(experts);
    return err;
}

static void print_summary(const struct dataset *dataset, const char *store, bool json)
{
    struct report *report = report_new(dataset->n_models);

    for (size_t j = 0; j < dataset->n_models; j++) {
        struct report_line *line = &report->lines[j];
        line->name = dataset->models[j].name;
        for (size_t i = 0; i < dataset->n_prompts; i++) {
            size_t at = i * dataset->n_models + j;
            report_add(line, dataset->quality[at], dataset->cost_pico[at], NAN);
        }
    }
    if (json) {
        json_t *root =
            json_pack("{s:s, s:I, s:o}", "store", store, "prompts",
                      (json_int_t)dataset->n_prompts, "experts", report_json(report));
        report_print_json(root);
    } else {
        (void)printf("%zu prompts, %zu experts -> %s\n\n", dataset->n_prompts,
                     dataset->n_models, store);
        report_print(report);
    }
    report_free(report);
}

enum fault_err import_routing(const char *folder, const char *store, char *const *splits,
                              size_t n_splits, bool json, struct fault *fault)
{
    struct importer importer = { 0 };
    struct dataset *dataset = NULL;

    progress_init(&importer.bar, "importing", 1);
    enum fault_err err =
        dataset_read(folder, splits, n_splits, show_reading, &importer, &dataset, fault);
    importer.dataset = dataset;
    if (err == FAULT_OK)
        err = calib_open(store, CALIB_CREATE, &importer.store, fault);
    if (err == FAULT_OK)
        err = write_all(&importer, fault);
    progress_end(&importer.bar);
    calib_close(importer.store);
    if (err == FAULT_OK)
        print_summary(dataset, store, json);
    dataset_free(dataset);
    return err;
}
