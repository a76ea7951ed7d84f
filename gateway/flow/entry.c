/* entry.c - the exchange's entry in the ledger: who asked, what was decided, what it cost.
 *
 * entry_begin at the admission: what stands from then on, so that a reservation can be
 * written with it; entry_settle at the end: the rest, and the record. */
#include "gateway/base/clock.h"
#include "gateway/flow/exchange_parts.h"

#define RETRY_S 5 /* for a store that fails */

void entry_refuse(struct exchange *x)
{
    metrics_add(x->metrics, METRIC_STORE_REFUSED, 0, 0, 1);
    x->error.retry_after = RETRY_S;
    (void)api_error_set(&x->error, API_UNRECORDED, NULL, NULL);
}

static struct str tags(struct exchange *x)
{
    struct str kept = { 0 };
    struct buf out;

    buf_init(&out, RECORD_BYTES);
    record_tags(&x->options, &out);
    if (out.n > 0 && !out.failed && arena_copy(&x->arena, buf_str(&out), &kept) != ERR_OK)
        kept = (struct str){ 0 };
    buf_release(&out);
    return kept;
}

void entry_begin(struct exchange *x)
{
    const struct fuser *fuser = x->snapshot->fuser;
    const struct config_policy *policy = x->order.policy;

    if (x->ledger.store == NULL)
        return;
    x->entry = (struct store_decision){
        .key = explain_record(x).key,
        .id = str_of(x->decision_id),
        .at_us =
            clock_wall_us(&clock_system) - (int64_t)(exchange_now_us() - x->accepted_us),
        .request_id = x->request_id,
        .policy = str_of(policy != NULL ? policy->name : ""),
        .tags = tags(x),
        .config = str_of(exchange_config(x)->version),
        .input_tokens = -1,
        .output_tokens = -1,
        .best_pico = MONEY_NONE,
        .cheapest_pico = MONEY_NONE,
    };
    if (fuser != NULL)
        x->entry.bundle = str_of(fuser_bundle_id(fuser_bundle_of(fuser)));
}

static void take_baselines(struct store_decision *entry, const struct record *record)
{
    struct record_baselines baselines = record_baselines(record);

    entry->best_pico = baselines.best.pico;
    entry->cheapest_pico = baselines.cheapest.pico;
}

/* The whole conversation, in the form of a chat, which calibration asks again. */
static struct str kept_messages(const struct exchange *x)
{
    struct str messages = { 0 };

    if (x->chat.shape == CHAT_MESSAGES && x->chat.scan != NULL)
        messages = scan_raw(x->chat.scan, SCAN_MESSAGES, x->chat.body);
    return messages.n <= RECORD_MESSAGES && str_is_utf8(messages) ? messages
                                                                  : (struct str){ 0 };
}

/* Nothing is put for a request that was refused before a decision was begun. */
void entry_settle(struct exchange *x)
{
    const struct config_store *settings = &exchange_config(x)->store;
    struct store_decision *entry = &x->entry;
    struct record record;
    struct buf out;

    if (entry->id.n == 0 || x->ledger.settled)
        return;
    record = explain_record(x);
    record.neighbours_max = (size_t)settings->keep_neighbours;
    record.vectors = settings->keep_vectors;
    if (settings->keep_prompts) {
        record.prompt = buf_str(&x->text);
        record.messages = kept_messages(x);
    }
    buf_init(&out, RECORD_BYTES);
    record_whole(&record, &out);
    if (!out.failed)
        entry->record = buf_str(&out);
    entry->response_id = tongue_answer_id(x, record.names.id);
    entry->key = record.key;
    if (record.decided)
        entry->reason = str_of(order_reason_word(&x->order, record.reason));
    entry->status = (int)record.status;
    entry->estimated = record.estimated;
    if (x->chosen >= 0)
        entry->expert = str_of(exchange_config(x)->experts[x->expert].name);
    if (record.usage.known) {
        entry->input_tokens = record.usage.input_tokens;
        entry->output_tokens = record.usage.output_tokens;
    }
    take_baselines(entry, &record);
    ledger_settle(&x->ledger, entry);
    entry->record = (struct str){ 0 };
    buf_release(&out);
}
