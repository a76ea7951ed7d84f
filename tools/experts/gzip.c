/* gzip.c - see gzip.h. */
#include "tools/experts/gzip.h"

#include <stdint.h>

enum { BLOCK = 65535 };

static uint32_t crc32_of(struct str bytes)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < bytes.n; i++) {
        crc ^= (unsigned char)bytes.p[i];
        for (int b = 0; b < 8; b++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static void put_le(struct buf *out, uint32_t value, size_t n)
{
    char bytes[4];
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(value >> 8 * i);
    buf_put_str(out, (struct str){ bytes, n });
}

void gzip_put(struct buf *out, struct str bytes)
{
    buf_put_str(out, (struct str){ "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10 });
    size_t at = 0;
    do {
        size_t n = bytes.n - at < BLOCK ? bytes.n - at : BLOCK;
        buf_put_str(out, (struct str){ at + n == bytes.n ? "\1" : "\0", 1 });
        put_le(out, (uint32_t)n, 2);
        put_le(out, ~(uint32_t)n, 2);
        buf_put_str(out, (struct str){ bytes.p + at, n });
        at += n;
    } while (at < bytes.n);
    put_le(out, crc32_of(bytes), 4);
    put_le(out, (uint32_t)bytes.n, 4);
}
