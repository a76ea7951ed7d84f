/* wire.h - numbers and strings of a bundle's sections, little-endian, without padding.
 *
 *   write   sink_begin(tag) -> sink_u32, sink_bytes, ... -> sink_end() for each section
 *   read    source over one section's bytes -> source_u32, source_array, ...
 *           -> source_done
 *
 * Both remember their first failure, so that a run of calls is checked once, at its end.
 * A sink without a file only hashes: the bundle's id is taken that way. A source never
 * reads beyond its bytes and never allocates more than they could fill: what it reads may
 * come from a stranger.
 */
#ifndef FUSER_WIRE_H
#define FUSER_WIRE_H

#include <stdio.h>

#include "fuser/fuser.h"

#define WIRE_SECTIONS_MAX 64

/* Four letters as a number that reads right in a hex dump. */
#define WIRE_TAG(a, b, c, d)                                                             \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

/* One line of the file's table of contents. */
struct wire_section {
    uint32_t tag;    /* what it holds */
    uint32_t index;  /* which of several with that tag */
    uint64_t offset; /* from the beginning of the file */
    uint64_t bytes;
    uint64_t checksum; /* XXH3 of its bytes */
};

struct sink {
    FILE *file; /* borrowed; NULL: hash only */
    void *hash; /* XXH3 state of the section that is open */
    uint64_t offset;
    bool open; /* between sink_begin and sink_end */
    size_t n_sections;
    struct wire_section sections[WIRE_SECTIONS_MAX];
    enum fuser_err err;
};

/* The first section begins at `offset`. sink_release frees what init took. */
void sink_init(struct sink *sink, FILE *file, uint64_t offset);
void sink_release(struct sink *sink);

void sink_begin(struct sink *sink, uint32_t tag, uint32_t index);
void sink_end(struct sink *sink);
void sink_bytes(struct sink *sink, const void *bytes, size_t n);
void sink_u32(struct sink *sink, uint32_t value);
void sink_u64(struct sink *sink, uint64_t value);
void sink_f64(struct sink *sink, double value);
void sink_string(struct sink *sink, const char *string); /* u32 length, bytes */

struct source {
    const unsigned char *at; /* borrowed */
    size_t left;
    bool failed;
    bool no_memory; /* that is why */
};

uint32_t source_u32(struct source *source);
uint64_t source_u64(struct source *source);
float source_f32(struct source *source);
double source_f64(struct source *source);

/* A string of at most size - 1 bytes, without a 0 in it, into the caller's array. */
void source_string(struct source *source, char *ret, size_t size);

/* n elements of `size` bytes into new memory, owned by the caller; NULL on failure or
 * when n is 0. n comes from the file: it is checked against what is left. */
void *source_array(struct source *source, size_t n, size_t size);

/* Everything was read, nothing failed, nothing is left. */
bool source_done(const struct source *source);

/* All of n floats are finite and within [low, high]; NANs may be among them if `gaps`. */
bool wire_floats_within(const float *value, size_t n, float low, float high, bool gaps);

#endif
