/* reply.c - see reply.h. */
#include "tools/experts/reply.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void reply_say(struct reply *reply, enum grasp grasp, const char *form, ...)
{
    va_list args;
    va_start(args, form);
    (void)vsnprintf(reply->text, sizeof reply->text, form, args);
    va_end(args);
    reply->grasp = grasp;
}

void reply_bytes(struct reply *reply, enum grasp grasp, const char *p, size_t n)
{
    size_t fits = n < sizeof reply->text ? n : sizeof reply->text - 1;
    memcpy(reply->text, p, fits);
    reply->text[fits] = 0;
    reply->grasp = grasp;
}

void reply_number(struct reply *reply, enum grasp grasp, double value, int decimals)
{
    if (!isfinite(value))
        value = 0;
    reply_say(reply, grasp, "%.*f", decimals, value);
    if (strchr(reply->text, '.') != NULL) {
        size_t n = strlen(reply->text);
        while (reply->text[n - 1] == '0')
            n--;
        if (reply->text[n - 1] == '.')
            n--;
        reply->text[n] = 0;
    }
    if (strcmp(reply->text, "-0") == 0)
        reply_say(reply, grasp, "0");
}
