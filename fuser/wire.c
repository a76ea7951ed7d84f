/* wire.c - writing and reading the sections of a bundle.
 *
 * What must always hold: `left` shrinks by exactly what was read, and after a failure
 * nothing is read any more, so that a loop over a stranger's counts ends at once.
 */
#include "fuser/wire.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the bundle's numbers are written as they lie in memory");

void sink_init(struct sink *sink, FILE *file, uint64_t offset)
{
    memset(sink, 0, sizeof *sink);
    sink->file = file;
    sink->offset = offset;
    sink->hash = XXH3_createState();
    if (!sink->hash)
        sink->err = FUSER_NOMEM;
}

void sink_release(struct sink *sink)
{
    (void)XXH3_freeState(sink->hash);
    sink->hash = NULL;
}

void sink_begin(struct sink *sink, uint32_t tag, uint32_t index)
{
    assert(!sink->open && sink->n_sections < WIRE_SECTIONS_MAX);
    sink->open = true;
    sink->sections[sink->n_sections] =
        (struct wire_section){ .tag = tag, .index = index, .offset = sink->offset };
    if (!sink->err)
        (void)XXH3_64bits_reset(sink->hash);
}

void sink_end(struct sink *sink)
{
    struct wire_section *section = &sink->sections[sink->n_sections++];

    assert(sink->open);
    sink->open = false;
    section->bytes = sink->offset - section->offset;
    if (!sink->err)
        section->checksum = XXH3_64bits_digest(sink->hash);
}

void sink_bytes(struct sink *sink, const void *bytes, size_t n)
{
    if (sink->err || n == 0)
        return;
    (void)XXH3_64bits_update(sink->hash, bytes, n);
    if (sink->file && fwrite(bytes, 1, n, sink->file) != n)
        sink->err = FUSER_IO;
    sink->offset += n;
}

void sink_u32(struct sink *sink, uint32_t value)
{
    sink_bytes(sink, &value, sizeof value);
}

void sink_u64(struct sink *sink, uint64_t value)
{
    sink_bytes(sink, &value, sizeof value);
}

void sink_f64(struct sink *sink, double value)
{
    sink_bytes(sink, &value, sizeof value);
}

void sink_string(struct sink *sink, const char *string)
{
    size_t n = strlen(string);

    assert(n <= UINT32_MAX);
    sink_u32(sink, (uint32_t)n);
    sink_bytes(sink, string, n);
}

static void take(struct source *source, void *ret, size_t n)
{
    if (source->failed || n > source->left) {
        source->failed = true;
        memset(ret, 0, n);
        return;
    }
    memcpy(ret, source->at, n);
    source->at += n;
    source->left -= n;
}

uint32_t source_u32(struct source *source)
{
    uint32_t value;

    take(source, &value, sizeof value);
    return value;
}

uint64_t source_u64(struct source *source)
{
    uint64_t value;

    take(source, &value, sizeof value);
    return value;
}

float source_f32(struct source *source)
{
    float value;

    take(source, &value, sizeof value);
    return value;
}

double source_f64(struct source *source)
{
    double value;

    take(source, &value, sizeof value);
    return value;
}

void source_string(struct source *source, char *ret, size_t size)
{
    size_t n = source_u32(source);

    ret[0] = '\0';
    if (source->failed || n >= size || n > source->left || memchr(source->at, '\0', n)) {
        source->failed = true;
        return;
    }
    take(source, ret, n);
    ret[n] = '\0';
}

void *source_array(struct source *source, size_t n, size_t size)
{
    void *array;

    if (source->failed || n == 0)
        return NULL;
    if (n > source->left / size) {
        source->failed = true;
        return NULL;
    }
    array = malloc(n * size);
    if (!array) {
        source->failed = source->no_memory = true;
        return NULL;
    }
    take(source, array, n * size);
    return array;
}

bool source_done(const struct source *source)
{
    return !source->failed && source->left == 0;
}

bool wire_floats_within(const float *value, size_t n, float low, float high, bool gaps)
{
    for (size_t i = 0; i < n; i++)
        if (!(value[i] >= low && value[i] <= high) && !(gaps && isnan(value[i])))
            return false;
    return true;
}
