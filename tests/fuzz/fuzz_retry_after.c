/* fuzz_retry_after.c - how long to wait. Laws: never negative, never above the maximum; the
 * later it is, the shorter a date makes one wait. */
#include "tests/fuzz/fuzz.h"

#include "gateway/domain/retry_after.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str value = { (const char *)data, n };
    int64_t soon, late;

    if (retry_after_parse(value, 784111777, &soon) == ERR_OK) {
        LAW(soon >= 0 && soon <= RETRY_AFTER_MAX_MS);
        LAW(retry_after_parse(value, 784111877, &late) == ERR_OK && late <= soon);
    }
    if (retry_after_parse_ms(value, &soon) == ERR_OK)
        LAW(soon >= 0 && soon <= RETRY_AFTER_MAX_MS);
    return 0;
}
