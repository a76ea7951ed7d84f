/* dataset.h - recorded outcomes of known models, as a folder of four files.
 *
 *   models.json    {"models": {"NAME": {"price_in": USD per million tokens, "price_out":
 *                  ..}, ..}, ..}
 *   prompts.jsonl  see prompts.h; `split` chooses rows
 *   quality.csv    id + one column per model, 0..1; an empty field is "not known"
 *   cost.csv       the same shape, micro-USD per answer
 *
 * The three files name the same models, in any order, and every row's id is a prompt. All
 * faults carry file and line. Recorded costs are exact; tokens follow from them: input is
 * a quarter of the prompt's characters, output what the rest of the cost buys.
 */
#ifndef TOOLS_CTL_DATASET_H
#define TOOLS_CTL_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "tools/ctl/fault.h"

struct dataset_model {
    char *name;
    int64_t input_pico, output_pico; /* per token */
};

struct dataset_prompt {
    char *id, *messages, *text;               /* text: for routing */
    char *domain, *split, *reference, *grade; /* NULL: none */
    size_t characters;
};

/* Owned by dataset_free. Cell (i, j) of prompt i and model j is at i * n_models + j. */
struct dataset {
    size_t n_models, n_prompts;
    struct dataset_model *models; /* in the order of models.json */
    struct dataset_prompt *prompts;
    double *quality;    /* NAN: not known */
    int64_t *cost_pico; /* MONEY_NONE: not known */
};

/* Told how much of the folder is read, 0..1; may be NULL. */
typedef void (*dataset_progress_fn)(void *context, double done);

/* splits: those rows only; n_splits 0: all. A split without a row is a fault. */
NODISCARD enum fault_err dataset_read(const char *folder, char *const *splits,
                                      size_t n_splits, dataset_progress_fn progress,
                                      void *context, struct dataset **ret_dataset,
                                      struct fault *fault);
void dataset_free(struct dataset *dataset); /* takes NULL */

/* What the cell's cost says about tokens; NAN where it is not known. Their price is the
 * recorded cost (but for what a model without output price leaves over). */
void dataset_tokens(const struct dataset *dataset, size_t prompt, size_t model,
                    double *ret_input, double *ret_output);

#endif
