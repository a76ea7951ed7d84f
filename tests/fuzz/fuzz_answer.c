/* fuzz_answer.c - answers of upstreams.
 *
 * Law: the size of the pieces in which the bytes come does not matter. */
#include "tests/fuzz/fuzz.h"

#include "gateway/base/buf.h"
#include "gateway/base/str.h"
#include "tests/unit/io/answer_print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct buf whole, pieces;
    buf_init(&whole, 1 << 26);
    buf_init(&pieces, 1 << 26);
    answer_print((const char *)data, n, SIZE_MAX, &whole);
    for (size_t piece = 1; piece <= 5; piece += 2) {
        buf_clear(&pieces);
        answer_print((const char *)data, n, piece, &pieces);
        LAW(str_eq(buf_str(&whole), buf_str(&pieces)));
    }
    buf_release(&whole);
    buf_release(&pieces);
    return 0;
}
