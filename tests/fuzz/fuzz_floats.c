/* fuzz_floats.c - embedding answers. Laws: every number is what strtof makes of it; outputs
 * are finite and as many as said. */
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <string.h>

#include "gateway/domain/floats.h"

#define MAX 512

static void number_is_exact(struct str text)
{
    char copy[256];
    float value, want;

    if (text.n == 0 || text.n >= sizeof(copy) || floats_number(text, &value) != FLOATS_OK)
        return;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    want = strtof(copy, NULL);
    LAW(memcmp(&value, &want, sizeof(want)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str body = { (const char *)data, n };
    float vector[MAX];
    size_t dim = 0;
    int64_t tokens = -2;

    number_is_exact(body);
    for (size_t index = 0; index < 2; index++) {
        if (floats_read(body, index, vector, MAX, &dim, &tokens) != FLOATS_OK)
            continue;
        LAW(dim >= 1 && dim <= MAX && tokens >= -1);
        for (size_t i = 0; i < dim; i++)
            LAW(isfinite(vector[i]));
    }
    return 0;
}
