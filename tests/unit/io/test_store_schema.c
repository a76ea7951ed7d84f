/* The store's tables: made, migrated, or refused as a whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/io/store_fixture.h"

static void in_file(const char *sql)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static enum store_err try_to_open(enum store_file_mode mode, struct store_error *error)
{
    struct store_file *file = NULL;
    enum store_err err;

    error->text[0] = '\0';
    err = store_file_open(path, mode, &file, error);
    store_file_close(file);
    return err;
}

static void make(void)
{
    struct store_error error;

    assert_int_equal(try_to_open(STORE_FILE_CREATE, &error), STORE_OK);
}

static void an_absent_file_is_made_at_the_present_version(void **state)
{
    struct stat status;

    (void)state;
    make();
    assert_int_equal(number_in_file("PRAGMA user_version"), store_schema_version());
    assert_int_equal(number_in_file("PRAGMA application_id"), STORE_APPLICATION);
    assert_int_equal(number_in_file("SELECT count(*) FROM decisions"), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static void an_empty_file_of_version_0_is_migrated(void **state)
{
    (void)state;
    in_file("PRAGMA user_version = 0");
    make();
    assert_int_equal(number_in_file("PRAGMA user_version"), store_schema_version());
    assert_int_equal(number_in_file("SELECT count(*) FROM spend"), 0);
}

static void a_present_file_keeps_its_rows(void **state)
{
    (void)state;
    make();
    in_file(
        "INSERT INTO spend VALUES (1, '', 'auto', 'x', 'generation', 1, 1, 7, 7, 0, 0,"
        " 0, 0)");
    make();
    assert_int_equal(number_in_file("SELECT bound_pico FROM spend"), 7);
}

static void a_newer_file_is_refused_and_left_alone(void **state)
{
    struct store_error error;

    (void)state;
    make();
    in_file("PRAGMA user_version = 99");
    assert_int_equal(try_to_open(STORE_FILE_CREATE, &error), STORE_NEWER);
    assert_non_null(strstr(error.text, "is of version 99, this program knows"));
    assert_int_equal(try_to_open(STORE_FILE_READ, &error), STORE_NEWER);
    assert_int_equal(number_in_file("PRAGMA user_version"), 99);
}

static void a_file_of_another_program_is_refused_and_left_alone(void **state)
{
    struct store_error error;

    (void)state;
    in_file("CREATE TABLE theirs (x)");
    assert_int_equal(try_to_open(STORE_FILE_CREATE, &error), STORE_FOREIGN);
    assert_non_null(strstr(error.text, "is not a database of the gateway"));
    assert_int_equal(number_in_file("SELECT count(*) FROM sqlite_master"), 1);
}

static void a_file_that_is_no_database_is_refused(void **state)
{
    static const char text[] = "this is a letter to nobody, and quite long enough for it";
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    struct store_error error;

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(write(fd, text, sizeof text), sizeof text);
    (void)close(fd);
    assert_int_equal(try_to_open(STORE_FILE_CREATE, &error), STORE_FOREIGN);
}

static void a_migration_that_fails_half_way_leaves_the_file_as_it_was(void **state)
{
    struct store_error error;
    char sql[128];

    (void)state;
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA application_id = %d; CREATE TABLE feedback (x)",
                   STORE_APPLICATION);
    in_file(sql);
    assert_int_equal(try_to_open(STORE_FILE_CREATE, &error), STORE_IO);
    assert_non_null(strstr(error.text, "feedback already exists"));
    assert_int_equal(number_in_file("SELECT count(*) FROM sqlite_master"), 1);
    assert_int_equal(number_in_file("PRAGMA user_version"), 0);
}

static void who_only_reads_makes_and_migrates_nothing(void **state)
{
    struct store_error error;

    (void)state;
    assert_int_equal(try_to_open(STORE_FILE_READ, &error), STORE_ABSENT);
    assert_int_equal(access(path, F_OK), -1);
    in_file("PRAGMA user_version = 0");
    assert_int_equal(try_to_open(STORE_FILE_READ, &error), STORE_ABSENT);
    make();
    assert_int_equal(try_to_open(STORE_FILE_READ, &error), STORE_OK);
}

static void the_gateway_writes_while_others_read(void **state)
{
    struct store_settings with = settings();
    struct store *store = opened(&with);
    struct store_file *reader = NULL;
    struct store_error error = { "" };
    struct store_view view = { NULL, NULL };
    struct store_row *row = NULL;

    (void)state;
    assert_int_equal(store_file_open(path, STORE_FILE_READ, &reader, &error), STORE_OK);
    assert_int_equal(store_file_exec(reader, "BEGIN; SELECT count(*) FROM spend", &error),
                     STORE_OK);
    (void)put_id(store, "dec_1");
    flush(store);
    assert_false(store_failing(store));
    assert_int_equal(store_file_exec(reader, "COMMIT", &error), STORE_OK);
    view.file = reader;
    assert_int_equal(store_find(&view, STORE_BY_ID, STR("dec_1"), &row, &error),
                     STORE_OK);
    store_row_free(row);
    store_file_close(reader);
    store_close(store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(an_absent_file_is_made_at_the_present_version),
        TEST(an_empty_file_of_version_0_is_migrated),
        TEST(a_present_file_keeps_its_rows),
        TEST(a_newer_file_is_refused_and_left_alone),
        TEST(a_file_of_another_program_is_refused_and_left_alone),
        TEST(a_file_that_is_no_database_is_refused),
        TEST(a_migration_that_fails_half_way_leaves_the_file_as_it_was),
        TEST(who_only_reads_makes_and_migrates_nothing),
        TEST(the_gateway_writes_while_others_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
