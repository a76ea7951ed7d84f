/* command.c - the list of subcommands, and what help and manual page make of it. */
#include "tools/ctl/command.h"

#include <string.h>

#include "gateway/base/err.h"

const struct command_entry command_list[] = {
#define X(symbol, words, summary) { words, summary, &command_##symbol },
    COMMANDS(X)
#undef X
};

const size_t command_count = ARRAY_LEN(command_list);

/* How many of the words name the command: all of its own, or 0. */
static int words_match(const char *name, int n, char *const *words)
{
    for (int used = 0; used < n; used++) {
        /* `eval --compare` is written, too. */
        const char *word =
            used > 0 && strcmp(words[used], "--compare") == 0 ? "compare" : words[used];
        size_t length = strlen(word);
        if (strncmp(name, word, length) != 0)
            return 0;
        if (name[length] == '\0')
            return used + 1;
        if (name[length] != ' ')
            return 0;
        name += length + 1;
    }
    return 0;
}

const struct command_entry *command_find(int n, char *const *words, int *ret_used,
                                         const char **ret_meant)
{
    const char *names[ARRAY_LEN(command_list)];

    for (size_t i = 0; i < ARRAY_LEN(command_list); i++) {
        names[i] = command_list[i].name;
        int used = words_match(names[i], n, words);
        if (used > 0) {
            *ret_used = used;
            return &command_list[i];
        }
    }
    /* The first word of two is meant to be followed by the second. */
    for (size_t i = 0; i < ARRAY_LEN(command_list); i++) {
        size_t length = strlen(words[0]);
        if (strncmp(names[i], words[0], length) == 0 && names[i][length] == ' ') {
            *ret_meant = names[i];
            return NULL;
        }
    }
    *ret_meant = options_closest(words[0], names, ARRAY_LEN(command_list));
    return NULL;
}

bool command_group_help(const char *word, FILE *out)
{
    size_t length = strlen(word);
    bool found = false;

    for (size_t i = 0; i < command_count; i++) {
        const struct command_entry *entry = &command_list[i];

        if (strncmp(entry->name, word, length) != 0 || entry->name[length] != ' ')
            continue;
        if (!found)
            (void)fprintf(out, "usage: frugalctl %s COMMAND [OPTIONS]\n\n", word);
        found = true;
        (void)fprintf(out, "  %-20s %s\n", entry->name, entry->summary);
    }
    if (found)
        (void)fprintf(out, "\n`frugalctl help %s COMMAND` says more.\n", word);
    return found;
}

/* Name, operands and required options: what must be there. */
static void put_synopsis(const struct command_entry *entry, FILE *out)
{
    const struct command *command = entry->command;

    (void)fputs(entry->name, out);
    if (command->operands[0] != '\0')
        (void)fprintf(out, " %s", command->operands);
    for (size_t i = 0; i < command->options.count; i++) {
        const struct option_spec *spec = &command->options.specs[i];
        if (spec->rule == OPTION_REQUIRED)
            (void)fprintf(out, " --%s %s", spec->name, spec->value);
    }
    (void)fputs(" [OPTIONS]", out);
}

void command_usage(const struct command_entry *entry, FILE *out)
{
    (void)fputs("usage: frugalctl ", out);
    put_synopsis(entry, out);
    (void)fputc('\n', out);
}

void command_help(const struct command_entry *entry, FILE *out)
{
    command_usage(entry, out);
    (void)fprintf(out, "\n%s\n", entry->command->about);
    options_help(&entry->command->options, out);
}

/* -- the manual page -- */

/* Text that roff takes as it stands. */
static void put_roff(const char *text, size_t n, FILE *out)
{
    if (n > 0 && (text[0] == '.' || text[0] == '\''))
        (void)fputs("\\&", out);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\\')
            (void)fputs("\\e", out);
        else if (text[i] == '-')
            (void)fputs("\\-", out);
        else
            (void)fputc(text[i], out);
    }
}

/* Paragraphs; lines that begin with two spaces keep their form. */
static void put_about(const char *about, FILE *out)
{
    bool literal = false;

    while (*about != '\0') {
        size_t n = strcspn(about, "\n");
        bool keep = strncmp(about, "  ", 2) == 0;
        if (keep != literal)
            (void)fputs(keep ? ".nf\n" : ".fi\n", out);
        literal = keep;
        if (n == 0)
            (void)fputs(".PP", out);
        put_roff(about, n, out);
        (void)fputc('\n', out);
        about += n + (about[n] == '\n');
    }
    if (literal)
        (void)fputs(".fi\n", out);
}

static void put_option(const struct option_spec *spec, FILE *out)
{
    (void)fputs(".TP\n\\fB\\-\\-", out);
    put_roff(spec->name, strlen(spec->name), out);
    (void)fputs("\\fR", out);
    if (spec->value != NULL)
        (void)fprintf(out, " \\fI%s\\fR", spec->value);
    (void)fputc('\n', out);
    put_roff(spec->help, strlen(spec->help), out);
    if (spec->rule == OPTION_REQUIRED)
        (void)fputs(" (required)", out);
    else if (spec->fallback != NULL) {
        (void)fputs(" (default ", out);
        put_roff(spec->fallback, strlen(spec->fallback), out);
        (void)fputc(')', out);
    }
    (void)fputc('\n', out);
}

static void put_command(const struct command_entry *entry, FILE *out)
{
    const struct option_table *options = &entry->command->options;

    (void)fprintf(out, ".SS %s\n", entry->name);
    put_about(entry->command->about, out);
    for (size_t i = 0; i < options->count; i++)
        put_option(&options->specs[i], out);
}

void command_man(FILE *out)
{
    (void)fputs(".\\\" Made by `frugalctl --man` from the tables of the program.\n"
                ".TH FRUGALCTL 1 \"\" \"Frugal Gateway\" \"Frugal Gateway\"\n"
                ".SH NAME\nfrugalctl \\- the operator's tool of Frugal Gateway\n"
                ".SH SYNOPSIS\n",
                out);
    for (size_t i = 0; i < command_count; i++) {
        (void)fputs(i > 0 ? ".br\n.B frugalctl\n" : ".B frugalctl\n", out);
        put_synopsis(&command_list[i], out);
        (void)fputc('\n', out);
    }
    (void)fputs(".SH DESCRIPTION\n" COMMAND_WAY
                "\nWithout a bundle the gateway serves each policy's default expert.\n"
                "Results go to standard output, as tables for people or, with\n"
                "\\fB\\-\\-json\\fR, as one JSON document; progress is shown on a "
                "terminal only.\n.SH COMMANDS\n",
                out);
    for (size_t i = 0; i < command_count; i++)
        put_command(&command_list[i], out);
    (void)fputs(".SH EXIT STATUS\n.TP\n0\ndone\n.TP\n1\nfailed; standard error says "
                "why, with file and line where there is one\n.TP\n2\nwrong usage\n"
                ".SH SEE ALSO\n.BR frugald (1),\n.BR frugal-experts (1)\n",
                out);
}
