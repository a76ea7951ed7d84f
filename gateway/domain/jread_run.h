/* jread_run.h - the inner loop of every JSON reader here: how far does a string run on?
 *
 * Private to the domain's parsers. Sixteen bytes a step where the processor has SSE2 (all of
 * x86-64), one byte a step elsewhere.
 */
#ifndef GATEWAY_DOMAIN_JREAD_RUN_H
#define GATEWAY_DOMAIN_JREAD_RUN_H

#ifdef __SSE2__
#    include <emmintrin.h>
#endif

/* The first byte in [p, end) that is a quote, a backslash, a control byte or not ASCII. */
static inline const char *jread_run_ascii(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i space = _mm_set1_epi8(' ');

    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* Signed: below ' ' are the control bytes and all from 0x80 on. */
        __m128i stop = _mm_or_si128(
            _mm_cmplt_epi8(v, space),
            _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)));
        unsigned mask = (unsigned)_mm_movemask_epi8(stop);

        if (mask != 0)
            return p + __builtin_ctz(mask);
    }
#endif
    for (; p < end; p++) {
        signed char c = (signed char)*p;

        if (c < ' ' || c == '"' || c == '\\')
            break;
    }
    return p;
}

/* The same, but running over what is not ASCII. */
static inline const char *jread_run_any(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i control = _mm_set1_epi8(0x1f);

    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i stop = _mm_or_si128(
            _mm_cmpeq_epi8(_mm_min_epu8(v, control), v),
            _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)));
        unsigned mask = (unsigned)_mm_movemask_epi8(stop);

        if (mask != 0)
            return p + __builtin_ctz(mask);
    }
#endif
    for (; p < end; p++) {
        unsigned char c = (unsigned char)*p;

        if (c < ' ' || c == '"' || c == '\\')
            break;
    }
    return p;
}

#endif
