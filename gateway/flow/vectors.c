/* vectors.c - /v1/embeddings: the built-in embedders' answers, and experts' in another form. */
#include <stdlib.h>

#include "fuser/fuser.h"
#include "gateway/domain/embeddings.h"
#include "gateway/domain/routing_text.h"
#include "gateway/flow/exchange_parts.h"

/* Some tens of microseconds each, on the loop. */
#define MAX_INPUTS   128
#define VECTOR_BYTES (16u << 20) /* of a whole answer */

/* The configuration's built-in embedder of that name; -1: there is none. */
static int builtin(const struct exchange *x)
{
    const struct config *config = exchange_config(x);

    for (size_t j = 0; j < config->n_embedders; j++)
        if (config->embedders[j].kind != CONFIG_EMBEDDER_REMOTE &&
            str_is(x->chat.model, config->embedders[j].name))
            return (int)j;
    return -1;
}

bool vectors_are_ours(const struct exchange *x)
{
    return x->route == EXCHANGE_EMBEDDINGS && builtin(x) >= 0;
}

static enum api_err put_one(struct exchange *x, struct jread_value text, size_t j,
                            float *vector, size_t dim, struct embeddings *e)
{
    struct buf said, clipped;
    enum api_err err = API_OK;

    if (text.type != JREAD_TEXT)
        return api_error_set(&x->error, API_BAD_TYPE, "input",
                             "a built-in embedder reads text, not %s",
                             jread_type_name(text.type));
    buf_init(&said, text.raw.n);
    buf_init(&clipped, ROUTING_TEXT_MOST);
    (void)jread_put_string(text, SIZE_MAX, &said);
    if (said.failed || routing_text_of_prompt_by(&x->snapshot->text_rule, buf_str(&said),
                                                 &clipped) != ERR_OK) {
        err = api_error_set(&x->error, API_NOMEM, NULL, NULL);
    } else {
        fuser_embed(x->snapshot->fuser, j, clipped.p != NULL ? clipped.p : "", clipped.n,
                    vector);
        embeddings_put(e, vector, dim);
    }
    buf_release(&said);
    buf_release(&clipped);
    return err;
}

static enum api_err put_all(struct exchange *x, size_t j, float *vector, size_t dim,
                            struct embeddings *e)
{
    struct jread_value input =
        jread_trusted(scan_raw(&x->scan, SCAN_INPUT, buf_str(&x->body)));
    struct jread_iter it = jread_iter(input);
    struct jread_value text;
    enum api_err err = API_OK;

    if (input.type == JREAD_TEXT)
        return put_one(x, input, j, vector, dim, e);
    while (err == API_OK && jread_next_element(&it, &text))
        err = put_one(x, text, j, vector, dim, e);
    return err;
}

enum api_err vectors_answer(struct exchange *x, struct buf *out)
{
    struct jread_value root = jread_trusted(str_trim(buf_str(&x->body)));
    const struct fuser *fuser = x->snapshot->fuser;
    enum embeddings_form form;
    struct embeddings e;
    enum api_err err;
    int j = builtin(x), at;
    float *vector;
    size_t dim;

    at = fuser != NULL ? fuser_embedder_in_bundle(fuser, (size_t)j) : -1;
    if (at < 0)
        return api_error_set(&x->error, API_NO_MODEL, "model",
                             "the embedder '" STR_FMT
                             "' is made by a bundle, and there is "
                             "none that has it",
                             STR_ARG(x->chat.model));
    if (x->chat.n_messages > MAX_INPUTS)
        return api_error_set(&x->error, API_BAD_VALUE, "input",
                             "'input' must have at most %d texts", MAX_INPUTS);
    if (jread_get(root, "dimensions").type != JREAD_NOTHING)
        return api_error_set(&x->error, API_UNSUPPORTED, "dimensions",
                             "'dimensions': a built-in embedder has its own");
    err = embeddings_form(buf_str(&x->body), &form, &x->error);
    if (err != API_OK)
        return err;
    dim = fuser_bundle_embedder(fuser_bundle_of(fuser), (size_t)at)->dim;
    vector = arena_array(&x->arena, dim, sizeof *vector);
    if (vector == NULL)
        return api_error_set(&x->error, API_NOMEM, NULL, NULL);
    buf_init(out, VECTOR_BYTES);
    embeddings_begin(&e, form, x->chat.model, out);
    err = put_all(x, (size_t)j, vector, dim, &e);
    embeddings_end(&e);
    return err;
}

/* What the expert answered to a form of its own is its affair. */
void vectors_recode(struct exchange *x)
{
    struct api_error ignored = { .code = API_OK };
    struct usage_answer answer;
    enum embeddings_form form;
    struct buf out;

    if (x->chat.shape != CHAT_INPUT ||
        embeddings_form(buf_str(&x->body), &form, &ignored) != API_OK)
        return;
    buf_init(&out, 4 * (size_t)exchange_config(x)->limits.answer_bytes);
    if (!embeddings_recode(buf_str(&x->attempt.body), form, &out) || out.failed ||
        !usage_read_answer(buf_str(&out), &answer)) {
        buf_release(&out);
        return;
    }
    buf_release(&x->attempt.body);
    x->attempt.body = out;
    x->attempt.answer = answer;
}
