/* log_response.c - choices, usage, spend and times of one call. */
#include "tools/ctl/log_response.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/base/money.h"

#define MAX_USD 1e6 /* of one call: more is no price */

static double number_of(struct jread_value map, const char *name)
{
    double number;

    return jread_double(jread_get(map, name), &number) ? number : NAN;
}

static double first_number(struct jread_value map, const char *name, const char *other)
{
    double number = number_of(map, name);

    return isnan(number) ? number_of(map, other) : number;
}

/* Seconds since 1970, of a number or of "2026-11-24T17:00:01.25Z". */
static double time_of(struct jread_value map, const char *name, struct arena *arena)
{
    struct jread_value value = jread_get(map, name);
    struct tm parts = { 0 };
    struct str text;
    double seconds;

    if (jread_double(value, &seconds))
        return seconds;
    if (value.type != JREAD_TEXT || jread_string(value, arena, &text) != ERR_OK ||
        text.n < 19)
        return NAN;
    char form[] = "%Y-%m-%dT%H:%M:%S";
    form[8] = text.p[10]; /* some write a space */
    const char *rest = strptime(text.p, form, &parts);
    if (rest == NULL)
        return NAN;
    double fraction = *rest == '.' ? strtod(rest, NULL) : 0;
    return (double)timegm(&parts) + fraction;
}

static double latency_of(const struct log_response *said, struct arena *arena)
{
    double ms = number_of(said->record, "request_duration_ms");

    if (isnan(ms))
        ms = 1000 * (time_of(said->record, "endTime", arena) -
                     time_of(said->record, "startTime", arena));
    return ms >= 0 ? ms : NAN;
}

/* What a cache gave cost nothing, and says nothing about the next time. */
static int64_t cost_of(const struct log_response *said)
{
    struct jread_value hit = jread_get(said->record, "cache_hit");
    double usd = first_number(said->record, "spend", "response_cost");

    if (jread_is_true(hit) || jread_string_is(hit, "True") ||
        jread_string_is(hit, "true") || !(usd > 0 && usd < MAX_USD))
        return MONEY_NONE;
    return llround(usd * (double)MONEY_USD);
}

/* The content of a chat answer: a string, or its text parts one after the other. */
static const char *text_of(struct jread_value content, struct arena *arena)
{
    struct jread_iter it = jread_iter(content);
    struct jread_value part;
    struct str text = { 0 };
    struct buf all;

    if (content.type == JREAD_TEXT)
        return jread_string(content, arena, &text) == ERR_OK && text.n > 0 &&
                       memchr(text.p, 0, text.n) == NULL
                   ? text.p
                   : NULL;
    if (content.type != JREAD_LIST)
        return NULL;
    buf_init(&all, SIZE_MAX / 2);
    while (jread_next_element(&it, &part))
        (void)jread_put_string(jread_get(part, "text"), SIZE_MAX, &all);
    bool copied = arena_copy(arena, buf_str(&all), &text) == ERR_OK;
    buf_release(&all);
    return copied && text.n > 0 && memchr(text.p, 0, text.n) == NULL ? text.p : NULL;
}

/* A response of the Responses API: its messages' texts. */
static const char *output_of(struct jread_value response, struct arena *arena)
{
    struct jread_iter it = jread_iter(jread_get(response, "output"));
    struct jread_value item;
    const char *text = NULL;

    while (jread_next_element(&it, &item)) {
        if (jread_string_is(jread_get(item, "type"), "message"))
            text = text_of(jread_get(item, "content"), arena);
    }
    return text;
}

static void take_said(const struct log_response *said, struct arena *arena,
                      struct brought_answer *answer)
{
    struct jread_iter choices = jread_iter(jread_get(said->response, "choices"));
    struct jread_value choice;
    struct str finish;

    if (said->response.type == JREAD_TEXT) {
        answer->text = text_of(said->response, arena);
    } else if (jread_next_element(&choices, &choice)) {
        answer->text = text_of(jread_get(jread_get(choice, "message"), "content"), arena);
        if (answer->text == NULL)
            answer->text = text_of(jread_get(choice, "text"), arena);
        if (jread_string(jread_get(choice, "finish_reason"), arena, &finish) == ERR_OK)
            answer->finish_reason = finish.p;
    } else if (jread_get(said->response, "output").type == JREAD_LIST) {
        answer->text = output_of(said->response, arena);
    } else {
        answer->text = text_of(jread_get(said->response, "content"), arena);
    }
}

static const char *name_in(struct jread_value map, const char *name, struct arena *arena)
{
    struct str text;

    return jread_string(jread_get(map, name), arena, &text) == ERR_OK && text.n > 0 &&
                   text.n <= BROUGHT_MAX_EXPERT && memchr(text.p, 0, text.n) == NULL
               ? text.p
               : NULL;
}

static void take_names(const struct log_response *said, struct arena *arena,
                       struct brought_answer *answer)
{
    if (said->litellm) {
        answer->expert = name_in(said->record, "model_group", arena);
        answer->model = name_in(said->record, "model", arena);
    } else {
        answer->expert = name_in(said->request, "model", arena);
        answer->model = answer->expert;
    }
    if (answer->expert == NULL && answer->model == NULL)
        answer->model = name_in(said->response, "model", arena);
}

enum fault_err log_response_read(const struct log_response *said, struct arena *arena,
                                 struct brought *brought, struct fault *fault)
{
    struct jread_value usage = jread_get(said->response, "usage");
    struct brought_answer answer = { .quality = NAN, .cost_pico = MONEY_NONE };

    take_names(said, arena, &answer);
    take_said(said, arena, &answer);
    if (answer.text == NULL || (answer.expert == NULL && answer.model == NULL))
        return FAULT_OK;
    answer.input_tokens = first_number(usage, "prompt_tokens", "input_tokens");
    answer.output_tokens = first_number(usage, "completion_tokens", "output_tokens");
    answer.latency_ms = NAN;
    if (said->litellm) {
        if (isnan(answer.input_tokens))
            answer.input_tokens = number_of(said->record, "prompt_tokens");
        if (isnan(answer.output_tokens))
            answer.output_tokens = number_of(said->record, "completion_tokens");
        answer.cost_pico = cost_of(said);
        answer.latency_ms = latency_of(said, arena);
    }
    struct brought_answer *kept = arena_alloc(arena, sizeof(*kept));
    if (kept == NULL)
        return fault_set(fault, FAULT_INPUT, "the line is too large");
    *kept = answer;
    brought->answers = kept;
    brought->n_answers = 1;
    return FAULT_OK;
}
