/* main.c - frugal-experts: four small real experts, a dear generalist and any number of
 * scripted upstreams on loopback; and the questions to ask them. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <jansson.h>

#include "tools/experts/alias.h"
#include "tools/experts/question.h"
#include "tools/experts/script.h"
#include "tools/experts/service.h"

enum { EXIT_USAGE = 2 };

struct command {
    const char *name, *arguments, *help;
    int (*run)(int argc, char **argv);
};

__attribute__((format(printf, 1, 2))) static int complain(const char *form, ...)
{
    va_list args;
    va_start(args, form);
    (void)fputs("frugal-experts: ", stderr);
    (void)vfprintf(stderr, form, args);
    (void)fputs("\n", stderr);
    va_end(args);
    return EXIT_USAGE;
}

/* -- arguments: each option has a value ------------------------------------------ */

struct option {
    const char *name;
    const char *value; /* preset, then as given */
};

static int read_options(int argc, char **argv, struct option *options, size_t n)
{
    for (int a = 0; a < argc; a += 2) {
        size_t o = 0;
        while (o < n && strcmp(options[o].name, argv[a]) != 0)
            o++;
        if (o == n)
            return complain("unknown option '%s': see frugal-experts --help", argv[a]);
        if (a + 1 == argc)
            return complain("option '%s' needs a value", argv[a]);
        options[o].value = argv[a + 1];
    }
    return 0;
}

static int read_number(const struct option *option, double low, double high,
                       double *ret_value)
{
    char *end = NULL;
    errno = 0;
    double value = strtod(option->value, &end);
    if (errno != 0 || end == option->value || *end != 0 || !(value >= low) ||
        !(value <= high))
        return complain("option '%s' is a number from %.10g to %.10g, not '%s'",
                        option->name, low, high, option->value);
    *ret_value = value;
    return 0;
}

/* -- serve ----------------------------------------------------------------------- */

static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int serve(int argc, char **argv)
{
    struct option options[] = { { "--listen", "127.0.0.1:0" },
                                { "--threads", "1" },
                                { "--invoices", "0" },
                                { "--as", "" } };
    double threads = 1, invoices = 0;
    if (read_options(argc, argv, options, 4) != 0 ||
        read_number(&options[1], 1, SERVICE_THREADS_MAX, &threads) != 0 ||
        read_number(&options[2], 0, 1, &invoices) != 0)
        return EXIT_USAGE;
    raise_descriptors();
    /* Blocked before the threads start, so that all of them leave signals to this one. */
    sigset_t ends;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &ends, NULL);
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    (void)sigaction(SIGPIPE, &ignore, NULL);
    struct service *service = NULL;
    struct aliases *aliases = NULL;
    char error[256];
    if (options[3].value[0] != 0 &&
        aliases_new(options[3].value, &aliases, error, sizeof error) != ERR_OK)
        return complain("option '--as': %s", error);
    if (service_new(options[0].value, (int)threads, invoices > 0, aliases, &service,
                    error, sizeof error) != ERR_OK) {
        (void)complain("%s", error);
        aliases_free(aliases);
        return EXIT_FAILURE;
    }
    (void)printf("listening on %s\n", service_address(service));
    (void)fflush(stdout);
    int got = 0;
    (void)sigwait(&ends, &got);
    service_free(service);
    aliases_free(aliases);
    return EXIT_SUCCESS;
}

/* -- questions ------------------------------------------------------------------- */

static int write_question(const struct question *q)
{
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b}", "id", q->id, "prompt", q->prompt,
                  "domain", q->domain, "reference", q->reference, "grade", q->grade,
                  "family", q->family, "mixed", (int)q->mixed);
    bool ok = line != NULL && json_dumpf(line, stdout, JSON_COMPACT) == 0 &&
              putchar('\n') == '\n';
    json_decref(line);
    return ok ? 0 : EXIT_FAILURE;
}

static int questions(int argc, char **argv)
{
    struct option options[] = {
        { "--n", "100" }, { "--seed", "1" }, { "--mixed", "0.2" }, { "--skip", "0" }
    };
    double n = 0, seed = 0, mixed = 0, skip = 0;
    if (read_options(argc, argv, options, 4) != 0 ||
        read_number(&options[0], 1, 1e9, &n) != 0 ||
        read_number(&options[1], 0, 9e15, &seed) != 0 ||
        read_number(&options[2], 0, 1, &mixed) != 0 ||
        read_number(&options[3], 0, 9e15, &skip) != 0)
        return EXIT_USAGE;
    for (uint64_t i = 0; i < (uint64_t)n; i++) {
        struct question question;
        question_make((uint64_t)seed, (uint64_t)skip + i, mixed, &question);
        if (write_question(&question) != 0)
            return complain("cannot write the questions");
    }
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* -- the table of commands ------------------------------------------------------- */

static int help(int argc, char **argv);
static int version(int argc, char **argv);

static const struct command commands[] = {
    { "serve",
      "[--listen ADDR:PORT] [--threads N] [--invoices 1] [--as 'NAME=MODEL ...']",
      "the experts over the OpenAI API; port 0 draws a free one, told on stdout; with "
      "invoices, GET /invoices tells what each request would be billed; with --as the "
      "models below, scripts included, are served under these names",
      serve },
    { "questions", "[--n N] [--seed S] [--mixed SHARE] [--skip M]",
      "N questions with references as JSON lines; the same seed, the same questions",
      questions },
    { "--help", "", "this text", help },
    { "--version", "", "the version", version },
};

static int help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)puts("frugal-experts: small real experts for the demo, tests and benchmarks\n");
    for (size_t c = 0; c < sizeof commands / sizeof *commands; c++)
        (void)printf("  frugal-experts %s %s\n      %s\n", commands[c].name,
                     commands[c].arguments, commands[c].help);
    (void)puts(
        "\nmodels: arithmetic calendar units text generalist, embeddings: embed-small,"
        "\nand scripts, for chat and embeddings: script:KEY=VALUE,KEY=VALUE...\n");
    script_help(stdout);
    return EXIT_SUCCESS;
}

static int version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)puts("frugal-experts " FRUGAL_VERSION);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    for (size_t c = 0; argc > 1 && c < sizeof commands / sizeof *commands; c++) {
        if (strcmp(argv[1], commands[c].name) == 0)
            return commands[c].run(argc - 2, argv + 2);
    }
    if (argc > 1)
        return complain("unknown command '%s': see frugal-experts --help", argv[1]);
    (void)help(0, NULL);
    return EXIT_USAGE;
}
