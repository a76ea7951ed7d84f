/* scores.c - the columns of a build, and what its scores may fail by. */
#include "tools/ctl/scores.h"

enum fault_err scores_add(const struct scores_wish *wish, const struct rowset *set,
                          struct fuser_rows *rows, struct lessons_taken *ret_taken,
                          struct fault *fault)
{
    const char *experts[FUSER_MAX_GENERATORS];
    const struct lessons_wish lessons = {
        .experts = experts,
        .n_experts = set->n_experts,
        .embedders = set->embedders,
        .n_embedders = set->n_embedders,
        .text_version = str_of(set->wish.rule->version),
        .key = wish->key,
        .most = (size_t)(wish->share * (double)set->n_prompts),
    };
    struct lessons_error error = { "" };

    for (size_t j = 0; j < set->n_experts; j++)
        experts[j] = set->experts[j].name;
    switch (lessons_add(wish->store, &lessons, rows, ret_taken, &error)) {
    case ERR_OK:
        return FAULT_OK;
    case ERR_IO:
        return fault_set(fault, FAULT_STORE, "%s", error.text);
    default:
        return fault_set(fault, FAULT_FUSER, "%s", error.text);
    }
}
