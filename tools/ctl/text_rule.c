/* text_rule.c - options into a rule. */
#include "tools/ctl/text_rule.h"

#include "tools/ctl/templates.h"

static enum fault_err take(void *context, int64_t row, const struct calib_prompt *known,
                           struct fault *fault)
{
    (void)row;
    (void)fault;
    templates_add(context, known->messages);
    return FAULT_OK;
}

enum fault_err text_rule_make(struct calib *store, const struct option_list *splits,
                              const char *text, bool strip, struct routing_rule *ret_rule,
                              struct fault *fault)
{
    struct routing_strip *templates = NULL;
    struct templates found = { 0 };
    const char *why = NULL;
    enum fault_err err = FAULT_OK;

    if (routing_rule_parse(str_of(text), ret_rule, &why) != ERR_OK)
        return fault_set(fault, FAULT_USAGE, "--routing-text: '%s': %s", text, why);
    if (!strip)
        return FAULT_OK;
    err = calib_each_prompt(store, splits->items, splits->count, take, &found, fault);
    if (err == FAULT_OK)
        err = templates_strip(&found, ret_rule->system > 0, &templates, fault);
    if (err == FAULT_OK && routing_rule_strip(ret_rule, &templates) != ERR_OK)
        err =
            fault_set(fault, FAULT_INPUT,
                      "--strip-common-prefix: the templates are longer than %d bytes in "
                      "all, more than a bundle carries",
                      ROUTING_STRIP_BYTES);
    routing_strip_free(templates);
    templates_release(&found);
    return err;
}
