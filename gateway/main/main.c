/* main.c - frugald: the command line. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/buf.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/domain/key_file.h"
#include "gateway/edge/listen.h"
#include "gateway/flow/archive.h"
#include "gateway/main/process.h"

#define HELP_BYTES (256u << 10)

static const char usage[] =
    "usage: frugald --config FILE [--check-config]\n"
    "\n"
    "  --config FILE    serve by this configuration\n"
    "  --check-config   read the configuration and what it names, say what is wrong, "
    "end\n"
    "  --help-config    list every setting of the configuration\n"
    "  --help-keys      list every field of the file of keys\n"
    "  --help           show this text\n"
    "  --version        show the version\n"
    "\n"
    "SIGHUP reloads the configuration, SIGTERM finishes what is in flight and ends.\n";

static int refuse(const char *why)
{
    (void)fprintf(stderr, "frugald: %s\n", why);
    return EXIT_FAILURE;
}

/* The start refuses this, but who checks may lack its environment, and the store may get
 * its keys, or the service manager hand over other sockets, until then. */
static void warn_of_strangers(const struct config *config, const struct keeper *keeper)
{
    const char *address = config->listen;

    if (address == NULL || listen_is_loopback(address) ||
        str_starts(str_of(address), "localhost:") || config->store.path != NULL ||
        keeper_count(keeper) > 0)
        return;
    log_message(LOG_WARN, "no_keys",
                "/listen: '%s' can be reached from other machines and no key is "
                "configured: the start is refused without " KEEPER_BOOTSTRAP
                " in the environment or a file of keys (\"keys\": {\"file\": ..}); or "
                "listen on 127.0.0.1",
                address);
}

static int check(const char *config_path)
{
    struct process process = { .config_path = config_path };
    struct snapshot_error error = { .text = "" };
    struct store_error trouble = { .text = "" };
    struct keeper_error no_keys = { .text = "" };
    struct reload_set set;
    const struct config *config;
    enum err err;

    if (keeper_new(&clock_system, &process.keeper, &no_keys) != ERR_OK)
        return refuse(no_keys.text);
    err = reload_load(&process, 1, NULL, &set, &error);
    if (err == ERR_OK) {
        reload_note_identity(&process, set.identity, NULL);
        warn_of_strangers(set.snapshot->config, process.keeper);
    }
    keeper_free(process.keeper);
    if (err != ERR_OK)
        return refuse(error.text);
    config = set.snapshot->config;
    if (archive_check(config, &trouble) != STORE_OK) {
        reload_set_release(&set);
        return refuse(trouble.text);
    }
    printf("%s: fine: %zu experts, %zu embedders, %zu policies, %s\n", config_path,
           config->n_experts, config->n_embedders, config->n_policies,
           set.snapshot->fuser != NULL
               ? fuser_bundle_id(fuser_bundle_of(set.snapshot->fuser))
               : "no bundle");
    reload_set_release(&set);
    return EXIT_SUCCESS;
}

static int help(void (*print)(struct buf *out))
{
    struct buf out;

    buf_init(&out, HELP_BYTES);
    print(&out);
    (void)fwrite(out.p, 1, out.n, stdout);
    buf_release(&out);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "check-config", no_argument, NULL, 'k' },
        { "help-config", no_argument, NULL, 's' },
        { "help-keys", no_argument, NULL, 'f' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },
        { NULL, 0, NULL, 0 },
    };
    const char *config_path = NULL;
    bool only_check = false;
    int option;

    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            config_path = optarg;
            break;
        case 'k':
            only_check = true;
            break;
        case 's':
            return help(config_print_help);
        case 'f':
            return help(key_file_help);
        case 'h':
            (void)fputs(usage, stdout);
            return EXIT_SUCCESS;
        case 'v':
            (void)puts("frugald " FRUGAL_VERSION);
            return EXIT_SUCCESS;
        default:
            (void)fputs(usage, stderr);
            return 2;
        }
    }
    if (config_path == NULL || optind < argc) {
        (void)fprintf(stderr, "frugald: %s\n%s",
                      config_path == NULL ? "--config is missing" : "too many arguments",
                      usage);
        return 2;
    }
    return only_check ? check(config_path) : process_serve(config_path);
}
