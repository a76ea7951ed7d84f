/* bradley.c - see bradley.h. */
#include "tools/ctl/bradley.h"

#include <math.h>
#include <stdlib.h>
#include <xxhash.h>

#include "tools/ctl/memory.h"

#define TURNS 10000
#define CLOSE 1e-10 /* relative change at which the iteration has arrived */

void bradley_fit(size_t n, const double *wins, double prior, double *ret_quality)
{
    double *strength = memory_new(n, sizeof(*strength));
    double change = 1;

    for (size_t i = 0; i < n; i++)
        strength[i] = 1;
    for (unsigned turn = 0; turn < TURNS && change > CLOSE; turn++) {
        change = 0;
        for (size_t i = 0; i < n; i++) {
            double won = prior / 2, sum = prior / (strength[i] + 1);
            for (size_t j = 0; j < n; j++) {
                double games = wins[i * n + j] + wins[j * n + i];
                won += wins[i * n + j];
                sum += games / (strength[i] + strength[j]);
            }
            double next = won / sum;
            change = fmax(change, fabs(next - strength[i]) / strength[i]);
            strength[i] = next;
        }
    }
    for (size_t i = 0; i < n; i++) {
        double games = 0;
        for (size_t j = 0; j < n; j++)
            games += wins[i * n + j] + wins[j * n + i];
        ret_quality[i] = games > 0 ? strength[i] / (strength[i] + 1) : NAN;
    }
    free(strength);
}

static uint64_t draw(uint64_t seed, size_t later, size_t earlier)
{
    uint64_t key[3] = { seed, later, earlier };

    return XXH3_64bits(key, sizeof(key));
}

size_t bradley_pairs(size_t n, size_t opponents, uint64_t seed,
                     struct bradley_pair *ret_pairs)
{
    size_t count = 0;

    for (size_t later = 1; later < n; later++) {
        for (size_t earlier = 0; earlier < later; earlier++) {
            size_t before = 0; /* others that were drawn before this one */
            uint64_t mine = draw(seed, later, earlier);
            for (size_t other = 0; other < later; other++)
                before += other != earlier && draw(seed, later, other) < mine;
            if (before < opponents)
                ret_pairs[count++] = (struct bradley_pair){ earlier, later };
        }
    }
    return count;
}

size_t bradley_count(size_t n, size_t opponents)
{
    size_t count = 0;

    for (size_t later = 1; later < n; later++)
        count += later < opponents ? later : opponents;
    return count;
}
