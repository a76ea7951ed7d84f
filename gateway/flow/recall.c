/* recall.c - questions about records; see recall.h. What runs on the reader's thread
 * touches nothing but the recall and the store's view.
 */
#include "gateway/flow/recall.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "gateway/base/id.h"
#include "gateway/base/jput.h"
#include "gateway/domain/jread.h"
#include "gateway/domain/routing_text.h"
#include "gateway/flow/record_row.h"
#include "gateway/io/store_feedback.h"

#define RECORD_DEPTH 16 /* of a record's JSON */

static void no_such_decision(struct recall *recall)
{
    (void)api_error_set(&recall->error, API_NO_DECISION, "id",
                        "there is no decision '" STR_FMT "'",
                        STR_ARG(str_clip_utf8(recall->id, 100)));
}

static void store_trouble(struct recall *recall, enum store_err err)
{
    (void)api_error_set(&recall->error, err == STORE_NOMEM ? API_NOMEM : API_UNRECORDED,
                        NULL, "the records cannot be read: %s", store_err_text(err));
}

/* The decision, if it is there and the caller may see it. */
static struct store_row *find(struct recall *recall, struct store_view *view)
{
    struct store_error error = { "" };
    struct store_row *row = NULL;
    enum store_err err = store_find(view, STORE_BY_ID, recall->id, &row, &error);

    if (err == STORE_OK && !recall->everyone &&
        !str_eq(store_row_as_decision(row)->key, recall->owner)) {
        store_row_free(row);
        err = STORE_ABSENT;
    }
    if (err == STORE_OK)
        return row;
    if (err == STORE_ABSENT)
        no_such_decision(recall);
    else
        store_trouble(recall, err);
    return NULL;
}

static void show_one(struct recall *recall, struct store_view *view)
{
    struct store_row *row = find(recall, view);
    struct store_error error = { "" };
    enum store_err err;

    if (row == NULL)
        return;
    err = record_row_whole(view, store_row_as_decision(row), &recall->out, &error);
    if (err != STORE_OK)
        store_trouble(recall, err);
    store_row_free(row);
}

/* -- lists ------------------------------------------------------------------------------- */

struct page {
    struct jput j;
    int64_t room, n;
    bool more;
    char first[ID_TEXT_BYTES * 2], last[ID_TEXT_BYTES * 2];
};

static void keep_id(char *to, size_t bytes, struct str id)
{
    (void)snprintf(to, bytes, STR_FMT, STR_ARG(str_first(id, bytes - 1)));
}

static bool put_listed(void *context, const struct store_decision *decision)
{
    struct page *page = context;

    if (page->n == page->room) {
        page->more = true;
        return false;
    }
    if (page->n++ == 0)
        keep_id(page->first, sizeof page->first, decision->id);
    keep_id(page->last, sizeof page->last, decision->id);
    record_row_summary(&page->j, decision);
    return true;
}

static enum store_err list_page(struct recall *recall, struct store_view *view,
                                struct page *page)
{
    const struct record_query *q = &recall->query;
    const bool by_key = record_query_given(q, RECORD_KEY);
    const struct store_filter filter = {
        .before = q->before,
        .after = q->after,
        .since_us = q->since_us,
        .until_us = q->until_us,
        .key = recall->everyone ? q->key : recall->owner,
        .by_key = !recall->everyone || by_key,
        .expert = q->expert,
        .policy = q->policy,
        .tag_name = q->tag_name,
        .tag_value = q->tag_value,
        .request_id = q->request_id,
        .response_id = q->response_id,
        .brief = true,
        .within_ms = RECALL_WITHIN_MS,
        .limit = q->limit + 1,
    };
    struct store_error error = { "" };

    return store_list(view, &filter, put_listed, page, &error);
}

static void show_list(struct recall *recall, struct store_view *view)
{
    const struct record_query *q = &recall->query;
    struct page page = { .room = q->limit };
    enum store_err err;

    jput_init(&page.j, &recall->out);
    jput_open(&page.j, NULL, '{');
    jput_text(&page.j, "object", "list");
    jput_open(&page.j, "data", '[');
    err = list_page(recall, view, &page);
    jput_close(&page.j, ']');
    jput_bool(&page.j, "has_more", page.more);
    jput_text(&page.j, "first_id", page.n > 0 ? page.first : NULL);
    jput_text(&page.j, "last_id", page.n > 0 ? page.last : NULL);
    jput_close(&page.j, '}');
    if (err == STORE_SLOW)
        (void)api_error_set(
            &recall->error, API_BAD_VALUE, "since",
            "the list takes longer than %d ms: narrow it by since, until, "
            "expert, policy or key",
            RECALL_WITHIN_MS);
    else if (err != STORE_OK)
        store_trouble(recall, err);
}

/* -- scores ------------------------------------------------------------------------------ */

/* Within the day's number? */
static bool may_score(struct recall *recall, struct store_view *view)
{
    const int64_t day_us = INT64_C(86400000000);
    const int64_t midnight_us = recall->now_us / day_us * day_us;
    struct store_error error = { "" };
    int64_t n = 0;
    enum store_err err;

    if (recall->scores_per_day == 0)
        return true;
    err = store_feedback_count(view, recall->owner, midnight_us, &n, &error);
    if (err != STORE_OK) {
        store_trouble(recall, err);
        return false;
    }
    if (n < recall->scores_per_day)
        return true;
    recall->error.retry_after = (midnight_us + day_us - recall->now_us) / 1000000 + 1;
    (void)api_error_set(&recall->error, API_RATE_LIMIT, NULL,
                        "%lld scores were given today, which is the limit",
                        (long long)recall->scores_per_day);
    return false;
}

static void put_scored(struct recall *recall, const struct store_feedback *f)
{
    const bool text = f->text.n > 0, vectors = f->vectors.n > 0;
    struct jput j;

    jput_init(&j, &recall->out);
    jput_open(&j, NULL, '{');
    jput_text(&j, "object", "feedback");
    jput_str(&j, "decision_id", f->decision);
    jput_str(&j, "expert", f->expert);
    jput_number(&j, "score", f->score);
    jput_number(&j, "weight", f->weight);
    jput_bool(&j, "calibrates", text || vectors);
    jput_text(
        &j, "note",
        text ? "it becomes a calibration row, by store.learn_s or a build with feedback"
        : vectors ? "the prompt's text was not kept: a build takes it by its vectors, "
                    "for embedders that are not built in"
                  : "neither the prompt's text nor its vectors were kept: it counts in "
                    "statistics only");
    jput_close(&j, '}');
}

/* The row: what a build needs is taken out of the record, which may be gone by then. */
static void make_score(struct recall *recall, const struct store_decision *d)
{
    struct jread_value root = { .type = JREAD_NOTHING }, vectors;
    struct arena arena;
    struct store_feedback f = {
        .decision = d->id,
        .expert = d->expert,
        .key = d->key,
        .score = recall->score.score,
        .weight = recall->score.weight,
        .shared = recall->shared,
        .at_us = recall->now_us,
        .input_tokens = d->input_tokens,
        .output_tokens = d->output_tokens,
        .predicted = (double)NAN,
    };

    arena_init(&arena, RECALL_BYTES);
    (void)!jread_parse(d->record, RECORD_DEPTH, &root);
    (void)!jread_double(jread_get(root, "predicted_quality"), &f.predicted);
    if (jread_string(jread_get(root, "prompt"), &arena, &f.text) == ERR_OK)
        IGNORE(jread_string(jread_get(jread_get(root, "text"), "version"), &arena,
                            &f.text_version));
    vectors = jread_get(root, "vectors");
    if (vectors.type == JREAD_MAP && vectors.raw.n > 2)
        f.vectors = vectors.raw;
    recall->row = store_row_feedback(&f);
    if (recall->row == NULL)
        (void)api_error_set(&recall->error, API_NOMEM, NULL, NULL);
    else
        put_scored(recall, &f);
    arena_release(&arena);
}

/* An expert's whole answer reached the client. */
static bool was_answered(const struct store_decision *d)
{
    struct jread_value root = { .type = JREAD_NOTHING };

    (void)!jread_parse(d->record, RECORD_DEPTH, &root);
    return d->status == 200 && d->expert.n > 0 &&
           jread_get(root, "error").type == JREAD_NULLS &&
           !jread_string_is(jread_get(root, "route"), "route") &&
           !jread_string_is(jread_get(root, "route"), "embeddings");
}

static void score(struct recall *recall, struct store_view *view)
{
    struct store_row *row = find(recall, view);
    const struct store_decision *d;

    if (row == NULL)
        return;
    d = store_row_as_decision(row);
    if (!was_answered(d))
        (void)api_error_set(&recall->error, API_BAD_VALUE, "id",
                            "decision '" STR_FMT "' brought no answer to be scored",
                            STR_ARG(d->id));
    else if (may_score(recall, view))
        make_score(recall, d);
    store_row_free(row);
}

/* -- the way there and back -------------------------------------------------------------- */

static void run(void *arg, struct store_view *view)
{
    struct recall *recall = arg;

    switch (recall->ask) {
    case RECALL_ONE:
        show_one(recall, view);
        break;
    case RECALL_LIST:
        show_list(recall, view);
        break;
    case RECALL_SCORE:
        score(recall, view);
        break;
    }
}

/* A score is acknowledged when it is on disk; sent again it replaces itself. */
static void written(void *arg, bool is_written)
{
    struct recall *recall = arg;

    if (!is_written)
        (void)api_error_set(&recall->error, API_UNRECORDED, NULL, NULL);
    recall->away = false;
    recall->wake(recall->arg);
}

static void done(void *arg)
{
    struct recall *recall = arg;

    if (recall->out.failed)
        (void)api_error_set(&recall->error, API_NOMEM, NULL, NULL);
    if (recall->row != NULL && recall->error.code == API_OK) {
        recall->wait =
            (struct store_wait){ .fn = written, .arg = recall, .loop = recall->job.loop };
        if (store_put_wait(recall->store, &recall->row, NULL, &recall->wait))
            return;
        (void)api_error_set(&recall->error, API_UNRECORDED, NULL, NULL);
    }
    recall->away = false;
    recall->wake(recall->arg);
}

void recall_look(struct recall *recall, struct store_view *view)
{
    assert(recall->ask != RECALL_SCORE);
    buf_init(&recall->out, RECALL_BYTES);
    run(recall, view);
    if (recall->out.failed)
        (void)api_error_set(&recall->error, API_NOMEM, NULL, NULL);
}

bool recall_start(struct recall *recall, struct store *store, struct loop *loop)
{
    assert(!recall->away);
    buf_init(&recall->out, RECALL_BYTES);
    recall->store = store;
    recall->job =
        (struct store_job){ .run = run, .done = done, .arg = recall, .loop = loop };
    recall->away = store_read(store, &recall->job);
    if (recall->away)
        return true;
    recall->error.retry_after = 1;
    (void)api_error_set(&recall->error, API_OVERLOADED, NULL,
                        "too many questions wait for the store");
    return false;
}

void recall_release(struct recall *recall)
{
    assert(!recall->away);
    store_row_free(recall->row);
    recall->row = NULL;
    buf_release(&recall->out);
}
