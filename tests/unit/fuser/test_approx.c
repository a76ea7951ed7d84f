/* Approximate search: it names candidates, states how many of the nearest they are, and their order
 * is exact. */
#include "tests/unit/fuser/world.h"

#include "fuser/bundle.h"

#define ROWS   3000
#define DIM    80 /* wider than what lists are narrowed to */
#define SPREAD 6  /* directions in which the vectors differ */
#define PARTS  2

static const char *const names[PARTS] = { "left", "right" };

/* Vectors that fill few of their dimensions, as embeddings do. Each part tells one bit of which
 * generator is good. */
static unsigned make_vector(struct rng *rng, size_t e, float *v)
{
    struct rng directions = rng_seeded(99 + e);
    unsigned bit = 0;

    for (size_t d = 0; d < DIM; d++)
        v[d] = 0.02f * (float)world_uniform(rng);
    for (size_t s = 0; s < SPREAD; s++) {
        float weight = (float)(world_uniform(rng) - 0.5);

        bit = s == 0 ? weight > 0 : bit;
        for (size_t d = 0; d < DIM; d++)
            v[d] += weight * (float)(world_uniform(&directions) - 0.5);
    }
    return bit;
}

static struct fuser_rows *make_rows(size_t n, double missing, bool alike)
{
    struct fuser_embedder_info infos[PARTS] = { { .name = "left" }, { .name = "right" } };
    struct fuser_rows *rows = NULL;
    struct rng rng = rng_seeded(5);

    assert_int_equal(
        fuser_rows_new(world_generators, WORLD_GENERATORS, infos, PARTS, &rows, NULL), 0);
    for (size_t i = 0; i < n; i++) {
        unsigned good = 0;
        char id[32];
        size_t row;

        (void)snprintf(id, sizeof id, "row%06zu", i);
        assert_int_equal(fuser_rows_add(rows, id, i % 2 ? "d" : "e", NULL, 0, &row, NULL),
                         FUSER_OK);
        for (size_t e = 0; e < PARTS; e++) {
            float vector[DIM];

            good |= make_vector(&rng, e, vector) << e;
            for (size_t d = 0; alike && d < DIM; d++)
                vector[d] = 1;
            if (world_uniform(&rng) >= missing)
                assert_int_equal(fuser_rows_set_vector(rows, row, e, vector, DIM, NULL),
                                 0);
        }
        for (size_t g = 0; g < WORLD_GENERATORS; g++) {
            struct fuser_cell cell = world_cell(&rng, good, g);

            assert_int_equal(fuser_rows_set_cell(rows, row, g, &cell, NULL), FUSER_OK);
        }
    }
    return rows;
}

static struct fuser_bundle *build(const struct fuser_rows *rows, size_t flat_rows,
                                  uint32_t k, double (*now_us)(void))
{
    struct fuser_build how = { .head = "knn",
                               .k = k,
                               .walk_m = 20,
                               .prior_rows = 10,
                               .seed = 7,
                               .flat_rows = flat_rows,
                               .now_us = now_us };
    struct fuser_bundle *bundle = NULL;

    assert_int_equal(fuser_bundle_build(rows, &how, &bundle, NULL), FUSER_OK);
    return bundle;
}

/* A prompt under all the evidence that `embedders` allows. */
static void decide(struct fuser_bundle *bundle, uint32_t which, size_t embedders,
                   struct fuser_verdict *ret)
{
    struct fuser_names both = { world_generators, WORLD_GENERATORS, names, PARTS, NULL };
    struct rng rng = rng_seeded(which * 15485863u + 3);
    struct world_prompt prompt = { .text = "", .bytes = 0 };
    struct fuser_session *session = NULL;
    struct fuser_step step;
    struct world_ask ask;
    struct fuser *fuser;

    world_ask(&ask, &prompt);
    ask.ask.lambda = 0;
    for (size_t e = 0; e < PARTS; e++)
        ask.embedders[e] = (struct fuser_ask_embedder){ embedders >> e & 1, 0, 0 };
    assert_int_equal(fuser_new(bundle, &both, &fuser, NULL), FUSER_OK);
    assert_int_equal(fuser_session_new(fuser, &ask.ask, &session, NULL), FUSER_OK);
    for (fuser_next(&session, 1, &step); step.action == FUSER_QUERY;
         fuser_next(&session, 1, &step)) {
        float vector[DIM];

        (void)make_vector(&rng, step.embedder, vector);
        assert_int_equal(fuser_tell(session, step.embedder, vector, DIM, 0, 0, NULL), 0);
    }
    fuser_verdict(session, INT64_MAX, ret);
    fuser_session_free(session);
    fuser_unref(fuser);
}

/* Neighbours of `ours` within the exact ones' distance; their order is checked on the way. */
static size_t hits(const struct fuser_verdict *ours, const struct fuser_verdict *exact)
{
    float farthest = exact->neighbours[exact->n_neighbours - 1].distance;
    size_t n = 0;

    for (size_t i = 0; i < ours->n_neighbours; i++) {
        const struct fuser_neighbour *one = &ours->neighbours[i];

        n += one->distance <= farthest;
        if (i > 0)
            assert_true(
                one[-1].distance < one->distance ||
                (one[-1].distance == one->distance && strcmp(one[-1].id, one->id) < 0));
        for (size_t j = 0; j < exact->n_neighbours; j++)
            if (strcmp(exact->neighbours[j].id, one->id) == 0)
                assert_true(exact->neighbours[j].distance == one->distance);
    }
    return n;
}

static double recall_of(struct fuser_bundle *ours, struct fuser_bundle *exact,
                        size_t embedders)
{
    static struct fuser_verdict left, right;
    size_t found = 0, all = 0;

    for (uint32_t which = 0; which < 100; which++) {
        decide(ours, which, embedders, &left);
        decide(exact, which, embedders, &right);
        if (left.n_steps != right.n_steps)
            continue; /* it bought otherwise */
        if (right.n_neighbours == 0)
            continue;
        found += hits(&left, &right);
        all += right.n_neighbours;
    }
    assert_true(all > 0);
    return (double)found / (double)all;
}

static void candidates_are_most_of_the_nearest_in_exact_order(void **state)
{
    struct fuser_rows *rows = make_rows(ROWS, 0, false);
    struct fuser_bundle *ours = build(rows, 1, 40, NULL),
                        *exact = build(rows, 0, 40, NULL);
    struct fuser_index_info info;

    (void)state;
    for (size_t e = 0; e < PARTS; e++) {
        fuser_bundle_index(ours, e, &info);
        assert_string_equal(info.kind, "ivf");
        assert_int_equal(info.width, 64);
        assert_true(info.recall >= 0.97 && info.recall <= 1);
        assert_true(info.lists > 1 && info.effort >= 1 && info.effort < info.lists);
        fuser_bundle_index(exact, e, &info);
        assert_string_equal(info.kind, "flat");
        assert_true(info.recall == 1);
    }
    assert_true(recall_of(ours, exact, 1) >= 0.95);
    assert_true(recall_of(ours, exact, 2) >= 0.95);
    assert_true(recall_of(ours, exact, 3) >= 0.9); /* under both, from the union */
    fuser_bundle_unref(ours);
    fuser_bundle_unref(exact);
    fuser_rows_free(rows);
}

static void it_survives_the_file(void **state)
{
    static struct fuser_verdict left, right;
    struct fuser_rows *rows = make_rows(600, 0.1, false);
    struct fuser_bundle *bundle = build(rows, 1, 20, NULL), *again = NULL;
    char path[] = "/tmp/test_approx.XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    (void)close(fd);
    assert_true(bundle->approximate);
    assert_int_equal(fuser_bundle_save(bundle, path, NULL), FUSER_OK);
    assert_int_equal(fuser_bundle_load(path, &again, NULL), FUSER_OK);
    (void)unlink(path);
    assert_string_equal(fuser_bundle_id(bundle), fuser_bundle_id(again));
    assert_true(again->measured[1].recall == bundle->measured[1].recall);
    for (uint32_t which = 0; which < 50; which++) {
        decide(bundle, which, 3, &left);
        decide(again, which, 3, &right);
        assert_int_equal(left.n_neighbours, right.n_neighbours);
        for (size_t i = 0; i < left.n_neighbours; i++)
            assert_string_equal(left.neighbours[i].id, right.neighbours[i].id);
        for (size_t i = 0; i < left.n_ranked; i++)
            assert_true(left.ranked[i].utility == right.ranked[i].utility);
    }
    fuser_bundle_unref(bundle);
    fuser_bundle_unref(again);
    fuser_rows_free(rows);
}

/* Any value of the section that FAISS or we would stumble over. */
static void a_file_cannot_point_outside(void **state)
{
    struct fuser_rows *rows = make_rows(200, 0, false);
    struct fuser_bundle *bundle = build(rows, 0, 20, NULL);
    uint32_t all[200];
    struct approx_data data = { index_vectors(bundle->index[0]), DIM, all, 200 };
    struct approx *approx = NULL;
    size_t head = 6 * sizeof(uint32_t), room = 1 << 20, bytes;
    unsigned char *image = NULL;
    FILE *file = open_memstream((char **)&image, &bytes);
    struct sink sink;

    (void)state;
    assert_non_null(file);
    for (uint32_t i = 0; i < 200; i++)
        all[i] = i;
    assert_int_equal(approx_fit(&data, APPROX_LISTS, 64, 1, &approx, NULL), FUSER_OK);
    assert_true(approx->n_lists > 1);
    sink_init(&sink, file, 0);
    sink_begin(&sink, WIRE_TAG('A', 'P', 'R', 'X'), 0);
    approx_save(approx, &sink);
    sink_end(&sink);
    sink_release(&sink);
    assert_int_equal(fclose(file), 0);
    assert_true(bytes > head && bytes < room);
    /* kind, rows, width, narrowed, lists, effort; then the last row's list */
    for (size_t at = 0; at <= head; at += sizeof(uint32_t)) {
        static const uint32_t values[] = { 0, 2, 7, 1u << 16, UINT32_MAX };

        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            size_t place = at == head ? bytes - sizeof(uint32_t) : at;
            struct source source = { .at = image, .left = bytes };
            struct approx *loaded = NULL;
            uint32_t before;
            enum fuser_err err;

            memcpy(&before, image + place, sizeof before);
            memcpy(image + place, &values[v], sizeof before);
            err = approx_load(&source, &data, &loaded, NULL);
            if (err ==
                FUSER_OK) { /* within its range, or a file that goes on afterwards */
                assert_true(at == head ? values[v] < approx->n_lists
                                       : loaded->effort <= approx_effort_max(loaded));
                approx_free(loaded);
            } else {
                assert_int_equal(err, FUSER_CORRUPT);
                assert_null(loaded);
            }
            memcpy(image + place, &before, sizeof before);
        }
    }
    free(image);
    approx_free(approx);
    fuser_bundle_unref(bundle);
    fuser_rows_free(rows);
}

static void a_graph_finds_what_lists_find(void **state)
{
    struct fuser_rows *rows = make_rows(1000, 0, false);
    struct fuser_bundle *exact = build(rows, 0, 20, NULL);
    const float *vectors = index_vectors(exact->index[0]);
    uint32_t all[1000];
    struct approx_data data = { vectors, DIM, all, 1000 };
    struct approx *graph = NULL;
    struct near near[APPROX_ROOM(APPROX_OVER)];
    size_t own = 0;

    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        all[i] = i;
    assert_int_equal(approx_fit(&data, APPROX_GRAPH, 64, 1, &graph, NULL), FUSER_OK);
    assert_int_equal(approx_tune(graph, 100, NULL), FUSER_OK);
    for (uint32_t row = 0; row < 1000; row++) {
        size_t n = approx_find(graph, vectors + row * DIM, APPROX_OVER, near);

        assert_int_equal(n, 100); /* as many as its search list */
        for (size_t i = 0; i < n; i++)
            own += near[i].row == row;
    }
    assert_true(own >= 995);
    approx_free(graph);
    fuser_bundle_unref(exact);
    fuser_rows_free(rows);
}

/* Each call is a second later, so that whatever is measured takes as long. */
static double slow_clock(void)
{
    static double now_us;

    return now_us += 1e6;
}

static void an_index_that_is_not_faster_is_not_taken(void **state)
{
    struct fuser_rows *rows = make_rows(600, 0, false);
    struct fuser_bundle *bundle = build(rows, 1, 20, slow_clock);
    struct fuser_index_info info;

    (void)state;
    assert_false(bundle->approximate);
    fuser_bundle_index(bundle, 0, &info);
    assert_string_equal(info.kind, "flat");
    assert_true(info.flat_us > 0);
    fuser_bundle_unref(bundle);
    fuser_rows_free(rows);
}

static void few_rows_and_wide_settings_stay_flat(void **state)
{
    struct fuser_rows *rows = make_rows(600, 0, false);
    struct fuser_bundle *few = build(rows, 601, 20, NULL),
                        *wide = build(rows, 1, 101, NULL);

    (void)state;
    assert_false(few->approximate);
    assert_false(wide->approximate);
    assert_non_null(few->coarse[0].code);
    fuser_bundle_unref(few);
    fuser_bundle_unref(wide);
    fuser_rows_free(rows);
}

/* One list holds all, k-means finds one point: every row is as near as every other. */
static void vectors_that_are_all_alike_are_searched_too(void **state)
{
    static struct fuser_verdict verdict;
    struct fuser_rows *rows = make_rows(600, 0, true);
    struct fuser_bundle *bundle = build(rows, 1, 20, NULL);

    (void)state;
    decide(bundle, 1, 3, &verdict);
    assert_true(verdict.n_ranked == WORLD_GENERATORS);
    for (size_t i = 0; i < verdict.n_ranked; i++)
        assert_true(isfinite(verdict.ranked[i].utility));
    fuser_bundle_unref(bundle);
    fuser_rows_free(rows);
}

static void rows_in_any_place_are_measured_as_rows_in_order(void **state)
{
    enum { N = 37 };
    struct rng rng = rng_seeded(11);
    static float rows[N * 100], query[100];
    float distance[N] = { 0 }, one;
    struct near near[N];

    (void)state;
    for (size_t dim = 1; dim <= 100; dim += 11) {
        memset(distance, 0, sizeof distance);
        for (size_t i = 0; i < N * dim; i++)
            rows[i] = (float)world_uniform(&rng);
        for (size_t d = 0; d < dim; d++)
            query[d] = (float)world_uniform(&rng);
        for (uint32_t i = 0; i < N; i++)
            near[i] = (struct near){ 0, (i * 17) % N };
        kernel_l2_add(rows, N, dim, query, distance);
        kernel_l2_near(rows, dim, query, near, N);
        for (size_t i = 0; i < N; i++)
            assert_true(near[i].distance == distance[near[i].row]);
        kernel_project(rows, 1, dim, query, &one);
        for (size_t d = 0; d < dim; d++)
            one -= rows[d] * query[d];
        assert_true(fabsf(one) < 1e-4f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(candidates_are_most_of_the_nearest_in_exact_order),
        cmocka_unit_test(it_survives_the_file),
        cmocka_unit_test(a_file_cannot_point_outside),
        cmocka_unit_test(a_graph_finds_what_lists_find),
        cmocka_unit_test(an_index_that_is_not_faster_is_not_taken),
        cmocka_unit_test(few_rows_and_wide_settings_stay_flat),
        cmocka_unit_test(vectors_that_are_all_alike_are_searched_too),
        cmocka_unit_test(rows_in_any_place_are_measured_as_rows_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
