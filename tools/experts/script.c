/* script.c - see script.h. */
#include "tools/experts/script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct script presets = {
#define X(key, preset, text) .key = preset,
    SCRIPT_KEYS(X)
#undef X
};

static const struct {
    const char *name;
    size_t offset;
} keys[] = {
#define X(key, preset, text) { #key, offsetof(struct script, key) },
    SCRIPT_KEYS(X)
#undef X
};

static const struct {
    const char *name;
    enum script_usage usage;
} usages[] = {
    { "none", SCRIPT_USAGE_NONE },       { "wrong", SCRIPT_USAGE_WRONG },
    { "late", SCRIPT_USAGE_LATE },       { "with_choices", SCRIPT_USAGE_WITH_CHOICES },
    { "running", SCRIPT_USAGE_RUNNING }, { "negative", SCRIPT_USAGE_NEGATIVE },
    { "absurd", SCRIPT_USAGE_ABSURD },   { "zero", SCRIPT_USAGE_ZERO },
    { "text", SCRIPT_USAGE_TEXT },
};

void script_init(struct script *script)
{
    *script = presets;
}

bool script_named(const char *name)
{
    return strncmp(name, SCRIPT_PREFIX, strlen(SCRIPT_PREFIX)) == 0;
}

static bool read_value(const char *text, size_t n, bool is_usage, int *ret_value)
{
    for (size_t u = 0; is_usage && u < sizeof usages / sizeof *usages; u++) {
        if (strlen(usages[u].name) == n && memcmp(usages[u].name, text, n) == 0) {
            *ret_value = (int)usages[u].usage;
            return true;
        }
    }
    if (is_usage || n == 0)
        return false;
    char *end = NULL;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end != text + n || value < -1 || value > SCRIPT_MAX)
        return false;
    *ret_value = (int)value;
    return true;
}

const char *script_parse(const char *name, struct script *ret_script, char *error,
                         size_t error_bytes)
{
    struct script script = presets;
    const char *p = name + strlen(SCRIPT_PREFIX);
    while (*p != 0) {
        size_t n = strcspn(p, ",");
        size_t key = strcspn(p, "=,");
        size_t k = 0;
        while (k < sizeof keys / sizeof *keys &&
               (strlen(keys[k].name) != key || memcmp(keys[k].name, p, key) != 0))
            k++;
        bool known = k < sizeof keys / sizeof *keys && key < n;
        int value = 0;
        if (!known || !read_value(p + key + 1, n - key - 1,
                                  strcmp(keys[k].name, "usage") == 0, &value)) {
            (void)snprintf(error, error_bytes, "script: cannot read '%.*s'", (int)n, p);
            return error;
        }
        memcpy((char *)&script + keys[k].offset, &value, sizeof value);
        p += n + (p[n] == ',');
    }
    *ret_script = script;
    return NULL;
}

void script_help(FILE *out)
{
#define X(key, preset, text)                                                             \
    (void)fprintf(out, "    %-15s %s [%d]\n", #key, text, preset);
    SCRIPT_KEYS(X)
#undef X
}
