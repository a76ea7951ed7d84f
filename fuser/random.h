/* random.h - the small deterministic generator behind every random choice of a build.
 *
 * SplitMix64 (Steele, Lea, Flood 2014): one word of state, every seed is good.
 */
#ifndef FUSER_RANDOM_H
#define FUSER_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline struct rng rng_seeded(uint64_t seed)
{
    return (struct rng){ seed };
}

static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* Takes m of the numbers 0..n-1, ascending, each subset equally likely (Knuth's algorithm
 * S). ret: room for m <= n. */
static inline void rng_sample(struct rng *rng, size_t n, size_t m, uint32_t *ret)
{
    size_t taken = 0;

    for (size_t i = 0; i < n && taken < m; i++)
        if (rng_next(rng) % (n - i) < m - taken)
            ret[taken++] = (uint32_t)i;
}

#endif
