/* bench_decision.c - how long a decision takes, from the text to the ranking.
 *
 *     bench_decision [ROWS] [DIM] [DECISIONS] [HEAD]     default 10000 128 4000 and the default head
 *     bench_decision 1000000 384                         a few minutes and 8 GB
 *
 * Prints a line for people and one of JSON. Synthetic prompts: words of eight vocabularies, so
 * that neighbourhoods exist; 300 characters on average, and 2,000 for the long ones, which is
 * all that the built-in embedders look at. One decision is a session from its making to its
 * verdict, with the built-in lexical embedder, or with a vector that is given. p50 and p99 are
 * of wall time on one thread; cpu is the median of the thread's own time, which a busy machine
 * disturbs less. The limit at 10,000 x 128 is 150 us with a vector given and 300 us from the text.
 *
 * From SCALE_ROWS rows on, only with a vector given: the time of the build, of a save and a load, the
 * memory, the index that was chosen and what it promised, and the recall of the 32 neighbours that
 * verdicts show against a whole scan. The limit is 1 ms at 1,000,000 x 384 with a recall of .95.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "fuser/bundle.h"
#include "fuser/fuser.h"
#include "fuser/nearest.h"

#define GENERATORS 8
#define DOMAINS    8
#define WORDS      400 /* per domain */
#define BATCH      16
#define LATENT     32
#define NOISE      0.2f
#define SCALE_ROWS 100000
#define ORACLE     200 /* prompts whose neighbours are checked */

static const char *const generators[GENERATORS] = { "g0", "g1", "g2", "g3",
                                                    "g4", "g5", "g6", "g7" };

static uint64_t state = 1;

static uint64_t next_random(void)
{
    uint64_t z = state += 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static double now_us(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void check(enum fuser_err err, const struct fuser_error *error)
{
    if (err == FUSER_OK)
        return;
    fprintf(stderr, "bench_decision: %s\n", error->text);
    exit(1);
}

/* Words of the domain's own vocabulary, a third of them common to all. */
static size_t write_prompt(char *to, size_t room, size_t length, unsigned domain)
{
    size_t n = 0;

    length = length < room - 16 ? length : room - 16;
    while (n < length) {
        unsigned common = next_random() % 3 == 0;
        uint64_t word = next_random() % WORDS * (next_random() % WORDS) / WORDS;
        uint64_t seed = (common ? DOMAINS : domain) * 1000003u + word;

        for (size_t letters = 2 + seed * 7 % 8; letters > 0; letters--) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            to[n++] = (char)('a' + (seed >> 33) % 26);
        }
        to[n++] = ' ';
    }
    to[n] = '\0';
    return n;
}

/* Sentence embeddings fill few of their dimensions: LATENT directions of falling weight about
 * the domain's own point, and a little noise in all of them. */
static float mixing[LATENT][FUSER_MAX_DIM];

static float next_even(void)
{
    return (float)(next_random() >> 40) / 16777216.0f - 0.5f;
}

static void make_mixing(size_t dim)
{
    for (size_t l = 0; l < LATENT; l++)
        for (size_t d = 0; d < dim; d++)
            mixing[l][d] = next_even() / sqrtf(1 + (float)l);
}

static void random_vector(float *v, size_t dim, unsigned domain)
{
    for (size_t d = 0; d < dim; d++)
        v[d] = NOISE * next_even() + (d % DOMAINS == domain ? 0.5f : 0.0f);
    for (size_t l = 0; l < LATENT; l++) {
        float weight = 2 * next_even();

        for (size_t d = 0; d < dim; d++)
            v[d] += weight * mixing[l][d];
    }
}

static double steady_us(void)
{
    return now_us(CLOCK_MONOTONIC);
}

static struct fuser_bundle *build(size_t n, size_t dim, bool built_in, const char *head)
{
    struct fuser_embedder_info embedder = { .name = "remote", .dim = (uint32_t)dim };
    struct fuser_build how = { .seed = 1,
                               .prior_rows = -1,
                               .text_version = "text@1",
                               .head = head,
                               .now_us = steady_us };
    struct fuser_rows *rows;
    struct fuser_bundle *bundle;
    struct fuser_error error;
    float *vector = calloc(dim, sizeof *vector);
    char id[32], domain[8], text[2100];

    if (built_in) {
        embedder.kind = FUSER_LEXICAL;
        (void)snprintf(embedder.name, sizeof embedder.name, "lexical");
    }
    check(fuser_rows_new(generators, GENERATORS, &embedder, 1, &rows, &error), &error);
    for (size_t i = 0; i < n; i++) {
        unsigned d = next_random() % DOMAINS;
        size_t row, bytes = write_prompt(text, sizeof text, 100 + next_random() % 400, d);
        const char *given = n < SCALE_ROWS ? text : NULL;

        (void)snprintf(id, sizeof id, "row%zu", i);
        (void)snprintf(domain, sizeof domain, "d%u", d);
        check(fuser_rows_add(rows, id, domain, given, given ? bytes : 0, &row, &error),
              &error);
        for (size_t g = 0; g < GENERATORS; g++) {
            struct fuser_cell cell = {
                .quality = next_random() % 100 < (g == d ? 90u : 40u + 5 * (unsigned)g),
                .input_tokens = (float)bytes / 4,
                .output_tokens = (float)(next_random() % 300),
                .latency_ms = 500,
            };

            check(fuser_rows_set_cell(rows, row, g, &cell, &error), &error);
        }
        random_vector(vector, dim, d);
        if (!built_in)
            check(fuser_rows_set_vector(rows, row, 0, vector, dim, &error), &error);
    }
    check(fuser_bundle_build(rows, &how, &bundle, &error), &error);
    fuser_rows_free(rows);
    free(vector);
    return bundle;
}

static struct fuser_session *ask(struct fuser *fuser, const char *text, size_t bytes)
{
    struct fuser_ask_generator prices[GENERATORS];
    struct fuser_ask_embedder embedder = { .allowed = true };
    struct fuser_ask ask = { .lambda = 50,
                             .ceiling_pico = INT64_MAX,
                             .text = text,
                             .text_bytes = bytes,
                             .max_output_tokens = 512,
                             .generators = prices,
                             .embedders = &embedder };
    struct fuser_session *session;
    struct fuser_error error;

    for (size_t g = 0; g < GENERATORS; g++)
        prices[g] = (struct fuser_ask_generator){ .allowed = true,
                                                  .prompt_pico = 1000000,
                                                  .input_pico = 20000 * (int64_t)(g + 1),
                                                  .output_pico = 60000 * (int64_t)(g + 1),
                                                  .worst_pico = 100000000 };
    check(fuser_session_new(fuser, &ask, &session, &error), &error);
    return session;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

/* Says whether a median is within what is promised for this size. */
static void compare(const char *what, double p50_us, double limit_us)
{
    printf("limit %s: %.0f us, measured %.0f us: %s\n", what, limit_us, p50_us,
           p50_us <= limit_us ? "within" : "OVER");
}

/* Decides `batch` prompts in one go, `n` times. Returns the median of one decision, in us. */
static double measure(struct fuser *fuser, const char *name, size_t length, size_t batch,
                      size_t n, size_t dim)
{
    bool built_in =
        fuser_bundle_embedder(fuser_bundle_of(fuser), 0)->kind != FUSER_REMOTE;
    double *us = calloc(n, sizeof *us), *cpu = calloc(n, sizeof *cpu), chosen = 0;
    float *vectors = calloc(batch, dim * sizeof *vectors);
    static char texts[BATCH][2100];
    static struct fuser_verdict verdict;
    struct fuser_session *sessions[BATCH];
    struct fuser_step steps[BATCH];
    struct fuser_error error;
    size_t bytes[BATCH];

    for (size_t i = 0; i < n; i++) {
        for (size_t b = 0; b < batch; b++) {
            unsigned domain = next_random() % DOMAINS;

            bytes[b] = write_prompt(texts[b], sizeof texts[b], length, domain);
            random_vector(vectors + b * dim, dim, domain);
        }
        us[i] = now_us(CLOCK_MONOTONIC);
        cpu[i] = now_us(CLOCK_THREAD_CPUTIME_ID);
        for (size_t b = 0; b < batch; b++)
            sessions[b] = ask(fuser, texts[b], bytes[b]);
        fuser_next(sessions, batch, steps);
        if (!built_in) {
            for (size_t b = 0; b < batch; b++)
                check(fuser_tell(sessions[b], 0, vectors + b * dim, dim, 0, 0, &error),
                      &error);
            fuser_next(sessions, batch, steps);
        }
        for (size_t b = 0; b < batch; b++) {
            fuser_verdict(sessions[b], INT64_MAX, &verdict);
            chosen += (double)verdict.ranked[0].generator;
            fuser_session_free(sessions[b]);
        }
        us[i] = (now_us(CLOCK_MONOTONIC) - us[i]) / (double)batch;
        cpu[i] = (now_us(CLOCK_THREAD_CPUTIME_ID) - cpu[i]) / (double)batch;
    }
    qsort(us, n, sizeof *us, by_value);
    qsort(cpu, n, sizeof *cpu, by_value);
    printf(
        "%-26s %4zu characters, batch %2zu: p50 %6.1f us  p99 %7.1f us  cpu %6.1f us a "
        "decision\n",
        name, length, batch, us[n / 2], us[n * 99 / 100], cpu[n / 2]);
    printf(
        "{\"bench\":\"decision\",\"case\":\"%s\",\"rows\":%zu,\"dim\":%zu,\"characters\":"
        "%zu,"
        "\"batch\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"cpu_us\":%.1f,\"check\":%.0f}\n",
        name, fuser_bundle_rows(fuser_bundle_of(fuser)), dim, length, batch, us[n / 2],
        us[n * 99 / 100], cpu[n / 2], chosen);
    double p50_us = us[n / 2];

    free(cpu);
    free(us);
    free(vectors);
    return p50_us;
}

static void run(size_t n_rows, size_t dim, size_t n, bool built_in, const char *head)
{
    const char *embedder = built_in ? "lexical" : "remote";
    struct fuser_bundle *bundle = build(n_rows, dim, built_in, head);
    struct fuser_names names = { generators, GENERATORS, &embedder, 1, NULL };
    struct fuser *fuser;
    struct fuser_error error;

    check(fuser_new(bundle, &names, &fuser, &error), &error);
    dim = fuser_bundle_embedder(bundle, 0)->dim;
    if (built_in) {
        double shorter = measure(fuser, "built-in lexical", 300, 1, n, dim);
        double longer = measure(fuser, "built-in lexical, long", 2000, 1, n / 4 + 1, dim);

        (void)measure(fuser, "built-in lexical, batched", 300, BATCH, n / BATCH + 1, dim);
        compare("from 300 characters at 10,000 x 128", shorter, 300);
        compare("from 2,000 characters at 10,000 x 128", longer, 300);
    } else {
        double given = measure(fuser, "vector given", 300, 1, n, dim);

        (void)measure(fuser, "vector given, batched", 300, BATCH, n / BATCH + 1, dim);
        compare("with a vector given at 10,000 x 128", given, 150);
    }
    fuser_unref(fuser);
    fuser_bundle_unref(bundle);
}

/* Share of the exact 32 nearest among the neighbours that verdicts show. */
static double recall(struct fuser *fuser, size_t dim)
{
    const struct fuser_bundle *bundle = fuser_bundle_of(fuser);
    size_t n = fuser_bundle_rows(bundle), hits = 0, all = 0;
    float *vector = calloc(dim, sizeof *vector), *distance = calloc(n, sizeof *distance);
    static struct fuser_verdict verdict;
    struct near near[FUSER_MAX_NEIGHBOURS];
    struct fuser_error error;

    for (size_t q = 0; q < ORACLE; q++) {
        struct fuser_session *session = ask(fuser, "", 0);
        struct fuser_step step;
        size_t found;

        random_vector(vector, dim, next_random() % DOMAINS);
        (void)kernel_unit(vector, dim);
        memset(distance, 0, n * sizeof *distance);
        bundle_distances(bundle, 0, 0, n, vector, distance);
        found = nearest_exact(distance, n, FUSER_MAX_NEIGHBOURS, KERNEL_NO_ROW, near);
        fuser_next(&session, 1, &step);
        check(fuser_tell(session, 0, vector, dim, 0, 0, &error), &error);
        fuser_next(&session, 1, &step);
        fuser_verdict(session, INT64_MAX, &verdict);
        for (size_t i = 0; i < verdict.n_neighbours; i++)
            hits += verdict.neighbours[i].distance <= near[found - 1].distance;
        all += found;
        fuser_session_free(session);
    }
    free(distance);
    free(vector);
    return (double)hits / (double)all;
}

static double peak_gb(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1e6;
}

/* Build, save, load: what they take; then the decisions of the bundle that was loaded. */
static void run_scale(size_t n_rows, size_t dim, size_t n, const char *head)
{
    const char *embedder = "remote", *folder = getenv("TMPDIR");
    double begin = steady_us(), built, saved, loaded;
    struct fuser_bundle *bundle = build(n_rows, dim, false, head);
    struct fuser_names names = { generators, GENERATORS, &embedder, 1, NULL };
    struct fuser_index_info info;
    struct fuser_error error;
    struct fuser *fuser;
    double p50_us, share;
    char path[512];

    built = steady_us();
    (void)snprintf(path, sizeof path, "%s/bench_decision.%ld.frugal",
                   folder ? folder : "/tmp", (long)getpid());
    check(fuser_bundle_save(bundle, path, &error), &error);
    saved = steady_us();
    fuser_bundle_unref(bundle);
    check(fuser_bundle_load(path, &bundle, &error), &error);
    (void)unlink(path);
    loaded = steady_us();
    fuser_bundle_index(bundle, 0, &info);
    check(fuser_new(bundle, &names, &fuser, &error), &error);
    printf("%zu x %zu: build %.0f s, save %.1f s, load %.1f s, peak %.1f GB; %s, %u "
           "floats, %u "
           "lists, effort %u: recall %.3f, %.0f us a search, %.0f us a scan\n",
           n_rows, dim, (built - begin) / 1e6, (saved - built) / 1e6,
           (loaded - saved) / 1e6, peak_gb(), info.kind, info.width, info.lists,
           info.effort, info.recall, info.search_us, info.flat_us);
    p50_us = measure(fuser, "vector given", 300, 1, n, dim);
    share = recall(fuser, dim);
    printf(
        "{\"bench\":\"decision\",\"case\":\"recall\",\"rows\":%zu,\"dim\":%zu,\"recall_"
        "at_32\":%.4f,\"build_s\":%.1f,\"load_s\":%.1f,\"peak_gb\":%.1f}\n",
        n_rows, dim, share, (built - begin) / 1e6, (loaded - saved) / 1e6, peak_gb());
    printf("recall of the %d nearest: %.3f (limit .95: %s)\n", FUSER_MAX_NEIGHBOURS,
           share, share >= 0.95 ? "within" : "UNDER");
    compare("with a vector given at 1,000,000 x 384", p50_us, 1000);
    fuser_unref(fuser);
    fuser_bundle_unref(bundle);
}

int main(int argc, char **argv)
{
    size_t n_rows = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;
    size_t dim = argc > 2 ? strtoul(argv[2], NULL, 10) : 128;
    const char *head = argc > 4 ? argv[4] : NULL;
    size_t n = argc > 3 ? strtoul(argv[3], NULL, 10) : 4000;

    if (n_rows == 0 || dim == 0 || dim > FUSER_MAX_DIM || n == 0) {
        fprintf(stderr, "usage: bench_decision [ROWS] [DIM] [DECISIONS] [HEAD]\n");
        return 2;
    }
    make_mixing(dim);
    if (n_rows >= SCALE_ROWS) {
        run_scale(n_rows, dim, n, head);
        return 0;
    }
    run(n_rows, dim, n, true, head);
    run(n_rows, dim, n, false, head);
    return 0;
}
