/* respond.c - what the client gets: heads, bodies, errors.
 *
 * A head goes out once, from here. What may be in it is decided by what is known: the
 * request's id always, the decision once there is one, the expert once one has answered,
 * the cost once it is settled (never for a stream: there it rides on the last usage).
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/flow/exchange_parts.h"

#define FIELDS_MAX    48
#define ERROR_BYTES   4096
#define REFUSAL_TIMES 6     /* as long as its words may get when they are written again */
#define TOLD_MORE     65536 /* frames of an answer in another API */

struct head {
    struct exchange *x;
    struct exchange_field fields[FIELDS_MAX];
    size_t n;
};

static void add(struct head *head, const char *name, struct str value)
{
    assert(head->n < FIELDS_MAX);
    if (value.n == 0)
        return;
    head->fields[head->n++] = (struct exchange_field){ str_of(name), value };
}

/* A field that finds no memory is left out: the answer matters more. */
static void addf(struct head *head, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void addf(struct head *head, const char *name, const char *format, ...)
{
    char text[128], *copy;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    copy = arena_printf(&head->x->arena, "%s", text);
    if (copy != NULL)
        add(head, name, str_of(copy));
}

static void add_usd(struct head *head, const char *name, int64_t pico)
{
    char text[MONEY_TEXT_BYTES];
    struct str copy;

    if (pico == MONEY_NONE)
        return;
    if (arena_copy(&head->x->arena, str_of(money_format(pico, text)), &copy) == ERR_OK)
        add(head, name, copy);
}

static void add_decision(struct head *head)
{
    struct exchange *x = head->x;
    const struct plan_choice *choice = exchange_choice(x);

    if (x->decision_id[0] == '\0')
        return;
    add(head, "x-frugal-decision-id", str_of(x->decision_id));
    if (choice == NULL)
        return;
    add(head, "x-frugal-expert",
        str_of(exchange_config(x)->experts[choice->expert].name));
    add(head, "x-frugal-reason",
        str_of(order_reason_word(&x->order, exchange_reason(x))));
    if (choice->predicted)
        addf(head, "x-frugal-predicted-quality", "%.4f", (double)choice->quality);
    add(head, "x-frugal-queried", decision_queried(&x->decision, &x->arena));
    add_usd(head, "x-frugal-cost-estimate-usd",
            money_add(x->decision.evidence_pico, x->terms.expected_pico));
    if (x->attempt.expert_request_id[0] != '\0')
        add(head, "x-frugal-expert-request-id", str_of(x->attempt.expert_request_id));
    for (const struct returned *one = x->attempt.returned; one != NULL; one = one->next)
        add(head, one->name, one->value);
}

/* As OpenAI writes it: "1.5s", "20ms", "1m12s"; to the millisecond, rounded up. */
static void add_reset(struct head *head, const char *name, int64_t us)
{
    long long ms = (us + 999) / 1000, s = ms / 1000;

    if (ms < 1000)
        addf(head, name, "%lldms", ms);
    else if (ms < 60000)
        addf(head, name, ms % 1000 != 0 ? "%lld.%03llds" : "%llds", s, ms % 1000);
    else
        addf(head, name, "%lldm%llds", (s + (ms % 1000 != 0)) / 60,
             (s + (ms % 1000 != 0)) % 60);
}

static void add_rates(struct head *head)
{
    const struct account_rate *requests = &head->x->requests_rate;
    const struct account_rate *tokens = &head->x->tokens_rate;

    if (requests->limit > 0) {
        addf(head, "x-ratelimit-limit-requests", "%lld", (long long)requests->limit);
        addf(head, "x-ratelimit-remaining-requests", "%lld",
             (long long)requests->remaining);
        add_reset(head, "x-ratelimit-reset-requests", requests->reset_us);
    }
    if (tokens->limit > 0) {
        addf(head, "x-ratelimit-limit-tokens", "%lld", (long long)tokens->limit);
        addf(head, "x-ratelimit-remaining-tokens", "%lld", (long long)tokens->remaining);
        add_reset(head, "x-ratelimit-reset-tokens", tokens->reset_us);
    }
}

/* A page may read all of an answer, since it was given no more than its own key allows. */
static void add_origin(struct head *head)
{
    if (exchange_config(head->x)->n_cors > 0)
        add(head, "vary", STR("origin"));
    if (head->x->origin.n == 0)
        return;
    add(head, "access-control-allow-origin", head->x->origin);
    add(head, "access-control-expose-headers", STR("*"));
}

static void head_begin(struct head *head, struct exchange *x)
{
    head->x = x;
    head->n = 0;
    add(head, "x-request-id", x->request_id);
    if (x->dialect == dialect_of(DIALECT_MESSAGES)) /* where Anthropic's clients look */
        add(head, "request-id", x->request_id);
    add_origin(head);
    add_rates(head);
}

static void head_send(struct head *head, unsigned status, int64_t content_length)
{
    struct exchange *x = head->x;

    assert(!x->gone && !x->head_sent);
    x->head_sent = true;
    x->status = status;
    x->first_us = exchange_now_us();
    x->ops->head(x->client, status, head->fields, head->n, content_length);
}

static void send_whole(struct head *head, unsigned status, struct str body)
{
    struct exchange *x = head->x;

    head_send(head, status, (int64_t)body.n);
    if (body.n > 0)
        (void)x->ops->body(x->client, body.p, body.n);
    x->ops->end(x->client);
}

/* -- errors ------------------------------------------------------------------------------ */

static void add_error(struct head *head, enum api_err code, int64_t retry_after_s)
{
    const char *retry = api_error_should_retry(code);

    add(head, "content-type", STR("application/json"));
    add(head, "x-frugal-error-source", str_of(api_error_source(code)));
    if (retry != NULL)
        add(head, "x-should-retry", str_of(retry));
    if (retry_after_s > 0)
        addf(head, "retry-after", "%lld", (long long)retry_after_s);
    if (code == API_NO_KEY)
        add(head, "www-authenticate", STR("Bearer realm=\"frugal\""));
}

void respond_error(struct exchange *x)
{
    struct head head;
    struct buf body;

    if (x->error.code == API_CLIENT_SLOW) {
        x->status = (unsigned)api_error_status(x->error.code);
        x->ops->abort(x->client);
        return;
    }
    head_begin(&head, x);
    add_decision(&head);
    add_error(&head, x->error.code, x->error.retry_after);
    if (x->error.code == API_BAD_METHOD)
        add(&head, "allow", x->argument);
    if (x->purse.spent_pico > 0)
        add_usd(&head, "x-frugal-cost-usd", x->purse.spent_pico);
    buf_init(&body, ERROR_BYTES);
    dialect_error(x->dialect, &x->error, x->request_id, &body);
    send_whole(&head,
               (unsigned)dialect_status(x->dialect, api_error_status(x->error.code)),
               body.failed ? STR("{\"error\":{\"message\":\"out of memory\",\"type\":"
                                 "\"server_error\",\"param\":null,\"code\":null}}")
                           : buf_str(&body));
    buf_release(&body);
}

void respond_cut(struct exchange *x)
{
    struct buf event;

    assert(x->head_sent && !x->gone);
    if (!x->relay.shown_error) {
        buf_init(&event, ERROR_BYTES);
        dialect_error_event(x->dialect, &x->error, x->request_id, tongue_sequence(x),
                            &event);
        if (event.n > 0 && !event.failed)
            (void)x->ops->body(x->client, event.p, event.n);
        buf_release(&event);
    }
    x->ops->abort(x->client);
}

void respond_refusal(struct exchange *x)
{
    struct str body = buf_str(&x->attempt.body);
    struct head head;
    struct buf own;

    buf_init(&own, ERROR_BYTES + REFUSAL_TIMES * body.n);
    dialect_refusal(x->dialect, body, (int)x->attempt.status, x->request_id, &own);
    head_begin(&head, x);
    add_decision(&head);
    add_error(&head, API_EXPERT_STATUS, 0);
    add_usd(&head, "x-frugal-cost-usd", x->purse.spent_pico);
    send_whole(&head, (unsigned)dialect_status(x->dialect, (int)x->attempt.status),
               buf_str(&own));
    buf_release(&own);
    (void)api_error_set(&x->error, API_EXPERT_STATUS, NULL, NULL);
}

/* -- answers ----------------------------------------------------------------------------- */

void respond_stream_head(struct exchange *x)
{
    struct head head;

    head_begin(&head, x);
    add(&head, "content-type", STR("text/event-stream"));
    add(&head, "cache-control", STR("no-cache"));
    add(&head, "x-accel-buffering", STR("no"));
    add_decision(&head);
    head_send(&head, 200, -1);
}

size_t respond_stream_body(struct exchange *x)
{
    size_t queued = 0;

    if (x->relay.out.n == 0)
        return 0;
    ping_said(x);
    queued = x->ops->body(x->client, x->relay.out.p, x->relay.out.n);
    buf_consume(&x->relay.out, x->relay.out.n);
    return queued;
}

/* In the words of the client's API; false: it cannot be told. */
static bool tell_answer(struct exchange *x, struct voice *voice,
                        const struct usage_cost *cost, struct buf *told)
{
    buf_init(told, 3 * (size_t)exchange_config(x)->limits.answer_bytes +
                       x->translation.echo.n + TOLD_MORE);
    return voice_whole(voice, buf_str(&x->attempt.body), x->attempt.answer.usage_raw,
                       cost, told);
}

static void respond_told(struct exchange *x, struct voice *voice)
{
    struct usage_cost cost;
    struct head head;
    struct buf told;

    settle_cost(x, NULL, &cost);
    if (!tell_answer(x, voice, &cost, &told)) {
        (void)api_error_set(&x->error, API_EXPERT_BROKEN, NULL,
                            "the expert's answer cannot be told in this API");
        respond_error(x);
    } else {
        head_begin(&head, x);
        add(&head, "content-type", STR("application/json"));
        add_decision(&head);
        add_usd(&head, "x-frugal-cost-usd", cost.cost_pico);
        send_whole(&head, 200, buf_str(&told));
    }
    buf_release(&told);
}

void respond_answer(struct exchange *x)
{
    struct voice *voice = tongue_voice(x);
    struct iovec pieces[USAGE_MAX_PIECES];
    struct usage_cost cost;
    struct head head;
    struct str body;
    size_t n, bytes;

    if (voice != NULL) {
        respond_told(x, voice);
        return;
    }
    vectors_recode(x);
    body = buf_str(&x->attempt.body);
    settle_cost(x, NULL, &cost);
    if (usage_splice_at(body, x->attempt.answer.usage_raw, &cost, &x->arena, pieces, &n,
                        &bytes) != ERR_OK) {
        pieces[0] = (struct iovec){ (void *)body.p, body.n };
        n = 1;
        bytes = body.n;
    }
    head_begin(&head, x);
    add(&head, "content-type", STR("application/json"));
    add_decision(&head);
    add_usd(&head, "x-frugal-cost-usd", cost.cost_pico);
    head_send(&head, 200, (int64_t)bytes);
    for (size_t i = 0; i < n; i++)
        (void)x->ops->body(x->client, pieces[i].iov_base, pieces[i].iov_len);
    x->ops->end(x->client);
}

void respond_options(struct exchange *x)
{
    struct head head;

    head_begin(&head, x);
    add(&head, "allow", x->argument);
    if (x->origin.n > 0) {
        add(&head, "access-control-allow-methods", x->argument);
        add(&head, "access-control-allow-headers", x->asked_headers);
        add(&head, "access-control-max-age", STR("600"));
    }
    send_whole(&head, 204, STR(""));
}

void respond_own(struct exchange *x, unsigned status, const char *type, struct str body)
{
    struct head head;

    head_begin(&head, x);
    if (x->error.code != API_OK)
        add_error(&head, x->error.code, x->error.retry_after);
    else
        add(&head, "content-type", str_of(type != NULL ? type : "application/json"));
    if (x->decision_id[0] != '\0')
        add_decision(&head);
    send_whole(&head, status, body);
}
