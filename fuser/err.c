/* err.c - texts of the errors and of the closed word lists of fuser.h.
 *
 * All of them come from the X-macro lists in fuser.h, so that code and text cannot drift.
 */
#include "fuser/err.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const err_texts[] = {
#define X(name, text) text,
    FUSER_ERRORS(X)
#undef X
};

static const char *const stop_words[] = {
#define X(name, word) word,
    FUSER_STOPS(X)
#undef X
};

static const char *const evidence_words[] = {
#define X(name, word) word,
    FUSER_EVIDENCE(X)
#undef X
};

#define WORD(list, i)                                                                    \
    ((size_t)(i) < sizeof(list) / sizeof *(list) ? (list)[i] : "unknown")

const char *fuser_err_text(enum fuser_err code)
{
    return WORD(err_texts, code);
}

const char *fuser_stop_word(enum fuser_stop stop)
{
    return WORD(stop_words, stop);
}

const char *fuser_evidence_word(enum fuser_evidence evidence)
{
    return WORD(evidence_words, evidence);
}

void ferr_clear(struct fuser_error *error)
{
    if (!error)
        return;
    error->code = FUSER_OK;
    error->text[0] = '\0';
}

enum fuser_err ferr_set(struct fuser_error *error, enum fuser_err code,
                        const char *format, ...)
{
    if (error && error->code == FUSER_OK) {
        va_list arguments;

        error->code = code;
        va_start(arguments, format);
        (void)vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return code;
}
