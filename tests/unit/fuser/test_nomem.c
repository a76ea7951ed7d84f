/* Out of memory wherever something is allocated: an error, nothing leaked, outputs untouched.
 *
 * To fail an allocation takes a whole build, which is long with many rows and longer under a sanitizer. So they are told apart
 * by the calls that lead to them: of each such place the first, the second and the last one fail, a loop's
 * first turn, one with something to clean up, and its end; and what has failed in a small build does
 * not have to in a larger one, which is made for the places that it alone has.
 */
#include <execinfo.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/bundle.h"
#include "tests/unit/fuser/world.h"

/* The linker sends the library's allocations here (see the Makefile). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *string);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *string);

#define FRAMES     64
#define PLACES_MAX 4096

static size_t allocations, failing; /* the failing-th one fails; 0: none does */

static struct place {
    uint64_t calls;             /* a hash of the return addresses */
    size_t first, second, last; /* of the body that is run; 0: none */
    bool failed;                /* in one before it */
} places[PLACES_MAX];
static size_t n_places;
static bool noting; /* where allocations are made */
static int above;   /* frames above those of the body */

static void note_place(void)
{
    void *frames[FRAMES];
    uint64_t calls = 0;
    size_t i = 0;

    noting = false; /* backtrace() may allocate */
    for (int f = backtrace(frames, FRAMES) - above; f-- > 0;)
        calls = (calls ^ (uintptr_t)frames[f]) * UINT64_C(0x100000001b3);
    noting = true;
    while (i < n_places && places[i].calls != calls)
        i++;
    assert_true(i < PLACES_MAX);
    if (i == n_places)
        places[n_places++] = (struct place){ .calls = calls };
    if (places[i].first == 0)
        places[i].first = allocations;
    else if (places[i].second == 0)
        places[i].second = allocations;
    else
        places[i].last = allocations;
}

static bool denied(void)
{
    allocations++;
    if (noting)
        note_place();
    return allocations == failing;
}

void *__wrap_malloc(size_t size)
{
    return denied() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return denied() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return denied() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *string)
{
    return denied() ? NULL : __real_strdup(string);
}

static void without(size_t nth, enum fuser_err (*body)(void *), void *context)
{
    enum fuser_err err;

    if (nth == 0)
        return;
    allocations = 0;
    failing = nth;
    err = body(context);
    failing = 0;
    assert_true(allocations >= nth);
    /* What fails but does not matter may still succeed. */
    if (err)
        assert_int_equal(err, FUSER_NOMEM);
}

/* Notes where `body` allocates, then runs it once for each that is to fail. */
static void at_every_allocation(enum fuser_err (*body)(void *), void *context)
{
    void *frames[FRAMES];

    above = backtrace(frames, FRAMES);
    for (size_t i = 0; i < n_places; i++)
        places[i] = (struct place){ .calls = places[i].calls, .failed = true };
    allocations = 0;
    noting = true;
    assert_int_equal(body(context), FUSER_OK);
    noting = false;
    assert_true(allocations > 0);
    for (size_t i = 0; i < n_places; i++) {
        if (places[i].failed)
            continue;
        without(places[i].first, body, context);
        without(places[i].second, body, context);
        without(places[i].last, body, context);
    }
}

static enum fuser_err fill(struct fuser_rows *rows, struct fuser_error *error)
{
    enum fuser_err err = FUSER_OK;
    struct rng rng = rng_seeded(3);

    for (size_t i = 0; !err && i < 300; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        char id[16];
        size_t row;

        (void)snprintf(id, sizeof id, "r%zu", i);
        err = fuser_rows_add(rows, id, "d", prompt.text, prompt.bytes, &row, error);
        if (!err)
            err = fuser_rows_set_vector(rows, row, 1, prompt.vector, WORLD_DIM, error);
    }
    return err;
}

static enum fuser_err collect(void *context)
{
    struct fuser_embedder_info infos[WORLD_EMBEDDERS];
    struct fuser_rows *rows = NULL;
    struct fuser_error error;
    enum fuser_err err;

    (void)context;
    world_embedder_infos(infos);
    err = fuser_rows_new(world_generators, WORLD_GENERATORS, infos, WORLD_EMBEDDERS,
                         &rows, &error);
    assert_int_equal(err == FUSER_OK, rows != NULL);
    if (!err)
        err = fill(rows, &error);
    if (err)
        assert_string_equal(error.text, "out of memory");
    fuser_rows_free(rows);
    return err;
}

struct built {
    const struct fuser_rows *rows;
    const char *head;
    size_t flat_rows; /* 1: with an approximate index */
};

static enum fuser_err build(void *context)
{
    const struct built *built = context;
    struct fuser_build how = { .head = built->head,
                               .k = 5,
                               .walk_m = 5,
                               .prior_rows = 2,
                               .flat_rows = built->flat_rows };
    struct fuser_bundle *bundle = NULL;
    struct fuser_error error;
    enum fuser_err err = fuser_bundle_build(built->rows, &how, &bundle, &error);

    assert_int_equal(err == FUSER_OK, bundle != NULL);
    fuser_bundle_unref(bundle);
    return err;
}

struct saved {
    struct fuser_bundle *bundle;
    char path[64];
};

static enum fuser_err save(void *context)
{
    struct saved *saved = context;

    return fuser_bundle_save(saved->bundle, saved->path, NULL);
}

static enum fuser_err load(void *context)
{
    struct saved *saved = context;
    struct fuser_bundle *bundle = NULL;
    enum fuser_err err = fuser_bundle_load(saved->path, &bundle, NULL);

    assert_int_equal(err == FUSER_OK, bundle != NULL);
    fuser_bundle_unref(bundle);
    return err;
}

static const struct fuser_rows *fresh;

static enum fuser_err grow(void *context)
{
    struct saved *saved = context;
    struct fuser_bundle *more = NULL;
    struct fuser_add how = { .tables = true };
    enum fuser_err err = fuser_bundle_add(saved->bundle, fresh, &how, &more, NULL);

    assert_int_equal(err == FUSER_OK, more != NULL);
    fuser_bundle_unref(more);
    return err;
}

static enum fuser_err decide(void *context)
{
    struct saved *saved = context;
    struct fuser_names names = { world_generators, WORLD_GENERATORS, world_embedders,
                                 WORLD_EMBEDDERS, NULL };
    struct fuser *fuser = NULL;
    struct fuser_session *session = NULL;
    struct rng rng = rng_seeded(4);
    struct world_prompt prompt = world_prompt(&rng);
    struct world_ask ask;
    enum fuser_err err = fuser_new(saved->bundle, &names, &fuser, NULL);

    world_ask(&ask, &prompt);
    if (!err)
        err = fuser_session_new(fuser, &ask.ask, &session, NULL);
    if (!err) {
        size_t before = allocations;
        struct fuser_step step;
        struct fuser_verdict verdict;

        fuser_next(&session, 1, &step);
        fuser_verdict(session, INT64_MAX, &verdict);
        assert_int_equal(allocations, before); /* a decision allocates nothing */
    }
    fuser_session_free(session);
    fuser_unref(fuser);
    return err;
}

static void rows_survive_it(void **state)
{
    (void)state;
    at_every_allocation(collect, NULL);
}

/* Rows of one remote embedder, whose build is short. */
static struct fuser_rows *vector_rows(size_t n)
{
    struct fuser_embedder_info infos[WORLD_EMBEDDERS];
    struct fuser_rows *rows = NULL;
    struct rng rng = rng_seeded(5);

    world_embedder_infos(infos);
    assert_int_equal(
        fuser_rows_new(world_generators, WORLD_GENERATORS, &infos[1], 1, &rows, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        struct world_prompt prompt = world_prompt(&rng);
        char id[32];
        size_t row;

        (void)snprintf(id, sizeof id, "r%zu", i);
        assert_int_equal(fuser_rows_add(rows, id, NULL, NULL, 0, &row, NULL), FUSER_OK);
        assert_int_equal(
            fuser_rows_set_vector(rows, row, 0, prompt.vector, WORLD_DIM, NULL),
            FUSER_OK);
    }
    return rows;
}

static void a_build_survives_it(void **state)
{
    struct fuser_rows *vectors = vector_rows(60);
    struct fuser_rows *labelled = world_rows(24, 0.1, true, NULL);
    struct fuser_rows *bare = world_rows(24, 0.1, false, NULL);
    struct fuser_rows *many = world_rows(100, 0.1, false, NULL);

    (void)state;
    at_every_allocation(build, &(struct built){ labelled, "knn", 0 });
    at_every_allocation(build, &(struct built){ bare, "knn", 0 });
    at_every_allocation(build, &(struct built){ vectors, "knn", 1 });
    at_every_allocation(build, &(struct built){ many, "knn", 0 });
    fuser_rows_free(many);
    fuser_rows_free(vectors);
    fuser_rows_free(labelled);
    fuser_rows_free(bare);
}

/* Few rows without gaps: a fit is short, and every allocation of it is still made. */
static void a_fitted_head_survives_it(void **state)
{
    static const char *const heads[] = { "ridge", "logistic", "blend" };
    struct fuser_rows *rows = world_rows(8, 0, true, NULL);

    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        at_every_allocation(build, &(struct built){ rows, heads[i], 0 });
    fuser_rows_free(rows);
}

static void survive_with(struct fuser_bundle *bundle)
{
    struct saved saved = { .path = "/tmp/frugal-nomem-XXXXXX" };
    int fd = mkstemp(saved.path);

    assert_true(fd >= 0);
    (void)close(fd);
    saved.bundle = bundle;
    at_every_allocation(save, &saved);
    assert_int_equal(fuser_bundle_save(saved.bundle, saved.path, NULL), FUSER_OK);
    at_every_allocation(load, &saved);
    at_every_allocation(decide, &saved);
    at_every_allocation(grow, &saved);
    fuser_bundle_unref(saved.bundle);
    (void)unlink(saved.path);
}

static void a_bundle_survives_it(void **state)
{
    struct fuser_build lists = {
        .head = "knn", .k = 5, .walk_m = 5, .prior_rows = 2, .flat_rows = 1
    };
    struct fuser_rows *rows = world_rows(60, 0.1, false, NULL);
    struct fuser_rows *more =
        world_rows(6, 0.1, true, (uint32_t[]){ 3, 80, 81, 82, 83, 84 });
    struct fuser_bundle *bundle = NULL;

    (void)state;
    fresh = more;
    survive_with(world_bundle(60, 0.1));
    assert_int_equal(fuser_bundle_build(rows, &lists, &bundle, NULL), FUSER_OK);
    assert_true(bundle->approximate);
    survive_with(bundle);
    fuser_rows_free(rows);
    fuser_rows_free(more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_survive_it),
        cmocka_unit_test(a_build_survives_it),
        cmocka_unit_test(a_fitted_head_survives_it),
        cmocka_unit_test(a_bundle_survives_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
