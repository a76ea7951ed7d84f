/* import_log.c - a log of requests, record by record.
 *
 *   {"..": ..}            a record a line
 *   [{..}, {..}]          or a JSON list, on any number of lines, as APIs of gateways give it
 *   {"data": [{..}, ..]}  or that
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/arena.h"
#include "tools/ctl/import_read.h"
#include "tools/ctl/lines.h"

#define ARENA_BYTES    (8 * (size_t)LINES_MAX_BYTES)
#define DOCUMENT_BYTES ((size_t)2 << 30) /* of a list, which is read whole */

struct reader {
    struct import_reading *reading;
    struct log_wish wish;
    struct arena arena; /* of one record */
};

static enum fault_err bad_json(const char *path, size_t line, struct str text,
                               struct fault *fault)
{
    json_error_t error = { .text = "nested too deeply" };

    json_decref(json_loadb(text.p, text.n, 0, &error));
    return fault_at(fault, FAULT_INPUT, path, line, "not valid JSON: %s (column %d)",
                    error.text, error.column);
}

static enum fault_err take_record(struct reader *reader, struct jread_value record,
                                  size_t line, struct fault *fault)
{
    struct import_reading *reading = reader->reading;
    struct fault local = { "" }, placed = { "" };
    struct brought brought;
    const char *left_out = NULL;
    enum fault_err err =
        log_line_read(&reader->wish, record, &reader->arena, &brought, &left_out, &local);

    reading->records++;
    if (err == FAULT_OK && left_out == NULL)
        err = haul_add(reading->haul, &brought, line, &local);
    if (left_out != NULL)
        misfits_leave_out(reading->misfits, left_out);
    arena_clear(&reader->arena);
    if (err == FAULT_OK)
        return FAULT_OK;
    (void)fault_at(&placed, err, reading->path, line, "%s", fault_text(&local, err));
    return misfits_add(reading->misfits, err, &placed, fault);
}

/* Where the text stands in its file: at line `first`, and some line feeds on. */
struct place {
    const char *at;
    size_t line;
};

static size_t line_at(struct place *place, const char *at)
{
    for (; place->at < at; place->at++)
        place->line += *place->at == '\n';
    return place->line;
}

static enum fault_err take_list(struct reader *reader, struct jread_value list,
                                struct place *place, bool show, struct fault *fault)
{
    struct jread_iter it = jread_iter(list);
    struct jread_value record;
    enum fault_err err = FAULT_OK;

    while (err == FAULT_OK && jread_next_element(&it, &record)) {
        err = take_record(reader, record, line_at(place, record.raw.p), fault);
        if (show)
            progress_set(&reader->reading->bar,
                         (double)(record.raw.p - list.raw.p) / (double)list.raw.n, NULL);
    }
    return err;
}

static enum fault_err take_document(struct reader *reader, struct str text, size_t line,
                                    bool show, struct fault *fault)
{
    struct place place = { text.p, line };
    struct jread_value value;

    if (!jread_parse(text, LOG_LINE_DEPTH, &value)) {
        struct fault local = { "" };
        enum fault_err err = bad_json(reader->reading->path, line, text, &local);
        reader->reading->records++;
        return misfits_add(reader->reading->misfits, err, &local, fault);
    }
    if (value.type == JREAD_LIST)
        return take_list(reader, value, &place, show, fault);
    if (jread_get(value, "data").type == JREAD_LIST)
        return take_list(reader, jread_get(value, "data"), &place, show, fault);
    return take_record(reader, value, line, fault);
}

/* A document on several lines: `text` is its first one, the others are read. */
static enum fault_err read_document(struct reader *reader, struct lines *lines,
                                    struct str text, struct fault *fault)
{
    const char *path = reader->reading->path;
    size_t first = lines_number(lines);
    struct buf whole;
    enum fault_err err = FAULT_OK;

    buf_init(&whole, DOCUMENT_BYTES);
    while (err == FAULT_OK && text.p != NULL) {
        buf_put_str(&whole, text);
        buf_put(&whole, "\n");
        err = lines_next(lines, &text.p, &text.n, fault);
    }
    if (err == FAULT_OK && whole.failed)
        err = fault_at(fault, FAULT_INPUT, path, first,
                       "the list is larger than %zu bytes: write a record a line, as "
                       "'jq -c .[]' does",
                       DOCUMENT_BYTES);
    if (err == FAULT_OK)
        err = take_document(reader, buf_str(&whole), first, true, fault);
    buf_release(&whole);
    return err;
}

static bool is_part(struct str text)
{
    struct jread_value value;

    return (text.p[0] == '[' || str_is(text, "{")) &&
           !jread_parse(text, LOG_LINE_DEPTH, &value);
}

static enum fault_err read_lines(struct reader *reader, struct lines *lines,
                                 struct fault *fault)
{
    struct import_reading *reading = reader->reading;
    enum fault_err err = FAULT_OK;

    for (bool first = true; err == FAULT_OK;) {
        struct fault local = { "" };
        struct str text;
        err = lines_next(lines, &text.p, &text.n, &local);
        if (err != FAULT_OK) {
            reading->records++;
            err = misfits_add(reading->misfits, err, &local, fault);
            continue;
        }
        if (text.p == NULL)
            break;
        text = str_trim(text);
        if (text.n == 0)
            continue;
        if (first && is_part(text))
            return read_document(reader, lines, text, fault);
        first = false;
        err = take_document(reader, text, lines_number(lines), false, fault);
        progress_set(&reading->bar, lines_done(lines), NULL);
    }
    return err;
}

enum fault_err import_read_log(struct import_reading *reading, enum log_kind kind,
                               struct fault *fault)
{
    struct reader reader = { .reading = reading,
                             .wish = { kind, reading->domain_field } };
    struct lines *lines;
    enum fault_err err = lines_open(reading->path, &lines, fault);

    if (err != FAULT_OK)
        return err;
    arena_init(&reader.arena, ARENA_BYTES);
    err = read_lines(&reader, lines, fault);
    arena_release(&reader.arena);
    lines_close(lines);
    return err;
}
