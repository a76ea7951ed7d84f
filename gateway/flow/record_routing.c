/* record_routing.c - what of a record stands between the order and the evidence: the rules
 * that matched, and the conversation that the request belongs to. */
#include "gateway/flow/record_parts.h"

#include <math.h>

/* Those that matched, whether they changed anything or not. */
void record_put_rules(struct jput *j, const struct record *record)
{
    static const char *const actions[] = {
#define X(name, word) word,
        CONFIG_RULE_ACTIONS(X)
#undef X
    };
    const struct rules_result *found = &record->order->rules.found;

    jput_open(j, "rules", '[');
    for (size_t r = 0; r < record_config(record)->n_rules; r++) {
        const struct config_rule *rule = &record_config(record)->rules[r];
        const bool matched = (found->matched >> r & 1) != 0;

        if (!matched && (found->too_hard >> r & 1) == 0)
            continue;
        jput_open(j, NULL, '{');
        jput_text(j, "name", rule->name);
        jput_text(j, "action", actions[rule->action]);
        jput_bool(j, "matched", matched);
        jput_close(j, '}');
    }
    jput_close(j, ']');
}

void record_put_conversation(struct jput *j, const struct record *record)
{
    const struct stay *stay = record->stay;
    const struct plan_choice *choice = record_choice(record);
    bool remembered, held;

    if (stay->state == STAY_NONE) {
        jput_null(j, "conversation");
        return;
    }
    remembered = stay->state != STAY_FIRST && stay->state != STAY_NEW;
    held = stay->state == STAY_WEIGHED || stay->state == STAY_TOOL_LOOP;
    jput_open(j, "conversation", '{');
    jput_text(j, "id_kind", conversation_kind_word(stay->conversation.kind));
    jput_text(j, "state", stay_state_word(stay->state));
    jput_text(j, "expert",
              stay->expert >= 0 ? record_config(record)->experts[stay->expert].name
                                : NULL);
    jput_bool(j, "stayed", held && choice != NULL && choice->expert == stay->expert);
    jput_number(j, "answers", remembered ? stay->place.answers : NAN);
    jput_number(j, "idle_s", remembered ? (double)stay->place.idle_s : NAN);
    jput_number(j, "cached_tokens", held ? (double)stay->cached_tokens : NAN);
    jput_usd(j, "switch_cost_usd", held ? stay->saved_pico : MONEY_NONE);
    jput_close(j, '}');
}
