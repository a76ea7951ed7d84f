/* fuzz_refusal.c - bodies with which experts refuse.
 *
 * Law: white space around a body does not matter. */
#include "tests/fuzz/fuzz.h"

#include "gateway/base/buf.h"
#include "gateway/domain/refusal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct str body = { (const char *)data, n };
    struct buf wide;

    buf_init(&wide, n + 16);
    buf_put(&wide, " \n");
    buf_put_str(&wide, body);
    buf_put(&wide, "\t\r\n");
    if (wide.n <= REFUSAL_BYTES)
        LAW(refusal_of(buf_str(&wide)) == refusal_of(body));
    buf_release(&wide);
    return 0;
}
