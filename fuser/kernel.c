/* kernel.c - the inner loops of the search.
 *
 * A decision reads every calibration vector once, so these loops run at the speed of
 * memory; Debian's FAISS is compiled for SSE2 alone and takes thirteen times as long.
 * What must always hold: the order of additions does not depend on the instruction set
 * (the Makefile compiles this file without contraction of a * b + c), and ties go to the
 * lower row.
 */
#include "fuser/kernel.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "fuser/clones.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define LANES         16
#define UNWANTED                                                                         \
    1024.0f     /* more than any utility, yet leaves a float its fourth decimal */
#define SKIP 64 /* distances looked at together: most blocks hold no candidate */

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

/* Adds up the lanes as a fixed tree. A macro, for a vector type in a signature would
 * depend on the instruction set. */
#define SUM_LANES(v)                                                                     \
    (((((v)[0] + (v)[8]) + ((v)[4] + (v)[12])) +                                         \
      (((v)[2] + (v)[10]) + ((v)[6] + (v)[14]))) +                                       \
     ((((v)[1] + (v)[9]) + ((v)[5] + (v)[13])) +                                         \
      (((v)[3] + (v)[11]) + ((v)[7] + (v)[15]))))

FUSER_CLONES void kernel_l2_add(const float *rows, size_t n, size_t dim,
                                const float *query, float *acc)
{
    for (size_t i = 0; i < n; i++) {
        const float *row = rows + i * dim;
        lanes sum = { 0 }, odd = { 0 };
        float rest = 0;
        size_t d = 0;

        for (; d + 2 * LANES <= dim; d += 2 * LANES) {
            lanes a, b, c, e;

            memcpy(&a, row + d, sizeof a);
            memcpy(&b, query + d, sizeof b);
            memcpy(&c, row + d + LANES, sizeof c);
            memcpy(&e, query + d + LANES, sizeof e);
            a -= b;
            c -= e;
            sum += a * a;
            odd += c * c;
        }
        for (; d + LANES <= dim; d += LANES) {
            lanes a, b;

            memcpy(&a, row + d, sizeof a);
            memcpy(&b, query + d, sizeof b);
            a -= b;
            sum += a * a;
        }
        for (; d < dim; d++)
            rest += (row[d] - query[d]) * (row[d] - query[d]);
        sum += odd;
        acc[i] += SUM_LANES(sum) + rest;
    }
}

FUSER_CLONES void kernel_axpy(const float *row, size_t dim, float weight, float *out)
{
    size_t d = 0;

    for (; d + LANES <= dim; d += LANES) {
        lanes a, b;

        memcpy(&a, row + d, sizeof a);
        memcpy(&b, out + d, sizeof b);
        b += a * weight;
        memcpy(out + d, &b, sizeof b);
    }
    for (; d < dim; d++)
        out[d] += row[d] * weight;
}

/* Whether one of SKIP distances is below the bound. */
FUSER_CLONES static bool any_below(const float *distance, float bound)
{
    int below = 0;

    for (size_t i = 0; i < SKIP; i++)
        below |= distance[i] < bound;
    return below != 0;
}

ALWAYS_INLINE bool farther(struct near a, struct near b)
{
    return a.distance > b.distance || (a.distance == b.distance && a.row > b.row);
}

/* heap[0] is the farthest; sinks what stands at `at`. */
static void sink_down(struct near *heap, size_t n, size_t at)
{
    struct near it = heap[at];

    for (size_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && farther(heap[child + 1], heap[child]))
            child++;
        if (!farther(heap[child], it))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = it;
}

static void heap_offer(struct near *heap, size_t *n, size_t k, struct near it)
{
    if (*n < k) {
        heap[(*n)++] = it;
        if (*n == k)
            for (size_t i = k / 2; i-- > 0;)
                sink_down(heap, k, i);
    } else if (farther(heap[0], it)) {
        heap[0] = it;
        sink_down(heap, k, 0);
    }
}

/* Turns the heap, full or not, into ascending order. */
static void heap_sort(struct near *heap, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sink_down(heap, n, i);
    for (size_t last = n; last-- > 1;) {
        struct near far = heap[0];

        heap[0] = heap[last];
        heap[last] = far;
        sink_down(heap, last, 0);
    }
}

size_t kernel_nearest(const float *distance, size_t n, size_t k, uint32_t except,
                      struct near *ret)
{
    size_t found = 0, i = 0;

    assert(n < KERNEL_NO_ROW);
    if (k == 0)
        return 0;
    while (i < n) {
        size_t end = i + SKIP;

        if (end <= n && found == k && !any_below(distance + i, ret[0].distance)) {
            i = end;
            continue;
        }
        for (; i < end && i < n; i++)
            if (distance[i] < INFINITY && (uint32_t)i != except)
                heap_offer(ret, &found, k, (struct near){ distance[i], (uint32_t)i });
    }
    heap_sort(ret, found);
    return found;
}

size_t kernel_nearest_of(const float *distance, const uint32_t *of, size_t m, size_t k,
                         uint32_t except, struct near *ret)
{
    size_t found = 0;

    if (k == 0)
        return 0;
    for (size_t i = 0; i < m; i++)
        if (distance[of[i]] < INFINITY && of[i] != except)
            heap_offer(ret, &found, k, (struct near){ distance[of[i]], of[i] });
    heap_sort(ret, found);
    return found;
}

FUSER_CLONES void kernel_first(size_t n, const struct kernel_first *of, float *utility,
                               float *loss)
{
    const float *restrict quality = of->quality, *restrict tokens = of->tokens;
    const float *restrict truth = of->truth, *restrict output = of->output;
    const float *restrict input = of->input;
    float *restrict best = utility, *restrict came = loss;
    const struct kernel_first p = *of;

    for (size_t i = 0; i < n; i++) {
        float before = p.fixed + p.per_input * input[i];
        float expected = tokens[i] < p.limit ? tokens[i] : p.limit;
        float real = output[i] < p.limit ? output[i] : p.limit;
        float u = quality[i] - (before + p.per_output * expected);
        float l = 1.0f - truth[i] + (before + p.per_output * real);

        u -= quality[i] < p.wanted ? UNWANTED : 0.0f;
        came[i] = u > best[i] ? l : came[i];
        best[i] = u > best[i] ? u : best[i];
    }
}

bool kernel_unit(float *v, size_t dim)
{
    double square = 0;

    for (size_t d = 0; d < dim; d++)
        square += (double)v[d] * (double)v[d];
    if (!isfinite(square) || square <= 0)
        return false;

    double scale = 1.0 / sqrt(square);

    if (!isfinite(scale))
        return false;
    for (size_t d = 0; d < dim; d++)
        v[d] = (float)((double)v[d] * scale);
    return true;
}
