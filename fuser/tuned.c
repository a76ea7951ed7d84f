/* tuned.c - tuned settings in memory and in the file. */
#include "fuser/tuned.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/err.h"

#define SETTINGS_MAX 100 /* standard errors */

static bool within(double value, double high)
{
    return isnan(value) || (value >= 0 && value <= high);
}

enum fuser_err tuned_new(const struct fuser_tuned *from, struct fuser_tuned **ret_tuned,
                         struct fuser_error *error)
{
    const char *evidence = from->evidence ? from->evidence : "";
    size_t n = strlen(evidence);
    struct fuser_tuned *tuned;

    if (!within(from->switch_z, SETTINGS_MAX) || !within(from->gain_se, SETTINGS_MAX) ||
        !within(from->lambda, FUSER_TUNED_LAMBDA_MAX))
        return ferr_set(error, FUSER_INVALID, "a tuned setting is out of range");
    if (n > FUSER_TUNED_EVIDENCE_MAX)
        return ferr_set(error, FUSER_TOO_LARGE,
                        "the evidence of the tuned settings is longer than %d bytes",
                        FUSER_TUNED_EVIDENCE_MAX);
    tuned = malloc(sizeof *tuned + n + 1);
    if (!tuned)
        return ferr_nomem(error);
    *tuned = *from;
    tuned->evidence = memcpy(tuned + 1, evidence, n + 1);
    *ret_tuned = tuned;
    return FUSER_OK;
}

void tuned_save(const struct fuser_tuned *tuned, struct sink *sink)
{
    sink_f64(sink, tuned->switch_z);
    sink_f64(sink, tuned->gain_se);
    sink_f64(sink, tuned->lambda);
    sink_string(sink, tuned->evidence);
}

enum fuser_err tuned_load(struct source *source, struct fuser_tuned **ret_tuned)
{
    struct fuser_tuned read = { .switch_z = source_f64(source),
                                .gain_se = source_f64(source),
                                .lambda = source_f64(source) };
    size_t size = source->left + 1; /* the file's own length bounds it */
    char *evidence;
    enum fuser_err err;

    if (source->failed || size > FUSER_TUNED_EVIDENCE_MAX + 8)
        return FUSER_CORRUPT;
    evidence = malloc(size);
    if (!evidence)
        return FUSER_NOMEM;
    source_string(source, evidence, size);
    read.evidence = evidence;
    err = source->failed ? FUSER_CORRUPT : tuned_new(&read, ret_tuned, NULL);
    free(evidence);
    return err == FUSER_INVALID || err == FUSER_TOO_LARGE ? FUSER_CORRUPT : err;
}
