/* options.c - reads argv by a table. What holds: each option is stored at most once, and
 * a value is stored only when it is valid as a whole. */
#include "tools/ctl/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/money.h"
#include "gateway/base/str.h"
#include "tools/ctl/memory.h"

#define OPTIONS_MAX       40 /* in one table */
#define OPTIONS_HELP_WIDE 90

static void *option_member(const struct option_spec *spec, void *into)
{
    return (char *)into + spec->offset;
}

static enum fault_err option_bad(const struct option_spec *spec, const char *value,
                                 const char *wanted, struct fault *fault)
{
    return fault_set(fault, FAULT_USAGE, "--%s: '%s' is not %s", spec->name, value,
                     wanted);
}

static enum fault_err option_choice(const struct option_spec *spec, const char *value,
                                    void *member, struct fault *fault)
{
    size_t length = strlen(value);

    for (const char *at = spec->choices; length > 0;) {
        size_t n = strcspn(at, "|");
        if (n == length && memcmp(at, value, n) == 0) {
            *(const char **)member = value;
            return FAULT_OK;
        }
        if (at[n] == '\0')
            break;
        at += n + 1;
    }
    return fault_set(fault, FAULT_USAGE, "--%s: '%s' is not one of %s", spec->name, value,
                     spec->choices);
}

static enum fault_err option_list(const struct option_spec *spec, const char *value,
                                  struct option_list *member, struct fault *fault)
{
    for (const char *at = value;;) {
        size_t n = strcspn(at, ",");
        if (n == 0)
            return option_bad(spec, value, "a list of names separated by commas", fault);
        member->items =
            memory_resize(member->items, member->count + 1, sizeof(*member->items));
        member->items[member->count++] = memory_text_n(at, n);
        if (at[n] == '\0')
            return FAULT_OK;
        at += n + 1;
    }
}

static enum fault_err option_count(const struct option_spec *spec, const char *value,
                                   int64_t *member, struct fault *fault)
{
    char *end = NULL;

    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (end == value || *end != '\0' || errno != 0)
        return option_bad(spec, value, "a whole number", fault);
    if ((double)number < spec->min || (double)number > spec->max)
        return fault_set(fault, FAULT_USAGE, "--%s: %s is not within %.0f and %.0f",
                         spec->name, value, spec->min, spec->max);
    *member = number;
    return FAULT_OK;
}

static enum fault_err option_number(const struct option_spec *spec, const char *value,
                                    double *member, struct fault *fault)
{
    char *end = NULL;
    double number = strtod(value, &end);

    if (end == value || *end != '\0' || !isfinite(number))
        return option_bad(spec, value, "a number", fault);
    if (number < spec->min || number > spec->max)
        return fault_set(fault, FAULT_USAGE, "--%s: %s is not within %g and %g",
                         spec->name, value, spec->min, spec->max);
    *member = number;
    return FAULT_OK;
}

static enum fault_err option_usd(const struct option_spec *spec, const char *value,
                                 int64_t *member, struct fault *fault)
{
    int64_t pico;

    if (money_parse(str_of(value), &pico) != ERR_OK)
        return option_bad(spec, value, "an amount in USD such as 0.25", fault);
    *member = pico;
    return FAULT_OK;
}

static enum fault_err option_store(const struct option_spec *spec, const char *value,
                                   void *into, struct fault *fault)
{
    void *member = option_member(spec, into);

    switch (spec->kind) {
    case OPTION_FLAG:
        *(bool *)member = true;
        return FAULT_OK;
    case OPTION_TEXT:
        if (value[0] == '\0')
            return fault_set(fault, FAULT_USAGE, "--%s: the value is empty", spec->name);
        *(const char **)member = value;
        return FAULT_OK;
    case OPTION_CHOICE:
        return option_choice(spec, value, member, fault);
    case OPTION_LIST:
        return option_list(spec, value, member, fault);
    case OPTION_COUNT:
        return option_count(spec, value, member, fault);
    case OPTION_NUMBER:
        return option_number(spec, value, member, fault);
    case OPTION_USD:
        return option_usd(spec, value, member, fault);
    }
    return FAULT_USAGE;
}

const char *options_closest(const char *word, const char *const *names, size_t count)
{
    const char *closest = NULL;
    unsigned best = (unsigned)(strlen(word) / 3 + 2);

    for (size_t i = 0; i < count; i++) {
        unsigned d = str_distance(str_of(word), str_of(names[i]), best);
        if (d < best) {
            best = d;
            closest = names[i];
        }
    }
    return closest;
}

static const struct option_spec *option_find(const struct option_table *table,
                                             const char *name, size_t n, size_t *ret_at,
                                             struct fault *fault)
{
    const char *names[OPTIONS_MAX];

    for (size_t i = 0; i < table->count; i++) {
        names[i] = table->specs[i].name;
        if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0) {
            *ret_at = i;
            return &table->specs[i];
        }
    }
    char *word = memory_text_n(name, n);
    const char *meant = options_closest(word, names, table->count);
    if (meant != NULL)
        (void)fault_set(fault, FAULT_USAGE, "unknown option '--%s', did you mean '--%s'?",
                        word, meant);
    else
        (void)fault_set(fault, FAULT_USAGE, "unknown option '--%s'", word);
    free(word);
    return NULL;
}

/* Reads the option at argv[at]; ret_next is the index after it and its value. */
static enum fault_err option_take(const struct option_table *table, int argc,
                                  const char *const *argv, int at, bool *seen, void *into,
                                  int *ret_next, struct fault *fault)
{
    const char *name = argv[at] + 2;
    size_t n = strcspn(name, "=");
    const char *value = name[n] == '=' ? name + n + 1 : NULL;
    size_t index;
    const struct option_spec *spec = option_find(table, name, n, &index, fault);

    if (spec == NULL)
        return FAULT_USAGE;
    if (seen[index] && spec->kind != OPTION_LIST)
        return fault_set(fault, FAULT_USAGE, "--%s is given twice", spec->name);
    seen[index] = true;
    *ret_next = at + 1;
    if (spec->kind == OPTION_FLAG) {
        if (value != NULL)
            return fault_set(fault, FAULT_USAGE, "--%s takes no value", spec->name);
    } else if (value == NULL) {
        if (at + 1 >= argc)
            return fault_set(fault, FAULT_USAGE, "--%s needs a value: %s", spec->name,
                             spec->value);
        value = argv[at + 1];
        *ret_next = at + 2;
    }
    return option_store(spec, value, into, fault);
}

static bool option_wants_help(int argc, const char *const *argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

enum fault_err options_parse(const struct option_table *table, int argc,
                             const char *const *argv, void *into,
                             const char **ret_operands, size_t *ret_n_operands,
                             bool *ret_help, struct fault *fault)
{
    bool seen[OPTIONS_MAX] = { false };
    size_t n_operands = 0;
    bool ended = false;

    *ret_help = option_wants_help(argc, argv);
    if (*ret_help)
        return FAULT_OK;
    for (int i = 0; i < argc;) {
        if (!ended && strcmp(argv[i], "--") == 0) {
            ended = true;
            i++;
        } else if (!ended && strncmp(argv[i], "--", 2) == 0) {
            enum fault_err err = option_take(table, argc, argv, i, seen, into, &i, fault);
            if (err != FAULT_OK)
                return err;
        } else if (!ended && argv[i][0] == '-' && argv[i][1] != '\0') {
            return fault_set(fault, FAULT_USAGE, "unknown option '%s'", argv[i]);
        } else {
            ret_operands[n_operands++] = argv[i++];
        }
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct option_spec *spec = &table->specs[i];
        if (seen[i])
            continue;
        if (spec->rule == OPTION_REQUIRED)
            return fault_set(fault, FAULT_USAGE, "--%s %s is missing", spec->name,
                             spec->value);
        if (spec->fallback != NULL) {
            enum fault_err err = option_store(spec, spec->fallback, into, fault);
            if (err != FAULT_OK)
                return err;
        } else if (spec->kind == OPTION_USD) {
            *(int64_t *)option_member(spec, into) = MONEY_NONE;
        }
    }
    *ret_n_operands = n_operands;
    return FAULT_OK;
}

void options_release(const struct option_table *table, void *into)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->specs[i].kind != OPTION_LIST)
            continue;
        struct option_list *list = option_member(&table->specs[i], into);
        for (size_t k = 0; k < list->count; k++)
            free(list->items[k]);
        free(list->items);
        *list = (struct option_list){ NULL, 0 };
    }
}

/* Prints `text` wrapped, its first line at column `used`, the others from `indent`. */
static void help_wrap(const char *text, size_t used, size_t indent, FILE *out)
{
    while (*text != '\0') {
        size_t word = strcspn(text, " ");

        (void)fprintf(out, "%.*s", (int)word, text);
        used += word;
        text += word;
        text += strspn(text, " ");
        if (*text == '\0')
            break;
        if (used + 1 + strcspn(text, " ") <= OPTIONS_HELP_WIDE) {
            (void)fputc(' ', out);
            used++;
        } else {
            (void)fprintf(out, "\n%*s", (int)indent, "");
            used = indent;
        }
    }
    (void)fputc('\n', out);
}

void options_help(const struct option_table *table, FILE *out)
{
    size_t widest = strlen("--help");

    for (size_t i = 0; i < table->count; i++) {
        const struct option_spec *spec = &table->specs[i];
        size_t wide =
            2 + strlen(spec->name) + (spec->value != NULL ? 1 + strlen(spec->value) : 0);
        if (wide > widest)
            widest = wide;
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct option_spec *spec = &table->specs[i];
        char *left = memory_format("--%s%s%s", spec->name, spec->value != NULL ? " " : "",
                                   spec->value != NULL ? spec->value : "");
        char *right = NULL;
        if (spec->rule == OPTION_REQUIRED)
            right = memory_format("%s (required)", spec->help);
        else if (spec->fallback != NULL)
            right = memory_format("%s (default %s)", spec->help, spec->fallback);
        else
            right = memory_text(spec->help);
        (void)fprintf(out, "  %-*s  ", (int)widest, left);
        help_wrap(right, widest + 4, widest + 4, out);
        free(left);
        free(right);
    }
    (void)fprintf(out, "  %-*s  this text\n", (int)widest, "--help");
}
