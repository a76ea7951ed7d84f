/* store_query.c - the questions of store_query.h as statements. A list's statement is put
 * together from the conditions asked for, so that each has its index; every value is
 * bound, never pasted. */
#include "gateway/io/store_query.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/id.h"
#include "gateway/io/store_private.h"

#define CHARGES_MAX 4096 /* of one decision that are read */
#define WATCH_STEPS 1000 /* of SQLite's machine between two looks at the clock */

/* -- days -------------------------------------------------------------------------------- */

int64_t store_day(int64_t wall_us)
{
    return wall_us / INT64_C(86400000000);
}

int64_t store_month_start(int64_t day)
{
    time_t seconds = (time_t)(day * 86400);
    struct tm parts;

    (void)gmtime_r(&seconds, &parts);
    return day - (parts.tm_mday - 1);
}

/* -- decisions --------------------------------------------------------------------------- */

#define DECISION_KEYS                                                                    \
    "id, at_us, request_id, response_id, key, policy, expert, reason, status, state,"    \
    " spent_pico, bound_pico, evidence_pico, generation_pico, estimated, input_tokens,"  \
    " output_tokens, best_pico, cheapest_pico, tags, bundle, config"
#define DECISION_COLUMNS DECISION_KEYS ", record"

static enum store_state state_of(struct str word)
{
    if (str_is(word, store_state_word(STORE_STATE_OPEN)))
        return STORE_STATE_OPEN;
    return str_is(word, store_state_word(STORE_STATE_CRASHED)) ? STORE_STATE_CRASHED
                                                               : STORE_STATE_SETTLED;
}

static void read_decision(sqlite3_stmt *s, struct store_decision *ret)
{
    *ret = (struct store_decision){
        .id = store_column_str(s, 0),
        .at_us = sqlite3_column_int64(s, 1),
        .request_id = store_column_str(s, 2),
        .response_id = store_column_str(s, 3),
        .key = store_column_str(s, 4),
        .policy = store_column_str(s, 5),
        .expert = store_column_str(s, 6),
        .reason = store_column_str(s, 7),
        .status = sqlite3_column_int(s, 8),
        .state = state_of(store_column_str(s, 9)),
        .spent_pico = sqlite3_column_int64(s, 10),
        .bound_pico = sqlite3_column_int64(s, 11),
        .evidence_pico = sqlite3_column_int64(s, 12),
        .generation_pico = sqlite3_column_int64(s, 13),
        .estimated = sqlite3_column_int(s, 14) != 0,
        .input_tokens = store_column_tokens(s, 15),
        .output_tokens = store_column_tokens(s, 16),
        .best_pico = store_column_pico(s, 17),
        .cheapest_pico = store_column_pico(s, 18),
        .tags = store_column_str(s, 19),
        .bundle = store_column_str(s, 20),
        .config = store_column_str(s, 21),
        .record = store_column_str(s, 22),
    };
}

static const char charges_sql[] =
    "SELECT kind, expert, worst_pico, bound_pico, spent_pico, known, fate, input_tokens,"
    " output_tokens, over_limit, at_us FROM charges WHERE decision = ?1 ORDER BY n LIMIT "
    "?2";

static enum store_fate fate_of(struct str word)
{
    for (int fate = STORE_FATE_OPEN; fate < STORE_FATE_CRASHED; fate++) {
        if (str_is(word, store_fate_word((enum store_fate)fate)))
            return (enum store_fate)fate;
    }
    return STORE_FATE_CRASHED;
}

/* Charges with their experts' names, which must outlive the statement's step. */
struct charges {
    size_t n, room;
    struct store_charge *all; /* owned; their texts too, one by one */
};

static void charges_release(struct charges *charges)
{
    for (size_t i = 0; i < charges->n; i++)
        free((char *)(uintptr_t)charges->all[i].expert.p);
    free(charges->all);
}

static bool charges_add(struct charges *charges, sqlite3_stmt *s)
{
    struct str expert = store_column_str(s, 1);
    struct store_charge *c;
    char *name;

    if (charges->n == charges->room) {
        size_t room = charges->room == 0 ? 8 : charges->room * 2;

        c = reallocarray(charges->all, room, sizeof *c);
        if (c == NULL)
            return false;
        charges->all = c;
        charges->room = room;
    }
    name = malloc(expert.n + 1);
    if (name == NULL)
        return false;
    if (expert.n > 0)
        memcpy(name, expert.p, expert.n);
    c = &charges->all[charges->n++];
    *c = (struct store_charge){
        .kind = str_is(store_column_str(s, 0), store_kind_word(STORE_KIND_EMBEDDING))
                    ? STORE_KIND_EMBEDDING
                    : STORE_KIND_GENERATION,
        .expert = { name, expert.n },
        .worst_pico = store_column_pico(s, 2),
        .bound_pico = sqlite3_column_int64(s, 3),
        .spent_pico = sqlite3_column_int64(s, 4),
        .known = sqlite3_column_int(s, 5) != 0,
        .fate = fate_of(store_column_str(s, 6)),
        .input_tokens = store_column_tokens(s, 7),
        .output_tokens = store_column_tokens(s, 8),
        .over_limit = sqlite3_column_int(s, 9) != 0,
        .at_us = sqlite3_column_int64(s, 10),
    };
    return true;
}

static enum store_err read_charges(struct store_file *file, struct str id,
                                   struct charges *charges, struct store_error *error)
{
    sqlite3_stmt *s = store_file_ready(file, charges_sql);
    bool row = false;
    enum store_err err;

    if (s == NULL || !store_bind_str(s, 1, id) || !store_bind_int(s, 2, CHARGES_MAX))
        return store_file_failed(file, error);
    err = store_file_next(file, s, &row, error);
    while (err == STORE_OK && row) {
        if (!charges_add(charges, s))
            err = store_error_set(error, STORE_NOMEM, "out of memory");
        else
            err = store_file_next(file, s, &row, error);
    }
    (void)sqlite3_reset(s);
    return err;
}

static struct store_row *find_in_memory(struct store *store, enum store_find_by by,
                                        struct str text)
{
    struct store_row *found = NULL, *copy = NULL;

    pthread_mutex_lock(&store->lock);
    for (struct store_row *row = store->first; row != NULL; row = row->next) {
        const struct store_decision *d = store_row_as_decision(row);
        struct str value;

        if (d == NULL)
            continue;
        value = by == STORE_BY_ID ? d->id : d->request_id;
        if (by == STORE_BY_RESPONSE)
            value = d->response_id;
        if (value.n > 0 && str_eq(value, text))
            found = row;
    }
    if (found != NULL)
        copy = store_row_decision(&found->decision);
    pthread_mutex_unlock(&store->lock);
    return copy;
}

static enum store_err find_in_file(struct store_file *file, enum store_find_by by,
                                   struct str text, struct store_row **ret_row,
                                   struct store_error *error)
{
    static const char *const sqls[] = {
        [STORE_BY_ID] = "SELECT " DECISION_COLUMNS " FROM decisions WHERE id = ?1",
        [STORE_BY_REQUEST] =
            "SELECT " DECISION_COLUMNS " FROM decisions WHERE request_id = ?1"
            " ORDER BY id DESC LIMIT 1",
        [STORE_BY_RESPONSE] =
            "SELECT " DECISION_COLUMNS " FROM decisions WHERE response_id = ?1"
            " ORDER BY id DESC LIMIT 1",
    };
    sqlite3_stmt *s = store_file_ready(file, sqls[by]);
    struct charges charges = { 0 };
    struct store_decision decision;
    struct store_row *found;
    bool row = false;
    enum store_err err;

    if (s == NULL || !store_bind_str(s, 1, text))
        return store_file_failed(file, error);
    err = store_file_next(file, s, &row, error);
    if (err == STORE_OK && !row)
        err = store_error_set(error, STORE_ABSENT, "there is no such decision");
    if (err != STORE_OK)
        return err;
    read_decision(s, &decision);
    err = read_charges(file, decision.id, &charges, error);
    if (err == STORE_OK) {
        decision.n_charges = charges.n;
        decision.charges = charges.all;
        found = store_row_decision(&decision);
        if (found == NULL)
            err = store_error_set(error, STORE_NOMEM, "out of memory");
        else
            *ret_row = found;
    }
    charges_release(&charges);
    (void)sqlite3_reset(s);
    return err;
}

/* Memory first: what is committed meanwhile is found in the file. */
enum store_err store_find(struct store_view *view, enum store_find_by by, struct str text,
                          struct store_row **ret_row, struct store_error *error)
{
    struct store_row *row = NULL;

    if (view->store != NULL)
        row = find_in_memory(view->store, by, text);
    if (row == NULL)
        return find_in_file(view->file, by, text, ret_row, error);
    *ret_row = row;
    return STORE_OK;
}

/* -- lists ------------------------------------------------------------------------------- */

#define SQL_BYTES 2048

/* A statement under construction, with what is bound to it in order. */
struct asking {
    char sql[SQL_BYTES];
    size_t n;
    size_t n_bound;
    struct {
        struct str text; /* NULL: the number */
        int64_t number;
    } bound[16];
};

static void say(struct asking *asking, const char *text)
{
    size_t n = strlen(text);

    assert(asking->n + n < sizeof asking->sql);
    memcpy(asking->sql + asking->n, text, n + 1);
    asking->n += n;
}

static void say_text(struct asking *asking, const char *condition, struct str text)
{
    say(asking, condition);
    assert(asking->n_bound < ARRAY_LEN(asking->bound));
    asking->bound[asking->n_bound].text = text.p != NULL ? text : STR("");
    asking->n_bound++;
}

static void say_number(struct asking *asking, const char *condition, int64_t number)
{
    say(asking, condition);
    assert(asking->n_bound < ARRAY_LEN(asking->bound));
    asking->bound[asking->n_bound++].number = number;
}

static enum store_err ask(struct store_file *file, const struct asking *asking,
                          sqlite3_stmt **ret_statement, struct store_error *error)
{
    sqlite3_stmt *s = NULL;
    bool bound =
        sqlite3_prepare_v2(store_file_db(file), asking->sql, -1, &s, NULL) == SQLITE_OK;

    for (size_t i = 0; bound && i < asking->n_bound; i++) {
        if (asking->bound[i].text.p != NULL)
            bound = store_bind_str(s, (int)i + 1, asking->bound[i].text);
        else
            bound = store_bind_int(s, (int)i + 1, asking->bound[i].number);
    }
    if (!bound) {
        enum store_err err = store_file_failed(file, error);

        (void)sqlite3_finalize(s);
        return err;
    }
    *ret_statement = s;
    return STORE_OK;
}

static int is_late(void *until_us)
{
    return clock_us(&clock_system) > *(const int64_t *)until_us;
}

/* Statements that run on are interrupted at *until_us, which stays where it is. 0: no more. */
static void watch(struct store_file *file, int64_t within_ms, int64_t *until_us)
{
    *until_us = clock_us(&clock_system) + within_ms * 1000;
    sqlite3_progress_handler(store_file_db(file), within_ms > 0 ? WATCH_STEPS : 0,
                             within_ms > 0 ? is_late : NULL, until_us);
}

enum store_err store_list(struct store_view *view, const struct store_filter *filter,
                          store_decision_fn each, void *context,
                          struct store_error *error)
{
    struct asking asking = { .n = 0 };
    struct store_decision decision;
    char oldest[ID_TEXT_BYTES];
    int64_t until_us;
    sqlite3_stmt *s;
    bool row = false;
    enum store_err err;

    assert(filter->limit > 0);
    say(&asking, "SELECT " DECISION_KEYS);
    say(&asking, filter->brief ? ", NULL" : ", record");
    say(&asking, " FROM decisions WHERE true");
    if (filter->after.n > 0)
        say_text(&asking, " AND id > ?", filter->after);
    if (filter->before.n > 0)
        say_text(&asking, " AND id < ?", filter->before);
    /* An id is made after its request came: older ids need not be looked at. */
    if (filter->since_us > 0) {
        say_number(&asking, " AND at_us >= ?", filter->since_us);
        say_text(&asking, " AND id >= ?",
                 str_of(id_floor("dec", filter->since_us, oldest)));
    }
    if (filter->until_us > 0)
        say_number(&asking, " AND at_us < ?", filter->until_us);
    if (filter->by_key)
        say_text(&asking, " AND key = ?", filter->key);
    if (filter->expert.n > 0)
        say_text(&asking, " AND expert = ?", filter->expert);
    if (filter->policy.n > 0)
        say_text(&asking, " AND policy = ?", filter->policy);
    if (filter->request_id.n > 0)
        say_text(&asking, " AND request_id = ?", filter->request_id);
    if (filter->response_id.n > 0)
        say_text(&asking, " AND response_id = ?", filter->response_id);
    if (filter->tag_name.n > 0) {
        say_text(&asking,
                 " AND (SELECT value FROM json_each(iif(json_valid(tags), tags, '{}'))"
                 " WHERE key = ?)",
                 filter->tag_name);
        say_text(&asking, " = ?", filter->tag_value);
    }
    say_number(&asking,
               filter->after.n > 0 ? " ORDER BY id LIMIT ?" : " ORDER BY id DESC LIMIT ?",
               filter->limit);
    err = ask(view->file, &asking, &s, error);
    if (err != STORE_OK)
        return err;
    watch(view->file, filter->within_ms, &until_us);
    err = store_file_next(view->file, s, &row, error);
    while (err == STORE_OK && row) {
        read_decision(s, &decision);
        if (!each(context, &decision))
            break;
        err = store_file_next(view->file, s, &row, error);
    }
    watch(view->file, 0, &until_us);
    (void)sqlite3_finalize(s);
    return err;
}

/* -- spend ------------------------------------------------------------------------------- */

static const struct {
    unsigned bit;
    const char *column, *absent;
} groups[] = {
    { STORE_GROUP_DAY, "day", "-1" },       { STORE_GROUP_KEY, "key", "''" },
    { STORE_GROUP_POLICY, "policy", "''" }, { STORE_GROUP_EXPERT, "expert", "''" },
    { STORE_GROUP_KIND, "kind", "''" },
};

/* The filter of the sums as conditions on columns that decisions have too. */
static void say_filter(struct asking *asking, const struct store_spend_filter *filter)
{
    if (filter->by_key)
        say_text(asking, " AND key = ?", filter->key);
    if (filter->expert.n > 0)
        say_text(asking, " AND expert = ?", filter->expert);
    if (filter->policy.n > 0)
        say_text(asking, " AND policy = ?", filter->policy);
}

static void say_spend(struct asking *asking, const struct store_spend_filter *filter,
                      unsigned group)
{
    say(asking, "SELECT ");
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        say(asking, (group & groups[i].bit) != 0 ? groups[i].column : groups[i].absent);
        say(asking, ", ");
    }
    say(asking, "sum(requests), sum(calls), sum(spent_pico), sum(bound_pico),"
                " sum(input_tokens), sum(output_tokens), sum(best_pico),"
                " sum(cheapest_pico) FROM spend");
    say_number(asking, " WHERE day >= ?", filter->first_day);
    if (filter->last_day > 0)
        say_number(asking, " AND day <= ?", filter->last_day);
    say_filter(asking, filter);
    /* A group of none is one row, or no row when nothing was spent. */
    say(asking, " GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5");
}

static enum store_err each_sum(struct store_view *view, const struct asking *asking,
                               store_spend_fn each, void *context,
                               struct store_error *error)
{
    sqlite3_stmt *s;
    bool row = false;
    enum store_err err = ask(view->file, asking, &s, error);

    if (err != STORE_OK)
        return err;
    err = store_file_next(view->file, s, &row, error);
    while (err == STORE_OK && row) {
        struct store_spend spend = {
            .day = sqlite3_column_int64(s, 0),
            .key = store_column_str(s, 1),
            .policy = store_column_str(s, 2),
            .expert = store_column_str(s, 3),
            .kind = store_column_str(s, 4),
            .requests = sqlite3_column_int64(s, 5),
            .calls = sqlite3_column_int64(s, 6),
            .spent_pico = sqlite3_column_int64(s, 7),
            .bound_pico = sqlite3_column_int64(s, 8),
            .input_tokens = sqlite3_column_int64(s, 9),
            .output_tokens = sqlite3_column_int64(s, 10),
            .best_pico = sqlite3_column_int64(s, 11),
            .cheapest_pico = sqlite3_column_int64(s, 12),
        };

        each(context, &spend);
        err = store_file_next(view->file, s, &row, error);
    }
    (void)sqlite3_finalize(s);
    return err;
}

enum store_err store_spend(struct store_view *view,
                           const struct store_spend_filter *filter, unsigned group,
                           store_spend_fn each, void *context, struct store_error *error)
{
    struct asking asking = { .n = 0 };

    say_spend(&asking, filter, group);
    return each_sum(view, &asking, each, context, error);
}

enum store_err store_spend_by_tag(struct store_view *view,
                                  const struct store_spend_filter *filter, struct str tag,
                                  store_spend_fn each, void *context,
                                  struct store_error *error)
{
    const int64_t day_us = INT64_C(86400000000);
    struct asking asking = { .n = 0 };

    say(&asking, "SELECT -1,");
    say_text(&asking,
             " coalesce((SELECT value FROM json_each(iif(json_valid(tags), tags, '{}'))"
             " WHERE key = ?), '')",
             tag);
    say(&asking, " AS label, '', '', '', count(*), 0, sum(spent_pico), sum(bound_pico),"
                 " sum(coalesce(input_tokens, 0)), sum(coalesce(output_tokens, 0)),"
                 " sum(coalesce(best_pico, spent_pico)),"
                 " sum(coalesce(cheapest_pico, spent_pico)) FROM decisions");
    say_number(&asking, " WHERE at_us >= ?", filter->first_day * day_us);
    if (filter->last_day > 0)
        say_number(&asking, " AND at_us < ?", (filter->last_day + 1) * day_us);
    say_filter(&asking, filter);
    say(&asking, " GROUP BY label ORDER BY label");
    return each_sum(view, &asking, each, context, error);
}

static const char windows_sql[] =
    "SELECT key, sum(iif(day = ?1, bound_pico, 0)),"
    " sum(iif(day BETWEEN ?2 AND ?1, bound_pico, 0)), sum(bound_pico) FROM spend"
    " GROUP BY key ORDER BY key";

enum store_err store_each_spend(struct store_view *view, int64_t day,
                                store_windows_fn each, void *context,
                                struct store_error *error)
{
    sqlite3_stmt *s = store_file_ready(view->file, windows_sql);
    bool row = false;
    enum store_err err;

    if (s == NULL || !store_bind_int(s, 1, day) ||
        !store_bind_int(s, 2, store_month_start(day)))
        return store_file_failed(view->file, error);
    err = store_file_next(view->file, s, &row, error);
    while (err == STORE_OK && row) {
        struct store_windows windows = { .key = store_column_str(s, 0),
                                         .day_pico = sqlite3_column_int64(s, 1),
                                         .month_pico = sqlite3_column_int64(s, 2),
                                         .total_pico = sqlite3_column_int64(s, 3) };

        each(context, &windows);
        err = store_file_next(view->file, s, &row, error);
    }
    (void)sqlite3_reset(s);
    return err;
}

/* Of the last million charges, which is a fraction of a second's reading. */
static const char over_sql[] =
    "SELECT expert, max(at_us) FROM"
    " (SELECT expert, at_us, worst_pico, spent_pico, known, over_limit FROM charges"
    "  ORDER BY decision DESC LIMIT 1000000)"
    " WHERE known AND (over_limit OR spent_pico > worst_pico) GROUP BY expert";

enum store_err store_each_over(struct store_view *view, store_over_fn each, void *context,
                               struct store_error *error)
{
    sqlite3_stmt *s = store_file_ready(view->file, over_sql);
    bool row = false;
    enum store_err err = store_file_next(view->file, s, &row, error);

    while (err == STORE_OK && row) {
        each(context, store_column_str(s, 0), sqlite3_column_int64(s, 1));
        err = store_file_next(view->file, s, &row, error);
    }
    (void)sqlite3_reset(s);
    return err;
}
