/* alias.c - a list of pairs, looked through. */
#include "tools/experts/alias.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct aliases {
    char *text; /* owned; cut into names and models */
    size_t n;
    struct {
        const char *name, *model;
    } pairs[ALIASES_MAX];
};

enum err aliases_new(const char *text, struct aliases **ret_aliases, char *error,
                     size_t error_bytes)
{
    struct aliases *aliases = calloc(1, sizeof *aliases);
    char *rest, *pair;

    if (aliases != NULL)
        aliases->text = strdup(text);
    if (aliases == NULL || aliases->text == NULL) {
        aliases_free(aliases);
        (void)snprintf(error, error_bytes, "out of memory");
        return ERR_NOMEM;
    }
    rest = aliases->text;
    while ((pair = strsep(&rest, " ")) != NULL) {
        char *equals = strchr(pair, '=');

        if (pair[0] == '\0')
            continue; /* several blanks */
        if (equals == NULL || equals == pair || equals[1] == '\0' ||
            aliases->n == ALIASES_MAX) {
            (void)snprintf(error, error_bytes, "'%s' is no NAME=MODEL, or one too many",
                           pair);
            aliases_free(aliases);
            return ERR_INVALID;
        }
        *equals = '\0';
        aliases->pairs[aliases->n].name = pair;
        aliases->pairs[aliases->n++].model = equals + 1;
    }
    *ret_aliases = aliases;
    return ERR_OK;
}

void aliases_free(struct aliases *aliases)
{
    if (aliases == NULL)
        return;
    free(aliases->text);
    free(aliases);
}

const char *aliases_find(const struct aliases *aliases, const char *name)
{
    for (size_t i = 0; i < aliases_count(aliases); i++)
        if (strcmp(aliases->pairs[i].name, name) == 0)
            return aliases->pairs[i].model;
    return name;
}

size_t aliases_count(const struct aliases *aliases)
{
    return aliases != NULL ? aliases->n : 0;
}

const char *aliases_name(const struct aliases *aliases, size_t i)
{
    return aliases->pairs[i].name;
}
