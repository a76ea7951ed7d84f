/* record_parts.h - what the files of the record share. For them alone. */
#ifndef GATEWAY_FLOW_RECORD_PARTS_H
#define GATEWAY_FLOW_RECORD_PARTS_H

#include "gateway/base/jput.h"
#include "gateway/flow/record.h"

static inline const struct config *record_config(const struct record *record)
{
    return record->snapshot->config;
}

/* Who was chosen, or NULL. */
static inline const struct plan_choice *record_choice(const struct record *record)
{
    return record->chosen < 0 ? NULL : &record->decision->plan.choices[record->chosen];
}

/* What the verdict says of an expert, or NULL. */
static inline const struct fuser_ranked *record_ranked(const struct record *record,
                                                       size_t expert)
{
    const struct fuser_verdict *verdict = record->decision->verdict;

    for (size_t i = 0; verdict != NULL && i < verdict->n_ranked + verdict->n_lent; i++) {
        if (verdict->ranked[i].generator == expert)
            return &verdict->ranked[i];
    }
    return NULL;
}

/* record_routing.c: the members `rules` and `conversation`. */
void record_put_rules(struct jput *j, const struct record *record);
void record_put_conversation(struct jput *j, const struct record *record);

#endif
