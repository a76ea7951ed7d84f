/* schema.h - does a JSON text satisfy a JSON Schema?
 *
 *   schema_load("answer.schema.json", &schema, fault)
 *   switch (schema_allows(schema, text, bytes)) ...
 *   schema_free(schema)
 *
 * A subset of draft 2020-12 (which covers 2019-09 and draft 07 but for `items` as a list):
 * the assertions of the table in schema.c, `$ref` within the file, boolean schemas. What is
 * not in the table is refused when the file is read, with its place: a keyword that is
 * silently not checked would pass wrong answers. Notes for people (`title`, `description`,
 * `default`, `examples`...) are skipped, and so is `format`, which the draft makes a note,
 * too.
 *
 * What stands beside a $ref holds, too, as from 2019-09 on; draft 07 skips it. That is the one
 * difference to the official tests of draft 07 for what is not refused: 351 of 352 agree.
 *
 * Bounds: `pattern` is matched by gateway/domain/pattern.h; nesting SCHEMA_DEPTH; one check
 * takes SCHEMA_STEPS steps. Beyond them nobody knows: SCHEMA_UNKNOWN.
 *
 * Lengths are code points; numbers are compared by value: 1.0 is an integer and equals 1.
 * Immutable once loaded; any thread may check.
 */
#ifndef TOOLS_CTL_SCHEMA_H
#define TOOLS_CTL_SCHEMA_H

#include <stddef.h>

#include "tools/ctl/fault.h"

#define SCHEMA_DEPTH 256
#define SCHEMA_STEPS 1000000

struct schema;

enum schema_answer {
    SCHEMA_NO, /* no JSON, or JSON that the schema does not allow */
    SCHEMA_YES,
    SCHEMA_UNKNOWN, /* too deep, too long, a pattern too hard */
};

/* FAULT_IO, or FAULT_INPUT with the JSON pointer of what is wrong. */
NODISCARD enum fault_err schema_load(const char *path, struct schema **ret_schema,
                                     struct fault *fault);
void schema_free(struct schema *schema); /* takes NULL */

enum schema_answer schema_allows(const struct schema *schema, const char *text,
                                 size_t bytes);

#endif
