/* options.h - a command's options are a table; parsing, defaults, help and man page
 * follow from it.
 *
 *   struct import_options { const char *store; ... };
 *   static const struct option_spec options[] = {
 *       { "store", OPTION_TEXT, "FILE", "SQLite file ...", NULL, OPTION_REQUIRED,
 *         offsetof(struct import_options, store), 0, 0, NULL },
 *   };
 *
 * Written forms: `--name value`, `--name=value`, `--flag`, `--` ends the options.
 * Operands and options may be mixed. An option given twice is an error: one of the two
 * would be lost in silence; a list given again goes on where it stopped. Texts are borrowed from argv and live as long as the program.
 */
#ifndef TOOLS_CTL_OPTIONS_H
#define TOOLS_CTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/ctl/fault.h"

enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_TEXT,   /* const char * */
    OPTION_CHOICE, /* const char *, one of `choices` */
    OPTION_LIST,   /* struct option_list: comma separated, no empty item */
    OPTION_COUNT,  /* int64_t within min..max */
    OPTION_NUMBER, /* double within min..max, finite */
    OPTION_USD,    /* int64_t pico-USD, exact, >= 0; MONEY_NONE: absent, no fallback */
};

enum option_rule {
    OPTION_OPTIONAL,
    OPTION_REQUIRED,
};

/* Items are owned by the options and released by options_release. */
struct option_list {
    char **items;
    size_t count;
};

struct option_spec {
    const char *name; /* without the dashes */
    enum option_kind kind;
    const char *value;    /* what stands for the value in the help; NULL for a flag */
    const char *help;     /* one or two lines, lower case, no full stop */
    const char *fallback; /* taken as if it had been given; shown in the help; or NULL */
    enum option_rule rule;
    size_t offset;       /* of the member in the command's options struct */
    double min, max;     /* COUNT and NUMBER */
    const char *choices; /* CHOICE: "exact|number" */
};

struct option_table {
    const struct option_spec *specs;
    size_t count;
};

/* Parses argv[0..argc) (without the command's name) into the zeroed struct at `into`.
 * ret_operands: room for argc pointers, borrowed from argv. FAULT_USAGE with a text that
 * names the option, otherwise. ret_help: --help or -h was seen; nothing else is checked
 * then. */
NODISCARD enum fault_err options_parse(const struct option_table *table, int argc,
                                       const char *const *argv, void *into,
                                       const char **ret_operands, size_t *ret_n_operands,
                                       bool *ret_help, struct fault *fault);
void options_release(const struct option_table *table, void *into);
/* The table for people, in two columns. */
void options_help(const struct option_table *table, FILE *out);

/* Of `count` names the one a typist may have meant by `word`, or NULL. */
const char *options_closest(const char *word, const char *const *names, size_t count);

#endif
