/* import_decisions.c - prompts out of the gateway's own database, where it may keep them.
 *
 * With "keep_prompts" a record has the messages (up to its bound) and the routing text. Where the
 * messages were too long, the text stands for them, unless a template was taken off it: without that
 * it would be another question. What clients scored comes with `build --with-feedback`, not here.
 */
#include <string.h>

#include "gateway/base/arena.h"
#include "gateway/domain/jread.h"
#include "gateway/io/store_query.h"
#include "tools/ctl/import_read.h"
#include "tools/ctl/turns.h"

#define ARENA_BYTES (32u << 20) /* of one record */

struct reader {
    struct import_reading *reading;
    struct arena arena;
    struct fault *fault;
    enum fault_err err;
};

static const char *text_at(struct reader *reader, struct jread_value map,
                           const char *name)
{
    struct str text;

    return jread_string(jread_get(map, name), &reader->arena, &text) == ERR_OK &&
                   text.n > 0 && text.n <= BROUGHT_MAX_ID &&
                   memchr(text.p, 0, text.n) == NULL
               ? text.p
               : NULL;
}

/* A tag's value, or what the decision was made by. */
static const char *domain_of(struct reader *reader, const struct store_decision *d)
{
    const char *field = reader->reading->domain_field;
    struct jread_value tags;
    struct str text = { 0 };

    if (strcmp(field, "policy") == 0)
        text = d->policy;
    else if (strcmp(field, "expert") == 0)
        text = d->expert;
    else if (field[0] != '\0' && jread_parse(d->tags, LOG_LINE_DEPTH, &tags))
        return text_at(reader, tags, field);
    if (text.n == 0 || arena_copy(&reader->arena, text, &text) != ERR_OK)
        return NULL;
    return text.p;
}

/* The one user turn that says the text, as JSON. */
static bool of_text(struct reader *reader, struct jread_value text,
                    struct brought *brought)
{
    struct str messages;
    struct buf out;

    buf_init(&out, ARENA_BYTES);
    buf_put(&out, "[{\"role\":\"user\",\"content\":");
    buf_put_str(&out, text.raw);
    buf_put(&out, "}]");
    bool copied =
        !out.failed && arena_copy(&reader->arena, buf_str(&out), &messages) == ERR_OK;
    buf_release(&out);
    if (copied)
        brought->messages = messages.p;
    return copied;
}

static enum fault_err read_record(struct reader *reader, struct jread_value record,
                                  struct brought *brought, const char **ret_left_out,
                                  struct fault *fault)
{
    struct turns turns = { .messages = jread_get(record, "messages") };
    struct jread_value prompt = jread_get(record, "prompt");
    struct str version = { 0 };
    enum fault_err err = FAULT_OK;

    if (turns.messages.type == JREAD_LIST) {
        err = turns_read(&turns, false, &reader->arena, fault);
        brought->messages = turns.text;
        return err;
    }
    if (prompt.type != JREAD_TEXT) {
        *ret_left_out =
            "without their prompt (the gateway keeps it with \"keep_prompts\": "
            "true in \"store\")";
        return FAULT_OK;
    }
    if (jread_string(jread_get(jread_get(record, "text"), "version"), &reader->arena,
                     &version) == ERR_OK &&
        memmem(version.p, version.n, ";strip=", 7) != NULL) {
        *ret_left_out = "kept as a text without its template";
        return FAULT_OK;
    }
    if (!of_text(reader, prompt, brought))
        err = fault_set(fault, FAULT_INPUT, "the prompt is too long");
    return err;
}

static bool take_decision(void *context, const struct store_decision *d)
{
    struct reader *reader = context;
    struct import_reading *reading = reader->reading;
    struct fault local = { "" }, placed = { "" };
    struct brought brought = { .id = NULL };
    struct jread_value record = { .type = JREAD_NOTHING };
    const char *left_out = NULL;
    enum fault_err err = FAULT_OK;

    reading->records++;
    if (!jread_parse(d->record, LOG_LINE_DEPTH, &record))
        left_out = "not over, or without a record";
    else
        err = read_record(reader, record, &brought, &left_out, &local);
    if (err == FAULT_OK && left_out == NULL) {
        brought.domain = domain_of(reader, d);
        err = haul_add(reading->haul, &brought, reading->records, &local);
    }
    if (left_out != NULL)
        misfits_leave_out(reading->misfits, left_out);
    if (err != FAULT_OK) {
        (void)fault_set(&placed, err, "%s: decision " STR_FMT ": %s", reading->path,
                        STR_ARG(d->id), fault_text(&local, err));
        reader->err = misfits_add(reading->misfits, err, &placed, reader->fault);
    }
    arena_clear(&reader->arena);
    return reader->err == FAULT_OK;
}

enum fault_err import_read_decisions(struct import_reading *reading, struct fault *fault)
{
    struct reader reader = { .reading = reading, .fault = fault };
    const struct store_filter all = { .limit = INT64_MAX };
    struct store_view view = { .file = NULL };
    struct store_error error = { "" };

    if (store_file_open(reading->path, STORE_FILE_READ, &view.file, &error) != STORE_OK)
        return fault_set(fault, FAULT_STORE, "%s", error.text);
    arena_init(&reader.arena, ARENA_BYTES);
    if (store_list(&view, &all, take_decision, &reader, &error) != STORE_OK)
        reader.err = fault_set(fault, FAULT_STORE, "%s", error.text);
    arena_release(&reader.arena);
    store_file_close(view.file);
    return reader.err;
}
