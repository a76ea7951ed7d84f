/* question.c - messages become a request body, and that is parsed like any other. */
#include "tools/ctl/question.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/domain/routing_text.h"
#include "gateway/domain/scan.h"
#include "tools/ctl/memory.h"

#define QUESTION_ARENA_BYTES (1u << 20)
#define QUESTION_DEPTH       64

struct question {
    struct buf body, text;
    struct scan scan;
    struct arena arena;
    struct chat_request chat;
};

char *question_messages(struct str text)
{
    struct buf buf;

    buf_init(&buf, SIZE_MAX / 2);
    buf_put(&buf, "[{\"role\":\"user\",\"content\":");
    buf_put_json(&buf, text);
    buf_put(&buf, "}]");
    char *messages = memory_text_n(buf.p != NULL ? buf.p : "", buf.n);
    buf_release(&buf);
    return messages;
}

enum fault_err question_cut(struct question *question, const struct routing_rule *rule,
                            struct fault *fault)
{
    buf_clear(&question->text);
    if (routing_text_by(rule, &question->chat, &question->text) != ERR_OK ||
        buf_add(&question->text, "", 1) != ERR_OK)
        return fault_set(fault, FAULT_INPUT, "the messages give no routing text");
    return FAULT_OK;
}

static enum fault_err question_parse(struct question *question, struct fault *fault)
{
    struct api_error error = { 0 };

    if (scan_feed(&question->scan, question->body.p, question->body.n) != SCAN_OK ||
        scan_end(&question->scan) != SCAN_OK)
        return fault_set(fault, FAULT_INPUT, "the messages are wrong: %s",
                         scan_err_text(question->scan.error));
    if (chat_parse(&question->chat, &question->scan, buf_str(&question->body),
                   &question->arena, &error) != API_OK)
        return fault_set(fault, FAULT_INPUT, "the messages are wrong: %s", error.message);
    struct routing_rule rule;

    IGNORE(routing_rule_parse(STR(ROUTING_TEXT_VERSION), &rule, NULL));
    return question_cut(question, &rule, fault);
}

enum fault_err question_stamp(char ret_stamp[ROUTING_TEXT_STAMP], struct fault *fault)
{
    struct routing_rule rule;

    IGNORE(routing_rule_parse(STR(ROUTING_TEXT_VERSION), &rule, NULL));
    if (routing_rule_stamp(&rule, ret_stamp) != ERR_OK)
        return fault_set(fault, FAULT_IO, "out of memory");
    return FAULT_OK;
}

enum fault_err question_new(const char *model, const char *messages, int64_t output_limit,
                            struct question **ret_question, struct fault *fault)
{
    struct question *question = memory_new(1, sizeof(*question));

    buf_init(&question->body, SIZE_MAX / 2);
    buf_init(&question->text, ROUTING_TEXT_MOST + 1);
    scan_init(&question->scan, QUESTION_DEPTH);
    arena_init(&question->arena, QUESTION_ARENA_BYTES);
    buf_put(&question->body, "{\"model\":");
    buf_put_json(&question->body, str_of(model != NULL ? model : "frugalctl"));
    buf_put(&question->body, ",\"messages\":");
    buf_put(&question->body, messages);
    if (output_limit > 0)
        buf_putf(&question->body, ",\"max_tokens\":%" PRId64, output_limit);
    buf_put(&question->body, "}");
    enum fault_err err = question_parse(question, fault);
    if (err != FAULT_OK) {
        question_free(question);
        return err;
    }
    *ret_question = question;
    return FAULT_OK;
}

void question_free(struct question *question)
{
    if (question == NULL)
        return;
    arena_release(&question->arena);
    buf_release(&question->text);
    buf_release(&question->body);
    free(question);
}

const struct chat_request *question_chat(const struct question *question)
{
    return &question->chat;
}

struct str question_text(const struct question *question)
{
    struct str text = buf_str(&question->text);

    return str_first(text, text.n - 1);
}
