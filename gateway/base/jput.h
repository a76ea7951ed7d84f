/* jput.h - writes JSON into a buffer: commas, keys and numbers, without printf.
 *
 *   struct jput j;
 *   jput_init(&j, &buf);
 *   jput_open(&j, NULL, '{');
 *   jput_text(&j, "name", "small");
 *   jput_open(&j, "list", '[');
 *   jput_int(&j, NULL, 4);
 *   jput_close(&j, ']');
 *   jput_close(&j, '}');                   {"name":"small","list":[4]}
 *
 * A key is written as it stands: a literal without quotes and backslashes; NULL inside a
 * list and for the whole document. Nothing fails here: test buf->failed at the end. One
 * thread.
 */
#ifndef GATEWAY_BASE_JPUT_H
#define GATEWAY_BASE_JPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"

struct jput {
    struct buf *out; /* borrowed */
    bool comma;      /* something stands before the next value */
};

void jput_init(struct jput *j, struct buf *out);
void jput_open(struct jput *j, const char *key, char bracket); /* '{' or '[' */
void jput_close(struct jput *j, char bracket);                 /* '}' or ']' */

void jput_null(struct jput *j, const char *key);
void jput_bool(struct jput *j, const char *key, bool value);
void jput_int(struct jput *j, const char *key, int64_t value);
/* Six significant digits; null for what is no number. */
void jput_number(struct jput *j, const char *key, double value);
/* Exact, in USD; null for MONEY_NONE. */
void jput_usd(struct jput *j, const char *key, int64_t pico);
/* As buf_put_json writes it. A NULL text is null, a str with NULL in it is too. */
void jput_text(struct jput *j, const char *key, const char *value);
void jput_str(struct jput *j, const char *key, struct str value);
/* JSON as it stands; null where it is empty. */
void jput_raw(struct jput *j, const char *key, struct str json);
/* Little-endian floats as a base64 text. */
void jput_floats(struct jput *j, const char *key, const float *values, size_t n);

#endif
