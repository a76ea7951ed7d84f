/* fuzz_bundle.c - a bundle's file from a stranger: refused, or sound in every decision.
 *
 * Each input is loaded as it is, and once more with magic, version, table of contents and
 * checksums mended, because otherwise the fuzzer would have to break a hash to get anywhere.
 * Law: a bundle that loads decides without a NAN, and its names and rows can be read.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xxhash.h>

#include "fuser/bundle_file.h"
#include "fuser/fuser.h"
#include "tests/fuzz/fuzz.h"

static struct fuser_bundle *load(const uint8_t *bytes, size_t size)
{
    struct fuser_bundle *bundle = NULL;
    struct fuser_error error;
    char path[64];
    int fd = memfd_create("bundle", MFD_CLOEXEC);

    LAW(fd >= 0);
    for (size_t at = 0; at < size;) {
        ssize_t n = write(fd, bytes + at, size - at);

        LAW(n > 0);
        at += (size_t)n;
    }
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fuser_bundle_load(path, &bundle, &error)) {
        LAW(!bundle && error.code && error.text[0]);
        bundle = NULL;
    }
    (void)close(fd);
    return bundle;
}

/* Makes prefix and table of contents consistent with whatever sections there are. */
static void mend(uint8_t *bytes, size_t size)
{
    struct wire_section sections[WIRE_SECTIONS_MAX];
    uint32_t numbers[2] = { BUNDLE_VERSION, bytes[12] % (WIRE_SECTIONS_MAX + 1u) };
    uint64_t whole = size, at, checksum;
    size_t table;

    numbers[1] += numbers[1] == 0;
    while (numbers[1] > 1 && BUNDLE_PREFIX + numbers[1] * sizeof *sections > size)
        numbers[1]--;
    table = numbers[1] * sizeof *sections;
    if (BUNDLE_PREFIX + table > size)
        return;
    memcpy(sections, bytes + BUNDLE_PREFIX, table);
    at = BUNDLE_PREFIX + table;
    for (uint32_t i = 0; i < numbers[1]; i++) {
        struct wire_section *section = &sections[i];

        section->offset = at;
        if (section->bytes > whole - at || i + 1 == numbers[1])
            section->bytes = whole - at;
        section->checksum = XXH3_64bits(bytes + at, section->bytes);
        at += section->bytes;
    }
    memcpy(bytes, BUNDLE_MAGIC, 8);
    memcpy(bytes + 8, numbers, sizeof numbers);
    memcpy(bytes + BUNDLE_HASHED_FROM, &whole, sizeof whole);
    memcpy(bytes + BUNDLE_PREFIX, sections, table);
    checksum = XXH3_64bits(bytes + BUNDLE_HASHED_FROM,
                           BUNDLE_PREFIX - BUNDLE_HASHED_FROM + table);
    memcpy(bytes + BUNDLE_CHECKSUM_AT, &checksum, sizeof checksum);
}

static void check_verdict(const struct fuser_session *session)
{
    static struct fuser_verdict v;

    fuser_verdict(session, INT64_MAX, &v);
    for (size_t i = 0; i < v.n_ranked; i++) {
        LAW(v.ranked[i].quality >= 0 && v.ranked[i].quality <= 1);
        LAW(isfinite(v.ranked[i].utility) && isfinite(v.ranked[i].quality_se));
        LAW(v.ranked[i].expected_pico >= 0);
    }
    for (size_t i = 0; i < v.n_neighbours; i++)
        LAW(v.neighbours[i].id[0] && v.neighbours[i].distance >= 0);
}

/* One prompt, with every embedder that the bundle has, under its own names. */
static void decide(struct fuser_bundle *bundle)
{
    static const char text[] = "how many 3rd roots has x^3 = 8?";
    static float vector[FUSER_MAX_DIM];
    struct fuser_ask_generator prices[FUSER_MAX_GENERATORS];
    struct fuser_ask_embedder embedders[FUSER_MAX_EMBEDDERS];
    const char *names[FUSER_MAX_GENERATORS], *sources[FUSER_MAX_EMBEDDERS];
    struct fuser_names both = { names, fuser_bundle_generators(bundle), sources,
                                fuser_bundle_embedders(bundle), NULL };
    struct fuser_ask ask = { .lambda = 10,
                             .ceiling_pico = INT64_MAX,
                             .text = text,
                             .text_bytes = sizeof text - 1,
                             .generators = prices,
                             .embedders = embedders };
    struct fuser_session *session;
    struct fuser_step step;
    struct fuser *fuser;

    for (size_t g = 0; g < both.n_generators; g++) {
        names[g] = fuser_bundle_generator(bundle, g);
        prices[g] = (struct fuser_ask_generator){ true, false, 1000, 10, 10, 10, 100000 };
    }
    for (size_t e = 0; e < both.n_embedders; e++) {
        sources[e] = fuser_bundle_embedder(bundle, e)->name;
        embedders[e] = (struct fuser_ask_embedder){ true, 1, 1 };
    }
    LAW(fuser_new(bundle, &both, &fuser, NULL) == FUSER_OK);
    LAW(fuser_session_new(fuser, &ask, &session, NULL) == FUSER_OK);
    for (fuser_next(&session, 1, &step); step.action == FUSER_QUERY;
         fuser_next(&session, 1, &step)) {
        size_t dim = fuser_bundle_embedder(bundle, step.embedder)->dim;

        for (size_t d = 0; d < dim; d++)
            vector[d] = d % 3 ? 0.5f : -1.0f;
        LAW(fuser_tell(session, step.embedder, vector, dim, 1, 1, NULL) == FUSER_OK);
    }
    check_verdict(session);
    fuser_session_free(session);
    fuser_unref(fuser);
}

static void try_bytes(const uint8_t *bytes, size_t size)
{
    struct fuser_bundle *bundle = load(bytes, size);

    if (!bundle)
        return;
    decide(bundle);
    fuser_bundle_unref(bundle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes;

    try_bytes(data, size);
    if (size < BUNDLE_PREFIX + sizeof(struct wire_section))
        return 0;
    bytes = malloc(size);
    LAW(bytes);
    memcpy(bytes, data, size);
    mend(bytes, size);
    try_bytes(bytes, size);
    free(bytes);
    return 0;
}
