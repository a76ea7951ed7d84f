/* names.c - the C library's balanced tree, under a name that says what it is for. */
#include "tools/ctl/names.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/memory.h"

struct numbered {
    char *name;
    size_t number;
};

static int entry_compare(const void *a, const void *b)
{
    return strcmp(((const struct numbered *)a)->name, ((const struct numbered *)b)->name);
}

static void entry_free(void *node)
{
    struct numbered *entry = node;

    free(entry->name);
    free(entry);
}

bool names_add(struct names *names, const char *name, size_t number)
{
    struct numbered *entry = memory_new(1, sizeof(*entry));

    entry->name = memory_text(name);
    entry->number = number;
    void *node = tsearch(entry, &names->root, entry_compare);
    if (node != NULL && *(struct numbered **)node == entry) {
        names->count++;
        return true;
    }
    entry_free(entry);
    return false;
}

bool names_find(const struct names *names, const char *name, size_t *ret_number)
{
    struct numbered wanted = { .name = (char *)name };
    void *node = tfind(&wanted, &names->root, entry_compare);

    if (node == NULL)
        return false;
    *ret_number = (*(struct numbered **)node)->number;
    return true;
}

void names_release(struct names *names)
{
    tdestroy(names->root, entry_free);
    *names = (struct names){ NULL, 0 };
}
