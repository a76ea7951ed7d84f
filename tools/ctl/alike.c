/* alike.c - minima of hashes in bands, and an exact look at whoever shares one. */
#include "tools/ctl/alike.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "tools/ctl/memory.h"

#define ROWS  (ALIKE_HASHES / ALIKE_BANDS)
#define RUN   3  /* words */
#define WORD  64 /* bytes of a word that count */
#define NOONE UINT32_MAX

/* The runs of one text: hashes, ascending, each once. */
struct runs {
    uint32_t *at;
    size_t n, room;
    uint64_t last[RUN]; /* hashes of the words before */
    size_t words;
};

static void add_run(struct runs *runs, size_t words)
{
    if (runs->n == runs->room) {
        runs->room = runs->room > 0 ? runs->room * 2 : 64;
        runs->at = memory_resize(runs->at, runs->room, sizeof(*runs->at));
    }
    runs->at[runs->n++] =
        (uint32_t)XXH3_64bits(runs->last + RUN - words, words * sizeof(runs->last[0]));
}

static void take_word(void *context, struct str word)
{
    struct runs *runs = context;
    char lower[WORD];
    size_t n = word.n < WORD ? word.n : WORD;

    for (size_t i = 0; i < n; i++)
        lower[i] = (char)tolower((unsigned char)word.p[i]);
    memmove(runs->last, runs->last + 1, (RUN - 1) * sizeof(runs->last[0]));
    runs->last[RUN - 1] = XXH3_64bits(lower, n);
    runs->words++;
    if (runs->words >= RUN)
        add_run(runs, RUN);
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static struct runs runs_of(const char *text)
{
    struct runs runs = { .n = 0 };
    size_t n = 0;

    plain_words(text, take_word, &runs);
    if (runs.words > 0 && runs.words < RUN)
        add_run(&runs, runs.words);
    if (runs.words == 0) { /* signs alone: the text as it is */
        runs.last[RUN - 1] = XXH3_64bits(text, strlen(text));
        add_run(&runs, 1);
    }
    qsort(runs.at, runs.n, sizeof(*runs.at), compare);
    for (size_t i = 0; i < runs.n; i++) {
        if (n == 0 || runs.at[n - 1] != runs.at[i])
            runs.at[n++] = runs.at[i];
    }
    runs.n = n;
    return runs;
}

static double similarity_of(const struct runs *a, const struct runs *b)
{
    size_t i = 0, j = 0, both = 0;

    while (i < a->n && j < b->n) {
        if (a->at[i] == b->at[j]) {
            both++;
            i++;
            j++;
        } else if (a->at[i] < b->at[j]) {
            i++;
        } else {
            j++;
        }
    }
    return (double)both / (double)(a->n + b->n - both);
}

/* Hash function h of a run: the finalizer of SplitMix64 over both. */
static uint64_t hash_of(uint32_t run, uint64_t h)
{
    uint64_t z = ((uint64_t)run + 1) * 0x9E3779B97F4A7C15u + h * 0xD1B54A32D192ED03u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static void bands_of(const struct runs *runs, uint64_t bands[ALIKE_BANDS])
{
    for (size_t b = 0; b < ALIKE_BANDS; b++) {
        uint64_t least[ROWS];
        for (size_t r = 0; r < ROWS; r++) {
            least[r] = UINT64_MAX;
            for (size_t i = 0; i < runs->n; i++) {
                uint64_t hash = hash_of(runs->at[i], b * ROWS + r);
                least[r] = hash < least[r] ? hash : least[r];
            }
        }
        bands[b] = XXH3_64bits_withSeed(least, sizeof(least), b);
    }
}

/* Kept prompts by their bands. A node is one band of one prompt: prompt * ALIKE_BANDS + band. */
struct buckets {
    uint32_t *heads; /* mask + 1: a node; NOONE: empty */
    uint32_t *links; /* per node: the next in its list */
    uint64_t *bands; /* per node */
    size_t mask;
};

static struct buckets buckets_new(size_t n)
{
    struct buckets buckets = { .mask = 1023 };

    while (buckets.mask < n * ALIKE_BANDS)
        buckets.mask = buckets.mask * 2 + 1;
    buckets.heads = memory_new(buckets.mask + 1, sizeof(*buckets.heads));
    memset(buckets.heads, 0xFF, (buckets.mask + 1) * sizeof(*buckets.heads));
    buckets.links = memory_new(n * ALIKE_BANDS, sizeof(*buckets.links));
    buckets.bands = memory_new(n * ALIKE_BANDS, sizeof(*buckets.bands));
    return buckets;
}

static void buckets_release(struct buckets *buckets)
{
    free(buckets->heads);
    free(buckets->links);
    free(buckets->bands);
}

static void buckets_add(struct buckets *buckets, size_t prompt)
{
    for (size_t b = 0; b < ALIKE_BANDS; b++) {
        size_t node = prompt * ALIKE_BANDS + b;
        uint32_t *head = &buckets->heads[buckets->bands[node] & buckets->mask];
        buckets->links[node] = *head;
        *head = (uint32_t)node;
    }
}

/* Kept prompts that share a band with this one, each once; returns how many. A list may hold nodes of
 * other bands: those are passed over. */
static size_t candidates_of(const struct buckets *buckets, size_t prompt,
                            uint32_t ret_candidates[ALIKE_LOOKS])
{
    size_t n = 0;

    for (size_t b = 0; b < ALIKE_BANDS; b++) {
        uint64_t band = buckets->bands[prompt * ALIKE_BANDS + b];
        uint32_t node = buckets->heads[band & buckets->mask];
        for (size_t steps = 0; node != NOONE && n < ALIKE_LOOKS && steps < ALIKE_STEPS;
             node = buckets->links[node], steps++) {
            uint32_t other = node / ALIKE_BANDS;
            size_t known = 0;
            while (known < n && ret_candidates[known] != other)
                known++;
            if (buckets->bands[node] == band && known == n)
                ret_candidates[n++] = other;
        }
    }
    return n;
}

/* The kept prompt that is most alike; NOONE: none is enough. */
static uint32_t find_like(const struct buckets *buckets, const struct runs *all,
                          size_t prompt, double least, double *ret_similarity)
{
    uint32_t candidates[ALIKE_LOOKS], best = NOONE;
    size_t n = candidates_of(buckets, prompt, candidates);

    for (size_t i = 0; i < n; i++) {
        double similarity = similarity_of(&all[candidates[i]], &all[prompt]);
        if (similarity >= least && (best == NOONE || similarity > *ret_similarity)) {
            best = candidates[i];
            *ret_similarity = similarity;
        }
    }
    return best;
}

static void drop(struct haul *haul, size_t prompt, size_t like, double similarity)
{
    struct haul_prompt *dropped = &haul->prompts[prompt], *stays = &haul->prompts[like];

    dropped->fate = HAUL_ALIKE;
    dropped->like = like;
    dropped->similarity = similarity;
    if (strcmp(dropped->messages, stays->messages) == 0)
        haul_move_answers(dropped, stays);
}

void alike_drop(struct haul *haul, const struct plain *plain, double similarity)
{
    struct runs *all = memory_new(haul->n, sizeof(*all));
    struct buckets buckets = buckets_new(haul->n);
    struct progress bar;

    progress_init(&bar, "finding what is alike", 1);
    for (size_t i = 0; i < haul->n; i++) {
        double found = 0;
        progress_set(&bar, (double)i / (double)haul->n, NULL);
        if (haul->prompts[i].fate != HAUL_KEPT)
            continue;
        all[i] = runs_of(plain->at[i]);
        bands_of(&all[i], buckets.bands + i * ALIKE_BANDS);
        uint32_t like = find_like(&buckets, all, i, similarity, &found);
        if (like == NOONE) {
            buckets_add(&buckets, i);
        } else {
            drop(haul, i, like, found);
            free(all[i].at);
            all[i] = (struct runs){ 0 };
        }
    }
    progress_end(&bar);
    buckets_release(&buckets);
    for (size_t i = 0; i < haul->n; i++)
        free(all[i].at);
    free(all);
}
