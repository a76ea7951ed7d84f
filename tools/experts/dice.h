/* dice.h - reproducible random choices (splitmix64; Steele, Lea, Flood 2014). */
#ifndef TOOLS_EXPERTS_DICE_H
#define TOOLS_EXPERTS_DICE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct dice {
    uint64_t state; /* any value is a seed */
};

static inline uint64_t dice_next(struct dice *dice)
{
    uint64_t z = (dice->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Both ends included. */
static inline int dice_between(struct dice *dice, int low, int high)
{
    assert(low <= high);
    return low + (int)(dice_next(dice) % (uint64_t)(high - low + 1));
}

static inline double dice_share(struct dice *dice) /* 0 <= share < 1 */
{
    return (double)(dice_next(dice) >> 11) * 0x1p-53;
}

#define DICE_PICK(dice, array)                                                           \
    ((array)[dice_next(dice) % (sizeof(array) / sizeof((array)[0]))])

#endif
