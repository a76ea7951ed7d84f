/* price_list.c - opens a list, tells its form, and finds a model in it; what a model's entry
 * says is read by price_list_read.c.
 */
#include "tools/ctl/price_list.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/domain/jread.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/options.h"
#include "tools/ctl/price_list_private.h"
#include "tools/ctl/textfile.h"

#define LIST_DEPTH 64

struct price_list {
    struct buf text;    /* the values point into it */
    struct arena arena; /* the names */
    bool openrouter;
    size_t n, room;
    const char **names;
    struct jread_value *values;
};

static void add(struct price_list *list, struct jread_value name,
                struct jread_value value)
{
    struct str text;

    if (jread_string(name, &list->arena, &text) != ERR_OK || text.n == 0)
        return;
    if (list->n == list->room) {
        list->room = list->room > 0 ? 2 * list->room : 1024;
        list->names = memory_resize(list->names, list->room, sizeof *list->names);
        list->values = memory_resize(list->values, list->room, sizeof *list->values);
    }
    list->names[list->n] = text.p;
    list->values[list->n++] = value;
}

static void read_litellm(struct price_list *list, struct jread_value root)
{
    struct jread_iter it = jread_iter(root);
    struct jread_value key, value;

    while (jread_next_member(&it, &key, &value))
        if (value.type == JREAD_MAP && !jread_string_is(key, "sample_spec") &&
            !jread_string_is(key, "fallback_generalizations"))
            add(list, key, value);
}

static void read_openrouter(struct price_list *list, struct jread_value data)
{
    struct jread_iter it = jread_iter(data);
    struct jread_value value;

    while (jread_next_element(&it, &value))
        if (jread_get(value, "pricing").type == JREAD_MAP)
            add(list, jread_get(value, "id"), value);
}

enum fault_err price_list_open(const char *path, struct price_list **ret_list,
                               struct fault *fault)
{
    struct price_list *list = memory_new(1, sizeof *list);
    struct jread_value root, data;
    enum fault_err err = textfile_read(path, PRICE_LIST_BYTES, &list->text, fault);

    arena_init(&list->arena, PRICE_LIST_BYTES);
    if (err == FAULT_OK && !jread_parse(buf_str(&list->text), LIST_DEPTH, &root))
        err = fault_set(fault, FAULT_INPUT, "'%s' is no JSON", path);
    if (err == FAULT_OK) {
        data = jread_get(root, "data");
        list->openrouter = data.type == JREAD_LIST;
        if (list->openrouter)
            read_openrouter(list, data);
        else
            read_litellm(list, root);
        if (list->n == 0)
            err = fault_set(
                fault, FAULT_INPUT,
                "'%s' is neither LiteLLM's model_prices_and_context_window.json "
                "nor OpenRouter's list of models",
                path);
    }
    if (err == FAULT_OK)
        *ret_list = list;
    else
        price_list_close(list);
    return err;
}

void price_list_close(struct price_list *list)
{
    if (list == NULL)
        return;
    free(list->names);
    free(list->values);
    arena_release(&list->arena);
    buf_release(&list->text);
    free(list);
}

const char *price_list_source(const struct price_list *list)
{
    return list->openrouter ? "OpenRouter" : "LiteLLM";
}

size_t price_list_count(const struct price_list *list)
{
    return list->n;
}

/* Does the name end in a slash and the model? */
static bool ends_in(const char *name, const char *model)
{
    size_t n = strlen(name), m = strlen(model);

    return n > m && name[n - m - 1] == '/' && strcmp(name + n - m, model) == 0;
}

size_t price_list_match(const struct price_list *list, const char *model,
                        const char **ret_names, size_t max)
{
    size_t found = 0;

    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->names[i], model) == 0) {
            ret_names[0] = list->names[i];
            return 1;
        }
    for (size_t i = 0; i < list->n; i++) {
        if (!ends_in(list->names[i], model))
            continue;
        if (found < max)
            ret_names[found] = list->names[i];
        found++;
    }
    return found;
}

const char *price_list_closest(const struct price_list *list, const char *model)
{
    return options_closest(model, list->names, list->n);
}

enum fault_err price_list_price(const struct price_list *list, const char *name,
                                enum price_list_kind kind,
                                struct price_listed *ret_listed, struct fault *fault)
{
    size_t i = 0;

    while (i < list->n && strcmp(list->names[i], name) != 0)
        i++;
    if (i == list->n)
        return fault_set(fault, FAULT_INPUT, "'%s' is not in the list", name);
    if (list->openrouter)
        return price_list_read_openrouter(list->values[i], name, kind, ret_listed, fault);
    return price_list_read_litellm(list->values[i], name, kind, ret_listed, fault);
}

void price_listed_release(struct price_listed *listed)
{
    free(listed->left_out);
    listed->left_out = NULL;
}
