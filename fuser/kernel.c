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
#include <float.h>
#include <math.h>
#include <string.h>

#include "fuser/clones.h"

#ifdef __clang__ /* same thing, other spelling */
#    define TURN(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#    define TURN(a, b, i, j, k, l) __builtin_shuffle(a, b, (order){ i, j, k, l })
#endif

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define LANES         16
#define UNWANTED                                                                         \
    1024.0f             /* more than any utility, yet leaves a float its fourth decimal */
#define AHEAD        12 /* rows fetched before their turn: they lie far apart */
#define STRIP        4  /* vectors of a weighted sum that are made together */
#define SORT_ROOM    1024      /* what is sorted by ranks; more is rare */
#define CLASSES      64        /* classes looked at together */
#define BOUND_COARSE (1 << 14) /* the last bits of a bound: a five-hundredth */

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t ints __attribute__((vector_size(LANES * sizeof(int32_t))));

#define ROWS                                                                             \
    4 /* rows measured together: they share the loads of the query and the additions
                  across the lanes */

typedef float half __attribute__((vector_size(LANES / 2 * sizeof(float))));
typedef float quarter __attribute__((vector_size(LANES / 4 * sizeof(float))));
typedef int32_t order __attribute__((vector_size(LANES / 4 * sizeof(int32_t))));

/* Sixteen lanes to four: lane i becomes (v[i] + v[i + 8]) + (v[i + 4] + v[i + 12]). Macros, for
 * a vector type in a signature would depend on the instruction set. */
#define FOLD(v, ret)                                                                     \
    do {                                                                                 \
        half low_, high_;                                                                \
        quarter low4_, high4_;                                                           \
                                                                                         \
        memcpy(&low_, &(v), sizeof low_);                                                \
        memcpy(&high_, (const char *)&(v) + sizeof low_, sizeof high_);                  \
        low_ += high_;                                                                   \
        memcpy(&low4_, &low_, sizeof low4_);                                             \
        memcpy(&high4_, (const char *)&low_ + sizeof low4_, sizeof high4_);              \
        (ret) = low4_ + high4_;                                                          \
    } while (0)

/* sum += (row - query)^2 over LANES floats */
#define ADD_SQUARES(sum, row, query)                                                     \
    do {                                                                                 \
        lanes off_;                                                                      \
                                                                                         \
        memcpy(&off_, (row), sizeof off_);                                               \
        off_ -= (query);                                                                 \
        (sum) += off_ * off_;                                                            \
    } while (0)

/* The floats beyond the last whole vector. */
ALWAYS_INLINE float rest_of(const float *row, const float *query, size_t from, size_t dim)
{
    float rest = 0;

    for (size_t d = from; d < dim; d++)
        rest += (row[d] - query[d]) * (row[d] - query[d]);
    return rest;
}

/* add[r] = ||row[r] - query||^2 of ROWS rows, wherever they lie. */
ALWAYS_INLINE void measure_rows(const float *const row[ROWS], size_t dim,
                                const float *query, float add[ROWS])
{
    size_t whole = dim - dim % LANES;
    lanes a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 }, q;
    quarter s, t, u, v, even, odd;

    for (size_t at = 0; at < whole; at += LANES) {
        memcpy(&q, query + at, sizeof q);
        ADD_SQUARES(a, row[0] + at, q);
        ADD_SQUARES(b, row[1] + at, q);
        ADD_SQUARES(c, row[2] + at, q);
        ADD_SQUARES(d, row[3] + at, q);
    }
    FOLD(a, s);
    FOLD(b, t);
    FOLD(c, u);
    FOLD(d, v);
    /* Four rows of four lanes, turned: (0 + 2) + (1 + 3) of each in one go. */
    even = TURN(s, t, 0, 1, 4, 5) + TURN(s, t, 2, 3, 6, 7);
    odd = TURN(u, v, 0, 1, 4, 5) + TURN(u, v, 2, 3, 6, 7);
    s = TURN(even, odd, 0, 2, 4, 6) + TURN(even, odd, 1, 3, 5, 7);
    for (size_t r = 0; r < ROWS; r++)
        add[r] = s[r] + rest_of(row[r], query, whole, dim);
}

/* The same of one row, added up in the same order. */
ALWAYS_INLINE float measure_row(const float *row, size_t dim, const float *query)
{
    size_t whole = dim - dim % LANES;
    lanes a = { 0 }, q;
    quarter s;

    for (size_t at = 0; at < whole; at += LANES) {
        memcpy(&q, query + at, sizeof q);
        ADD_SQUARES(a, row + at, q);
    }
    FOLD(a, s);
    return ((s[0] + s[2]) + (s[1] + s[3])) + rest_of(row, query, whole, dim);
}

FUSER_CLONES void kernel_l2_add(const float *rows, size_t n, size_t dim,
                                const float *query, float *acc)
{
    size_t i = 0;

    for (; i + ROWS <= n; i += ROWS) {
        const float *row = rows + i * dim;
        const float *four[ROWS] = { row, row + dim, row + 2 * dim, row + 3 * dim };
        float add[ROWS];

        measure_rows(four, dim, query, add);
        for (size_t r = 0; r < ROWS; r++)
            acc[i + r] += add[r];
    }
    for (; i < n; i++)
        acc[i] += measure_row(rows + i * dim, dim, query);
}

ALWAYS_INLINE void fetch_row(const float *row, size_t dim)
{
    for (size_t at = 0; at < dim; at += LANES)
        __builtin_prefetch(row + at);
}

FUSER_CLONES void kernel_l2_near(const float *rows, size_t dim, const float *query,
                                 struct near *near, size_t n)
{
    size_t i = 0;

    for (size_t ahead = 0; ahead < AHEAD && ahead < n; ahead++)
        fetch_row(rows + near[ahead].row * dim, dim);
    for (; i + ROWS <= n; i += ROWS) {
        const float *four[ROWS];
        float add[ROWS];

        for (size_t r = 0; r < ROWS; r++) {
            four[r] = rows + near[i + r].row * dim;
            if (i + r + AHEAD < n)
                fetch_row(rows + near[i + r + AHEAD].row * dim, dim);
        }
        measure_rows(four, dim, query, add);
        for (size_t r = 0; r < ROWS; r++)
            near[i + r].distance += add[r];
    }
    for (; i < n; i++)
        near[i].distance += measure_row(rows + near[i].row * dim, dim, query);
}

FUSER_CLONES void kernel_project(const float *matrix, size_t width, size_t dim,
                                 const float *v, float *ret)
{
    size_t whole = dim - dim % LANES;

    for (size_t w = 0; w < width; w++) {
        const float *row = matrix + w * dim;
        lanes sum = { 0 }, x, y;
        quarter s;
        float rest = 0;

        for (size_t at = 0; at < whole; at += LANES) {
            memcpy(&x, row + at, sizeof x);
            memcpy(&y, v + at, sizeof y);
            sum += x * y;
        }
        FOLD(sum, s);
        for (size_t d = whole; d < dim; d++)
            rest += row[d] * v[d];
        ret[w] = ((s[0] + s[2]) + (s[1] + s[3])) + rest;
    }
}

/* `width` vectors of a weighted sum stay in registers while all rows pass by. The last begins `back` floats
 * early, where less than a vector is left: what both hold is made twice. */
ALWAYS_INLINE void sum_strip(const float *rows, size_t dim, const uint16_t *which,
                             const float *weight, size_t n, size_t width, size_t back,
                             float *out)
{
    lanes sum[STRIP] = { { 0 } }, x;

    for (size_t i = 0; i < n; i++) {
        const float *row = rows + which[i] * dim;

        if (i + AHEAD < n)
            for (size_t v = 0; v < width; v++)
                __builtin_prefetch(rows + which[i + AHEAD] * dim + v * LANES);
        for (size_t v = 0; v + 1 < width; v++) {
            memcpy(&x, row + v * LANES, sizeof x);
            sum[v] += x * weight[i];
        }
        memcpy(&x, row + (width - 1) * LANES - back, sizeof x);
        sum[width - 1] += x * weight[i];
    }
    for (size_t v = 0; v < width; v++)
        memcpy(out + v * LANES - (v + 1 < width ? 0 : back), &sum[v], sizeof sum[v]);
}

FUSER_CLONES void kernel_weighted_sum(const float *rows, size_t dim,
                                      const uint16_t *which, const float *weight,
                                      size_t n, float *out)
{
    size_t from = 0, left, back;

    for (; from + STRIP * LANES <= dim; from += STRIP * LANES)
        sum_strip(rows + from, dim, which, weight, n, STRIP, 0, out + from);
    left = (dim - from + LANES - 1) / LANES; /* vectors */
    back = from + left * LANES - dim;
    if (dim < LANES) {
        for (size_t d = 0; d < dim; d++)
            out[d] = 0;
        for (size_t i = 0; i < n; i++)
            for (size_t d = 0; d < dim; d++)
                out[d] += rows[which[i] * dim + d] * weight[i];
    } else if (left == 1) {
        sum_strip(rows + from, dim, which, weight, n, 1, back, out + from);
    } else if (left == 2) {
        sum_strip(rows + from, dim, which, weight, n, 2, back, out + from);
    } else if (left == 3) {
        sum_strip(rows + from, dim, which, weight, n, 3, back, out + from);
    } else if (left == 4) {
        sum_strip(rows + from, dim, which, weight, n, 4, back, out + from);
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

/* ret = share * distance + the squared differences, column by column, of 4 * LANES rows that lie side by
 * side in each column. */
#define ADD_COLUMN(sum, from)                                                            \
    do {                                                                                 \
        lanes off_;                                                                      \
                                                                                         \
        memcpy(&off_, (from), sizeof off_);                                              \
        off_ -= query[c];                                                                \
        (sum) += off_ * off_;                                                            \
    } while (0)

FUSER_CLONES void kernel_columns(const struct kernel_columns *of, const float *query,
                                 const float *distance, float share, float *ret)
{
    size_t i = 0;

    assert(of->row == 1);
    for (; i + 4 * LANES <= of->n; i += 4 * LANES) {
        lanes sum[4];

        memcpy(sum, distance + i, sizeof sum);
        for (size_t l = 0; l < 4; l++)
            sum[l] *= share;
        for (size_t c = 0; c < of->n_columns; c++) {
            const float *column = of->value + c * of->column + i;

            ADD_COLUMN(sum[0], column);
            ADD_COLUMN(sum[1], column + LANES);
            ADD_COLUMN(sum[2], column + 2 * LANES);
            ADD_COLUMN(sum[3], column + 3 * LANES);
        }
        memcpy(ret + i, sum, sizeof sum);
    }
    for (; i < of->n; i++)
        ret[i] = share * distance[i];
    for (i = of->n / (4 * LANES) * (4 * LANES); i < of->n; i++)
        for (size_t c = 0; c < of->n_columns; c++) {
            float off = of->value[c * of->column + i] - query[c];

            ret[i] += off * off;
        }
}

FUSER_CLONES void kernel_columns_near(const struct kernel_columns *of, const float *query,
                                      struct near *near, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float *value = of->value + near[i].row * of->row;
        float sum = near[i].distance;

        if (i + AHEAD < n)
            for (size_t c = 0; c < of->n_columns; c++)
                __builtin_prefetch(of->value + near[i + AHEAD].row * of->row +
                                   c * of->column);
        for (size_t c = 0; c < of->n_columns; c++) {
            float off = value[c * of->column] - query[c];

            sum += off * off;
        }
        near[i].distance = sum;
    }
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

void kernel_offer(struct near *heap, size_t *n, size_t k, struct near it)
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

/* The heap, full or not, in ascending order. */
static void sort_heap(struct near *heap, size_t n)
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

/* How many of n distances, a multiple of LANES, are less than each of four. */
ALWAYS_INLINE void rank_four(const float *distance, size_t n, const float four[4],
                             int32_t ret[4])
{
    ints a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

    for (size_t j = 0; j < n; j += LANES) {
        lanes v;

        memcpy(&v, distance + j, sizeof v);
        a += v < four[0]; /* a lane that is true is -1 */
        b += v < four[1];
        c += v < four[2];
        d += v < four[3];
    }
    memset(ret, 0, 4 * sizeof *ret);
    for (size_t l = 0; l < LANES; l++) {
        ret[0] -= a[l];
        ret[1] -= b[l];
        ret[2] -= c[l];
        ret[3] -= d[l];
    }
}

/* Everybody is compared with everybody, sixteen at a time: for some hundred this is quicker than any sort that
 * must foretell its branches. */
FUSER_CLONES static void sort_by_rank(struct near *near, size_t n)
{
    float distance[SORT_ROOM];
    uint16_t equals[SORT_ROOM] = { 0 };
    struct near sorted[SORT_ROOM];
    size_t whole = (n + LANES - 1) / LANES * LANES;

    memcpy(sorted, near, n * sizeof *near);
    for (size_t i = 0; i < whole; i++)
        distance[i] = i < n ? near[i].distance : INFINITY;
    for (size_t i = 0; i < n; i += 4) {
        int32_t rank[4];

        rank_four(distance, whole, distance + i, rank);
        for (size_t r = 0; r < 4 && i + r < n; r++)
            sorted[rank[r] + equals[rank[r]]++] = near[i + r];
    }
    near[0] = sorted[0];
    for (size_t i = 1; i < n; i++) { /* equals by their rows */
        size_t at = i;

        for (; at > 0 && farther(near[at - 1], sorted[i]); at--)
            near[at] = near[at - 1];
        near[at] = sorted[i];
    }
}

void kernel_sort(struct near *near, size_t n)
{
    if (n > SORT_ROOM)
        sort_heap(near, n);
    else if (n > 1)
        sort_by_rank(near, n);
}

/* How many of n are at most `limit`. */
FUSER_CLONES static size_t count_within(const int32_t *value, size_t n, int32_t limit)
{
    int32_t within = 0;

    for (size_t i = 0; i < n; i++)
        within += value[i] <= limit;
    return (size_t)within;
}

FUSER_CLONES void kernel_sample(const float *distance, size_t n,
                                struct kernel_sample *ret)
{
    size_t parts = (n - 1) / KERNEL_SAMPLE + 1, stride = (n - 1) / parts + 1;
    int32_t *least = ret->least;

    assert(n > 0 && n < KERNEL_NO_ROW);
    ret->stride = stride;
    ret->at = ret->row = 0;
    memcpy(least, distance, stride * sizeof *least);
    for (size_t first = stride; first < n; first += stride) {
        size_t end = n - first < stride ? n - first : stride;

        for (size_t l = 0; l < end; l++) {
            int32_t bits;

            memcpy(&bits, distance + first + l, sizeof bits);
            least[l] = bits < least[l] ? bits : least[l];
        }
    }
    for (size_t l = 0; l < stride; l++)
        least[l] = least[l] > 0 ? least[l] : 0;
}

float kernel_bound(const struct kernel_sample *sample, size_t k)
{
    int32_t low = 0, high, infinite;
    float far = INFINITY, bound;

    memcpy(&infinite, &far, sizeof infinite);
    high = infinite - 1;
    if (k > sample->stride || count_within(sample->least, sample->stride, high) < k)
        return FLT_MAX;
    /* The k-th smallest of the least, nearly: so many rows at the least are as near. */
    while (high - low > BOUND_COARSE) {
        int32_t middle = low + (high - low) / 2;

        if (count_within(sample->least, sample->stride, middle) >= k)
            high = middle;
        else
            low = middle + 1;
    }
    memcpy(&bound, &high, sizeof bound);
    return bound;
}

/* Which of the classes [first, end) have a row within the limit. */
ALWAYS_INLINE size_t classes_within(const struct kernel_sample *sample, size_t first,
                                    size_t end, float limit, uint16_t *ret)
{
    size_t found = 0;

    for (size_t l = first; l < end; l++) {
        float least;

        memcpy(&least, &sample->least[l], sizeof least);
        ret[found] = (uint16_t)l;
        found += least <= limit;
    }
    return found;
}

size_t kernel_within(const float *distance, size_t n, struct kernel_sample *sample,
                     float limit, struct near *ret, size_t room)
{
    uint16_t class[CLASSES];
    size_t found = 0;

    while (sample->at < sample->stride) {
        size_t end = sample->at + CLASSES, m;

        end = end < sample->stride ? end : sample->stride;
        m = classes_within(sample, sample->at, end, limit, class);
        for (size_t c = 0; c < m; c++) {
            size_t row = class[c] == sample->at ? sample->row : class[c];

            for (; row < n; row += sample->stride) {
                if (found == room) {
                    sample->at = class[c];
                    sample->row = row;
                    return found;
                }
                ret[found] = (struct near){ distance[row], (uint32_t)row };
                found += distance[row] <= limit;
            }
        }
        sample->at = sample->row = end;
    }
    return found;
}

size_t kernel_nearest_of(const float *distance, const uint32_t *of, size_t m, size_t k,
                         struct near *ret)
{
    size_t found = 0;

    if (k == 0)
        return 0;
    for (size_t i = 0; i < m; i++)
        if (distance[of[i]] < INFINITY)
            kernel_offer(ret, &found, k, (struct near){ distance[of[i]], of[i] });
    kernel_sort(ret, found);
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
