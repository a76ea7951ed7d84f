/* prompts.c - a line becomes an item only when every field of it is sound. */
#include "tools/ctl/prompts.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/arena.h"
#include "gateway/domain/jread.h"
#include "tools/ctl/grader.h"
#include "tools/ctl/lines.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/names.h"

#define PROMPTS_ARENA_BYTES (4 * (size_t)LINES_MAX_BYTES)
#define PROMPTS_DEPTH       64

struct reader {
    const char *path;
    size_t line;
    struct arena arena; /* of one line */
    struct names seen;  /* id -> line */
};

static enum fault_err bad_json(const struct reader *reader, struct str text,
                               struct fault *fault)
{
    json_error_t error = { .text = "nested too deeply", .column = 0 };

    json_decref(json_loadb(text.p, text.n, 0, &error));
    return fault_at(fault, FAULT_INPUT, reader->path, reader->line,
                    "not valid JSON: %s (column %d)", error.text, error.column);
}

/* The string member `name`; *ret_text stays NULL when it is absent or null. */
static enum fault_err take_text(struct reader *reader, struct jread_value line,
                                const char *name, bool numbers, size_t max_bytes,
                                const char **ret_text, struct fault *fault)
{
    struct jread_value value = jread_get(line, name);
    struct str text;

    if (value.type == JREAD_NOTHING || value.type == JREAD_NULLS)
        return FAULT_OK;
    if (numbers && value.type == JREAD_NUMBER) {
        if (arena_copy(&reader->arena, value.raw, &text) != ERR_OK)
            return fault_at(fault, FAULT_INPUT, reader->path, reader->line,
                            "out of memory");
        *ret_text = text.p;
        return FAULT_OK;
    }
    if (value.type != JREAD_TEXT)
        return fault_at(fault, FAULT_INPUT, reader->path, reader->line,
                        "'%s' must be a string, not %s", name,
                        jread_type_name(value.type));
    if (jread_string(value, &reader->arena, &text) != ERR_OK)
        return fault_at(fault, FAULT_INPUT, reader->path, reader->line, "out of memory");
    if (text.n > 0 && memchr(text.p, 0, text.n) != NULL)
        return fault_at(fault, FAULT_INPUT, reader->path, reader->line,
                        "'%s' holds a NUL character", name);
    if (max_bytes > 0 && text.n > max_bytes)
        return fault_at(fault, FAULT_INPUT, reader->path, reader->line,
                        "'%s' is longer than %zu bytes", name, max_bytes);
    *ret_text = text.p;
    return FAULT_OK;
}

static enum fault_err take_labels(struct reader *reader, struct jread_value line,
                                  struct prompts_item *item, struct fault *fault)
{
    const struct {
        const char *name;
        const char **member;
        bool numbers;
        size_t max_bytes;
    } fields[] = {
        { "id", &item->id, true, PROMPTS_MAX_ID },
        { "domain", &item->domain, false, PROMPTS_MAX_ID },
        { "split", &item->split, false, PROMPTS_MAX_ID },
        { "reference", &item->reference, true, 0 },
        { "grade", &item->grade, false, GRADE_SPEC_MAX },
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        enum fault_err err = take_text(reader, line, fields[i].name, fields[i].numbers,
                                       fields[i].max_bytes, fields[i].member, fault);
        if (err != FAULT_OK)
            return err;
    }
    if (item->id == NULL || item->id[0] == '\0')
        return fault_at(fault, FAULT_INPUT, reader->path, reader->line,
                        "'id' is missing");
    if (item->grade != NULL && !grader_known(item->grade))
        return fault_at(fault, FAULT_INPUT, reader->path, reader->line,
                        "'grade' is '%.60s', not one of " GRADE_WORDS, item->grade);
    return FAULT_OK;
}

static size_t count_characters(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

/* The messages of the line, to be freed. */
static enum fault_err take_messages(struct reader *reader, struct jread_value line,
                                    struct prompts_item *item, char **ret_messages,
                                    struct fault *fault)
{
    struct jread_value list = jread_get(line, "messages");
    const char *prompt = NULL;
    enum fault_err err = take_text(reader, line, "prompt", false, 0, &prompt, fault);

    if (err != FAULT_OK)
        return err;
    if (prompt != NULL && list.type != JREAD_NOTHING)
        return fault_at(fault, FAULT_INPUT, reader->path, reader->line,
                        "'prompt' and 'messages' are both given");
    if (list.type != JREAD_NOTHING) {
        *ret_messages = memory_text_n(list.raw.p, list.raw.n);
        item->characters = list.raw.n;
        return FAULT_OK;
    }
    if (prompt == NULL)
        return fault_at(fault, FAULT_INPUT, reader->path, reader->line,
                        "'prompt' is missing");
    if (str_trim(str_of(prompt)).n == 0)
        return fault_at(fault, FAULT_INPUT, reader->path, reader->line,
                        "'prompt' is empty");
    *ret_messages = question_messages(str_of(prompt));
    item->characters = count_characters(prompt);
    return FAULT_OK;
}

static enum fault_err read_line(struct reader *reader, struct str text, double done,
                                prompts_fn each, void *context, struct fault *fault)
{
    struct prompts_item item = { .line = reader->line, .done = done };
    struct question *question = NULL;
    struct jread_value line;
    struct fault local = { "" };
    char *messages = NULL;
    size_t before;
    enum fault_err err;

    if (!jread_parse(text, PROMPTS_DEPTH, &line))
        return bad_json(reader, text, fault);
    if (line.type != JREAD_MAP)
        return fault_at(fault, FAULT_INPUT, reader->path, reader->line,
                        "the line must be an object, not %s", jread_type_name(line.type));
    err = take_labels(reader, line, &item, fault);
    if (err == FAULT_OK)
        err = take_messages(reader, line, &item, &messages, fault);
    if (err != FAULT_OK)
        return err;
    if (!names_add(&reader->seen, item.id, reader->line)) {
        (void)names_find(&reader->seen, item.id, &before);
        err = fault_at(fault, FAULT_INPUT, reader->path, reader->line,
                       "id '%s' is a duplicate of line %zu", item.id, before);
        goto out;
    }
    err = question_new(NULL, messages, 0, &question, &local);
    if (err == FAULT_OK) {
        item.messages = messages;
        item.question = question;
        err = each(context, &item, &local);
    }
    if (err != FAULT_OK)
        (void)fault_at(fault, err, reader->path, reader->line, "%s",
                       fault_text(&local, err));
out:
    question_free(question);
    free(messages);
    return err;
}

enum fault_err prompts_read(const char *path, prompts_fn each, void *context,
                            struct fault *fault)
{
    struct reader reader = { .path = path };
    struct lines *lines;
    enum fault_err err = lines_open(path, &lines, fault);

    if (err != FAULT_OK)
        return err;
    arena_init(&reader.arena, PROMPTS_ARENA_BYTES);
    for (;;) {
        struct str text;
        err = lines_next(lines, &text.p, &text.n, fault);
        if (err != FAULT_OK || text.p == NULL)
            break;
        reader.line = lines_number(lines);
        if (str_trim(text).n == 0)
            continue;
        err = read_line(&reader, text, lines_done(lines), each, context, fault);
        if (err != FAULT_OK)
            break;
        arena_clear(&reader.arena);
    }
    if (err == FAULT_OK && reader.seen.count == 0)
        err = fault_at(fault, FAULT_INPUT, path, 0, "there is no prompt in it");
    names_release(&reader.seen);
    arena_release(&reader.arena);
    lines_close(lines);
    return err;
}
