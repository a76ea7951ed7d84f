/* main.c - frugalctl: finds the subcommand, parses its options, says what went wrong. */
#include <stdlib.h>
#include <string.h>

#include "tools/ctl/command.h"
#include "tools/ctl/memory.h"

static const struct {
    const char *name, *summary;
    const struct command *command;
} commands[] = {
#define X(name, summary) { #name, summary, &command_##name },
    COMMANDS(X)
#undef X
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *out)
{
    (void)fputs("usage: frugalctl COMMAND [OPTIONS]\n\n"
                "The operator's tool of Frugal Gateway.\n\n",
                out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        (void)fprintf(out, "  %-10s  %s\n", commands[i].name, commands[i].summary);
    (void)fputs("\n`frugalctl help COMMAND` or `frugalctl COMMAND --help` says more; "
                "--version says which version this is.\n"
                "From nothing to a routed prompt: calibrate (or import), build, then "
                "route.\n"
                "Exit code: 0 done, 1 failed, 2 wrong usage.\n",
                out);
}

static void print_command_usage(size_t index, FILE *out)
{
    const struct command *command = commands[index].command;

    (void)fprintf(out, "usage: frugalctl %s%s%s", commands[index].name,
                  command->operands[0] != '\0' ? " " : "", command->operands);
    for (size_t i = 0; i < command->options.count; i++) {
        const struct option_spec *spec = &command->options.specs[i];
        if (spec->rule == OPTION_REQUIRED)
            (void)fprintf(out, " --%s %s", spec->name, spec->value);
    }
    (void)fputs(" [OPTIONS]\n", out);
}

static int print_command_help(size_t index)
{
    print_command_usage(index, stdout);
    (void)printf("\n%s\n", commands[index].command->about);
    options_help(&commands[index].command->options, stdout);
    return 0;
}

static int fail_unknown(const char *name)
{
    const char *names[N_COMMANDS];

    for (size_t i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i].name;
    const char *meant = options_closest(name, names, N_COMMANDS);
    if (meant != NULL)
        (void)fprintf(stderr, "frugalctl: unknown command '%s', did you mean '%s'?\n",
                      name, meant);
    else
        (void)fprintf(stderr, "frugalctl: unknown command '%s'; see frugalctl --help\n",
                      name);
    return fault_exit_code(FAULT_USAGE);
}

static bool find_command(const char *name, size_t *ret_index)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
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

static int run_command(size_t index, int argc, char **argv)
{
    const struct command *command = commands[index].command;
    void *options = memory_new(1, command->options_bytes);
    const char **operands = memory_new((size_t)argc, sizeof(*operands));
    size_t n_operands = 0;
    bool help = false;
    struct fault fault = { "" };

    enum fault_err err = options_parse(&command->options, argc, (const char *const *)argv,
                                       options, operands, &n_operands, &help, &fault);
    if (err == FAULT_OK && help) {
        int code = print_command_help(index);
        free(operands);
        free(options);
        return code;
    }
    if (err == FAULT_OK)
        err = check_operands(command, n_operands, operands, &fault);
    if (err == FAULT_OK)
        err = command->run(options, operands, n_operands, &fault);
    if (err == FAULT_OK && (fflush(stdout) != 0 || ferror(stdout) != 0))
        err = fault_set(&fault, FAULT_IO, "cannot write to standard output");
    if (err != FAULT_OK)
        (void)fprintf(stderr, "frugalctl %s: %s\n", commands[index].name,
                      fault_text(&fault, err));
    if (err == FAULT_USAGE) {
        print_command_usage(index, stderr);
        (void)fprintf(stderr, "`frugalctl help %s` explains the options\n",
                      commands[index].name);
    }
    options_release(&command->options, options);
    free(operands);
    free(options);
    return fault_exit_code(err);
}

int main(int argc, char **argv)
{
    size_t index;

    if (argc < 2) {
        print_usage(stderr);
        return fault_exit_code(FAULT_USAGE);
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("frugalctl %s\n", FRUGAL_VERSION);
        return 0;
    }
    bool help = strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
                strcmp(argv[1], "-h") == 0;
    if (help && argc < 3) {
        print_usage(stdout);
        return 0;
    }
    if (!find_command(argv[help ? 2 : 1], &index))
        return fail_unknown(argv[help ? 2 : 1]);
    if (help)
        return print_command_help(index);
    return run_command(index, argc - 2, argv + 2);
}
