/* fault.c - keeps the first thing that went wrong; later ones are consequences. */
#include "tools/ctl/fault.h"

#include <stdio.h>

enum fault_err fault_set(struct fault *fault, enum fault_err code, const char *format,
                         ...)
{
    va_list arguments;

    if (fault == NULL || fault->text[0] != '\0')
        return code;
    va_start(arguments, format);
    (void)vsnprintf(fault->text, sizeof(fault->text), format, arguments);
    va_end(arguments);
    return code;
}

enum fault_err fault_at(struct fault *fault, enum fault_err code, const char *path,
                        size_t line, const char *format, ...)
{
    va_list arguments;
    int used;

    if (fault == NULL || fault->text[0] != '\0')
        return code;
    if (line > 0)
        used = snprintf(fault->text, sizeof(fault->text), "%s:%zu: ", path, line);
    else
        used = snprintf(fault->text, sizeof(fault->text), "%s: ", path);
    if (used < 0 || (size_t)used >= sizeof(fault->text))
        return code;
    va_start(arguments, format);
    (void)vsnprintf(fault->text + used, sizeof(fault->text) - (size_t)used, format,
                    arguments);
    va_end(arguments);
    return code;
}

int fault_exit_code(enum fault_err code)
{
    static const int codes[] = {
#define X(name, exit_code, text) [FAULT_##name] = exit_code,
        FAULT_ERRORS(X)
#undef X
    };

    return codes[code];
}

const char *fault_text(const struct fault *fault, enum fault_err code)
{
    static const char *const texts[] = {
#define X(name, exit_code, text) [FAULT_##name] = text,
        FAULT_ERRORS(X)
#undef X
    };

    if (fault != NULL && fault->text[0] != '\0')
        return fault->text;
    return texts[code];
}
