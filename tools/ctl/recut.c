/* recut.c - first all that is to be changed is read, then it is changed: no statement walks
 * over rows that it writes. */
#include "tools/ctl/recut.h"

#include <stdlib.h>
#include <string.h>

#include "tools/ctl/memory.h"
#include "tools/ctl/question.h"

struct recut {
    const struct routing_rule *rule;
    char stamp[ROUTING_TEXT_STAMP];
    struct recut_prompt {
        char *id, *messages;
    } * prompts;
    size_t n, room;
};

static enum fault_err take(void *context, int64_t row, const struct calib_prompt *known,
                           struct fault *fault)
{
    struct recut *recut = context;

    (void)row;
    (void)fault;
    if (strcmp(known->text_version, recut->stamp) == 0)
        return FAULT_OK;
    if (recut->n == recut->room) {
        recut->room = recut->room > 0 ? recut->room * 2 : 256;
        recut->prompts =
            memory_resize(recut->prompts, recut->room, sizeof(*recut->prompts));
    }
    recut->prompts[recut->n++] =
        (struct recut_prompt){ memory_text(known->id), memory_text(known->messages) };
    return FAULT_OK;
}

/* What is not given here stays as the store has it. */
static enum fault_err change(const struct recut *recut, struct calib *store,
                             const struct recut_prompt *prompt, struct fault *fault)
{
    struct question *question = NULL;
    int64_t row;
    enum fault_err err = question_new(NULL, prompt->messages, 0, &question, fault);

    if (err == FAULT_OK)
        err = question_cut(question, recut->rule, fault);
    if (err == FAULT_OK) {
        const struct calib_prompt changed = { .id = prompt->id,
                                              .messages = prompt->messages,
                                              .text = question_text(question).p,
                                              .text_version = recut->stamp };

        err = calib_put_prompt(store, &changed, &row, fault);
    }
    question_free(question);
    return err;
}

enum fault_err recut_prompts(struct calib *store, const struct option_list *splits,
                             const struct routing_rule *rule, size_t *ret_n,
                             struct fault *fault)
{
    struct recut recut = { .rule = rule };

    if (routing_rule_stamp(rule, recut.stamp) != ERR_OK)
        return fault_set(fault, FAULT_IO, "out of memory");
    enum fault_err err =
        calib_each_prompt(store, splits->items, splits->count, take, &recut, fault);

    if (err == FAULT_OK && recut.n > 0)
        err = calib_begin(store, fault);
    for (size_t i = 0; err == FAULT_OK && i < recut.n; i++)
        err = change(&recut, store, &recut.prompts[i], fault);
    if (err == FAULT_OK && recut.n > 0)
        err = calib_commit(store, fault);
    for (size_t i = 0; i < recut.n; i++) {
        free(recut.prompts[i].id);
        free(recut.prompts[i].messages);
    }
    free(recut.prompts);
    if (err == FAULT_OK)
        *ret_n = recut.n;
    return err;
}
