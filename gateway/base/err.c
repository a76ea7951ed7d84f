/* err.c - the words of the base floor's errors. */
#include "gateway/base/err.h"

const char *err_text(enum err code)
{
    static const char *const texts[] = {
#define X(name, text) text,
        ERRS(X)
#undef X
    };

    return (size_t)code < ARRAY_LEN(texts) ? texts[code] : "unknown error";
}
