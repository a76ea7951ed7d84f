/* admin.c - one question to the admin listener of a running gateway; see admin.h. */
#include "tools/ctl/admin.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/ctl/fetch.h"

#define AT(member) .offset = offsetof(struct admin_options, member)
const struct option_spec admin_specs[ADMIN_SPECS] = {
    { .name = "url",
      .kind = OPTION_TEXT,
      .value = "URL",
      .help = "its admin listener, as http://127.0.0.1:8081, 127.0.0.1:8081 or "
              "unix:/run/frugal/admin.sock",
      .fallback = "http://127.0.0.1:8081",
      AT(admin) },
    { .name = "json",
      .kind = OPTION_FLAG,
      .help = "print the gateway's answer instead of a table",
      AT(json) },
};
#undef AT

enum fault_err admin_ask(const struct admin_options *options, const char *method,
                         const char *path, unsigned wait_ms, json_t **ret_answer,
                         struct fault *fault)
{
    struct network network = { 0 };
    struct fetch question = { method, .wait_ms = wait_ms };
    char *base = NULL, *url = NULL;
    unsigned status = 0;
    enum fault_err err = network_listener(&network, options->admin, &base, fault);

    if (err == FAULT_OK && asprintf(&url, "%s%s", base, path) < 0)
        err = fault_set(fault, FAULT_IO, "out of memory");
    question.url = url;
    if (err == FAULT_OK)
        err = fetch_json(&network, &question, &status, ret_answer, fault);
    if (err == FAULT_OK && status != 200)
        err = fetch_refused(options->admin, status, *ret_answer, fault);
    else if (err == FAULT_OK && *ret_answer == NULL)
        err = fault_set(fault, FAULT_IO, "'%s' answered something else than JSON",
                        options->admin);
    network_release(&network);
    free(base);
    free(url);
    return err;
}

void admin_print_json(const json_t *answer)
{
    (void)json_dumpf(answer, stdout, JSON_INDENT(2));
    (void)putchar('\n');
}
