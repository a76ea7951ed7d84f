/* store_rows.c - rows into statements, and what a crash left open.
 *
 *   decision OPEN ----> OPEN (more charges) ----> SETTLED: its charges are added to spend
 *        \----------- found at the start -------> CRASHED: the same, at the worst case
 *
 * What must hold: a decision's charges are in `spend` exactly once, and in the transaction
 * in which it leaves OPEN. */
#include <assert.h>
#include <string.h>

#include "gateway/io/store_private.h"

#define DAY_US INT64_C(86400000000)
/* Sums stop here, so that adding two of them cannot leave an integer. */
#define SUM_MAX "4611686018427387903"

static const char begin_sql[] = "BEGIN IMMEDIATE";
static const char commit_sql[] = "COMMIT";

/* -- values ------------------------------------------------------------------------------ */

bool store_bind_str(sqlite3_stmt *statement, int at, struct str text)
{
    if (text.p == NULL)
        return sqlite3_bind_null(statement, at) == SQLITE_OK;
    return sqlite3_bind_text64(statement, at, text.p, text.n, SQLITE_STATIC,
                               SQLITE_UTF8) == SQLITE_OK;
}

bool store_bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    return store_bind_str(statement, at, str_of(text));
}

bool store_bind_int(sqlite3_stmt *statement, int at, int64_t value)
{
    return sqlite3_bind_int64(statement, at, value) == SQLITE_OK;
}

bool store_bind_pico(sqlite3_stmt *statement, int at, int64_t pico)
{
    if (pico == MONEY_NONE)
        return sqlite3_bind_null(statement, at) == SQLITE_OK;
    return store_bind_int(statement, at, pico);
}

bool store_bind_tokens(sqlite3_stmt *statement, int at, int64_t tokens)
{
    if (tokens < 0)
        return sqlite3_bind_null(statement, at) == SQLITE_OK;
    return store_bind_int(statement, at, tokens);
}

struct str store_column_str(sqlite3_stmt *statement, int at)
{
    struct str text = { (const char *)sqlite3_column_text(statement, at), 0 };

    text.n = (size_t)sqlite3_column_bytes(statement, at);
    return text;
}

int64_t store_column_pico(sqlite3_stmt *statement, int at)
{
    if (sqlite3_column_type(statement, at) == SQLITE_NULL)
        return MONEY_NONE;
    return sqlite3_column_int64(statement, at);
}

int64_t store_column_tokens(sqlite3_stmt *statement, int at)
{
    if (sqlite3_column_type(statement, at) == SQLITE_NULL)
        return -1;
    return sqlite3_column_int64(statement, at);
}

/* A key or policy that does not apply is '' in the tables, never NULL. */
static struct str or_empty(struct str text)
{
    return text.p != NULL ? text : STR("");
}

/* -- decisions --------------------------------------------------------------------------- */

static const char decision_sql[] =
    "INSERT INTO decisions (id, at_us, request_id, response_id, key, policy, expert,"
    " reason, status, state, spent_pico, bound_pico, evidence_pico, generation_pico,"
    " estimated, input_tokens, output_tokens, best_pico, cheapest_pico, tags, bundle,"
    " config, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"
    " ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)"
    " ON CONFLICT (id) DO UPDATE SET response_id = excluded.response_id,"
    " expert = excluded.expert, reason = excluded.reason, status = excluded.status,"
    " state = excluded.state, spent_pico = excluded.spent_pico,"
    " bound_pico = excluded.bound_pico, evidence_pico = excluded.evidence_pico,"
    " generation_pico = excluded.generation_pico, estimated = excluded.estimated,"
    " input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens,"
    " best_pico = excluded.best_pico, cheapest_pico = excluded.cheapest_pico,"
    " record = excluded.record WHERE decisions.state = 'open'";

static bool bind_decision(sqlite3_stmt *s, const struct store_decision *d)
{
    return s != NULL && store_bind_str(s, 1, d->id) && store_bind_int(s, 2, d->at_us) &&
           store_bind_str(s, 3, or_empty(d->request_id)) &&
           store_bind_str(s, 4, d->response_id) &&
           store_bind_str(s, 5, or_empty(d->key)) &&
           store_bind_str(s, 6, or_empty(d->policy)) && store_bind_str(s, 7, d->expert) &&
           store_bind_str(s, 8, d->reason) &&
           (d->status == 0 || store_bind_int(s, 9, d->status)) &&
           store_bind_text(s, 10, store_state_word(d->state)) &&
           store_bind_int(s, 11, d->spent_pico) && store_bind_int(s, 12, d->bound_pico) &&
           store_bind_int(s, 13, d->evidence_pico) &&
           store_bind_int(s, 14, d->generation_pico) &&
           store_bind_int(s, 15, d->estimated) &&
           store_bind_tokens(s, 16, d->input_tokens) &&
           store_bind_tokens(s, 17, d->output_tokens) &&
           store_bind_pico(s, 18, d->best_pico) &&
           store_bind_pico(s, 19, d->cheapest_pico) && store_bind_str(s, 20, d->tags) &&
           store_bind_str(s, 21, d->bundle) && store_bind_str(s, 22, d->config) &&
           store_bind_str(s, 23, d->record);
}

static const char charge_sql[] =
    "INSERT OR REPLACE INTO charges (decision, n, kind, expert, worst_pico, bound_pico,"
    " spent_pico, known, fate, input_tokens, output_tokens, over_limit, at_us)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

static bool bind_charge(sqlite3_stmt *s, struct str decision, size_t n,
                        const struct store_charge *c)
{
    return s != NULL && store_bind_str(s, 1, decision) &&
           store_bind_int(s, 2, (int64_t)n) &&
           store_bind_text(s, 3, store_kind_word(c->kind)) &&
           store_bind_str(s, 4, or_empty(c->expert)) &&
           store_bind_pico(s, 5, c->worst_pico) && store_bind_int(s, 6, c->bound_pico) &&
           store_bind_int(s, 7, c->spent_pico) && store_bind_int(s, 8, c->known) &&
           store_bind_text(s, 9, store_fate_word(c->fate)) &&
           store_bind_tokens(s, 10, c->input_tokens) &&
           store_bind_tokens(s, 11, c->output_tokens) &&
           store_bind_int(s, 12, c->over_limit) && store_bind_int(s, 13, c->at_us);
}

#define SPEND_COLUMNS                                                                    \
    "day, key, policy, expert, kind, requests, calls, spent_pico, bound_pico,"           \
    " input_tokens, output_tokens, best_pico, cheapest_pico"
#define ADD(column)                                                                      \
    column " = min(spend." column ", " SUM_MAX ") + min(excluded." column ", " SUM_MAX ")"
#define SPEND_ADD                                                                                                                               \
    " ON CONFLICT (day, key, policy, expert, kind) DO UPDATE SET " ADD(                                                                         \
        "requests") ", " ADD("calls") ", " ADD("spent_pico") ", " ADD("bound_pico") ","                                                         \
                                                                                    " " ADD("input_tokens") ", " ADD("output_tokens") ", " ADD( \
                                                                                        "best_pico") ", " ADD("cheapest_pico")

/* The sums of a transaction, before they are added to the table: as many rows, one UPDATE. */
static const char spend_sql[] =
    "INSERT INTO spend (" SPEND_COLUMNS
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)" SPEND_ADD;

static int64_t at_least_0(int64_t value)
{
    return value > 0 ? value : 0;
}

static enum store_err write_sum(struct store_file *file, const struct store_spend *a,
                                struct store_error *error)
{
    sqlite3_stmt *s = store_file_ready(file, spend_sql);
    bool bound =
        s != NULL && store_bind_int(s, 1, a->day) && store_bind_str(s, 2, a->key) &&
        store_bind_str(s, 3, a->policy) && store_bind_str(s, 4, a->expert) &&
        store_bind_str(s, 5, a->kind) && store_bind_int(s, 6, a->requests) &&
        store_bind_int(s, 7, a->calls) && store_bind_int(s, 8, a->spent_pico) &&
        store_bind_int(s, 9, a->bound_pico) && store_bind_int(s, 10, a->input_tokens) &&
        store_bind_int(s, 11, a->output_tokens) && store_bind_int(s, 12, a->best_pico) &&
        store_bind_int(s, 13, a->cheapest_pico);

    return store_file_run(file, bound ? s : NULL, error);
}

static uint32_t mixed(uint32_t hash, struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        hash = (hash ^ (unsigned char)text.p[i]) * 16777619u;
    return (hash ^ 0xff) * 16777619u;
}

static size_t slot_of(const struct store_spend *a)
{
    uint32_t hash = 2166136261u ^ (uint32_t)a->day;

    hash = mixed(hash, a->key);
    hash = mixed(hash, a->policy);
    hash = mixed(hash, a->expert);
    return mixed(hash, a->kind) % STORE_SUMS;
}

static bool same_sum(const struct store_spend *a, const struct store_spend *b)
{
    return a->day == b->day && str_eq(a->key, b->key) && str_eq(a->policy, b->policy) &&
           str_eq(a->expert, b->expert) && str_eq(a->kind, b->kind);
}

static void add_to(int64_t *sum, int64_t value)
{
    if (__builtin_add_overflow(*sum, value, sum))
        *sum = MONEY_NONE;
}

/* Added up in memory where the same sum is there already; whoever else has its place is
 * written first. */
static enum store_err add_spend(struct store_file *file, struct store_sums *sums,
                                const struct store_spend *a, struct store_error *error)
{
    struct store_spend *sum = &sums->all[slot_of(a)];
    enum store_err err = STORE_OK;

    if (sum->kind.n > 0 && !same_sum(sum, a)) {
        err = write_sum(file, sum, error);
        sum->kind.n = 0;
    }
    if (sum->kind.n == 0) {
        *sum = *a;
        return err;
    }
    add_to(&sum->requests, a->requests);
    add_to(&sum->calls, a->calls);
    add_to(&sum->spent_pico, a->spent_pico);
    add_to(&sum->bound_pico, a->bound_pico);
    add_to(&sum->input_tokens, a->input_tokens);
    add_to(&sum->output_tokens, a->output_tokens);
    add_to(&sum->best_pico, a->best_pico);
    add_to(&sum->cheapest_pico, a->cheapest_pico);
    return STORE_OK;
}

enum store_err store_rows_flush(struct store_file *file, struct store_sums *sums,
                                struct store_error *error)
{
    enum store_err err = STORE_OK;

    for (size_t i = 0; err == STORE_OK && i < STORE_SUMS; i++) {
        if (sums->all[i].kind.n > 0)
            err = write_sum(file, &sums->all[i], error);
    }
    return err;
}

/* The request itself counts where it was answered, or would have been. Against a baseline
 * that is not known nothing was saved. */
static enum store_err add_request(struct store_file *file, struct store_sums *sums,
                                  const struct store_decision *d,
                                  struct store_error *error)
{
    const int64_t best = d->best_pico, cheapest = d->cheapest_pico;
    struct store_spend a = { .day = store_day(d->at_us),
                             .key = or_empty(d->key),
                             .policy = or_empty(d->policy),
                             .expert = or_empty(d->expert),
                             .kind = str_of(store_kind_word(STORE_KIND_GENERATION)),
                             .requests = 1,
                             .best_pico = best != MONEY_NONE ? best : d->spent_pico,
                             .cheapest_pico =
                                 cheapest != MONEY_NONE ? cheapest : d->spent_pico };

    return add_spend(file, sums, &a, error);
}

static enum store_err add_charge(struct store_file *file, struct store_sums *sums,
                                 const struct store_decision *d,
                                 const struct store_charge *c, struct store_error *error)
{
    struct store_spend a = { .day = store_day(c->at_us),
                             .key = or_empty(d->key),
                             .policy = or_empty(d->policy),
                             .expert = or_empty(c->expert),
                             .kind = str_of(store_kind_word(c->kind)),
                             .calls = 1,
                             .spent_pico = c->spent_pico,
                             .bound_pico = c->bound_pico,
                             .input_tokens = at_least_0(c->input_tokens),
                             .output_tokens = at_least_0(c->output_tokens) };

    return add_spend(file, sums, &a, error);
}

static enum store_err write_decision(struct store_file *file, struct store_sums *sums,
                                     const struct store_decision *d,
                                     struct store_error *error)
{
    sqlite3_stmt *s = store_file_ready(file, decision_sql);
    enum store_err err = store_file_run(file, bind_decision(s, d) ? s : NULL, error);
    bool settled = d->state == STORE_STATE_SETTLED;

    /* It had left OPEN before: it is told already. */
    if (err == STORE_OK && sqlite3_changes(store_file_db(file)) == 0)
        return STORE_OK;
    for (size_t i = 0; err == STORE_OK && i < d->n_charges; i++) {
        s = store_file_ready(file, charge_sql);
        if (!bind_charge(s, d->id, i, &d->charges[i]))
            s = NULL;
        err = store_file_run(file, s, error);
        if (err == STORE_OK && settled)
            err = add_charge(file, sums, d, &d->charges[i], error);
    }
    if (err == STORE_OK && settled)
        err = add_request(file, sums, d, error);
    return err;
}

/* -- feedback ---------------------------------------------------------------------------- */

static const char feedback_sql[] =
    "INSERT OR REPLACE INTO feedback (decision, expert, score, weight, key, at_us,"
    " messages, text, text_version, input_tokens, output_tokens, vectors, predicted,"
    " shared) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

static struct str or_null(struct str text)
{
    return text.n > 0 ? text : (struct str){ NULL, 0 };
}

static enum store_err write_feedback(struct store_file *file,
                                     const struct store_feedback *f,
                                     struct store_error *error)
{
    sqlite3_stmt *s = store_file_ready(file, feedback_sql);
    bool bound = s != NULL && store_bind_str(s, 1, f->decision) &&
                 store_bind_str(s, 2, or_empty(f->expert)) &&
                 sqlite3_bind_double(s, 3, f->score) == SQLITE_OK &&
                 sqlite3_bind_double(s, 4, f->weight) == SQLITE_OK &&
                 store_bind_str(s, 5, or_empty(f->key)) &&
                 store_bind_int(s, 6, f->at_us) &&
                 store_bind_str(s, 7, or_null(f->messages)) &&
                 store_bind_str(s, 8, or_null(f->text)) &&
                 store_bind_str(s, 9, or_null(f->text_version)) &&
                 store_bind_tokens(s, 10, f->input_tokens) &&
                 store_bind_tokens(s, 11, f->output_tokens) &&
                 store_bind_str(s, 12, or_null(f->vectors)) &&
                 /* SQLite takes NAN for NULL. */
                 sqlite3_bind_double(s, 13, f->predicted) == SQLITE_OK &&
                 store_bind_int(s, 14, f->shared);

    return store_file_run(file, bound ? s : NULL, error);
}

enum store_err store_rows_write(struct store_file *file, struct store_sums *sums,
                                const struct store_row *row, struct store_error *error)
{
    switch (row->sort) {
    case STORE_SORT_DECISION:
        return write_decision(file, sums, &row->decision, error);
    case STORE_SORT_FEEDBACK:
        return write_feedback(file, &row->feedback, error);
    case STORE_SORT_LOST:
        break;
    }
    return STORE_OK;
}

enum store_err store_rows_begin(struct store_file *file, struct store_error *error)
{
    return store_file_run(file, store_file_ready(file, begin_sql), error);
}

enum store_err store_rows_commit(struct store_file *file, struct store_error *error)
{
    return store_file_run(file, store_file_ready(file, commit_sql), error);
}

void store_rows_rollback(struct store_file *file)
{
    if (sqlite3_get_autocommit(store_file_db(file)) == 0)
        (void)sqlite3_exec(store_file_db(file), "ROLLBACK", NULL, NULL, NULL);
}

/* -- after a crash ----------------------------------------------------------------------- */

/* In this order: charges, their sums, the requests, the decisions themselves. */
/* Against a baseline that is not known nothing was saved. */
#define CHARGED                                                                          \
    " sum((SELECT coalesce(sum(spent_pico), 0) FROM charges WHERE decision = id))"
static const char *const recovery[] = {
    "UPDATE charges SET fate = 'crashed', known = 0,"
    " bound_pico = coalesce(worst_pico, bound_pico),"
    " spent_pico = coalesce(worst_pico, bound_pico) WHERE fate = 'open'"
    " AND decision IN (SELECT id FROM decisions WHERE state = 'open')",
    "INSERT INTO spend (" SPEND_COLUMNS
    ") SELECT c.at_us / 86400000000, d.key, d.policy, c.expert, c.kind, 0, count(*),"
    " sum(c.spent_pico), sum(c.bound_pico), sum(coalesce(c.input_tokens, 0)),"
    " sum(coalesce(c.output_tokens, 0)), 0, 0"
    " FROM decisions d JOIN charges c ON c.decision = d.id WHERE d.state = 'open'"
    " GROUP BY 1, 2, 3, 4, 5" SPEND_ADD,
    "INSERT INTO spend (" SPEND_COLUMNS
    ") SELECT at_us / 86400000000, key, policy, coalesce(expert, ''), 'generation',"
    " count(*), 0, 0, 0, 0, 0," CHARGED "," CHARGED " FROM decisions WHERE state = 'open'"
    " GROUP BY 1, 2, 3, 4" SPEND_ADD,
    "UPDATE decisions SET state = 'crashed', estimated = 1,"
    " spent_pico = (SELECT coalesce(sum(spent_pico), 0) FROM charges WHERE decision = "
    "id),"
    " bound_pico = (SELECT coalesce(sum(bound_pico), 0) FROM charges WHERE decision = "
    "id),"
    " evidence_pico = (SELECT coalesce(sum(spent_pico), 0) FROM charges"
    " WHERE decision = id AND kind = 'embedding'),"
    " generation_pico = (SELECT coalesce(sum(spent_pico), 0) FROM charges"
    " WHERE decision = id AND kind = 'generation') WHERE state = 'open'",
};

enum store_err store_rows_recover(struct store_file *file, int64_t *ret_crashed,
                                  struct store_error *error)
{
    enum store_err err = store_rows_begin(file, error);

    for (size_t i = 0; err == STORE_OK && i < ARRAY_LEN(recovery); i++)
        err = store_file_exec(file, recovery[i], error);
    if (err == STORE_OK)
        *ret_crashed = sqlite3_changes64(store_file_db(file));
    if (err == STORE_OK)
        err = store_rows_commit(file, error);
    if (err != STORE_OK)
        store_rows_rollback(file);
    return err;
}
