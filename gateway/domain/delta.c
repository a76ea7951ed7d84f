/* delta.c - reads one chunk of a stream, without a tree. */
#include "gateway/domain/delta.h"

#include <stdint.h>

#include "gateway/domain/jread.h"

#define DEPTH 128

static bool is_empty(struct jread_value value)
{
    struct jread_iter it = jread_iter(value);
    struct jread_value key, item;

    switch (value.type) {
    case JREAD_NOTHING:
    case JREAD_NULLS:
        return true;
    case JREAD_TEXT:
        return value.raw.n == 2;
    case JREAD_LIST:
        return !jread_next_element(&it, &item);
    case JREAD_MAP:
        return !jread_next_member(&it, &key, &item);
    default:
        return false;
    }
}

static void read_delta(struct delta *delta, struct jread_value value)
{
    struct jread_iter it = jread_iter(value);
    struct jread_value key, item;

    if (value.type != JREAD_MAP) {
        delta->content = delta->content || !is_empty(value);
        return;
    }
    while (jread_next_member(&it, &key, &item))
        if (!jread_string_is(key, "role") && !is_empty(item))
            delta->content = true;
}

static void read_choice(struct delta *delta, struct jread_value choice)
{
    struct jread_iter it = jread_iter(choice);
    struct jread_value key, value;

    if (choice.type != JREAD_MAP)
        return;
    while (jread_next_member(&it, &key, &value)) {
        if (jread_string_is(key, "delta")) {
            read_delta(delta, value);
        } else if (!jread_string_is(key, "index") && !is_empty(value)) {
            delta->content = true;
            if (jread_string_is(key, "finish_reason"))
                delta->finished = true;
        }
    }
    delta->output_bytes += usage_text_bytes(choice);
}

static int status_of(struct jread_value error)
{
    static const char *const names[] = { "status", "code", "status_code" };
    int64_t number;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct jread_value value = jread_get(error, names[i]);

        if (value.type == JREAD_TEXT) /* "429" */
            value = (struct jread_value){ JREAD_NUMBER,
                                          { value.raw.p + 1, value.raw.n - 2 } };
        if (jread_integer(value, &number) && number >= 400 && number <= 599)
            return (int)number;
    }
    return 0;
}

static void read_error(struct delta *delta, struct jread_value value)
{
    if (is_empty(value))
        return;
    delta->is_error = true;
    delta->error = value.raw;
    delta->error_status = status_of(value);
}

struct delta delta_read(struct str data)
{
    struct delta delta = { .valid = false };
    struct jread_value root, key, value, choice;
    struct jread_iter it, choices;

    if (str_is(str_trim(data), "[DONE]"))
        return (struct delta){ .valid = true, .done = true };
    if (!jread_parse(data, DEPTH, &root) || root.type != JREAD_MAP)
        return delta;
    delta.valid = true;
    it = jread_iter(root);
    while (jread_next_member(&it, &key, &value)) {
        if (usage_names_take(&delta.names, key, value))
            continue;
        if (jread_string_is(key, "choices")) {
            choices = jread_iter(value);
            while (jread_next_element(&choices, &choice)) {
                delta.has_choices = true;
                read_choice(&delta, choice);
            }
        } else if (jread_string_is(key, "usage")) {
            delta.has_usage = value.type == JREAD_MAP;
            delta.usage = usage_read(value);
        } else if (str_is(key.raw, "\"created\"")) {
            IGNORE(jread_integer(value, &delta.created));
        } else if (jread_string_is(key, "error")) {
            read_error(&delta, value);
        }
    }
    return delta;
}

bool delta_is_usage_chunk(const struct delta *delta)
{
    return delta->has_usage && !delta->has_choices && !delta->is_error;
}

void delta_strip_usage(struct str data, struct iovec ret_pieces[2], size_t *ret_n)
{
    struct jread_value root, key, value;
    struct jread_iter it;
    size_t begin = 0, end = 0, before = 0;
    bool found = false;

    if (jread_parse(data, DEPTH, &root)) {
        it = jread_iter(root);
        while (!found && jread_next_member(&it, &key, &value)) {
            found = jread_string_is(key, "usage");
            begin = (size_t)(key.raw.p - data.p);
            end = (size_t)(it.p - data.p); /* behind the comma, if there is one */
            if (!found)
                before = (size_t)(value.raw.p - data.p) + value.raw.n;
        }
    }
    if (!found) {
        ret_pieces[0] = (struct iovec){ (void *)(uintptr_t)data.p, data.n };
        *ret_n = 1;
        return;
    }
    /* As the last member it takes the comma before it along. */
    if (data.p[end - 1] != ',' && before > 0)
        begin = before;
    ret_pieces[0] = (struct iovec){ (void *)(uintptr_t)data.p, begin };
    ret_pieces[1] = (struct iovec){ (void *)(uintptr_t)(data.p + end), data.n - end };
    *ret_n = 2;
}
