/* why.c - frugalctl why: one decision, from the request to the last pico-dollar, in the
 * order in which it happened. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/archived.h"
#include "tools/ctl/command.h"
#include "tools/ctl/report.h"
#include "tools/ctl/why_print.h"

struct why_options {
    struct archived_options from;
    bool json;
};

static const struct option_spec why_specs[] = {
    ARCHIVED_OPTIONS(offsetof(struct why_options, from)),
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "print the record as one JSON document",
      .offset = offsetof(struct why_options, json) },
};

/* The decision with that request's or answer's id: the newest. */
static enum fault_err find(struct archived *from, const char *id, const char *by,
                           json_t **ret_record, bool *ret_found, struct fault *fault)
{
    const struct archived_param param = { by, id };
    json_t *list = NULL;
    const char *found;
    enum fault_err err = archived_list(from, &param, 1, &list, fault);

    if (err != FAULT_OK)
        return err;
    found =
        archived_text(json_array_get(json_object_get(list, "data"), 0), "decision_id");
    *ret_found = found[0] != '\0';
    if (*ret_found)
        err = archived_one(from, found, ret_record, fault);
    json_decref(list);
    return err;
}

/* An id of whatever sort. */
static enum fault_err read_record(struct archived *from, const char *id,
                                  json_t **ret_record, struct fault *fault)
{
    bool found = false;
    enum fault_err err = FAULT_OK;

    if (strncmp(id, "dec_", 4) == 0)
        return archived_one(from, id, ret_record, fault);
    err = find(from, id, "request_id", ret_record, &found, fault);
    if (err == FAULT_OK && !found)
        err = find(from, id, "response_id", ret_record, &found, fault);
    if (err == FAULT_OK && !found)
        err = fault_set(fault, FAULT_STORE,
                        "no decision, request or answer has the id '%s'", id);
    return err;
}

static enum fault_err why_run(const void *given, const char *const *operands,
                              size_t n_operands, struct fault *fault)
{
    const struct why_options *options = given;
    json_t *record = NULL;
    struct archived from;

    (void)n_operands;
    enum fault_err err = archived_open(&from, &options->from, fault);
    if (err == FAULT_OK)
        err = read_record(&from, operands[0], &record, fault);
    if (err == FAULT_OK && options->json)
        report_print_json(json_incref(record));
    else if (err == FAULT_OK)
        why_print(record);
    json_decref(record);
    archived_release(&from);
    return err;
}

const struct command command_why = {
    .operands = "ID",
    .about =
        "Tells the story of one decision: what was asked, which evidence was bought and "
        "why it\n"
        "stopped, the nearest calibration prompts, every expert with its predicted "
        "quality,\n"
        "price and utility; the runner-up, the margin in standard errors, and the "
        "lambda\n"
        "(quality per USD) that would have flipped the choice; then each attempt and "
        "each\n"
        "charge. ID is the decision's, the request's (x-request-id) or the answer's "
        "(`id`).\n",
    .options = { why_specs, ARRAY_LEN(why_specs) },
    .options_bytes = sizeof(struct why_options),
    .min_operands = 1,
    .max_operands = 1,
    .run = why_run,
};
