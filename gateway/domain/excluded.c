/* excluded.c - the words of the exclusions. */
#include "gateway/domain/excluded.h"

#include "gateway/base/err.h"

const char *excluded_word(enum excluded why)
{
    static const char *const words[] = {
#define X(name, word, text) word,
        EXCLUDED_WHYS(X)
#undef X
    };

    return (size_t)why < ARRAY_LEN(words) ? words[why] : "unknown";
}

const char *excluded_text(enum excluded why)
{
    static const char *const texts[] = {
#define X(name, word, text) text,
        EXCLUDED_WHYS(X)
#undef X
    };

    return (size_t)why < ARRAY_LEN(texts) ? texts[why] : "unknown";
}
