/* order.c - reads a request body; see order.h. */
#include "tools/experts/order.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tools/experts/embed.h"
#include "tools/experts/tokens.h"

enum { TOKENS_PER_MESSAGE = 3, TOKENS_OF_FRAME = 3 };

void order_init(struct order *order)
{
    memset(order, 0, sizeof *order);
    script_init(&order->script);
    order->max_tokens = -1;
    order->choices = 1;
}

void order_release(struct order *order)
{
    for (size_t t = 0; t < order->n_texts; t++)
        free(order->texts[t].p);
    free(order->texts);
    order->texts = NULL;
    order->n_texts = 0;
}

__attribute__((format(printf, 5, 6))) static int refuse(struct order_error *error,
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

static int out_of_memory(struct order_error *error)
{
    return refuse(error, 500, NULL, NULL, "out of memory");
}

static int read_model(struct order *order, const json_t *root, struct order_error *error)
{
    const char *model = json_string_value(json_object_get(root, "model"));
    if (model == NULL)
        return refuse(error, 400, NULL, "model", "'model' must be a string");
    if (strlen(model) >= sizeof order->model)
        return refuse(error, 400, NULL, "model", "'model' is too long");
    memcpy(order->model, model, strlen(model) + 1);
    if (script_named(model)) {
        char text[ORDER_MODEL_BYTES + 64];
        if (script_parse(model, &order->script, text, sizeof text) != NULL)
            return refuse(error, 400, NULL, "model", "%s", text);
        return 0;
    }
    if (order->embeddings ? strcmp(model, EMBED_MODEL) == 0
                          : (order->expert = expert_find(model, strlen(model))) != NULL)
        return 0;
    return refuse(error, 404, "model_not_found", "model", "no model '%s' here", model);
}

static int add_text(struct order *order, size_t at, const char *p, size_t n,
                    struct order_error *error)
{
    char *grown = realloc(order->texts[at].p, order->texts[at].n + n + 1);
    if (grown == NULL)
        return out_of_memory(error);
    memcpy(grown + order->texts[at].n, p, n);
    order->texts[at].p = grown;
    order->texts[at].n += n;
    grown[order->texts[at].n] = 0;
    return 0;
}

static int make_texts(struct order *order, size_t n, struct order_error *error)
{
    order->texts = calloc(n, sizeof *order->texts);
    if (order->texts == NULL)
        return out_of_memory(error);
    order->n_texts = n;
    return 0;
}

/* A message's content is a string, or parts of which the text ones count. */
static int read_content(struct order *order, const json_t *content, bool keep,
                        struct order_error *error)
{
    int failed = 0;
    if (json_is_string(content)) {
        const char *p = json_string_value(content);
        size_t n = json_string_length(content);
        order->prompt_tokens += tokens_count(p, n);
        return keep ? add_text(order, 0, p, n, error) : 0;
    }
    size_t i = 0;
    const json_t *part = NULL;
    json_array_foreach((json_t *)content, i, part)
    {
        const json_t *text = json_object_get(part, "text");
        if (json_is_string(text) && failed == 0)
            failed = read_content(order, text, keep, error);
    }
    return failed;
}

static int read_messages(struct order *order, const json_t *root,
                         struct order_error *error)
{
    const json_t *messages = json_object_get(root, "messages");
    size_t n = json_array_size(messages);
    if (n == 0)
        return refuse(error, 400, NULL, "messages",
                      "'messages' must be a list of messages");
    int failed = make_texts(order, 1, error);
    size_t last = n - 1;
    for (size_t i = n; i-- > 0;) {
        const json_t *role = json_object_get(json_array_get(messages, i), "role");
        if (json_is_string(role) && strcmp(json_string_value(role), "user") == 0) {
            last = i;
            break;
        }
    }
    order->prompt_tokens = TOKENS_OF_FRAME;
    for (size_t i = 0; i < n && failed == 0; i++) {
        const json_t *content = json_object_get(json_array_get(messages, i), "content");
        order->prompt_tokens += TOKENS_PER_MESSAGE;
        failed = read_content(order, content, i == last, error);
    }
    return failed;
}

static int read_limits(struct order *order, const json_t *root, struct order_error *error)
{
    static const char *const limits[] = { "max_tokens", "max_completion_tokens" };
    for (size_t l = 0; l < 2; l++) {
        const json_t *limit = json_object_get(root, limits[l]);
        if (limit == NULL || json_is_null(limit))
            continue;
        if (!json_is_integer(limit) || json_integer_value(limit) < 1)
            return refuse(error, 400, NULL, limits[l],
                          "'%s' must be a whole number above 0", limits[l]);
        if (order->max_tokens < 0 || json_integer_value(limit) < order->max_tokens)
            order->max_tokens = json_integer_value(limit);
    }
    const json_t *n = json_object_get(root, "n");
    if (n == NULL || json_is_null(n))
        return 0;
    if (!json_is_integer(n) || json_integer_value(n) < 1 ||
        json_integer_value(n) > ORDER_CHOICES)
        return refuse(error, 400, NULL, "n", "'n' must be between 1 and %d",
                      ORDER_CHOICES);
    order->choices = (int)json_integer_value(n);
    return 0;
}

int order_chat(struct order *order, const char *body, size_t bytes,
               struct order_error *ret_error)
{
    json_error_t where;
    json_t *root = json_loadb(body, bytes, 0, &where);
    int failed = 0;
    if (!json_is_object(root)) {
        failed = refuse(ret_error, 400, NULL, NULL, "the body is not a JSON object: %s",
                        root == NULL ? where.text : "another type");
        goto out;
    }
    failed = read_model(order, root, ret_error);
    if (failed == 0)
        failed = read_messages(order, root, ret_error);
    if (failed == 0)
        failed = read_limits(order, root, ret_error);
    if (failed != 0)
        goto out;
    order->stream = json_is_true(json_object_get(root, "stream"));
    const json_t *options = json_object_get(root, "stream_options");
    order->include_usage = json_is_true(json_object_get(options, "include_usage"));
    const json_t *tool = json_array_get(json_object_get(root, "tools"), 0);
    const char *name =
        json_string_value(json_object_get(json_object_get(tool, "function"), "name"));
    (void)snprintf(order->tool, sizeof order->tool, "%s", name != NULL ? name : "");
out:
    json_decref(root);
    return failed;
}

int order_embeddings(struct order *order, const char *body, size_t bytes,
                     struct order_error *ret_error)
{
    order->embeddings = true;
    json_error_t where;
    json_t *root = json_loadb(body, bytes, 0, &where);
    const json_t *input = json_object_get(root, "input");
    const json_t *encoding = json_object_get(root, "encoding_format");
    size_t n = json_is_string(input) ? 1 : json_array_size(input);
    int failed = 0;
    if (!json_is_object(root))
        failed = refuse(ret_error, 400, NULL, NULL, "the body is not a JSON object");
    else
        failed = read_model(order, root, ret_error);
    if (failed == 0 && (n == 0 || n > ORDER_TEXTS))
        failed = refuse(ret_error, 400, NULL, "input",
                        "'input' must be a string or 1 to %d strings", ORDER_TEXTS);
    if (failed == 0)
        failed = make_texts(order, n, ret_error);
    for (size_t i = 0; i < n && failed == 0; i++) {
        const json_t *text = json_is_string(input) ? input : json_array_get(input, i);
        if (!json_is_string(text)) {
            failed = refuse(ret_error, 400, NULL, "input", "'input' must hold strings");
            break;
        }
        const char *p = json_string_value(text);
        failed = add_text(order, i, p, json_string_length(text), ret_error);
        order->prompt_tokens += tokens_count(p, json_string_length(text));
    }
    order->base64 =
        json_is_string(encoding) && strcmp(json_string_value(encoding), "base64") == 0;
    json_decref(root);
    return failed;
}
