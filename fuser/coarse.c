/* coarse.c - quantised vectors and their scan.
 *
 * What must always hold: the error that is promised is an upper bound, rounding of the
 * floats included; and no sum of products overflows 32 bits.
 */
#include "fuser/coarse.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuser/clones.h"

#define STEP      64 /* a row's codes fill whole cache lines */
#define ROW_MAX   127
#define QUERY_MAX 2047 /* 127 * 2047 * FUSER_MAX_DIM is below 2^31 */
#define ROUNDING  1e-5 /* what the floats of either computation may be off */

_Static_assert((int64_t)ROW_MAX *QUERY_MAX *FUSER_MAX_DIM < INT32_MAX,
               "a sum of products fits");

size_t coarse_width(size_t dim)
{
    return (dim + STEP - 1) / STEP * STEP;
}

/* Codes of one vector, at most `limit` in size; how far off they are, as a length. */
static double quantise(const float *v, size_t dim, int limit, int16_t *code,
                       float *ret_scale)
{
    float largest = 0;
    double square = 0;

    for (size_t d = 0; d < dim; d++)
        largest = fmaxf(largest, fabsf(v[d]));
    *ret_scale = largest / (float)limit;
    for (size_t d = 0; d < dim; d++) {
        float value = largest > 0 ? roundf(v[d] / largest * (float)limit) : 0.0f;
        double off;

        code[d] = (int16_t)value;
        off = (double)v[d] - (double)code[d] * (double)*ret_scale;
        square += off * off;
    }
    return sqrt(square);
}

enum fuser_err coarse_init(struct coarse *coarse, const float *vectors, size_t n,
                           size_t dim)
{
    size_t width = coarse_width(dim);
    int16_t *code = calloc(width, sizeof *code);

    memset(coarse, 0, sizeof *coarse);
    coarse->n = n;
    coarse->dim = dim;
    coarse->width = width;
    coarse->code = calloc(n, width);
    coarse->scale = calloc(n, sizeof *coarse->scale);
    coarse->sum = calloc(n, sizeof *coarse->sum);
    if (!code || !coarse->code || !coarse->scale || !coarse->sum) {
        free(code);
        coarse_release(coarse);
        return FUSER_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        double off = quantise(vectors + i * dim, dim, ROW_MAX, code, &coarse->scale[i]);

        coarse->error = fmax(coarse->error, off);
        for (size_t d = 0; d < dim; d++) {
            coarse->code[i * width + d] = (int8_t)code[d];
            coarse->sum[i] += code[d];
        }
    }
    free(code);
    return FUSER_OK;
}

void coarse_release(struct coarse *coarse)
{
    free(coarse->code);
    free(coarse->scale);
    free(coarse->sum);
    memset(coarse, 0, sizeof *coarse);
}

void coarse_ask(const struct coarse *coarse, const float *query, int16_t *code,
                struct coarse_query *ret_query)
{
    double off;

    memset(code, 0, coarse->width * sizeof *code);
    off = quantise(query, coarse->dim, QUERY_MAX, code, &ret_query->scale);
    ret_query->code = code;
    ret_query->error = 2 * (coarse->error + (1 + coarse->error) * off) + ROUNDING;
}

FUSER_CLONES_BYTES void coarse_add_plain(const struct coarse *coarse, size_t first,
                                         size_t n, const struct coarse_query *query,
                                         float *acc)
{
    size_t width =
        coarse->width / STEP * STEP; /* no rest: the compiler need not see to it */
    const int16_t *q = query->code;

    assert(first + n <= coarse->n);
    for (size_t i = 0; i < n; i++) {
        const int8_t *x = coarse->code + (first + i) * width;
        int32_t dot = 0;

        for (size_t d = 0; d < width; d++)
            dot += (int32_t)x[d] * (int32_t)q[d];
        acc[i] += 2.0f - 2.0f * coarse->scale[first + i] * query->scale * (float)dot;
    }
}

#if defined(__x86_64__) && defined(__GNUC__)
#    include <immintrin.h>

#    define VNNI     __attribute__((target("avx512f,avx512bw,avx512vnni")))
#    define TOGETHER 16   /* rows: their sums fill a vector */
#    define OFFSET   2048 /* makes a query's code a number of 12 bits without a sign */

_Static_assert(QUERY_MAX < OFFSET && QUERY_MAX + OFFSET < 1 << 12, "12 bits");

/* The query in two planes of bytes, as the instruction wants it: code + OFFSET = 256 * high + low. */
struct planes {
    _Alignas(64) uint8_t high[FUSER_MAX_DIM], low[FUSER_MAX_DIM];
};

static void split(const struct coarse_query *query, size_t width, struct planes *ret)
{
    for (size_t d = 0; d < width; d++) {
        unsigned code = (unsigned)(query->code[d] + OFFSET);

        ret->high[d] = (uint8_t)(code >> 8);
        ret->low[d] = (uint8_t)code;
    }
}

/* The shift may drop the highest bits, which the whole sum has back: it fits. */
VNNI static inline __m512i join(__m512i high, __m512i low)
{
    return _mm512_add_epi32(_mm512_slli_epi32(high, 8), low);
}

/* Products of four rows, from `row` on but not beyond `last`, with the query: each quarter of the vector holds a part of
 * all four sums. */
VNNI static inline __m512i multiply(const struct coarse *coarse, size_t row, size_t last,
                                    const struct planes *query)
{
    size_t width = coarse->width;
    const int8_t *x = coarse->code + (row < last ? row : last) * width;
    const int8_t *y = coarse->code + (row + 1 < last ? row + 1 : last) * width;
    const int8_t *z = coarse->code + (row + 2 < last ? row + 2 : last) * width;
    const int8_t *w = coarse->code + (row + 3 < last ? row + 3 : last) * width;
    __m512i xh = _mm512_setzero_si512(), xl = xh, yh = xh, yl = xh, zh = xh, zl = xh,
            wh = xh, wl = xh, a, b;

    for (size_t d = 0; d < width; d += STEP) {
        __m512i high = _mm512_load_si512(query->high + d);
        __m512i low = _mm512_load_si512(query->low + d);

        xh = _mm512_dpbusd_epi32(xh, high, _mm512_loadu_si512(x + d));
        xl = _mm512_dpbusd_epi32(xl, low, _mm512_loadu_si512(x + d));
        yh = _mm512_dpbusd_epi32(yh, high, _mm512_loadu_si512(y + d));
        yl = _mm512_dpbusd_epi32(yl, low, _mm512_loadu_si512(y + d));
        zh = _mm512_dpbusd_epi32(zh, high, _mm512_loadu_si512(z + d));
        zl = _mm512_dpbusd_epi32(zl, low, _mm512_loadu_si512(z + d));
        wh = _mm512_dpbusd_epi32(wh, high, _mm512_loadu_si512(w + d));
        wl = _mm512_dpbusd_epi32(wl, low, _mm512_loadu_si512(w + d));
    }
    xh = join(xh, xl);
    yh = join(yh, yl);
    zh = join(zh, zl);
    wh = join(wh, wl);
    a = _mm512_add_epi32(_mm512_unpacklo_epi32(xh, yh), _mm512_unpackhi_epi32(xh, yh));
    b = _mm512_add_epi32(_mm512_unpacklo_epi32(zh, wh), _mm512_unpackhi_epi32(zh, wh));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* Sixteen rows' products, in order: the quarters of four such vectors added up. */
VNNI static inline __m512i multiply_all(const struct coarse *coarse, size_t row,
                                        size_t last, const struct planes *query)
{
    __m512i x = multiply(coarse, row, last, query);
    __m512i y = multiply(coarse, row + 4, last, query);
    __m512i z = multiply(coarse, row + 8, last, query);
    __m512i w = multiply(coarse, row + 12, last, query);
    __m512i a = _mm512_add_epi32(_mm512_shuffle_i32x4(x, y, 0x88),
                                 _mm512_shuffle_i32x4(x, y, 0xDD));
    __m512i b = _mm512_add_epi32(_mm512_shuffle_i32x4(z, w, 0x88),
                                 _mm512_shuffle_i32x4(z, w, 0xDD));

    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88),
                            _mm512_shuffle_i32x4(a, b, 0xDD));
}

/* The same sums as the plain loop, twice as fast. */
VNNI static void add_vnni(const struct coarse *coarse, size_t first, size_t n,
                          const struct coarse_query *query, float *acc)
{
    const __m512 two = _mm512_set1_ps(2), scale = _mm512_set1_ps(query->scale);
    struct planes planes;

    split(query, coarse->width, &planes);
    for (size_t i = 0; i < n; i += TOGETHER) {
        size_t left = n - i < TOGETHER ? n - i : TOGETHER;
        __mmask16 some = (__mmask16)((1u << left) - 1);
        __m512i dot = _mm512_maskz_loadu_epi32(some, coarse->sum + first + i);
        __m512 worth, sum;

        dot = _mm512_sub_epi32(multiply_all(coarse, first + i, first + n - 1, &planes),
                               _mm512_slli_epi32(dot, 11));
        worth = _mm512_maskz_loadu_ps(some, coarse->scale + first + i);
        worth = _mm512_mul_ps(_mm512_mul_ps(two, worth), scale);
        sum = _mm512_sub_ps(two, _mm512_mul_ps(worth, _mm512_cvtepi32_ps(dot)));
        sum = _mm512_add_ps(_mm512_maskz_loadu_ps(some, acc + i), sum);
        _mm512_mask_storeu_ps(acc + i, some, sum);
    }
}

static bool has_vnni(void)
{
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw");
}
#else
#    define add_vnni coarse_add_plain
static bool has_vnni(void)
{
    return false;
}
#endif

void coarse_add(const struct coarse *coarse, size_t first, size_t n,
                const struct coarse_query *query, float *acc)
{
    assert(first + n <= coarse->n);
    if (has_vnni())
        add_vnni(coarse, first, n, query, acc);
    else
        coarse_add_plain(coarse, first, n, query, acc);
}
