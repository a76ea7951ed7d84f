/* reason.c - the words of the reasons. */
#include "gateway/domain/reason.h"

#include "gateway/base/err.h"

const char *reason_word(enum reason reason)
{
    static const char *const words[] = {
#define X(name, word, text) word,
        REASONS(X)
#undef X
    };

    return (size_t)reason < ARRAY_LEN(words) ? words[reason] : "unknown";
}

const char *reason_text(enum reason reason)
{
    static const char *const texts[] = {
#define X(name, word, text) text,
        REASONS(X)
#undef X
    };

    return (size_t)reason < ARRAY_LEN(texts) ? texts[reason] : "unknown";
}
