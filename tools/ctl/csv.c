/* csv.c - puts lines together while a quote is open, and splits them in place. */
#include "tools/ctl/csv.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "tools/ctl/memory.h"

struct csv {
    char *path;
    struct lines *lines;
    size_t line;         /* of the row's beginning */
    char *row;           /* copy of its lines, cut into fields */
    const char **fields; /* point into row */
    size_t n_fields, room;
};

enum fault_err csv_open(const char *path, struct csv **ret_csv, struct fault *fault)
{
    struct lines *lines;
    enum fault_err err = lines_open(path, &lines, fault);

    if (err != FAULT_OK)
        return err;
    struct csv *csv = memory_new(1, sizeof(*csv));
    csv->path = memory_text(path);
    csv->lines = lines;
    *ret_csv = csv;
    return FAULT_OK;
}

void csv_close(struct csv *csv)
{
    if (csv == NULL)
        return;
    lines_close(csv->lines);
    free(csv->fields);
    free(csv->row);
    free(csv->path);
    free(csv);
}

static void csv_push(struct csv *csv, const char *field)
{
    if (csv->n_fields == csv->room) {
        csv->room = csv->room > 0 ? csv->room * 2 : 32;
        csv->fields = memory_resize(csv->fields, csv->room, sizeof(*csv->fields));
    }
    csv->fields[csv->n_fields++] = field;
}

/* Undoes the quotes of the field at `at`, in place. Returns what follows its closing
 * quote, or NULL when there is none. */
static char *csv_unquote(char *at)
{
    char *to = at;

    for (char *from = at + 1; *from != '\0'; from++) {
        if (*from == '"') {
            if (from[1] != '"') {
                *to = '\0';
                return from + 1;
            }
            from++;
        }
        *to++ = *from;
    }
    return NULL;
}

static enum fault_err csv_split(struct csv *csv, struct fault *fault)
{
    char *at = csv->row;

    csv->n_fields = 0;
    for (;;) {
        char *end;
        csv_push(csv, at);
        if (*at == '"') {
            end = csv_unquote(at);
            if (end == NULL || (*end != ',' && *end != '\0'))
                return fault_at(fault, FAULT_INPUT, csv->path, csv_line(csv),
                                "field %zu: a quote is not closed", csv->n_fields);
        } else {
            end = at + strcspn(at, ",");
        }
        bool last = *end == '\0';
        *end = '\0';
        if (last)
            return FAULT_OK;
        at = end + 1;
    }
}

/* Is a quote open at the end? Quotes inside a quoted field come in pairs, so an odd number is. */
static bool is_open(const char *text, size_t bytes, bool open)
{
    for (size_t i = 0; i < bytes; i++)
        open = open != (text[i] == '"');
    return open;
}

/* The lines of a row that begins with this one. */
static enum fault_err csv_gather(struct csv *csv, const char *text, size_t bytes,
                                 struct fault *fault)
{
    bool open = is_open(text, bytes, false);
    enum fault_err err = FAULT_OK;
    struct buf row;

    buf_init(&row, CSV_ROW_BYTES);
    buf_put_str(&row, (struct str){ text, bytes });
    while (open && !row.failed) {
        err = lines_next(csv->lines, &text, &bytes, fault);
        if (err != FAULT_OK || text == NULL)
            break;
        buf_put(&row, "\n");
        buf_put_str(&row, (struct str){ text, bytes });
        open = is_open(text, bytes, open);
    }
    if (err == FAULT_OK && row.failed)
        err = fault_at(fault, FAULT_INPUT, csv->path, csv->line,
                       "the row is longer than %u bytes, or a quote is not closed",
                       CSV_ROW_BYTES);
    free(csv->row);
    csv->row = memory_text_n(row.p != NULL ? row.p : "", row.n);
    buf_release(&row);
    return err;
}

enum fault_err csv_next(struct csv *csv, const char *const **ret_fields,
                        size_t *ret_count, struct fault *fault)
{
    const char *text;
    size_t bytes;
    enum fault_err err;

    do {
        err = lines_next(csv->lines, &text, &bytes, fault);
        csv->line = lines_number(csv->lines);
        if (err != FAULT_OK)
            return err;
    } while (text != NULL && bytes == 0);
    if (text == NULL) {
        *ret_fields = NULL;
        *ret_count = 0;
        return FAULT_OK;
    }
    err = csv_gather(csv, text, bytes, fault);
    if (err == FAULT_OK)
        err = csv_split(csv, fault);
    if (err != FAULT_OK)
        return err;
    *ret_fields = csv->fields;
    *ret_count = csv->n_fields;
    return FAULT_OK;
}

const char *csv_path(const struct csv *csv)
{
    return csv->path;
}

size_t csv_line(const struct csv *csv)
{
    return csv->line;
}

double csv_done(const struct csv *csv)
{
    return lines_done(csv->lines);
}
