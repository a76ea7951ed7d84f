/* api_error.c - the table of errors, and how one looks on the wire. */
#include "gateway/domain/api_error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *word;
    int status;
    const char *type, *code;
    enum api_fault fault;
    const char *should_retry, *text;
} table[] = {
#define X(name, word, status, type, code, fault, retry, text)                            \
    { word, status, type, code, API_FAULT_##fault, retry, text },
    API_ERRORS(X)
#undef X
};

static_assert(ARRAY_LEN(table) == API_ERR_COUNT, "one line for every error");

enum api_err api_error_set(struct api_error *error, enum api_err code, const char *param,
                           const char *format, ...)
{
    va_list arguments;

    if (!error)
        return code;
    if (error->code != API_OK)
        return error->code;
    error->code = code;
    error->message[0] = '\0';
    (void)snprintf(error->param, sizeof(error->param), "%s", param ? param : "");
    if (format) {
        va_start(arguments, format);
        (void)vsnprintf(error->message, sizeof(error->message), format, arguments);
        va_end(arguments);
    }
    return code;
}

int api_error_status(enum api_err code)
{
    assert(code < API_ERR_COUNT);
    return table[code].status;
}

const char *api_error_word(enum api_err code)
{
    assert(code < API_ERR_COUNT);
    return table[code].word;
}

const char *api_error_text(enum api_err code)
{
    assert(code < API_ERR_COUNT);
    return table[code].text;
}

const char *api_error_type(enum api_err code)
{
    assert(code < API_ERR_COUNT);
    return table[code].type;
}

const char *api_error_code(enum api_err code)
{
    assert(code < API_ERR_COUNT);
    return table[code].code;
}

enum api_fault api_error_fault(enum api_err code)
{
    assert(code < API_ERR_COUNT);
    return table[code].fault;
}

const char *api_fault_word(enum api_fault fault)
{
    static const char *const words[] = {
#define X(name, word) word,
        API_FAULTS(X)
#undef X
    };

    assert(fault < ARRAY_LEN(words));
    return words[fault];
}

const char *api_error_should_retry(enum api_err code)
{
    assert(code < API_ERR_COUNT);
    return table[code].should_retry;
}

const char *api_error_source(enum api_err code)
{
    return api_error_fault(code) == API_FAULT_EXPERT ? "expert" : "gateway";
}

static void put_or_null(struct buf *body, const char *text)
{
    if (text && text[0] != '\0')
        buf_put_json(body, str_of(text));
    else
        buf_put(body, "null");
}

const char *api_error_message(const struct api_error *error)
{
    return error->message[0] != '\0' ? error->message : table[error->code].text;
}

void api_error_body(const struct api_error *error, struct buf *body)
{
    buf_put(body, "{\"error\":{\"message\":");
    buf_put_json(body, str_of(api_error_message(error)));
    buf_put(body, ",\"type\":");
    buf_put_json(body, str_of(api_error_type(error->code)));
    buf_put(body, ",\"param\":");
    put_or_null(body, error->param);
    buf_put(body, ",\"code\":");
    put_or_null(body, api_error_code(error->code));
    buf_put(body, "}}");
}

void api_error_event(const struct api_error *error, struct buf *out)
{
    buf_put(out, "data: ");
    api_error_body(error, out);
    buf_put(out, "\n\n");
}
