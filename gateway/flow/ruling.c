/* ruling.c - the exchange's rules: its text and its tags are looked at before anything is
 * bought; see domain/rules.h. */
#include "gateway/base/log.h"
#include "gateway/domain/routing_text.h"
#include "gateway/flow/exchange_parts.h"

/* Whose text it was is in the request's own line. */
static void tell_too_hard(struct exchange *x)
{
    const struct config *config = exchange_config(x);

    for (uint64_t hard = x->order.rules.found.too_hard; hard != 0; hard &= hard - 1) {
        struct log_line line;

        metrics_add(x->metrics, METRIC_RULES_TOO_HARD, 0, 0, 1);
        log_begin(&line, LOG_WARN, "rule_too_hard");
        log_str(&line, "request_id", x->request_id);
        log_text(&line, "rule", config->rules[__builtin_ctzll(hard)].name);
        log_end(&line);
    }
}

bool ruling_text(struct exchange *x)
{
    if (x->text.max_bytes > 0)
        return true;
    buf_init(&x->text, ROUTING_TEXT_MOST);
    if (routing_text_by(&x->snapshot->text_rule, &x->chat, &x->text) == ERR_OK)
        return true;
    (void)api_error_set(&x->error, API_NOMEM, NULL, NULL);
    return false;
}

bool ruling_admit(struct exchange *x)
{
    const struct config *config = exchange_config(x);

    if (x->key != NULL)
        frugal_options_key_tags(&x->options, str_of(x->key->tags));
    if (config->n_rules == 0)
        return true;
    if (rules_want_text(config, order_policy(&x->order)) && !ruling_text(x))
        return false;
    IGNORE(order_rule(&x->order, &x->options, buf_str(&x->text), &x->error));
    tell_too_hard(x);
    return x->error.code == API_OK;
}
