/* log_line.c - looks for request and response where logs have them. */
#include "tools/ctl/log_line.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tools/ctl/log_response.h"
#include "tools/ctl/turns.h"

struct line {
    const struct log_wish *wish;
    struct arena *arena;
    struct jread_value record, request, response;
    bool answers_only; /* a line of a batch's output */
};

static bool is_set(struct jread_value value)
{
    return value.type != JREAD_NOTHING && value.type != JREAD_NULLS;
}

/* A member; where it is a string that holds an object or a list, that. */
static struct jread_value member(struct line *line, struct jread_value map,
                                 const char *name)
{
    struct jread_value value = jread_get(map, name), inside;
    struct str text;

    if (value.type != JREAD_TEXT || jread_string(value, line->arena, &text) != ERR_OK)
        return value;
    text = str_trim(text);
    if (text.n == 0 || (text.p[0] != '{' && text.p[0] != '[') ||
        !jread_parse(text, LOG_LINE_DEPTH, &inside))
        return value;
    return inside;
}

static bool holds_prompt(struct line *line, struct jread_value map)
{
    struct jread_value messages = member(line, map, "messages");
    struct jread_iter it = jread_iter(messages);
    struct jread_value first;

    if (messages.type == JREAD_LIST)
        return jread_next_element(&it,
                                  &first); /* LiteLLM writes {} or [] for "not kept" */
    return is_set(jread_get(map, "prompt")) || is_set(jread_get(map, "input"));
}

/* The request is the record itself, or in one of its members. */
static void find_request(struct line *line)
{
    static const char *const places[] = { "body", "request", "proxy_server_request" };

    line->request = (struct jread_value){ .type = JREAD_NOTHING };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct jread_value place = member(line, line->record, places[i]);
        struct jread_value body = member(line, place, "body");
        if (body.type == JREAD_MAP && holds_prompt(line, body)) {
            line->request = body;
            return;
        }
        if (place.type == JREAD_MAP && holds_prompt(line, place)) {
            line->request = place;
            return;
        }
    }
    if (holds_prompt(line, line->record))
        line->request = line->record;
}

static void find_response(struct line *line)
{
    struct jread_value response = member(line, line->record, "response");
    struct jread_value body = member(line, response, "body");

    line->response = body.type == JREAD_MAP ? body : response;
    line->answers_only = line->request.type == JREAD_NOTHING &&
                         response.type == JREAD_MAP &&
                         is_set(jread_get(line->record, "custom_id"));
}

/* Reads a text, or a number as it is written, of at most max bytes; stays NULL when it is
 * absent. */
static enum fault_err take_text(struct line *line, struct jread_value map,
                                const char *name, size_t max, const char **ret_text,
                                struct fault *fault)
{
    struct jread_value value = jread_get(map, name);
    struct str text;

    if (!is_set(value))
        return FAULT_OK;
    if (value.type != JREAD_TEXT && value.type != JREAD_NUMBER)
        return fault_set(fault, FAULT_INPUT, "'%s' must be a string, not %s", name,
                         jread_type_name(value.type));
    enum err err = value.type == JREAD_TEXT ? jread_string(value, line->arena, &text)
                                            : arena_copy(line->arena, value.raw, &text);
    if (err != ERR_OK)
        return fault_set(fault, FAULT_INPUT, "the line is too large");
    if (text.n > max)
        return fault_set(fault, FAULT_INPUT, "'%s' is longer than %zu bytes", name, max);
    if (memchr(text.p, 0, text.n) != NULL)
        return fault_set(fault, FAULT_INPUT, "'%s' holds a NUL character", name);
    if (text.n > 0)
        *ret_text = text.p;
    return FAULT_OK;
}

/* "metadata.team": the member of a member. */
static struct jread_value at_path(struct line *line, struct jread_value from,
                                  const char *path)
{
    char name[BROUGHT_MAX_ID];
    size_t n;

    for (; *path != '\0'; path += n + (path[n] == '.')) {
        n = strcspn(path, ".");
        if (n >= sizeof(name))
            return (struct jread_value){ .type = JREAD_NOTHING };
        memcpy(name, path, n);
        name[n] = '\0';
        from = member(line, from, name);
    }
    return from;
}

/* A list (tags) gives its first item. */
static enum fault_err take_domain(struct line *line, const char **ret_domain,
                                  struct fault *fault)
{
    const char *path = line->wish->domain_field;
    struct jread_value value = at_path(line, line->record, path), first;
    struct str text;

    if (!is_set(value))
        value = at_path(line, line->request, path);
    struct jread_iter it = jread_iter(value);
    if (value.type == JREAD_LIST && jread_next_element(&it, &first))
        value = first;
    if (value.type != JREAD_TEXT && value.type != JREAD_NUMBER)
        return FAULT_OK;
    enum err err = value.type == JREAD_TEXT ? jread_string(value, line->arena, &text)
                                            : arena_copy(line->arena, value.raw, &text);
    if (err != ERR_OK || text.n > BROUGHT_MAX_ID || memchr(text.p, 0, text.n) != NULL)
        return fault_set(fault, FAULT_INPUT, "'%s' is longer than %d bytes", path,
                         BROUGHT_MAX_ID);
    if (text.n > 0)
        *ret_domain = text.p;
    return FAULT_OK;
}

/* A request's own id is the caller's name for the prompt; ids of calls are not: the same question
 * has another one each time. */
static enum fault_err take_id(struct line *line, struct brought *brought,
                              struct fault *fault)
{
    enum fault_err err =
        take_text(line, line->record, "custom_id", BROUGHT_MAX_ID, &brought->id, fault);
    if (err == FAULT_OK && brought->id == NULL && line->wish->kind == LOG_OPENAI &&
        !is_set(line->response))
        err = take_text(line, line->record, "id", BROUGHT_MAX_ID, &brought->id, fault);
    return err;
}

static enum fault_err take_labels(struct line *line, struct brought *brought,
                                  struct fault *fault)
{
    enum fault_err err = take_id(line, brought, fault);

    if (err == FAULT_OK)
        err = take_text(line, line->request, "model", BROUGHT_MAX_EXPERT, &brought->asked,
                        fault);
    if (err == FAULT_OK)
        err = take_domain(line, &brought->domain, fault);
    if (err == FAULT_OK && line->wish->kind == LOG_OPENAI) {
        err = take_text(line, line->record, "split", BROUGHT_MAX_ID, &brought->split,
                        fault);
        if (err == FAULT_OK)
            err = take_text(line, line->record, "reference", SIZE_MAX,
                            &brought->reference, fault);
        if (err == FAULT_OK)
            err = take_text(line, line->record, "grade", BROUGHT_MAX_ID, &brought->grade,
                            fault);
    }
    return err;
}

/* Embeddings, images and the like have nothing to be routed. */
static bool is_chat(struct line *line)
{
    static const char *const paths[] = { "chat/completions", "completions", "responses",
                                         "messages" };
    static const char *const calls[] = { "completion",        "acompletion",
                                         "text_completion",   "atext_completion",
                                         "responses",         "aresponses",
                                         "anthropic_messages" };
    struct jread_value url = jread_get(line->record, "url");
    struct jread_value call = jread_get(line->record, "call_type");
    struct str text;

    if (url.type == JREAD_TEXT && jread_string(url, line->arena, &text) == ERR_OK) {
        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
            size_t n = strlen(paths[i]);
            if (text.n >= n && memcmp(text.p + text.n - n, paths[i], n) == 0)
                return true;
        }
        return false;
    }
    if (call.type != JREAD_TEXT || jread_string_is(call, ""))
        return true;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (jread_string_is(call, calls[i]))
            return true;
    }
    return false;
}

static enum fault_err take_messages(struct line *line, struct brought *brought,
                                    struct fault *fault)
{
    /* Of a dataset the last turn is what is to be learned; of a request it is what is asked. */
    bool with_answer = line->wish->kind == LOG_OPENAI && !is_set(line->response) &&
                       line->request.raw.p == line->record.raw.p &&
                       brought->reference == NULL;
    struct turns turns = { .request = line->request,
                           .messages = member(line, line->request, "messages") };
    enum fault_err err = turns_read(&turns, with_answer, line->arena, fault);

    brought->messages = turns.text;
    if (turns.reference != NULL)
        brought->reference = turns.reference;
    return err;
}

enum fault_err log_line_read(const struct log_wish *wish, struct jread_value record,
                             struct arena *arena, struct brought *ret_brought,
                             const char **ret_left_out, struct fault *fault)
{
    struct line line = { .wish = wish, .arena = arena, .record = record };
    enum fault_err err = FAULT_OK;

    *ret_brought = (struct brought){ 0 };
    *ret_left_out = NULL;
    if (record.type != JREAD_MAP)
        return fault_set(fault, FAULT_INPUT, "a record must be an object, not %s",
                         jread_type_name(record.type));
    struct jread_value whole = member(&line, record, "standard_logging_object");
    if (whole.type == JREAD_MAP)
        line.record = whole;
    find_request(&line);
    find_response(&line);
    if (!is_chat(&line)) {
        *ret_left_out = "no chat request";
        return FAULT_OK;
    }
    if (line.request.type == JREAD_NOTHING && !line.answers_only) {
        if (wish->kind == LOG_OPENAI)
            return fault_set(fault, FAULT_INPUT,
                             "there is neither 'messages' nor 'body' nor 'request'");
        *ret_left_out = "without its messages (LiteLLM keeps them with "
                        "store_prompts_in_spend_logs: true)";
        return FAULT_OK;
    }
    err = take_labels(&line, ret_brought, fault);
    if (err == FAULT_OK && !line.answers_only)
        err = take_messages(&line, ret_brought, fault);
    const struct log_response said = { .litellm = wish->kind == LOG_LITELLM,
                                       .record = line.record,
                                       .request = line.request,
                                       .response = line.response };
    if (err == FAULT_OK && is_set(line.response))
        err = log_response_read(&said, arena, ret_brought, fault);
    if (err == FAULT_OK && line.answers_only && ret_brought->n_answers == 0)
        *ret_left_out = "a response without an answer";
    return err;
}
