/* The bundle's file: it comes back as it was, and anything else is refused for what it is. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "fuser/bundle.h"
#include "fuser/bundle_file.h"
#include "tests/unit/fuser/world.h"

struct folder {
    char path[64], bundle[96];
};

static int setup(void **state)
{
    struct folder *folder = calloc(1, sizeof *folder);

    (void)snprintf(folder->path, sizeof folder->path, "/tmp/frugal-bundle-XXXXXX");
    if (!mkdtemp(folder->path))
        return -1;
    (void)snprintf(folder->bundle, sizeof folder->bundle, "%s/b.frugal", folder->path);
    *state = folder;
    return 0;
}

static int teardown(void **state)
{
    struct folder *folder = *state;

    (void)chmod(folder->path, 0700);
    (void)unlink(folder->bundle);
    (void)rmdir(folder->path); /* fails, and leaves a trace, when a ".new" was left */
    free(folder);
    return 0;
}

/* A bundle of few bytes: one remote embedder of two floats, tuned, with attachments. */
static struct fuser_bundle *tiny_bundle(void)
{
    struct fuser_tuned tuned = { 0.5, NAN, 125, "{\"tried\": 3}" };
    struct fuser_embedder_info info = { .name = "e", .model = "m", .dim = 2 };
    const char *generators[] = { "x", "y" };
    struct fuser_build how = {
        .k = 2,
        .walk_m = 2,
        .prior_rows = 1,
        .text_version = "t",
        .origin = "{}",
        .text_extra = "x",
        .text_extra_bytes = 1,
        .tuned = &tuned,
    };
    struct fuser_rows *rows = NULL;
    struct fuser_bundle *bundle = NULL;

    assert_int_equal(fuser_rows_new(generators, 2, &info, 1, &rows, NULL), FUSER_OK);
    for (size_t i = 0; i < 4; i++) {
        struct fuser_cell cell = { (float)(i % 2), 10, 20, NAN };
        float v[2] = { 1, (float)i };
        char id[8];
        size_t row;

        (void)snprintf(id, sizeof id, "r%zu", i);
        assert_int_equal(
            fuser_rows_add(rows, id, i < 2 ? "a" : "b", "text", 4, &row, NULL), FUSER_OK);
        assert_int_equal(fuser_rows_set_vector(rows, row, 0, v, 2, NULL), FUSER_OK);
        assert_int_equal(fuser_rows_set_cell(rows, row, 0, &cell, NULL), FUSER_OK);
    }
    assert_int_equal(fuser_bundle_build(rows, &how, &bundle, NULL), FUSER_OK);
    fuser_rows_free(rows);
    return bundle;
}

static size_t read_file(const char *path, unsigned char *bytes, size_t room)
{
    FILE *file = fopen(path, "rb");
    size_t n;

    assert_non_null(file);
    n = fread(bytes, 1, room, file);
    assert_true(n < room);
    assert_int_equal(fclose(file), 0);
    return n;
}

static void write_file(const char *path, const unsigned char *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static enum fuser_err load_bytes(const char *path, const unsigned char *bytes, size_t n,
                                 struct fuser_error *error)
{
    struct fuser_bundle *bundle = NULL;
    enum fuser_err err;

    write_file(path, bytes, n);
    err = fuser_bundle_load(path, &bundle, error);
    if (err) {
        assert_null(bundle);
        assert_int_equal(error->code, err);
        assert_true(error->text[0] != '\0');
    }
    fuser_bundle_unref(bundle);
    return err;
}

static void compare_verdicts(const struct fuser_verdict *a, const struct fuser_verdict *b)
{
    assert_int_equal(a->n_ranked, b->n_ranked);
    assert_int_equal(a->n_neighbours, b->n_neighbours);
    assert_int_equal(a->stop, b->stop);
    for (size_t i = 0; i < a->n_ranked; i++) {
        assert_int_equal(a->ranked[i].generator, b->ranked[i].generator);
        assert_true(a->ranked[i].quality == b->ranked[i].quality);
        assert_true(a->ranked[i].quality_se == b->ranked[i].quality_se);
        assert_int_equal(a->ranked[i].expected_pico, b->ranked[i].expected_pico);
    }
    for (size_t i = 0; i < a->n_neighbours; i++) {
        assert_string_equal(a->neighbours[i].id, b->neighbours[i].id);
        assert_true(a->neighbours[i].distance == b->neighbours[i].distance);
    }
}

static void a_bundle_comes_back_as_it_was(void **state)
{
    struct folder *folder = *state;
    struct fuser_bundle *made = world_bundle(150, 0.2), *loaded = NULL;
    struct fuser *one, *two;
    struct rng rng = rng_seeded(5);
    struct fuser_error error;

    assert_int_equal(fuser_bundle_save(made, folder->bundle, &error), FUSER_OK);
    assert_int_equal(fuser_bundle_load(folder->bundle, &loaded, &error), FUSER_OK);
    assert_string_equal(fuser_bundle_id(made), fuser_bundle_id(loaded));
    assert_string_equal(fuser_bundle_text_version(loaded), "text@1");
    assert_int_equal(fuser_bundle_rows(loaded), 150);
    assert_int_equal(fuser_bundle_generators(loaded), WORLD_GENERATORS);
    assert_string_equal(fuser_bundle_generator(loaded, 2), "code");
    assert_int_equal(fuser_bundle_known_rows(loaded, 2),
                     fuser_bundle_known_rows(made, 2));
    assert_string_equal(fuser_bundle_embedder(loaded, 0)->model, "lexical@2");
    one = world_fuser(made);
    two = world_fuser(loaded);
    for (size_t i = 0; i < 20; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        struct fuser_verdict a, b;
        struct fuser_session *s, *t;
        struct world_ask ask;

        world_ask(&ask, &prompt);
        s = world_walk(one, &ask, &prompt);
        t = world_walk(two, &ask, &prompt);
        fuser_verdict(s, INT64_MAX, &a);
        fuser_verdict(t, INT64_MAX, &b);
        compare_verdicts(&a, &b);
        fuser_session_free(s);
        fuser_session_free(t);
    }
    fuser_unref(one);
    fuser_unref(two);
    fuser_bundle_unref(made);
    fuser_bundle_unref(loaded);
}

static void every_truncation_is_told_as_one(void **state)
{
    struct folder *folder = *state;
    struct fuser_bundle *bundle = tiny_bundle();
    static unsigned char bytes[65536];
    struct fuser_error error;
    size_t n;

    assert_int_equal(fuser_bundle_save(bundle, folder->bundle, NULL), FUSER_OK);
    n = read_file(folder->bundle, bytes, sizeof bytes);
    for (size_t cut = 0; cut < n; cut++)
        assert_int_equal(load_bytes(folder->bundle, bytes, cut, &error),
                         cut < 8 ? FUSER_FOREIGN : FUSER_TRUNCATED);
    assert_int_equal(load_bytes(folder->bundle, bytes, n, &error), FUSER_OK);
    bytes[n] = 0;
    assert_int_equal(load_bytes(folder->bundle, bytes, n + 1, &error), FUSER_CORRUPT);
    fuser_bundle_unref(bundle);
}

static void every_flipped_byte_is_found(void **state)
{
    struct folder *folder = *state;
    struct fuser_bundle *bundle = tiny_bundle();
    static unsigned char bytes[65536];
    struct fuser_error error;
    size_t n;

    assert_int_equal(fuser_bundle_save(bundle, folder->bundle, NULL), FUSER_OK);
    n = read_file(folder->bundle, bytes, sizeof bytes);
    for (size_t at = 0; at < n; at++) {
        enum fuser_err err;

        bytes[at] ^= 0x41;
        err = load_bytes(folder->bundle, bytes, n, &error);
        bytes[at] ^= 0x41;
        if (at < 8)
            assert_int_equal(err, FUSER_FOREIGN);
        else if (at < 12)
            assert_int_equal(err, FUSER_VERSION);
        else
            assert_true(err == FUSER_CORRUPT || err == FUSER_TRUNCATED);
    }
    fuser_bundle_unref(bundle);
}

static void what_is_not_a_bundle_is_foreign(void **state)
{
    struct folder *folder = *state;
    static const char elf[] = "\x7F"
                              "ELF and so on, long enough to hold a whole prefix of ours";
    struct fuser_bundle *bundle = NULL;
    struct fuser_error error;

    assert_int_equal(
        load_bytes(folder->bundle, (const unsigned char *)elf, sizeof elf, &error),
        FUSER_FOREIGN);
    assert_non_null(strstr(error.text, "is not a bundle"));
    assert_int_equal(load_bytes(folder->bundle, (const unsigned char *)"", 0, &error),
                     FUSER_FOREIGN);
    assert_int_equal(fuser_bundle_load(folder->path, &bundle, &error), FUSER_FOREIGN);
    assert_int_equal(fuser_bundle_load("/nonexistent/b", &bundle, &error), FUSER_IO);
    assert_non_null(strstr(error.text, strerror(ENOENT)));
}

static void a_failed_save_leaves_the_old_bundle(void **state)
{
    struct folder *folder = *state;
    struct fuser_bundle *bundle = tiny_bundle(), *loaded = NULL;
    struct fuser_error error;
    char aside[128];

    assert_int_equal(fuser_bundle_save(bundle, folder->bundle, &error), FUSER_OK);
    /* What stands in the way of writing aside is a folder. */
    (void)snprintf(aside, sizeof aside, "%s.new", folder->bundle);
    assert_int_equal(mkdir(aside, 0700), 0);
    assert_int_equal(fuser_bundle_save(bundle, folder->bundle, &error), FUSER_IO);
    assert_non_null(strstr(error.text, ".new"));
    assert_int_equal(rmdir(aside), 0);
    assert_int_equal(fuser_bundle_load(folder->bundle, &loaded, &error), FUSER_OK);
    fuser_bundle_unref(loaded);
    fuser_bundle_unref(bundle);
}

static void probes_know_their_embedder(void **state)
{
    struct fuser_bundle *bundle = world_bundle(60, 0);
    struct fuser_error error;

    (void)state;
    for (size_t p = 0; p < FUSER_PROBES; p++) {
        const float *own =
            index_vectors(bundle->index[1]) + bundle->probes[1][p].row * WORLD_DIM;
        float other[WORLD_DIM] = { 1 }, scaled[WORLD_DIM], nan[WORLD_DIM];

        assert_true(strlen(fuser_bundle_probe(bundle, 1, p)) > 0);
        for (size_t d = 0; d < WORLD_DIM; d++) {
            scaled[d] = 3 * own[d];
            nan[d] = NAN;
        }
        assert_int_equal(
            fuser_bundle_check_probe(bundle, 1, p, scaled, WORLD_DIM, &error), FUSER_OK);
        assert_int_equal(fuser_bundle_check_probe(bundle, 1, p, other, WORLD_DIM, &error),
                         FUSER_MISMATCH);
        assert_non_null(strstr(error.text, "embed-small"));
        assert_int_equal(fuser_bundle_check_probe(bundle, 1, p, nan, WORLD_DIM, &error),
                         FUSER_MISMATCH);
        assert_int_equal(
            fuser_bundle_check_probe(bundle, 1, p, own, WORLD_DIM - 1, &error),
            FUSER_MISMATCH);
        assert_null(fuser_bundle_probe(bundle, 0, p));
        assert_int_equal(fuser_bundle_check_probe(bundle, 0, p, own, 1, &error),
                         FUSER_OK);
    }
    fuser_bundle_unref(bundle);
}

static enum fuser_err rows_of_model(const char *model, struct fuser_rows **ret_rows)
{
    static const char *const generators[] = { "x" };
    struct fuser_embedder_info info = { .name = "lexical", .kind = FUSER_LEXICAL };

    (void)snprintf(info.model, sizeof info.model, "%s", model);
    return fuser_rows_new(generators, 1, &info, 1, ret_rows, NULL);
}

static void a_bundle_of_an_older_embedder_is_read_as_it_was(void **state)
{
    struct folder *folder = *state;
    struct fuser_build how = { .prior_rows = -1 };
    struct fuser_cell right = { 1, 10, 10, NAN };
    struct fuser_bundle *bundle = NULL, *loaded = NULL;
    struct fuser_rows *rows = NULL;
    size_t row;

    assert_int_equal(rows_of_model("lexical@9", &rows), FUSER_INVALID);
    assert_int_equal(rows_of_model("lexical@1", &rows), FUSER_OK);
    assert_int_equal(fuser_rows_add(rows, "a", NULL, "hello there", 11, &row, NULL),
                     FUSER_OK);
    assert_int_equal(fuser_rows_set_cell(rows, row, 0, &right, NULL), FUSER_OK);
    assert_int_equal(fuser_bundle_build(rows, &how, &bundle, NULL), FUSER_OK);
    assert_int_equal(fuser_bundle_save(bundle, folder->bundle, NULL), FUSER_OK);
    assert_int_equal(fuser_bundle_load(folder->bundle, &loaded, NULL), FUSER_OK);
    assert_string_equal(fuser_bundle_embedder(loaded, 0)->model, "lexical@1");
    assert_int_equal(fuser_bundle_embedder(loaded, 0)->dim, 1); /* no form behind it */
    fuser_bundle_unref(loaded);
    fuser_bundle_unref(bundle);
    fuser_rows_free(rows);
}

static void a_configuration_may_know_more_and_less(void **state)
{
    struct fuser_bundle *bundle = tiny_bundle();
    const char *generators[] = { "new", "x", "y" }, *embedders[] = { "lexical", "e" };
    const char *twice[] = { "x", "x" };
    struct fuser_names names = { generators, 3, embedders, 2, NULL };
    struct fuser *fuser = NULL, *second = NULL;
    struct fuser_error error;

    (void)state;
    assert_int_equal(fuser_new(bundle, &names, &fuser, &error), FUSER_OK);
    assert_false(fuser_knows_generator(fuser, 0));
    assert_true(fuser_knows_generator(fuser, 1));
    assert_false(fuser_knows_generator(fuser, 2)); /* it has not a single known cell */
    assert_int_equal(fuser_embedder_in_bundle(fuser, 0), -1);
    assert_int_equal(fuser_embedder_in_bundle(fuser, 1), 0);
    names.generators = twice;
    names.n_generators = 2;
    assert_int_equal(fuser_new(bundle, &names, &second, &error), FUSER_DUPLICATE);
    assert_null(second);
    fuser_bundle_unref(bundle);
    assert_int_equal(fuser_bundle_rows(fuser_bundle_of(fuser)), 4);
    fuser_unref(fuser);
}

static void tuned_settings_come_back_with_their_evidence(void **state)
{
    struct folder *folder = *state;
    struct fuser_bundle *bundle = tiny_bundle(), *loaded = NULL;
    const struct fuser_tuned *tuned;

    assert_int_equal(fuser_bundle_save(bundle, folder->bundle, NULL), FUSER_OK);
    assert_int_equal(fuser_bundle_load(folder->bundle, &loaded, NULL), FUSER_OK);
    tuned = fuser_bundle_tuned(loaded);
    assert_non_null(tuned);
    assert_true(tuned->switch_z == 0.5 && isnan(tuned->gain_se) && tuned->lambda == 125);
    assert_string_equal(tuned->evidence, "{\"tried\": 3}");
    assert_string_equal(fuser_bundle_id(loaded), fuser_bundle_id(bundle));
    fuser_bundle_unref(loaded);
    fuser_bundle_unref(bundle);
}

static void tuned_settings_are_checked(void **state)
{
    static const struct fuser_tuned wrong[] = { { -1, NAN, NAN, "" },
                                                { NAN, INFINITY, NAN, "" },
                                                { NAN, NAN, -1, "" } };
    struct fuser_rows *rows = world_rows(20, 0, true, NULL);
    struct fuser_bundle *bundle = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct fuser_build how = { .head = "knn", .tuned = &wrong[i] };

        assert_int_equal(fuser_bundle_build(rows, &how, &bundle, NULL), FUSER_INVALID);
    }
    bundle = world_build(rows);
    assert_null(fuser_bundle_tuned(bundle));
    fuser_bundle_unref(bundle);
    fuser_rows_free(rows);
}

#define EXTRA "You are\0a template\n" /* a 0 in it: bytes, not a text */

static struct fuser_bundle *attached_bundle(const char *origin, const void *extra,
                                            size_t extra_bytes)
{
    struct fuser_rows *rows = world_rows(20, 0, true, NULL);
    struct fuser_build how = { .head = "knn",
                               .text_version = "text@9",
                               .origin = origin,
                               .text_extra = extra,
                               .text_extra_bytes = extra_bytes };
    struct fuser_bundle *bundle = NULL;

    assert_int_equal(fuser_bundle_build(rows, &how, &bundle, NULL), FUSER_OK);
    fuser_rows_free(rows);
    return bundle;
}

static uint32_t version_in(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint32_t head[3]; /* magic, version */

    assert_non_null(file);
    assert_int_equal(fread(head, sizeof head, 1, file), 1);
    assert_int_equal(fclose(file), 0);
    return head[2];
}

static void what_is_attached_comes_back_and_is_part_of_the_id(void **state)
{
    struct folder *folder = *state;
    struct fuser_bundle *plain = attached_bundle(NULL, NULL, 0), *loaded = NULL;
    struct fuser_bundle *origin = attached_bundle("{\"judge\": \"gpt\"}", "", 0);
    struct fuser_bundle *both = attached_bundle("{}", EXTRA, sizeof EXTRA);
    const void *extra;
    size_t n = 1;

    assert_null(fuser_bundle_origin(plain));
    assert_null(fuser_bundle_text_extra(plain, &n));
    assert_int_equal(n, 0);
    assert_string_not_equal(fuser_bundle_id(plain), fuser_bundle_id(origin));
    assert_string_not_equal(fuser_bundle_id(origin), fuser_bundle_id(both));

    assert_int_equal(fuser_bundle_save(origin, folder->bundle, NULL), FUSER_OK);
    /* Whoever does not know of it may read such a bundle. */
    assert_true(version_in(folder->bundle) < BUNDLE_VERSION);
    assert_int_equal(fuser_bundle_load(folder->bundle, &loaded, NULL), FUSER_OK);
    assert_string_equal(fuser_bundle_origin(loaded), "{\"judge\": \"gpt\"}");
    assert_string_equal(fuser_bundle_id(loaded), fuser_bundle_id(origin));
    fuser_bundle_unref(loaded);
    loaded = NULL;

    assert_int_equal(fuser_bundle_save(both, folder->bundle, NULL), FUSER_OK);
    assert_int_equal(version_in(folder->bundle), BUNDLE_VERSION);
    assert_int_equal(fuser_bundle_load(folder->bundle, &loaded, NULL), FUSER_OK);
    assert_string_equal(fuser_bundle_origin(loaded), "{}");
    extra = fuser_bundle_text_extra(loaded, &n);
    assert_int_equal(n, sizeof EXTRA);
    assert_memory_equal(extra, EXTRA, n);
    assert_string_equal(fuser_bundle_id(loaded), fuser_bundle_id(both));
    fuser_bundle_unref(loaded);
    fuser_bundle_unref(plain);
    fuser_bundle_unref(origin);
    fuser_bundle_unref(both);
}

static void what_is_attached_is_bounded(void **state)
{
    struct folder *folder = *state;
    char *most = calloc(1, FUSER_ORIGIN_MAX + 2);
    struct fuser_rows *rows = world_rows(20, 0, true, NULL);
    struct fuser_bundle *bundle = NULL, *loaded = NULL;
    struct fuser_build how = { .head = "knn", .origin = most };
    size_t n;

    memset(most, 'x', FUSER_ORIGIN_MAX + 1);
    assert_int_equal(fuser_bundle_build(rows, &how, &bundle, NULL), FUSER_TOO_LARGE);
    how.origin = NULL;
    how.text_extra = most;
    how.text_extra_bytes = FUSER_TEXT_EXTRA_MAX + 1;
    assert_int_equal(fuser_bundle_build(rows, &how, &bundle, NULL), FUSER_TOO_LARGE);
    assert_null(bundle);
    fuser_rows_free(rows);

    most[FUSER_ORIGIN_MAX] = '\0';
    bundle = attached_bundle(most, most, FUSER_TEXT_EXTRA_MAX);
    assert_int_equal(fuser_bundle_save(bundle, folder->bundle, NULL), FUSER_OK);
    assert_int_equal(fuser_bundle_load(folder->bundle, &loaded, NULL), FUSER_OK);
    assert_string_equal(fuser_bundle_origin(loaded), most);
    assert_non_null(fuser_bundle_text_extra(loaded, &n));
    assert_int_equal(n, FUSER_TEXT_EXTRA_MAX);
    fuser_bundle_unref(loaded);
    fuser_bundle_unref(bundle);
    free(most);
}

/* A file says what it likes: it is read by what it has, and refused for what makes no sense. */
static void attachments_in_a_file_are_checked(void **state)
{
    static char wide[FUSER_ORIGIN_MAX + 1] = "x";
    struct attached attached = { 0 };
    struct source none = { .at = (const unsigned char *)wide, .left = 0 };
    struct source over = { .at = (const unsigned char *)wide, .left = sizeof wide };
    struct source cut = { .at = (const unsigned char *)wide, .left = 2 };

    (void)state;
    assert_int_equal(attached_load_origin(&attached, &none), FUSER_CORRUPT);
    assert_int_equal(attached_load_text_extra(&attached, &none), FUSER_CORRUPT);
    assert_int_equal(attached_load_text_extra(&attached, &over), FUSER_CORRUPT);
    assert_int_equal(attached_load_origin(&attached, &cut), FUSER_CORRUPT); /* "x\0" */
    memset(wide, 'x', sizeof wide);
    assert_int_equal(attached_load_origin(&attached, &over), FUSER_CORRUPT);
    assert_null(attached.origin);
    assert_null(attached.text_extra);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_bundle_comes_back_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bundle_of_an_older_embedder_is_read_as_it_was,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(every_truncation_is_told_as_one, setup, teardown),
        cmocka_unit_test_setup_teardown(every_flipped_byte_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_a_bundle_is_foreign, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_save_leaves_the_old_bundle, setup,
                                        teardown),
        cmocka_unit_test(probes_know_their_embedder),
        cmocka_unit_test(a_configuration_may_know_more_and_less),
        cmocka_unit_test_setup_teardown(tuned_settings_come_back_with_their_evidence,
                                        setup, teardown),
        cmocka_unit_test(tuned_settings_are_checked),
        cmocka_unit_test_setup_teardown(what_is_attached_comes_back_and_is_part_of_the_id,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_attached_is_bounded, setup, teardown),
        cmocka_unit_test(attachments_in_a_file_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
