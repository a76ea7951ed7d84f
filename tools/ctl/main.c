/* main.c - frugalctl: finds the subcommand, parses its options, says what went wrong. */
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/command.h"
#include "tools/ctl/memory.h"

static void print_usage(FILE *out)
{
    (void)fputs("usage: frugalctl COMMAND [OPTIONS]\n\n"
                "The operator's tool of Frugal Gateway.\n\n",
                out);
    for (size_t i = 0; i < command_count; i++)
        (void)fprintf(out, "  %-20s %s\n", command_list[i].name, command_list[i].summary);
    (void)fputs(
        "\n`frugalctl help COMMAND` or `frugalctl COMMAND --help` says more; "
        "--version says\nwhich version this is, --man prints the manual "
        "page.\n" COMMAND_WAY "\n"
        "Exit code: 0 done, 1 failed, 2 wrong usage; eval compare: 3 worse, 4 cannot "
        "tell.\n",
        out);
}

/* `keys --help` and `help keys`: the first word of several commands, and nothing but a wish
 * for help. */
static bool helped_with_group(bool help, int n, char *const *words)
{
    bool asked =
        n == 2 && (strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0);

    return ((help && n == 1) || asked) && command_group_help(words[0], stdout);
}

static int fail_unknown(const char *name, const char *meant)
{
    if (meant != NULL)
        (void)fprintf(stderr, "frugalctl: unknown command '%s', did you mean '%s'?\n",
                      name, meant);
    else
        (void)fprintf(stderr, "frugalctl: unknown command '%s'; see frugalctl --help\n",
                      name);
    return fault_exit_code(FAULT_USAGE);
}

static enum fault_err check_operands(const struct command *command, size_t count,
                                     const char *const *operands, struct fault *fault)
{
    if (count < command->min_operands)
        return fault_set(fault, FAULT_USAGE, "%s is missing", command->operands);
    if (count > command->max_operands)
        return fault_set(fault, FAULT_USAGE, "'%s' is one operand too many",
                         operands[command->max_operands]);
    return FAULT_OK;
}

static int run_command(const struct command_entry *entry, int argc, char **argv)
{
    const struct command *command = entry->command;
    void *options = memory_new(1, command->options_bytes);
    const char **operands = memory_new((size_t)argc, sizeof(*operands));
    size_t n_operands = 0;
    bool help = false;
    struct fault fault = { "" };

    enum fault_err err = options_parse(&command->options, argc, (const char *const *)argv,
                                       options, operands, &n_operands, &help, &fault);
    if (err == FAULT_OK && help) {
        command_help(entry, stdout);
        free(operands);
        free(options);
        return 0;
    }
    if (err == FAULT_OK)
        err = check_operands(command, n_operands, operands, &fault);
    if (err == FAULT_OK)
        err = command->run(options, operands, n_operands, &fault);
    if (err == FAULT_OK && (fflush(stdout) != 0 || ferror(stdout) != 0))
        err = fault_set(&fault, FAULT_IO, "cannot write to standard output");
    if (err != FAULT_OK)
        (void)fprintf(stderr, "frugalctl %s: %s\n", entry->name, fault_text(&fault, err));
    if (err == FAULT_USAGE) {
        command_usage(entry, stderr);
        (void)fprintf(stderr, "`frugalctl help %s` explains the options\n", entry->name);
    }
    options_release(&command->options, options);
    free(operands);
    free(options);
    return fault_exit_code(err);
}

int main(int argc, char **argv)
{
    const char *meant = NULL;

    if (argc < 2) {
        print_usage(stderr);
        return fault_exit_code(FAULT_USAGE);
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("frugalctl %s\n", FRUGAL_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "--man") == 0) {
        command_man(stdout);
        return 0;
    }
    bool help = strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
                strcmp(argv[1], "-h") == 0;
    if (help && argc < 3) {
        print_usage(stdout);
        return 0;
    }
    int first = help ? 2 : 1, used = 0;
    const struct command_entry *entry =
        command_find(argc - first, argv + first, &used, &meant);
    if (entry == NULL && helped_with_group(help, argc - first, argv + first))
        return 0;
    if (entry == NULL)
        return fail_unknown(argv[first], meant);
    if (help) {
        command_help(entry, stdout);
        return 0;
    }
    return run_command(entry, argc - first - used, argv + first + used);
}
