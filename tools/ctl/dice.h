/* dice.h - numbers that look random and follow from a seed, by the C library's 48-bit generator. */
#ifndef TOOLS_CTL_DICE_H
#define TOOLS_CTL_DICE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct dice {
    unsigned short state[3];
};

static inline struct dice dice_seeded(uint64_t seed)
{
    return (struct dice){ { (unsigned short)seed, (unsigned short)(seed >> 16),
                            (unsigned short)(seed >> 32) } };
}

/* 0 .. n - 1, for 0 < n < 2^31. */
static inline size_t dice_below(struct dice *dice, size_t n)
{
    assert(n > 0);
    return (size_t)nrand48(dice->state) % n;
}

#endif
