/* counting.c - who is asked for a count of tokens, and what becomes of the answers; see
 * counting.h. */
#include "gateway/flow/counting.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/domain/token_count.h"
#include "gateway/flow/upstream.h"
#include "gateway/io/tokenizer.h"

struct counting_call {
    struct counting_call *next;
    struct counting *counting;
    struct counting_tools tools;
    struct tokenizer_call *call; /* NULL: it is over */
    struct upstream_call place;
};

static void log_failure(const struct counting_call *call, const char *why)
{
    struct log_line line;

    log_begin(&line, LOG_WARN, "tokenizer_failed");
    log_str(&line, "request_id", call->tools.request_id);
    log_text(&line, "expert",
             call->tools.snapshot->config->experts[call->place.expert].name);
    log_text(&line, "why", why);
    log_end(&line);
}

static void answered(void *arg, int64_t tokens, const char *why)
{
    struct counting_call *call = arg;

    call->call = NULL;
    upstream_leave(&call->place);
    if (tokens >= 0 && !order_count(call->tools.order, call->place.expert, tokens))
        why = "absurd";
    if (why != NULL)
        log_failure(call, why);
    if (--call->counting->waiting == 0)
        call->tools.wake(call->tools.arg);
}

static struct tokenizer_call *start(struct counting_call *call, struct buf *question)
{
    const struct config_expert *expert =
        &call->tools.snapshot->config->experts[call->place.expert];
    struct tokenizer_spec spec = {
        .base = upstream_endpoint(call->tools.snapshot, call->place.expert,
                                  call->place.endpoint),
        .path = expert->generator.tokenizer,
        .key = expert->key,
        .key_header = expert->key_header,
        .tls = upstream_tls(expert),
        .request_id = call->tools.request_id.n > 0 ? call->tools.request_id.p : "",
        .timeouts = upstream_timeouts(expert),
        .max_answer_bytes = TOKEN_ANSWER_BYTES(call->tools.order->chat->message_bytes),
    };

    spec.timeouts.total_ms = (unsigned)expert->generator.tokenizer_ms;
    return tokenizer_start(call->tools.http, &spec, question, answered, call);
}

static void ask(struct counting *counting, const struct counting_tools *tools,
                size_t expert)
{
    const struct chat_request *chat = tools->order->chat;
    struct counting_call *call = arena_zalloc(tools->arena, sizeof *call);
    struct upstream_choice at;
    struct buf question;

    if (call == NULL)
        return;
    *call = (struct counting_call){ .next = counting->calls,
                                    .counting = counting,
                                    .tools = *tools,
                                    .place = { .expert = expert } };
    buf_init(&question, TOKEN_QUESTION_BYTES + TOKEN_QUESTION_MORE);
    if (!token_question(chat, &tools->snapshot->config->experts[expert].generator,
                        &question)) {
        buf_release(&question);
        return;
    }
    at = upstream_choose(tools->snapshot, expert, 0, (uint64_t)clock_us(&clock_system));
    if (at.may != HEALTH_MAY_READY) { /* a count is worth no trial */
        buf_release(&question);
        return;
    }
    if (upstream_enter(&call->place, tools->snapshot, expert, at.endpoint, false, NULL) !=
        UPSTREAM_ENTERED) {
        buf_release(&question);
        log_failure(call, "full");
        return;
    }
    call->call = start(call, &question);
    if (call->call == NULL) {
        upstream_leave(&call->place);
        log_failure(call, "nomem");
        return;
    }
    counting->calls = call;
    counting->waiting++;
}

bool counting_waiting(struct counting *counting, const struct counting_tools *tools,
                      int64_t remaining_pico)
{
    if (!counting->begun) {
        counting->begun = true;
        for (size_t i = 0; i < tools->order->config->n_experts; i++)
            if (order_wants_count(tools->order, i, remaining_pico))
                ask(counting, tools, i);
    }
    return counting->waiting > 0;
}

void counting_stop(struct counting *counting)
{
    for (struct counting_call *call = counting->calls; call != NULL; call = call->next) {
        if (call->call == NULL)
            continue;
        tokenizer_cancel(call->call);
        call->call = NULL;
        upstream_leave(&call->place);
    }
    counting->waiting = 0;
}
