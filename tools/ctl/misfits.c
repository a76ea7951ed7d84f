/* misfits.c - what is wrong with single lines, kept within bounds. */
#include "tools/ctl/misfits.h"

#include <stdlib.h>
#include <string.h>

#include "tools/ctl/memory.h"

void misfits_init(struct misfits *misfits, bool stop)
{
    *misfits = (struct misfits){ .stop = stop };
}

void misfits_release(struct misfits *misfits)
{
    for (size_t i = 0; i < MISFITS_SHOWN; i++)
        free(misfits->shown[i]);
    *misfits = (struct misfits){ 0 };
}

enum fault_err misfits_add(struct misfits *misfits, enum fault_err err,
                           struct fault *fault, struct fault *into)
{
    bool fatal = err != FAULT_INPUT || misfits->stop;

    if (misfits->n < MISFITS_SHOWN)
        misfits->shown[misfits->n] = memory_text(fault_text(fault, err));
    misfits->n++;
    if (fatal)
        (void)fault_set(into, err, "%s", fault_text(fault, err));
    fault->text[0] = '\0';
    return fatal ? err : FAULT_OK;
}

void misfits_leave_out(struct misfits *misfits, const char *why)
{
    size_t i = 0;

    while (i < misfits->n_kinds && strcmp(misfits->left_out[i].why, why) != 0)
        i++;
    if (i == MISFITS_KINDS)
        i--;
    if (i == misfits->n_kinds)
        misfits->left_out[misfits->n_kinds++].why = why;
    misfits->left_out[i].n++;
}

size_t misfits_left_out(const struct misfits *misfits)
{
    size_t n = 0;

    for (size_t i = 0; i < misfits->n_kinds; i++)
        n += misfits->left_out[i].n;
    return n;
}

void misfits_print(const struct misfits *misfits, FILE *out)
{
    size_t shown = misfits->n < MISFITS_SHOWN ? misfits->n : MISFITS_SHOWN;

    for (size_t i = 0; i < shown; i++)
        (void)fprintf(out, "%s\n", misfits->shown[i]);
    if (misfits->n > shown)
        (void)fprintf(out, "... and %zu more like these\n", misfits->n - shown);
}

json_t *misfits_json(const struct misfits *misfits)
{
    json_t *first = json_array(), *left_out = json_object();

    for (size_t i = 0; i < misfits->n && i < MISFITS_SHOWN; i++)
        (void)json_array_append_new(first, json_string(misfits->shown[i]));
    for (size_t i = 0; i < misfits->n_kinds; i++)
        (void)json_object_set_new(left_out, misfits->left_out[i].why,
                                  json_integer((json_int_t)misfits->left_out[i].n));
    return json_pack("{s:I, s:o, s:o}", "bad", (json_int_t)misfits->n, "first", first,
                     "left_out", left_out);
}
