/* asker.c - the loop around one question: reserve, call, judge, settle, perhaps again.
 *
 * What holds: every question that next() gave ends in exactly one answered(); a call's
 * hold on the purse is closed before the call is started again or ends.
 */
#include "tools/ctl/asker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/base/clock.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/price.h"
#include "gateway/domain/retry_after.h"
#include "gateway/flow/purse.h"
#include "gateway/flow/upstream.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/quote.h"
#include "tools/ctl/reply.h"

#define ASKER_WAIT_FIRST_MS 250
#define ASKER_ARENA_BYTES   (1u << 20)

struct call {
    struct asker *asker;
    struct call *next, **prev; /* in asker->calls */
    struct asker_question question;
    unsigned attempt; /* from 1 */
    struct arena arena;
    struct iovec *pieces;   /* in the arena */
    struct http_call *http; /* NULL: waits for the timer */
    struct loop_timer timer;
    struct purse_hold hold;
    struct buf body;
    int64_t retry_ms, lost_pico;
    bool dropped;
    char error[512];
};

struct expert_state {
    size_t in_flight, failed_in_row;
    int64_t busy_us, busy_since_us;
    bool dry;          /* next() had nothing */
    struct call *held; /* taken from next(), not started: the purse is short */
    char *given_up;    /* owned; NULL: goes on */
};

struct asker {
    struct asker_settings settings;
    const struct asker_source *source;
    void *context;
    struct purse purse;
    struct expert_state *experts;
    struct call *calls;
    size_t in_flight, turn;
    bool stopped, was_short, filling, running;
};

static void call_start(struct call *call);
static void asker_fill(struct asker *asker);

/* -- one call -- */

static const struct config_expert *call_expert(const struct call *call)
{
    return &call->asker->settings.config->experts[call->question.expert];
}

static struct call *call_new(struct asker *asker, const struct asker_question *question)
{
    struct call *call = memory_new(1, sizeof(*call));

    call->asker = asker;
    call->question = *question;
    arena_init(&call->arena, ASKER_ARENA_BYTES);
    buf_init(&call->body, ASKER_ANSWER_BYTES);
    return call;
}

static void call_free(struct call *call)
{
    arena_release(&call->arena);
    buf_release(&call->body);
    free(call);
}

static void call_link(struct call *call)
{
    struct asker *asker = call->asker;
    struct expert_state *state = &asker->experts[call->question.expert];

    call->next = asker->calls;
    call->prev = &asker->calls;
    if (call->next != NULL)
        call->next->prev = &call->next;
    asker->calls = call;
    asker->in_flight++;
    if (state->in_flight++ == 0)
        state->busy_since_us = clock_us(&clock_system);
}

static void call_unlink(struct call *call)
{
    struct asker *asker = call->asker;
    struct expert_state *state = &asker->experts[call->question.expert];

    *call->prev = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    asker->in_flight--;
    if (--state->in_flight == 0)
        state->busy_us += clock_us(&clock_system) - state->busy_since_us;
}

static void give_up(struct asker *asker, size_t expert, const char *why)
{
    if (asker->experts[expert].given_up == NULL)
        asker->experts[expert].given_up = memory_text(why);
}

/* Tells the source and forgets the call. */
static void call_end(struct call *call, struct asker_answer *answer)
{
    struct asker *asker = call->asker;
    struct expert_state *state = &asker->experts[call->question.expert];

    call_unlink(call);
    answer->attempts = call->attempt;
    answer->lost_pico = call->lost_pico;
    if (answer->ok)
        state->failed_in_row = 0;
    else if (++state->failed_in_row >= ASKER_GIVE_UP)
        give_up(asker, call->question.expert, answer->error);
    asker->source->answered(asker->context, &call->question, answer);
    call_free(call);
    for (size_t i = 0; i < asker->settings.config->n_experts; i++)
        asker->experts[i].dry = false;
    asker_fill(asker);
}

static void call_fail(struct call *call)
{
    struct asker_answer answer = { .error = call->error, .dropped = call->dropped };

    call_end(call, &answer);
}

static void call_timer(void *arg)
{
    struct call *call = arg;

    call_start(call);
}

/* Tries once more after a while, or fails. */
static void call_again(struct call *call)
{
    struct asker *asker = call->asker;
    int64_t wait_ms = ASKER_WAIT_FIRST_MS << (call->attempt < 8 ? call->attempt - 1 : 7);

    if (call->retry_ms > wait_ms)
        wait_ms = call->retry_ms;
    if (wait_ms > ASKER_WAIT_MAX_MS)
        wait_ms = ASKER_WAIT_MAX_MS;
    if (asker->stopped || call->attempt >= asker->settings.attempts ||
        asker->experts[call->question.expert].given_up != NULL) {
        call_fail(call);
        return;
    }
    call->timer.fn = call_timer;
    call->timer.arg = call;
    if (loop_timer_set(asker->settings.loop, &call->timer,
                       loop_now_us(asker->settings.loop) + (uint64_t)wait_ms * 1000) !=
        LOOP_OK)
        call_fail(call);
}

static int64_t call_worst(const struct call *call)
{
    return quote_worst(call_expert(call), question_chat(call->question.question));
}

/* -- what came back -- */

static void on_head(void *arg, unsigned status, const struct http_header *headers,
                    size_t n)
{
    struct call *call = arg;

    (void)status;
    call->retry_ms = 0;
    for (size_t i = 0; i < n; i++) {
        struct str value = str_of(headers[i].value);
        int64_t ms = 0;
        bool read = false;
        if (strcmp(headers[i].name, "retry-after-ms") == 0)
            read = retry_after_parse_ms(value, &ms) == ERR_OK;
        else if (strcmp(headers[i].name, "retry-after") == 0)
            read = retry_after_parse(value, clock_wall_s(&clock_system), &ms) == ERR_OK;
        if (read && ms > call->retry_ms)
            call->retry_ms = ms;
    }
}

static enum http_flow on_body(void *arg, const void *bytes, size_t n)
{
    struct call *call = arg;

    enum err err = buf_add(&call->body, bytes, n);
    (void)err; /* body.failed is looked at when the call is done */
    return HTTP_CONTINUE;
}

static void call_settle(struct call *call, const struct usage_answer *read,
                        struct asker_answer *answer)
{
    const struct config_generator *generator = &call_expert(call)->generator;
    const struct chat_request *chat = question_chat(call->question.question);
    struct usage usage = read->usage;

    answer->estimated = !usage.known;
    if (!usage.known)
        usage = (struct usage){
            .known = true,
            .input_tokens = price_prompt_expected(generator, chat),
            .output_tokens = usage_estimate_tokens(read->output_bytes),
        };
    answer->input_tokens = usage.input_tokens;
    answer->output_tokens = usage.output_tokens;
    answer->cost_pico =
        price_settle(price_at(&generator->prices, clock_wall_s(&clock_system)), &usage);
    if (answer->estimated)
        purse_unknown(&call->asker->purse, &call->hold, answer->cost_pico);
    else
        (void)purse_settle(&call->asker->purse, &call->hold, answer->cost_pico);
}

/* A whole answer with status 200. False: it is not one. */
static bool call_answered(struct call *call, const struct http_result *result)
{
    struct asker_answer answer = { .ok = true };
    struct reply reply;

    if (call->body.failed ||
        !reply_read(buf_str(&call->body), ASKER_ANSWER_BYTES, &reply))
        return false;
    call_settle(call, &reply.usage, &answer);
    answer.latency_ms = (double)result->timings.done_us / 1000;
    answer.text = reply.text;
    answer.finish_reason = reply.finish_reason;
    call_end(call, &answer);
    reply_release(&reply);
    return true;
}

/* What the attempt that the hold is for costs at most; where nothing bounds it, its prompt. */
static int64_t call_bound(const struct call *call)
{
    int64_t worst = call->hold.open ? call->hold.worst_pico : 0;

    if (worst == 0 || worst == MONEY_NONE)
        worst = price_prompt_pico(&call_expert(call)->generator,
                                  question_chat(call->question.question),
                                  clock_wall_s(&clock_system));
    return worst;
}

/* Money that may be gone without an answer. */
static void call_lost(struct call *call)
{
    int64_t worst = call_bound(call);

    call->lost_pico = money_add(call->lost_pico, worst);
    purse_unknown(&call->asker->purse, &call->hold, worst);
}

static void call_refused(struct call *call, unsigned status)
{
    bool again = status == 408 || status == 409 || status == 429 || status >= 500;
    bool unbilled = (status >= 400 && status < 500 && status != 408) || status == 503 ||
                    status == 529; /* adr/0008 */

    reply_refusal(call->body.failed ? STR("") : buf_str(&call->body), status, call->error,
                  sizeof(call->error));
    if (unbilled)
        purse_release(&call->asker->purse, &call->hold);
    else
        call_lost(call);
    if (status == 401 || status == 403 || status == 404)
        give_up(call->asker, call->question.expert, call->error);
    (again ? call_again : call_fail)(call);
}

static void on_done(void *arg, const struct http_result *result)
{
    struct call *call = arg;

    call->http = NULL;
    if (result->code != HTTP_OK) {
        const char *text = http_result_text(result->code);
        bool more = result->detail[0] != '\0' && strcmp(result->detail, text) != 0;
        (void)snprintf(call->error, sizeof(call->error), "%s%s%s", text, more ? ": " : "",
                       more ? result->detail : "");
        if (result->sent)
            call_lost(call);
        else
            purse_release(&call->asker->purse, &call->hold);
        call_again(call);
    } else if (result->status != 200) {
        call_refused(call, result->status);
    } else if (!call_answered(call, result)) {
        (void)snprintf(call->error, sizeof(call->error),
                       "the answer is no chat completion");
        call_lost(call);
        call_again(call);
    }
}

/* -- starting -- */

static void call_send(struct call *call)
{
    static const struct http_events events = { on_head, on_body, on_done };
    const struct config_expert *expert = call_expert(call);
    const struct chat_request *chat = question_chat(call->question.question);
    struct chat_edit edit = {
        .model = str_of(expert->generator.model),
        .output_limit = price_output_limit(&expert->generator, chat, 0),
        .limit_field = expert->generator.limit_field,
        .adapt = expert->generator.adapt.n > 0 ? &expert->generator.adapt : NULL,
    };
    struct http_header headers[] = { { "Content-Type", "application/json" },
                                     { "x-request-id", call->question.id } };
    size_t endpoint = (call->attempt - 1) % expert->n_endpoints;
    char *url = memory_format("%s/chat/completions", expert->endpoints[endpoint]);
    size_t n_pieces = 0, bytes = 0;

    arena_clear(&call->arena);
    call->pieces =
        arena_array(&call->arena, chat_max_pieces(&edit), sizeof *call->pieces);
    if (call->pieces == NULL || chat_splice(chat, &edit, &call->arena, call->pieces,
                                            &n_pieces, &bytes) != ERR_OK) {
        (void)fputs("frugalctl: out of memory\n", stderr);
        exit(1);
    }
    struct http_spec spec = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .n_headers = call->question.id[0] != '\0' ? 2 : 1,
        .key = expert->key,
        .key_header = expert->key_header,
        .body = call->pieces,
        .n_body = n_pieces,
        .timeouts = { (unsigned)expert->timeouts.connect_ms,
                      (unsigned)expert->timeouts.first_byte_ms,
                      (unsigned)expert->timeouts.idle_ms,
                      (unsigned)expert->timeouts.total_ms },
        .max_answer_bytes = ASKER_ANSWER_BYTES,
        .tls = upstream_tls(expert),
        .once = true,
    };
    buf_clear(&call->body);
    call->http = http_start(call->asker->settings.http, &spec, &events, call);
    free(url);
}

/* Sends what is linked and reserved, once the source knows of it. */
static void call_go(struct call *call)
{
    struct asker *asker = call->asker;

    call->attempt++;
    if (asker->source->sending(asker->context, &call->question,
                               money_add(call->lost_pico, call_bound(call)))) {
        call_send(call);
        return;
    }
    purse_release(&asker->purse, &call->hold);
    call->attempt--;
    (void)snprintf(call->error, sizeof(call->error), "not sent");
    asker->stopped = true;
    call_fail(call);
}

/* Another attempt of a call that is linked. */
static void call_start(struct call *call)
{
    if (purse_reserve(&call->asker->purse, call_worst(call), &call->hold) == PURSE_OK) {
        call_go(call);
        return;
    }
    call->asker->was_short = true;
    call_fail(call);
}

/* Starts the expert's next question. False: nothing could be started. */
static bool start_one(struct asker *asker, size_t expert)
{
    struct expert_state *state = &asker->experts[expert];
    struct call *call = state->held;

    if (call == NULL) {
        struct asker_question question = { .expert = expert };
        if (!asker->source->next(asker->context, expert, &question)) {
            state->dry = true;
            return false;
        }
        assert(question.expert == expert);
        call = call_new(asker, &question);
    }
    state->held = NULL;
    enum purse_err err = purse_reserve(&asker->purse, call_worst(call), &call->hold);
    if (err == PURSE_NO_BOUND)
        give_up(asker, expert,
                "its worst case has no bound, so it is not asked under a "
                "limit of money");
    if (err != PURSE_OK) {
        state->held = call;
        return false;
    }
    call_link(call);
    call_go(call);
    return true;
}

static bool may_start(const struct asker *asker, size_t expert)
{
    const struct expert_state *state = &asker->experts[expert];
    const struct config_expert *config = &asker->settings.config->experts[expert];

    return config->has_generator && !state->dry && state->given_up == NULL &&
           state->in_flight < asker->settings.concurrency &&
           state->in_flight < (size_t)config->max_in_flight;
}

/* What an expert could not pay for when nothing is in flight will never be paid for. */
static void drop_held(struct asker *asker, bool short_of_money)
{
    size_t n = asker->settings.config->n_experts;

    for (size_t i = 0; i < n; i++) {
        struct expert_state *state = &asker->experts[i];
        struct call *call = state->held;
        if (call == NULL)
            continue;
        state->held = NULL;
        state->dry = true;
        asker->was_short = asker->was_short || short_of_money;
        struct asker_answer answer = { .ok = false, .error = "the limit of money" };
        asker->source->answered(asker->context, &call->question, &answer);
        call_free(call);
    }
}

/* All experts in turn, a question each, until nobody has a place or a question. */
static void fill_in_turn(struct asker *asker)
{
    size_t n = asker->settings.config->n_experts;

    for (size_t idle = 0; !asker->stopped && idle < n;
         asker->turn = (asker->turn + 1) % n) {
        bool started = may_start(asker, asker->turn) && start_one(asker, asker->turn);
        idle = started ? 0 : idle + 1;
    }
}

/* The next expert's turn comes when the one before it has nothing left and nothing in
 * flight. */
static void fill_by_expert(struct asker *asker)
{
    size_t n = asker->settings.config->n_experts;

    while (!asker->stopped && asker->turn < n) {
        bool started = may_start(asker, asker->turn) && start_one(asker, asker->turn);
        if (!started && asker->in_flight > 0)
            return;
        if (!started)
            asker->turn++;
    }
}

static void asker_fill(struct asker *asker)
{
    if (asker->filling)
        return; /* answered() of a call that ended inside: the loop below goes on */
    asker->filling = true;
    if (asker->settings.by_expert)
        fill_by_expert(asker);
    else
        fill_in_turn(asker);
    asker->filling = false;
    if (asker->in_flight == 0) {
        drop_held(asker, !asker->stopped);
        if (asker->running)
            loop_stop(asker->settings.loop);
    }
}

/* -- the whole -- */

struct asker *asker_new(const struct asker_settings *settings)
{
    struct asker *asker = memory_new(1, sizeof(*asker));

    assert(settings->concurrency > 0 && settings->attempts > 0);
    asker->settings = *settings;
    asker->experts = memory_new(settings->config->n_experts, sizeof(*asker->experts));
    purse_init(&asker->purse, settings->ceiling_pico, NULL);
    return asker;
}

void asker_free(struct asker *asker)
{
    if (asker == NULL)
        return;
    assert(asker->in_flight == 0);
    for (size_t i = 0; i < asker->settings.config->n_experts; i++)
        free(asker->experts[i].given_up);
    free(asker->experts);
    free(asker);
}

void asker_run(struct asker *asker, const struct asker_source *source, void *context)
{
    asker->source = source;
    asker->context = context;
    asker->turn = 0;
    for (size_t i = 0; i < asker->settings.config->n_experts; i++)
        asker->experts[i].dry = false;
    asker_fill(asker);
    if (asker->in_flight == 0)
        return;
    asker->running = true;
    loop_run(asker->settings.loop);
    asker->running = false;
}

void asker_stop(struct asker *asker)
{
    bool again = asker->stopped;

    asker->stopped = true;
    for (struct call *call = asker->calls, *next; call != NULL; call = next) {
        next = call->next;
        if (call->http == NULL) {
            loop_timer_clear(asker->settings.loop, &call->timer);
            call_fail(call);
        } else if (again) {
            call->dropped = http_call_sent(call->http);
            if (call->dropped)
                call_lost(call);
            else
                purse_release(&asker->purse, &call->hold);
            http_cancel(call->http);
            (void)snprintf(call->error, sizeof(call->error), "stopped");
            call_fail(call);
        }
    }
}

bool asker_stopped(const struct asker *asker)
{
    return asker->stopped;
}

bool asker_short(const struct asker *asker)
{
    return asker->was_short;
}

size_t asker_in_flight(const struct asker *asker)
{
    return asker->in_flight;
}

int64_t asker_spent_pico(const struct asker *asker)
{
    return asker->purse.spent_pico;
}

int64_t asker_bound_pico(const struct asker *asker)
{
    return asker->purse.bound_pico;
}

double asker_busy_ms(const struct asker *asker, size_t expert)
{
    return (double)asker->experts[expert].busy_us / 1000;
}

const char *asker_given_up(const struct asker *asker, size_t expert)
{
    return asker->experts[expert].given_up;
}
