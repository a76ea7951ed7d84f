/* cases.h - runs the folders tests/cases/PARSER/CASE/{input,expect} through a printer.
 *
 * A printer turns an input into text; a case holds when that text is `expect`. A new case is
 * a folder, no code. With CASES_UPDATE=1 in the environment missing expectations are written
 * (read them before they are committed); existing ones never are.
 */
#ifndef TESTS_UNIT_DOMAIN_CASES_H
#define TESTS_UNIT_DOMAIN_CASES_H

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/buf.h"
#include "gateway/base/str.h"

#define CASES_MAX_BYTES (16 << 20)

typedef void (*cases_print_fn)(struct str input, struct buf *out);

/* False: there is no such file. */
static inline bool cases_read(const char *path, struct buf *text)
{
    FILE *file = fopen(path, "rb");
    size_t n = 1;
    char *room;

    if (!file)
        return false;
    while (n > 0) {
        assert_int_equal(buf_room(text, 65536, &room), ERR_OK);
        n = fread(room, 1, 65536, file);
        buf_commit(text, n);
    }
    (void)fclose(file);
    return true;
}

static inline void cases_write(const char *path, struct str text)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    if (text.n > 0)
        assert_int_equal(fwrite(text.p, 1, text.n, file), text.n);
    assert_int_equal(fclose(file), 0);
}

/* Runs one case; false when it does not hold. */
static inline bool cases_run_one(const char *folder, cases_print_fn print)
{
    struct buf input, expect, got;
    char path[2048];
    bool holds = false;

    buf_init(&input, CASES_MAX_BYTES);
    buf_init(&expect, CASES_MAX_BYTES);
    buf_init(&got, CASES_MAX_BYTES);
    (void)snprintf(path, sizeof(path), "%s/input", folder);
    if (!cases_read(path, &input)) {
        print_error("%s has no input\n", folder);
        goto cleanup;
    }
    print(buf_str(&input), &got);
    (void)snprintf(path, sizeof(path), "%s/expect", folder);
    if (!cases_read(path, &expect)) {
        if (getenv("CASES_UPDATE")) {
            cases_write(path, buf_str(&got));
            holds = true;
        } else {
            print_error("%s has no expect\n", folder);
        }
        goto cleanup;
    }
    holds = str_eq(buf_str(&expect), buf_str(&got));
    if (!holds)
        print_error("%s\n--- expected\n" STR_FMT "--- got\n" STR_FMT, folder,
                    STR_ARG(buf_str(&expect)), STR_ARG(buf_str(&got)));
cleanup:
    buf_release(&input);
    buf_release(&expect);
    buf_release(&got);
    return holds;
}

static inline void cases_run(const char *parser, cases_print_fn print)
{
    char folder[512], path[1024];
    struct dirent **entries;
    int n, failed = 0, ran = 0;

    (void)snprintf(folder, sizeof(folder), "tests/cases/%s", parser);
    n = scandir(folder, &entries, NULL, alphasort);
    if (n < 0)
        fail_msg("cannot read '%s': %s (run from the root of the tree)", folder,
                 strerror(errno));
    for (int i = 0; i < n; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') {
            ran++;
            failed += !cases_run_one(path, print);
        }
        free(entries[i]);
    }
    free(entries);
    assert_int_equal(failed, 0);
    assert_true(ran > 0);
}

#endif
