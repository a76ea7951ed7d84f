/* command.h - one subcommand of frugalctl: a line in COMMANDS, a file, a table of options.
 *
 * main.c finds the command, parses its options by its table into a zeroed struct of
 * options_bytes and calls run. What run returns ends the program with
 * fault_exit_code(): 0 done, 1 failed, 2 wrong usage, more in fault.h; the fault's text goes to standard
 * error. Results go to standard output, as a table for people or, with --json, as one
 * JSON document for programs.
 */
#ifndef TOOLS_CTL_COMMAND_H
#define TOOLS_CTL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "tools/ctl/fault.h"
#include "tools/ctl/options.h"

/* symbol, words on the command line, one line of help: adding a command is a line here and
 * `command_SYMBOL` in a file. */
#define COMMANDS(X)                                                                      \
    X(import, "import", "read prompts, qualities and costs of known experts")            \
    X(calibrate, "calibrate",                                                            \
      "ask the configured experts, grade and keep their answers")                        \
    X(label, "label", "compare answers yourself, and see how good a judge is")           \
    X(build, "build", "make the bundle that the gateway routes by")                      \
    X(tune, "tune", "choose settings by cross-validation, with the evidence")            \
    X(route, "route", "show how a prompt would be routed, and why")                      \
    X(explain_graph, "explain-graph",                                                    \
      "draw the walk through the evidence and the shortest path")                        \
    X(decisions, "decisions", "list what the gateway decided, and what it cost")         \
    X(why, "why", "tell the story of one decision")                                      \
    X(spend, "spend", "sum up what was paid, and what was saved")                        \
    X(experts, "experts", "show which experts of a running gateway are well")            \
    X(reload, "reload", "make a running gateway read its configuration anew")            \
    X(probe, "probe", "look at an endpoint and print its block of the configuration")    \
    X(prices_import, "prices import", "take prices from a downloaded list")              \
    X(prices_diff, "prices diff", "compare prices with a downloaded list")               \
    X(prices_age, "prices age", "say how old the prices are")                            \
    X(bundle_show, "bundle show", "say what is in a bundle, and who made it")            \
    X(bundle_promote, "bundle promote",                                                  \
      "put a new bundle in the place of the gateway's, and keep the old one")            \
    X(bundle_rollback, "bundle rollback", "put the former bundle back")                  \
    X(keys_add, "keys add", "make a key and print its secret, once")                     \
    X(keys_list, "keys list", "list the keys, their limits and what they spent")         \
    X(keys_show, "keys show", "show one key")                                            \
    X(keys_limit, "keys limit", "change what a key may use and spend")                   \
    X(keys_rotate, "keys rotate", "give a key a second secret, or take the first away")  \
    X(keys_revoke, "keys revoke", "take a key back")                                     \
    X(keys_hash, "keys hash", "print a line for the mounted file of keys")               \
    X(eval_routing, "eval routing", "measure a router on recorded outcomes")             \
    X(eval_compare, "eval compare",                                                      \
      "say whether a new bundle is better, not worse, worse, or cannot be told")         \
    X(eval_classification, "eval classification", "measure fusers of class outputs")

struct command {
    const char *operands; /* "DIR", or "" */
    const char *about;    /* paragraphs for --help, ending in a newline */
    struct option_table options;
    size_t options_bytes;
    size_t min_operands, max_operands;
    enum fault_err (*run)(const void *options, const char *const *operands,
                          size_t n_operands, struct fault *fault);
};

#define X(symbol, words, summary) extern const struct command command_##symbol;
COMMANDS(X)
#undef X

/* One line of COMMANDS. */
struct command_entry {
    const char *name, *summary;
    const struct command *command;
};

extern const struct command_entry command_list[];
extern const size_t command_count;

/* The command that the first of n > 0 words name, and how many words that takes. NULL: there
 * is none; *ret_meant is then the one that a typist may have meant, or NULL. */
const struct command_entry *command_find(int n, char *const *words, int *ret_used,
                                         const char **ret_meant);
/* "usage: frugalctl NAME ..." in one line. */
void command_usage(const struct command_entry *entry, FILE *out);
void command_help(const struct command_entry *entry, FILE *out);
/* Lists the commands that begin with the word and have another; false: there are none. */
bool command_group_help(const char *word, FILE *out);
/* docs/man/frugalctl.1, from the same tables. */
void command_man(FILE *out);

/* What `frugalctl --help` says about the program as a whole. */
#define COMMAND_WAY                                                                      \
    "From nothing to a routed prompt: calibrate (or import), build, then route."

#endif
