/* record_query.c - one table of parameters, one reader for each kind of value. */
#include "gateway/domain/record_query.h"

#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/domain/jread.h"

#define SECOND_US INT64_C(1000000)
#define DEPTH     8

static const char *const keys[] = {
#define X(name, key, help) key,
    RECORD_PARAMS(X)
#undef X
};

void record_query_init(struct record_query *query)
{
    *query = (struct record_query){ .limit = RECORD_QUERY_LIMIT };
}

bool record_query_given(const struct record_query *query, enum record_param param)
{
    return (query->given >> param & 1) != 0;
}

/* "24h": what lies so far before now. */
static enum err time_ago(struct str text, int64_t now_us, int64_t *ret_us)
{
    static const char units[] = "smhd";
    static const int64_t seconds[] = { 1, 60, 3600, 86400 };
    const char *unit = text.n > 1 ? memchr(units, text.p[text.n - 1], 4) : NULL;
    uint64_t count;

    if (unit == NULL ||
        str_to_u64((struct str){ text.p, text.n - 1 }, &count) != ERR_OK ||
        count > 100000000)
        return ERR_INVALID;
    *ret_us = now_us - (int64_t)count * seconds[unit - units] * SECOND_US;
    if (*ret_us < 1)
        *ret_us = 1; /* 0 is no bound */
    return ERR_OK;
}

enum err record_query_time(struct str text, int64_t now_us, int64_t *ret_us)
{
    uint64_t seconds;

    if (str_to_u64(text, &seconds) == ERR_OK && seconds > 0 &&
        seconds < (uint64_t)(INT64_MAX / SECOND_US)) {
        *ret_us = (int64_t)seconds * SECOND_US;
        return ERR_OK;
    }
    if (time_ago(text, now_us, ret_us) == ERR_OK)
        return ERR_OK;
    return clock_parse(text, ret_us);
}

static enum api_err fail(struct api_error *error, enum record_param param,
                         const char *wanted)
{
    return api_error_set(error, API_BAD_VALUE, keys[param], "'%s' must be %s",
                         keys[param], wanted);
}

static enum api_err take_time(enum record_param param, struct str value, int64_t now_us,
                              int64_t *ret_us, struct api_error *error)
{
    if (record_query_time(value, now_us, ret_us) == ERR_OK)
        return API_OK;
    return fail(error, param,
                "a day like 2026-01-31, a time like 2026-01-31T12:00:00Z, seconds since "
                "1970, or how long ago, like 24h");
}

static enum api_err take_limit(struct record_query *query, struct str value,
                               struct api_error *error)
{
    uint64_t limit;

    if (str_to_u64(value, &limit) != ERR_OK || limit == 0 ||
        limit > RECORD_QUERY_LIMIT_MAX)
        return fail(error, RECORD_LIMIT, "an integer from 1 to 500");
    query->limit = (int64_t)limit;
    return API_OK;
}

static enum api_err take_tag(struct record_query *query, struct str value,
                             struct api_error *error)
{
    if (!str_cut(&value, '=', &query->tag_name) || value.p == NULL ||
        query->tag_name.n == 0)
        return fail(error, RECORD_TAG, "name=value");
    query->tag_value = value;
    return API_OK;
}

static enum api_err take(struct record_query *query, enum record_param param,
                         struct str value, int64_t now_us, struct api_error *error)
{
    struct str *const texts[] = {
        [RECORD_EXPERT] = &query->expert,
        [RECORD_POLICY] = &query->policy,
        [RECORD_KEY] = &query->key,
        [RECORD_BEFORE] = &query->before,
        [RECORD_AFTER] = &query->after,
        [RECORD_REQUEST_ID] = &query->request_id,
        [RECORD_RESPONSE_ID] = &query->response_id,
    };

    if (value.n > RECORD_QUERY_TEXT_MAX || (value.n == 0 && param != RECORD_KEY))
        return fail(error, param, "a text of 1 to 256 bytes");
    switch (param) {
    case RECORD_SINCE:
        return take_time(param, value, now_us, &query->since_us, error);
    case RECORD_UNTIL:
        return take_time(param, value, now_us, &query->until_us, error);
    case RECORD_LIMIT:
        return take_limit(query, value, error);
    case RECORD_TAG:
        return take_tag(query, value, error);
    default:
        *texts[param] = value;
        return API_OK;
    }
}

/* What a stranger wrote, fit to be shown. */
static void show(char *shown, size_t bytes, struct str name)
{
    size_t n = 0;

    for (; n < name.n && n + 1 < bytes; n++)
        shown[n] = name.p[n] >= ' ' && name.p[n] <= '~' ? name.p[n] : '?';
    shown[n] = '\0';
}

enum api_err record_query_take(struct record_query *query, struct str name,
                               struct str value, int64_t now_us, struct api_error *error)
{
    char shown[48];
    enum api_err err;

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (!str_is(name, keys[i]))
            continue;
        if (record_query_given(query, (enum record_param)i))
            return api_error_set(error, API_BAD_VALUE, keys[i], "'%s' is repeated",
                                 keys[i]);
        err = take(query, (enum record_param)i, value, now_us, error);
        if (err == API_OK)
            query->given |= 1u << i;
        return err;
    }
    show(shown, sizeof shown, name);
    return api_error_set(error, API_BAD_VALUE, shown, "unknown parameter '%s'", shown);
}

enum api_err record_query_end(const struct record_query *query, struct api_error *error)
{
    if (record_query_given(query, RECORD_BEFORE) &&
        record_query_given(query, RECORD_AFTER))
        return api_error_set(error, API_BAD_VALUE, "after",
                             "'before' and 'after' do not go together");
    return API_OK;
}

/* -- feedback ---------------------------------------------------------------------------- */

static enum api_err read_member(struct jread_value key, struct jread_value value,
                                struct record_feedback *feedback, unsigned *given,
                                struct api_error *error)
{
    const bool score = jread_string_is(key, "score");
    const char *name = score ? "score" : "weight";
    double number;
    char shown[48];

    if (!score && !jread_string_is(key, "weight")) {
        show(shown, sizeof shown, (struct str){ key.raw.p + 1, key.raw.n - 2 });
        return api_error_set(error, API_BAD_VALUE, shown, "unknown member '%s'", shown);
    }
    if ((*given & (score ? 1u : 2u)) != 0)
        return api_error_set(error, API_DUPLICATE_KEY, name, NULL);
    *given |= score ? 1u : 2u;
    if (!jread_double(value, &number) || number < 0 || number > 1 ||
        (!score && number <= 0))
        return api_error_set(error, API_BAD_VALUE, name, "'%s' must be %s", name,
                             score ? "a number from 0 to 1"
                                   : "a number above 0 and at most 1");
    *(score ? &feedback->score : &feedback->weight) = number;
    return API_OK;
}

enum api_err record_feedback_read(struct str body, struct record_feedback *ret_feedback,
                                  struct api_error *error)
{
    struct record_feedback feedback = { .weight = 1 };
    struct jread_value root, key, value;
    struct jread_iter it;
    unsigned given = 0;

    if (!jread_parse(body, DEPTH, &root))
        return api_error_set(error, API_BAD_JSON, NULL, NULL);
    if (root.type != JREAD_MAP)
        return api_error_set(error, API_BAD_TYPE, NULL, "the body must be an object");
    it = jread_iter(root);
    while (jread_next_member(&it, &key, &value)) {
        enum api_err err = read_member(key, value, &feedback, &given, error);

        if (err != API_OK)
            return err;
    }
    if ((given & 1) == 0)
        return api_error_set(error, API_MISSING, "score", "'score' is missing");
    *ret_feedback = feedback;
    return API_OK;
}
