/* turns.c - message by message: its role is known, then it is copied. */
#include "tools/ctl/turns.h"

#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/domain/responses.h"

#define TURNS_DEPTH 128

static bool role_known(struct jread_value role)
{
    static const char *const roles[] = { "system",    "developer", "user",
                                         "assistant", "tool",      "function" };

    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (jread_string_is(role, roles[i]))
            return true;
    }
    return false;
}

static enum fault_err check_message(size_t number, struct jread_value message,
                                    struct fault *fault)
{
    struct jread_value role = jread_get(message, "role");
    struct jread_value content = jread_get(message, "content");

    if (message.type != JREAD_MAP)
        return fault_set(fault, FAULT_INPUT, "message %zu is %s, not an object", number,
                         jread_type_name(message.type));
    if (role.type != JREAD_TEXT)
        return fault_set(fault, FAULT_INPUT, "message %zu has no role", number);
    if (!role_known(role))
        return fault_set(fault, FAULT_INPUT, "message %zu has an unknown role %.*s",
                         number, (int)(role.raw.n < 60 ? role.raw.n : 60), role.raw.p);
    if (content.type == JREAD_NUMBER || content.type == JREAD_BOOL ||
        content.type == JREAD_MAP)
        return fault_set(fault, FAULT_INPUT, "the content of message %zu is %s", number,
                         jread_type_name(content.type));
    return FAULT_OK;
}

static bool blank(struct jread_value text, struct arena *arena)
{
    struct str said;

    return text.type == JREAD_TEXT && jread_string(text, arena, &said) == ERR_OK &&
           str_trim(said).n == 0;
}

/* Is there something in it: a text with words, or any part that is none? */
static bool says(struct jread_value content, struct arena *arena)
{
    struct jread_iter it = jread_iter(content);
    struct jread_value part;

    if (content.type != JREAD_LIST)
        return content.type == JREAD_TEXT && !blank(content, arena);
    while (jread_next_element(&it, &part)) {
        if (!blank(part.type == JREAD_MAP ? jread_get(part, "text") : part, arena))
            return true;
    }
    return false;
}

/* How many messages there are, and the last of them. */
static enum fault_err check_all(struct jread_value list, size_t *ret_n,
                                struct jread_value *ret_last, struct arena *arena,
                                struct fault *fault)
{
    struct jread_iter it = jread_iter(list);
    struct jread_value message;
    size_t n = 0, users = 0, asking = 0;

    while (jread_next_element(&it, &message)) {
        enum fault_err err = check_message(++n, message, fault);
        if (err != FAULT_OK)
            return err;
        if (jread_string_is(jread_get(message, "role"), "user")) {
            users++;
            asking += says(jread_get(message, "content"), arena);
        }
        *ret_last = message;
    }
    if (users == 0)
        return fault_set(fault, FAULT_INPUT, "there is no turn of a user in 'messages'");
    if (asking == 0)
        return fault_set(fault, FAULT_INPUT,
                         "there is nothing to ask: what the user says is empty");
    *ret_n = n;
    return FAULT_OK;
}

static enum fault_err too_large(struct fault *fault)
{
    return fault_set(fault, FAULT_INPUT, "the line is too large");
}

static enum fault_err write_messages(struct turns *turns, struct jread_value list,
                                     bool with_answer, struct arena *arena,
                                     struct fault *fault)
{
    struct jread_value last = { .type = JREAD_NOTHING }, message;
    struct str text;
    struct buf out;
    size_t n = 0;
    enum fault_err err = check_all(list, &n, &last, arena, fault);

    if (err != FAULT_OK)
        return err;
    if (with_answer && n > 1 && jread_string_is(jread_get(last, "role"), "assistant") &&
        jread_string(jread_get(last, "content"), arena, &text) == ERR_OK && text.n > 0 &&
        memchr(text.p, 0, text.n) == NULL) {
        turns->reference = text.p;
        n--;
    }
    struct jread_iter it = jread_iter(list);
    buf_init(&out, SIZE_MAX / 2);
    for (size_t i = 0; i < n && jread_next_element(&it, &message); i++) {
        buf_put(&out, i == 0 ? "[" : ",");
        jread_put_compact(message.raw, &out);
    }
    buf_put(&out, "]");
    bool copied = arena_copy(arena, buf_str(&out), &text) == ERR_OK;
    buf_release(&out);
    if (!copied)
        return too_large(fault);
    turns->text = text.p;
    return FAULT_OK;
}

/* The prompt of /v1/completions: a text, or the first of a list. */
static enum fault_err write_prompt(struct turns *turns, struct jread_value prompt,
                                   struct arena *arena, struct fault *fault)
{
    struct jread_iter it = jread_iter(prompt);
    struct jread_value first;
    struct str text;
    struct buf out;

    if (prompt.type == JREAD_LIST && jread_next_element(&it, &first))
        prompt = first;
    if (prompt.type != JREAD_TEXT)
        return fault_set(fault, FAULT_INPUT, "'prompt' is %s, not a text",
                         jread_type_name(prompt.type));
    if (blank(prompt, arena))
        return fault_set(fault, FAULT_INPUT,
                         "there is nothing to ask: 'prompt' is empty");
    buf_init(&out, SIZE_MAX / 2);
    buf_put(&out, "[{\"role\":\"user\",\"content\":");
    buf_put_str(&out, prompt.raw);
    buf_put(&out, "}]");
    bool copied = arena_copy(arena, buf_str(&out), &text) == ERR_OK;
    buf_release(&out);
    if (!copied)
        return too_large(fault);
    turns->text = text.p;
    return FAULT_OK;
}

static enum fault_err write_responses(struct turns *turns, struct arena *arena,
                                      struct fault *fault)
{
    struct api_error error = { 0 };
    struct jread_value chat;
    struct buf out;
    enum fault_err err;

    buf_init(&out, SIZE_MAX / 2);
    if (responses_request(turns->request.raw, &out, NULL, &error) != API_OK)
        err = fault_set(fault, FAULT_INPUT, "the request cannot be told as a chat: %s",
                        error.message);
    else if (!jread_parse(buf_str(&out), TURNS_DEPTH, &chat))
        err = fault_set(fault, FAULT_INPUT, "the request cannot be told as a chat");
    else
        err = write_messages(turns, jread_get(chat, "messages"), false, arena, fault);
    buf_release(&out);
    return err;
}

enum fault_err turns_read(struct turns *turns, bool with_answer, struct arena *arena,
                          struct fault *fault)
{
    struct jread_value prompt = jread_get(turns->request, "prompt");

    if (turns->messages.type == JREAD_LIST)
        return write_messages(turns, turns->messages, with_answer, arena, fault);
    if (turns->messages.type != JREAD_NOTHING && turns->messages.type != JREAD_NULLS &&
        turns->messages.type != JREAD_MAP)
        return fault_set(fault, FAULT_INPUT, "'messages' must be a list, not %s",
                         jread_type_name(turns->messages.type));
    if (prompt.type != JREAD_NOTHING && prompt.type != JREAD_NULLS)
        return write_prompt(turns, prompt, arena, fault);
    return write_responses(turns, arena, fault);
}
