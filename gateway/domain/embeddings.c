/* embeddings.c - the two ways to write a vector. */
#include "gateway/domain/embeddings.h"

#include <stdlib.h>

#include "gateway/domain/floats.h"
#include "gateway/domain/jread.h"

enum api_err embeddings_form(struct str body, enum embeddings_form *ret_form,
                             struct api_error *error)
{
    struct jread_value value =
        jread_get(jread_trusted(str_trim(body)), "encoding_format");

    if (value.type == JREAD_NOTHING || value.type == JREAD_NULLS ||
        jread_string_is(value, "float"))
        *ret_form = EMBEDDINGS_FLOAT;
    else if (jread_string_is(value, "base64"))
        *ret_form = EMBEDDINGS_BASE64;
    else
        return api_error_set(error, API_BAD_VALUE, "encoding_format",
                             "'encoding_format' must be 'float' or 'base64'");
    return API_OK;
}

static void put_vector(struct jput *j, const char *key, enum embeddings_form form,
                       const float *vector, size_t n)
{
    if (form == EMBEDDINGS_BASE64) {
        jput_floats(j, key, vector, n);
        return;
    }
    jput_open(j, key, '[');
    for (size_t i = 0; i < n; i++)
        buf_putf(j->out, i > 0 ? ",%.9g" : "%.9g", (double)vector[i]);
    jput_close(j, ']');
}

/* One element of `data`, all else as it came. */
static void recode_element(struct jput *j, struct jread_value element,
                           enum embeddings_form form, float *vector)
{
    struct jread_iter it = jread_iter(element);
    struct jread_value key, value;
    struct buf *out = j->out;
    size_t n;

    jput_open(j, NULL, '{');
    while (jread_next_member(&it, &key, &value)) {
        if (jread_string_is(key, "embedding") &&
            floats_vector(value, vector, EMBEDDINGS_MAX_DIM, &n) == FLOATS_OK) {
            put_vector(j, "embedding", form, vector, n);
            continue;
        }
        buf_put(out, j->comma ? "," : "");
        buf_put_str(out, key.raw);
        buf_put(out, ":");
        buf_put_str(out, value.raw);
        j->comma = true;
    }
    jput_close(j, '}');
}

static bool has_form(struct jread_value data, enum embeddings_form form)
{
    struct jread_iter it = jread_iter(data);
    struct jread_value element;
    enum jread_type other = form == EMBEDDINGS_BASE64 ? JREAD_LIST : JREAD_TEXT;

    while (jread_next_element(&it, &element))
        if (jread_get(element, "embedding").type == other)
            return false;
    return true;
}

bool embeddings_recode(struct str body, enum embeddings_form form, struct buf *out)
{
    struct jread_value root = jread_trusted(str_trim(body));
    struct jread_value data = jread_get(root, "data"), element;
    struct jread_iter it = jread_iter(data);
    struct jput j;
    float *vector;

    if (data.type != JREAD_LIST || has_form(data, form))
        return false;
    vector = calloc(EMBEDDINGS_MAX_DIM, sizeof *vector);
    if (vector == NULL)
        return false;
    jput_init(&j, out);
    buf_put_str(out, (struct str){ root.raw.p, (size_t)(data.raw.p - root.raw.p) });
    jput_open(&j, NULL, '[');
    while (jread_next_element(&it, &element))
        recode_element(&j, element, form, vector);
    jput_close(&j, ']');
    buf_put_str(out, str_skip(root.raw, (size_t)(data.raw.p - root.raw.p) + data.raw.n));
    free(vector);
    return true;
}

void embeddings_begin(struct embeddings *e, enum embeddings_form form, struct str model,
                      struct buf *out)
{
    *e = (struct embeddings){ .form = form, .model = model };
    jput_init(&e->j, out);
    jput_open(&e->j, NULL, '{');
    jput_text(&e->j, "object", "list");
    jput_open(&e->j, "data", '[');
}

void embeddings_put(struct embeddings *e, const float *vector, size_t n)
{
    jput_open(&e->j, NULL, '{');
    jput_text(&e->j, "object", "embedding");
    jput_int(&e->j, "index", e->n++);
    put_vector(&e->j, "embedding", e->form, vector, n);
    jput_close(&e->j, '}');
}

void embeddings_end(struct embeddings *e)
{
    jput_close(&e->j, ']');
    jput_str(&e->j, "model", e->model);
    jput_open(&e->j, "usage", '{');
    jput_int(&e->j, "prompt_tokens", 0);
    jput_int(&e->j, "total_tokens", 0);
    jput_int(&e->j, "cost", 0);
    jput_close(&e->j, '}');
    jput_close(&e->j, '}');
}
