/* records.c - the routes that ask about records: what a client wants, whose records it may
 * see, what it gets. The question itself is recall.c's.
 */
#include "gateway/base/clock.h"
#include "gateway/flow/exchange_parts.h"
#include "gateway/flow/recall.h"

static bool is_ours(enum exchange_route route)
{
    return route == EXCHANGE_RECORDS || route == EXCHANGE_RECORD ||
           route == EXCHANGE_FEEDBACK;
}

static enum api_err take_query(struct exchange *x, struct recall *recall)
{
    const struct exchange_request *request = x->request;

    record_query_init(&recall->query);
    for (size_t i = 0; i < request->n_query; i++) {
        struct str name, value;

        if (arena_copy(&x->arena, request->query[i].name, &name) != ERR_OK ||
            arena_copy(&x->arena, request->query[i].value, &value) != ERR_OK)
            return api_error_set(&x->error, API_NOMEM, NULL, NULL);
        if (record_query_take(&recall->query, name, value, recall->now_us, &x->error) !=
            API_OK)
            return x->error.code;
    }
    if (!recall->everyone && record_query_given(&recall->query, RECORD_KEY))
        return api_error_set(&x->error, API_BAD_VALUE, "key",
                             "'key' can be asked for on the admin listener only");
    return record_query_end(&recall->query, &x->error);
}

static enum api_err take_score(struct exchange *x, struct recall *recall)
{
    const struct config_store *settings = &exchange_config(x)->store;

    const bool off = x->key != NULL ? x->key->feedback == KEY_FEEDBACK_OFF
                                    : settings->feedback == CONFIG_FEEDBACK_OFF;

    recall->shared =
        x->admin || (x->key != NULL ? x->key->feedback == KEY_FEEDBACK_SHARED
                                    : settings->feedback == CONFIG_FEEDBACK_SHARED);
    if (!x->admin && off)
        return api_error_set(&x->error, API_NO_FEEDBACK, NULL, NULL);
    recall->scores_per_day = settings->feedback_per_day;
    return record_feedback_read(buf_str(&x->body), &recall->score, &x->error);
}

/* What is asked; false: it cannot be, x->error says why. */
static bool ask(struct exchange *x)
{
    struct store *store = worker_service(x->worker)->store;
    struct recall *recall = arena_zalloc(&x->arena, sizeof *recall);

    if (recall == NULL) {
        (void)api_error_set(&x->error, API_NOMEM, NULL, NULL);
        return false;
    }
    recall->ask = x->route == EXCHANGE_RECORD    ? RECALL_ONE
                  : x->route == EXCHANGE_RECORDS ? RECALL_LIST
                                                 : RECALL_SCORE;
    recall->id = x->argument;
    recall->everyone = x->admin;
    recall->owner = str_of(x->key != NULL ? x->key->id : NULL);
    recall->now_us = clock_wall_us(&clock_system);
    recall->wake = exchange_woke;
    recall->arg = x;
    if (recall->ask == RECALL_LIST && take_query(x, recall) != API_OK)
        return false;
    if (recall->ask == RECALL_SCORE && take_score(x, recall) != API_OK)
        return false;
    if (store == NULL) {
        (void)api_error_set(&x->error, API_NO_STORE, NULL, NULL);
        return false;
    }
    x->recall = recall;
    if (recall_start(recall, store, exchange_loop(x)))
        return true;
    x->error = recall->error;
    return false;
}

bool records_waiting(struct exchange *x)
{
    if (!is_ours(x->route))
        return false;
    if (x->recall == NULL && !ask(x))
        return false;
    if (x->recall->away)
        return true;
    if (x->error.code == API_OK)
        x->error = x->recall->error;
    return false;
}

void records_answer(struct exchange *x)
{
    if (x->error.code != API_OK)
        respond_error(x);
    else
        respond_own(x, 200, NULL, buf_str(&x->recall->out));
}

bool records_over(struct exchange *x)
{
    if (x->recall == NULL)
        return true;
    if (x->recall->away)
        return false;
    recall_release(x->recall);
    return true;
}
