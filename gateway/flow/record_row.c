/* record_row.c - a stored decision as JSON; see record_row.h. */
#include "gateway/flow/record_row.h"

#include <math.h>

#include "gateway/base/clock.h"
#include "gateway/io/store_feedback.h"

static struct str or_null(struct str text)
{
    return text.n > 0 ? text : (struct str){ .p = NULL };
}

static void put_time(struct jput *j, const char *key, int64_t at_us)
{
    char text[CLOCK_TEXT_BYTES];

    jput_text(j, key, clock_format(at_us, text));
}

static void put_tokens(struct jput *j, const char *key, int64_t tokens)
{
    if (tokens < 0)
        jput_null(j, key);
    else
        jput_int(j, key, tokens);
}

/* What a list shows, and what is known of a decision without a record. */
static void put_columns(struct jput *j, const struct store_decision *d)
{
    jput_str(j, "decision_id", d->id);
    put_time(j, "at", d->at_us);
    jput_str(j, "request_id", or_null(d->request_id));
    jput_str(j, "response_id", or_null(d->response_id));
    jput_str(j, "key", or_null(d->key));
    jput_str(j, "policy", or_null(d->policy));
    jput_str(j, "expert", or_null(d->expert));
    jput_str(j, "reason", or_null(d->reason));
    if (d->status > 0)
        jput_int(j, "status", d->status);
    else
        jput_null(j, "status");
    jput_open(j, "cost", '{');
    jput_usd(j, "spent_usd", d->spent_pico);
    jput_usd(j, "bound_usd", d->bound_pico);
    jput_usd(j, "evidence_usd", d->evidence_pico);
    jput_usd(j, "generation_usd", d->generation_pico);
    jput_bool(j, "estimated", d->estimated);
    jput_close(j, '}');
    jput_open(j, "tokens", '{');
    put_tokens(j, "input", d->input_tokens);
    put_tokens(j, "output", d->output_tokens);
    jput_close(j, '}');
    jput_open(j, "baselines", '{');
    jput_usd(j, "always_best_usd", d->best_pico);
    jput_usd(j, "always_cheapest_usd", d->cheapest_pico);
    jput_close(j, '}');
    jput_raw(j, "tags", d->tags.n > 0 ? d->tags : STR("{}"));
    jput_str(j, "bundle", or_null(d->bundle));
    jput_str(j, "config", or_null(d->config));
}

void record_row_summary(struct jput *j, const struct store_decision *decision)
{
    jput_open(j, NULL, '{');
    jput_text(j, "object", "decision.summary");
    put_columns(j, decision);
    jput_text(j, "state", store_state_word(decision->state));
    jput_close(j, '}');
}

static void put_charges(struct jput *j, const struct store_decision *decision)
{
    jput_open(j, "charges", '[');
    for (size_t i = 0; i < decision->n_charges; i++) {
        const struct store_charge *c = &decision->charges[i];

        jput_open(j, NULL, '{');
        jput_text(j, "kind", store_kind_word(c->kind));
        jput_str(j, "expert", c->expert);
        jput_text(j, "fate", store_fate_word(c->fate));
        jput_usd(j, "worst_usd", c->worst_pico);
        jput_usd(j, "bound_usd", c->bound_pico);
        jput_usd(j, "spent_usd", c->spent_pico);
        jput_bool(j, "reported", c->known);
        put_tokens(j, "input_tokens", c->input_tokens);
        put_tokens(j, "output_tokens", c->output_tokens);
        put_time(j, "at", c->at_us);
        jput_close(j, '}');
    }
    jput_close(j, ']');
}

static bool put_score(void *context, const struct store_feedback *f)
{
    struct jput *j = context;

    jput_open(j, NULL, '{');
    jput_str(j, "expert", f->expert);
    jput_number(j, "score", f->score);
    jput_number(j, "weight", f->weight);
    put_time(j, "at", f->at_us);
    jput_bool(j, "calibrates", f->text.n > 0 || f->vectors.n > 0);
    jput_close(j, '}');
    return true;
}

enum store_err record_row_whole(struct store_view *view,
                                const struct store_decision *decision, struct buf *out,
                                struct store_error *error)
{
    const struct str record = str_trim(decision->record);
    enum store_err err;
    struct jput j;

    jput_init(&j, out);
    if (record.n > 2 && record.p[record.n - 1] == '}') {
        buf_put_str(out, str_first(record, record.n - 1));
        j.comma = true;
    } else {
        jput_open(&j, NULL, '{');
        jput_text(&j, "object", "decision");
        put_columns(&j, decision);
    }
    jput_text(&j, "state", store_state_word(decision->state));
    put_charges(&j, decision);
    jput_open(&j, "feedback", '[');
    err = store_feedback_of(view, decision->id, put_score, &j, error);
    jput_close(&j, ']');
    jput_close(&j, '}');
    return err;
}
