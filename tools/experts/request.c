/* request.c - reads a request body; see request.h. */
#include "tools/experts/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tools/experts/embed.h"
#include "tools/experts/tokens.h"

enum { TOKENS_PER_MESSAGE = 3, TOKENS_OF_FRAME = 3 };

void request_init(struct request *request)
{
    memset(request, 0, sizeof *request);
    script_init(&request->script);
    request->max_tokens = -1;
    request->choices = 1;
}

void request_release(struct request *request)
{
    for (size_t t = 0; t < request->n_texts; t++)
        free(request->texts[t].p);
    free(request->texts);
    request->texts = NULL;
    request->n_texts = 0;
}

__attribute__((format(printf, 5, 6))) static int refuse(struct request_error *error,
                                                        int status, const char *code,
                                                        const char *param,
                                                        const char *form, ...)
{
    error->status = status;
    error->code = code;
    error->param = param;
    va_list args;
    va_start(args, form);
    (void)vsnprintf(error->message, sizeof error->message, form, args);
    va_end(args);
    return status;
}

static int out_of_memory(struct request_error *error)
{
    return refuse(error, 500, NULL, NULL, "out of memory");
}

static int read_model(struct request *request, const json_t *root,
                      struct request_error *error)
{
    const char *model = json_string_value(json_object_get(root, "model"));
    if (model == NULL)
        return refuse(error, 400, NULL, "model", "'model' must be a string");
    if (strlen(model) >= sizeof request->model)
        return refuse(error, 400, NULL, "model", "'model' is too long");
    memcpy(request->model, model, strlen(model) + 1);
    if (script_named(model)) {
        char text[REQUEST_MODEL_BYTES + 64];
        if (script_parse(model, &request->script, text, sizeof text) != NULL)
            return refuse(error, 400, NULL, "model", "%s", text);
        return 0;
    }
    if (request->embeddings
            ? strcmp(model, EMBED_MODEL) == 0
            : (request->expert = expert_find(model, strlen(model))) != NULL)
        return 0;
    return refuse(error, 404, "model_not_found", "model", "no model '%s' here", model);
}

static int add_text(struct request *request, size_t at, const char *p, size_t n,
                    struct request_error *error)
{
    char *grown = realloc(request->texts[at].p, request->texts[at].n + n + 1);
    if (grown == NULL)
        return out_of_memory(error);
    memcpy(grown + request->texts[at].n, p, n);
    request->texts[at].p = grown;
    request->texts[at].n += n;
    grown[request->texts[at].n] = 0;
    return 0;
}

static int make_texts(struct request *request, size_t n, struct request_error *error)
{
    request->texts = calloc(n, sizeof *request->texts);
    if (request->texts == NULL)
        return out_of_memory(error);
    request->n_texts = n;
    return 0;
}

/* A message's content is a string, or parts of which the text ones count. */
static int read_content(struct request *request, const json_t *content, bool keep,
                        struct request_error *error)
{
    int failed = 0;
    if (json_is_string(content)) {
        const char *p = json_string_value(content);
        size_t n = json_string_length(content);
        request->prompt_tokens += tokens_count(p, n);
        return keep ? add_text(request, 0, p, n, error) : 0;
    }
    size_t i = 0;
    const json_t *part = NULL;
    json_array_foreach((json_t *)content, i, part)
    {
        const json_t *text = json_object_get(part, "text");
        if (json_is_string(text) && failed == 0)
            failed = read_content(request, text, keep, error);
    }
    return failed;
}

static int read_messages(struct request *request, const json_t *root,
                         struct request_error *error)
{
    const json_t *messages = json_object_get(root, "messages");
    size_t n = json_array_size(messages);
    if (n == 0)
        return refuse(error, 400, NULL, "messages",
                      "'messages' must be a list of messages");
    int failed = make_texts(request, 1, error);
    size_t last = n - 1;
    for (size_t i = n; i-- > 0;) {
        const json_t *role = json_object_get(json_array_get(messages, i), "role");
        if (json_is_string(role) && strcmp(json_string_value(role), "user") == 0) {
            last = i;
            break;
        }
    }
    request->prompt_tokens = TOKENS_OF_FRAME;
    for (size_t i = 0; i < n && failed == 0; i++) {
        const json_t *content = json_object_get(json_array_get(messages, i), "content");
        request->prompt_tokens += TOKENS_PER_MESSAGE;
        failed = read_content(request, content, i == last, error);
    }
    return failed;
}

static int read_limits(struct request *request, const json_t *root,
                       struct request_error *error)
{
    static const char *const limits[] = { "max_tokens", "max_completion_tokens" };
    for (size_t l = 0; l < 2; l++) {
        const json_t *limit = json_object_get(root, limits[l]);
        if (limit == NULL || json_is_null(limit))
            continue;
        if (!json_is_integer(limit) || json_integer_value(limit) < 1)
            return refuse(error, 400, NULL, limits[l],
                          "'%s' must be a whole number above 0", limits[l]);
        if (request->max_tokens < 0 || json_integer_value(limit) < request->max_tokens)
            request->max_tokens = json_integer_value(limit);
    }
    const json_t *n = json_object_get(root, "n");
    if (n == NULL || json_is_null(n))
        return 0;
    if (!json_is_integer(n) || json_integer_value(n) < 1 ||
        json_integer_value(n) > REQUEST_CHOICES)
        return refuse(error, 400, NULL, "n", "'n' must be between 1 and %d",
                      REQUEST_CHOICES);
    request->choices = (int)json_integer_value(n);
    return 0;
}

int request_chat(struct request *request, const char *body, size_t bytes,
                 struct request_error *ret_error)
{
    json_error_t where;
    json_t *root = json_loadb(body, bytes, 0, &where);
    int failed = 0;
    if (!json_is_object(root)) {
        failed = refuse(ret_error, 400, NULL, NULL, "the body is not a JSON object: %s",
                        root == NULL ? where.text : "another type");
        goto out;
    }
    failed = read_model(request, root, ret_error);
    if (failed == 0)
        failed = read_messages(request, root, ret_error);
    if (failed == 0)
        failed = read_limits(request, root, ret_error);
    if (failed != 0)
        goto out;
    request->stream = json_is_true(json_object_get(root, "stream"));
    const json_t *options = json_object_get(root, "stream_options");
    request->include_usage = json_is_true(json_object_get(options, "include_usage"));
    const json_t *tool = json_array_get(json_object_get(root, "tools"), 0);
    const char *name =
        json_string_value(json_object_get(json_object_get(tool, "function"), "name"));
    (void)snprintf(request->tool, sizeof request->tool, "%s", name != NULL ? name : "");
out:
    json_decref(root);
    return failed;
}

int request_embeddings(struct request *request, const char *body, size_t bytes,
                       struct request_error *ret_error)
{
    request->embeddings = true;
    json_error_t where;
    json_t *root = json_loadb(body, bytes, 0, &where);
    const json_t *input = json_object_get(root, "input");
    const json_t *encoding = json_object_get(root, "encoding_format");
    size_t n = json_is_string(input) ? 1 : json_array_size(input);
    int failed = 0;
    if (!json_is_object(root))
        failed = refuse(ret_error, 400, NULL, NULL, "the body is not a JSON object");
    else
        failed = read_model(request, root, ret_error);
    if (failed == 0 && (n == 0 || n > REQUEST_TEXTS))
        failed = refuse(ret_error, 400, NULL, "input",
                        "'input' must be a string or 1 to %d strings", REQUEST_TEXTS);
    if (failed == 0)
        failed = make_texts(request, n, ret_error);
    for (size_t i = 0; i < n && failed == 0; i++) {
        const json_t *text = json_is_string(input) ? input : json_array_get(input, i);
        if (!json_is_string(text)) {
            failed = refuse(ret_error, 400, NULL, "input", "'input' must hold strings");
            break;
        }
        const char *p = json_string_value(text);
        failed = add_text(request, i, p, json_string_length(text), ret_error);
        request->prompt_tokens += tokens_count(p, json_string_length(text));
    }
    request->base64 =
        json_is_string(encoding) && strcmp(json_string_value(encoding), "base64") == 0;
    json_decref(root);
    return failed;
}
