/* The built-in embedders: bounded, deterministic, and they see what they are for. */
#include "fuser/gram.h"
#include "fuser/kernel.h"
#include "fuser/lexical.h"
#include "fuser/surface.h"
#include "fuser/svd.h"
#include "tests/unit/fuser/world.h"

static struct glyphs read_text(const char *text)
{
    struct glyphs glyphs;

    glyphs_read(&glyphs, text, strlen(text));
    return glyphs;
}

static void utf8_becomes_code_points(void **state)
{
    struct glyphs g = read_text("a\xC3\xA9\xE6\xBC\xA2\xF0\x9F\x98\x80");

    (void)state;
    assert_int_equal(g.n, 4);
    assert_int_equal(g.at[1], 0xE9);
    assert_int_equal(g.at[2], 0x6F22);
    assert_int_equal(g.at[3], 0x1F600);
}

static void broken_utf8_becomes_one_replacement_a_byte(void **state)
{
    /* a lone tail, an overlong slash, a surrogate, a cut sequence */
    struct glyphs g = read_text("\x80|\xC0\xAF|\xED\xA0\x80|\xE6\xBC");
    size_t replaced = 0;

    (void)state;
    for (size_t i = 0; i < g.n; i++)
        replaced += g.at[i] == 0xFFFD;
    assert_int_equal(replaced, 1 + 2 + 3 + 2);
    assert_int_equal(g.n, replaced + 3);
}

static void a_long_text_keeps_its_two_ends(void **state)
{
    size_t n = 200000;
    char *text = malloc(n + 1);
    struct glyphs g;

    (void)state;
    assert_non_null(text);
    memset(text, 'm', n);
    memset(text, 'a', GLYPHS_SIDE);
    memset(text + n - GLYPHS_SIDE, 'z', GLYPHS_SIDE);
    glyphs_read(&g, text, n);
    assert_int_equal(g.n, GLYPHS_MAX);
    assert_int_equal(g.bytes, n);
    assert_int_equal(g.at[GLYPHS_SIDE - 1], 'a');
    assert_int_equal(g.at[GLYPHS_SIDE], ' ');
    assert_int_equal(g.at[GLYPHS_SIDE + 1], 'z');
    assert_int_equal(g.at[GLYPHS_MAX - 1], 'z');
    free(text);
}

static void a_text_at_the_limit_is_kept_whole(void **state)
{
    char text[2 * GLYPHS_SIDE + 1];
    struct glyphs g;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (size_t n = GLYPHS_SIDE - 1; n < sizeof text; n += GLYPHS_SIDE / 2) {
        glyphs_read(&g, text, n);
        assert_int_equal(g.n, n);
    }
}

static void any_bytes_stay_within_the_limits(void **state)
{
    static struct gram_bag bag;
    struct rng rng = rng_seeded(1);
    char text[5000];

    (void)state;
    for (size_t round = 0; round < 300; round++) {
        size_t n = rng_next(&rng) % sizeof text;
        struct glyphs g;

        for (size_t i = 0; i < n; i++)
            text[i] = (char)(rng_next(&rng) >> (round % 2 ? 56 : 58));
        glyphs_read(&g, text, n);
        assert_true(g.n <= GLYPHS_MAX);
        gram_count(&bag, &g);
        assert_true(bag.n_used <= GRAM_USED_MAX);
    }
}

static size_t features_of(const char *text)
{
    static struct gram_bag bag;
    struct glyphs g = read_text(text);

    gram_count(&bag, &g);
    return bag.n_used;
}

static void features_are_counted_by_hand(void **state)
{
    (void)state;
    assert_int_equal(features_of(""), 0);
    assert_int_equal(features_of(" \n\t "), 0);
    /* the word, and the one run " a " */
    assert_int_equal(features_of("a"), 2);
    /* the word; " ab" "ab " and the whole " ab " */
    assert_int_equal(features_of("ab"), 1 + 2 + 1);
    /* x + 1 are three tokens and two pairs; " x+" "x+1" "+1 ", " x+1" "x+1 ", " x+1 " */
    assert_int_equal(features_of("x+1"), 5 + 3 + 2 + 1);
    /* case does not matter, nor do blanks */
    assert_int_equal(features_of("Ab  aB"), features_of("ab ab"));
}

static struct lexical *fit_world(size_t n, unsigned version, size_t dim, uint64_t seed)
{
    struct rng rng = rng_seeded(11);
    struct world_prompt *prompts = calloc(n, sizeof *prompts);
    struct lexical_text *texts = calloc(n, sizeof *texts);
    struct lexical *lexical = NULL;

    assert_non_null(prompts);
    assert_non_null(texts);
    for (size_t i = 0; i < n; i++) {
        prompts[i] = world_prompt(&rng);
        texts[i] = (struct lexical_text){ prompts[i].text, prompts[i].bytes };
    }
    assert_int_equal(lexical_fit(texts, n, version, dim, seed, &lexical, NULL), FUSER_OK);
    free(prompts);
    free(texts);
    return lexical;
}

static float dot(const float *a, const float *b, size_t n)
{
    float sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void lexical_puts_a_domain_together(void **state)
{
    enum { N = 40, DIM = 16 + SURFACE_DIM };
    struct lexical *lexical = fit_world(300, 2, DIM, 1);
    struct rng rng = rng_seeded(2);
    struct world_prompt prompts[N];
    float vectors[N][DIM];
    double sum[2] = { 0 }, pairs[2] = { 0 };

    (void)state;
    assert_int_equal(lexical_dim(lexical), DIM);
    for (size_t i = 0; i < N; i++) {
        struct glyphs glyphs;

        prompts[i] = world_prompt(&rng);
        glyphs_read(&glyphs, prompts[i].text, prompts[i].bytes);
        assert_true(lexical_embed(lexical, &glyphs, vectors[i]));
        assert_true(fabsf(dot(vectors[i], vectors[i], DIM) - 1) < 1e-5f);
        for (size_t j = 0; j < i; j++) {
            bool same = prompts[i].domain == prompts[j].domain;

            sum[same] += (double)dot(vectors[i], vectors[j], DIM);
            pairs[same]++;
        }
    }
    assert_true(sum[1] / pairs[1] > sum[0] / pairs[0] + 0.3);
    lexical_free(lexical);
}

static void lexical_is_the_same_for_the_same_seed(void **state)
{
    struct lexical *one = fit_world(120, 2, 32, 5), *two = fit_world(120, 2, 32, 5);
    struct glyphs glyphs = read_text("what does an enzyme do");
    float a[32], b[32];

    (void)state;
    assert_true(lexical_embed(one, &glyphs, a));
    assert_true(lexical_embed(two, &glyphs, b));
    assert_memory_equal(a, b, sizeof a);
    lexical_free(one);
    lexical_free(two);
}

static void lexical_says_nothing_of_an_empty_text(void **state)
{
    struct lexical *lexical = fit_world(60, 1, 8, 1);
    struct glyphs empty = read_text("  \n ");
    float v[8] = { 42 };

    (void)state;
    assert_false(lexical_embed(lexical, &empty, v));
    assert_true(v[0] == 42);
    lexical_free(lexical);
}

/* What version 1 says is frozen: version 2 keeps its words, and puts the form behind them. */
static void lexical_2_is_lexical_1_and_the_form(void **state)
{
    enum { WORDS = 16, DIM = WORDS + SURFACE_DIM };
    struct lexical *one = fit_world(300, 1, WORDS, 1), *two = fit_world(300, 2, DIM, 1);
    struct glyphs brief = read_text("cell"),
                  intricate = read_text(
                      "cell and what a membrane does to the protein of an organ");
    float words[WORDS], v[DIM], w[DIM];

    (void)state;
    assert_true(lexical_embed(one, &brief, words));
    assert_true(lexical_embed(two, &brief, v));
    assert_true(lexical_embed(two, &intricate, w));
    for (size_t i = 0; i < WORDS; i++)
        assert_true(fabsf(v[i] - sqrtf(1 - LEXICAL_FORM_SHARE) * words[i]) < 1e-5f);
    assert_true(fabsf(dot(v, v, DIM) - 1) < 1e-5f);
    assert_true(fabsf(dot(v + WORDS, v + WORDS, SURFACE_DIM) - LEXICAL_FORM_SHARE) <
                1e-5f);
    assert_true(dot(v + WORDS, w + WORDS, SURFACE_DIM) < 0.9f * LEXICAL_FORM_SHARE);
    lexical_free(one);
    lexical_free(two);
}

static void lexical_fits_one_text_and_refuses_none(void **state)
{
    struct lexical_text one = { "hello there", 11 }, blank = { " ", 1 };
    struct lexical *lexical = NULL;
    struct fuser_error error = { 0 };

    (void)state;
    for (unsigned version = 1; version <= 2; version++) {
        assert_int_equal(lexical_fit(&one, 1, version, 128, 1, &lexical, &error),
                         FUSER_OK);
        assert_int_equal(lexical_dim(lexical), 1 + (version == 2) * SURFACE_DIM);
        lexical_free(lexical);
        lexical = NULL;
    }
    assert_int_equal(lexical_fit(&blank, 1, 2, 128, 1, &lexical, &error), FUSER_INVALID);
    assert_null(lexical);
    assert_non_null(strstr(error.text, "no row has a text"));
}

static void surface_counts_what_it_names(void **state)
{
    struct glyphs g = read_text("Which of the following is not 12+3? A. 15 B) 16\n");
    float f[SURFACE_DIM];

    (void)state;
    surface_features(&g, f);
    assert_true(fabsf(f[0] - logf(1 + 48)) < 1e-5f);
    assert_true(fabsf(f[2] - 7.0f / 48) < 1e-5f);    /* digits */
    assert_true(fabsf(f[3] - 3.0f / 48) < 1e-5f);    /* capitals */
    assert_true(fabsf(f[4] - 1.0f / 48) < 1e-5f);    /* operators */
    assert_true(fabsf(f[9] - logf(1 + 2)) < 1e-5f);  /* options */
    assert_true(fabsf(f[10] - logf(1 + 1)) < 1e-5f); /* questions */
    assert_true(f[13] == 1 && f[14] == 1);           /* which of, not */
    assert_true(f[16] == 0 && f[17] == 0);           /* how many, how much */
}

static void surface_features_that_never_vary_do_not_count(void **state)
{
    struct surface surface;
    float features[2 * SURFACE_DIM] = { 0 }, v[SURFACE_DIM];
    struct glyphs g = read_text("HELLO 123");

    (void)state;
    surface_fit(&surface, features, 2);
    assert_false(surface_embed(&surface, &g, v));
}

/* diag(3, 2, 1) in a larger sparse matrix: the right singular vectors are known. */
static void svd_finds_the_axes_of_a_diagonal(void **state)
{
    size_t start[] = { 0, 1, 2, 3 };
    uint32_t column[] = { 4, 1, 7 };
    float value[] = { 2, 3, 1 }, v[9 * 2] = { 0 };
    struct svd_sparse a = { 3, 9, start, column, value };
    size_t rank;

    (void)state;
    assert_int_equal(svd_right(&a, 2, 1, v, &rank, NULL), FUSER_OK);
    assert_int_equal(rank, 2);
    assert_true(fabsf(v[1 * 2 + 0] - 1) < 1e-4f);
    assert_true(fabsf(v[4 * 2 + 1] - 1) < 1e-4f);
    assert_true(fabsf(v[7 * 2 + 0]) < 1e-4f && fabsf(v[7 * 2 + 1]) < 1e-4f);
}

static void svd_of_zeros_has_no_rank(void **state)
{
    size_t start[] = { 0, 1, 1 };
    uint32_t column[] = { 0 };
    float value[] = { 0 }, v[4 * 2] = { 0 };
    struct svd_sparse a = { 2, 4, start, column, value };
    size_t rank = 9;

    (void)state;
    assert_int_equal(svd_right(&a, 2, 1, v, &rank, NULL), FUSER_OK);
    assert_int_equal(rank, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_becomes_code_points),
        cmocka_unit_test(broken_utf8_becomes_one_replacement_a_byte),
        cmocka_unit_test(a_long_text_keeps_its_two_ends),
        cmocka_unit_test(a_text_at_the_limit_is_kept_whole),
        cmocka_unit_test(any_bytes_stay_within_the_limits),
        cmocka_unit_test(features_are_counted_by_hand),
        cmocka_unit_test(lexical_puts_a_domain_together),
        cmocka_unit_test(lexical_is_the_same_for_the_same_seed),
        cmocka_unit_test(lexical_says_nothing_of_an_empty_text),
        cmocka_unit_test(lexical_2_is_lexical_1_and_the_form),
        cmocka_unit_test(lexical_fits_one_text_and_refuses_none),
        cmocka_unit_test(surface_counts_what_it_names),
        cmocka_unit_test(surface_features_that_never_vary_do_not_count),
        cmocka_unit_test(svd_finds_the_axes_of_a_diagonal),
        cmocka_unit_test(svd_of_zeros_has_no_rank),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
