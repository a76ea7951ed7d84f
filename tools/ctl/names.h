/* names.h - a set of names, each with a number: which line, which column, which row.
 *
 *   struct names ids = { 0 };
 *   if (!names_add(&ids, id, index)) ... a duplicate
 *   names_release(&ids);
 */
#ifndef TOOLS_CTL_NAMES_H
#define TOOLS_CTL_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct names {
    void *root; /* a tree of tsearch(3), owned */
    size_t count;
};

/* Copies the name. False when it is there already; its number is kept. */
bool names_add(struct names *names, const char *name, size_t number);
bool names_find(const struct names *names, const char *name, size_t *ret_number);
void names_release(struct names *names);

#endif
