/* pattern.c - PCRE2 with bounds; see pattern.h. */
#include "gateway/domain/pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define STEPS       100000      /* from one start */
#define TRIED       300000      /* items of the pattern, from all starts together */
#define LOOK_EVERY  64          /* items: at the clock */
#define TIME_US     2000        /* of the thread */
#define HEAP_KIB    1024        /* of a match that is interpreted */
#define STACK_LEAST (32u << 10) /* of compiled code that needs more than it has at hand */
#define STACK_MOST  (512u << 10)

struct pattern {
    pcre2_code *code;
    pcre2_match_context *limits; /* read by whoever matches */
};

static enum err fail(struct pattern_error *error, int code, size_t offset)
{
    PCRE2_UCHAR text[128] = "";

    if (code == PCRE2_ERROR_HEAP_FAILED || code == PCRE2_ERROR_NOMEMORY)
        return ERR_NOMEM;
    if (error != NULL) {
        (void)pcre2_get_error_message(code, text, sizeof text);
        (void)snprintf(error->text, sizeof error->text, "%s", (const char *)text);
        error->offset = offset;
    }
    return ERR_INVALID;
}

/* One comparison with what a group has found is as long as that, and counts as one step. */
static enum err refuse(struct pattern_error *error)
{
    if (error != NULL) {
        (void)snprintf(error->text, sizeof error->text,
                       "refers back to a group, which may take any time: write out what "
                       "may repeat, 'aa|bb' instead of '(a|b)\\1'");
        error->refused = true;
    }
    return ERR_INVALID;
}

enum err pattern_new(struct str text, struct pattern **ret_pattern,
                     struct pattern_error *error)
{
    struct pattern *pattern = calloc(1, sizeof *pattern);
    size_t offset = 0;
    uint32_t refers = 0;
    int code = 0;

    if (pattern == NULL)
        return ERR_NOMEM;
    pattern->limits = pcre2_match_context_create(NULL);
    if (pattern->limits == NULL) {
        pattern_free(pattern);
        return ERR_NOMEM;
    }
    (void)pcre2_set_match_limit(pattern->limits, STEPS);
    (void)pcre2_set_heap_limit(pattern->limits, HEAP_KIB);
    pattern->code = pcre2_compile(
        (PCRE2_SPTR)(text.p != NULL ? text.p : ""), text.n,
        PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT, &code, &offset, NULL);
    if (pattern->code == NULL) {
        pattern_free(pattern);
        return fail(error, code, offset);
    }
    (void)pcre2_pattern_info(pattern->code, PCRE2_INFO_BACKREFMAX, &refers);
    if (refers > 0) {
        pattern_free(pattern);
        return refuse(error);
    }
    /* Where it cannot be compiled further it is interpreted. */
    (void)pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    *ret_pattern = pattern;
    return ERR_OK;
}

void pattern_free(struct pattern *pattern)
{
    if (pattern == NULL)
        return;
    pcre2_code_free(pattern->code);
    pcre2_match_context_free(pattern->limits);
    free(pattern);
}

/* PCRE2's own limit starts anew wherever a match may start, and compiled code does not count
 * in loops over single characters. So each item of the pattern that is tried is counted,
 * from all starts together, and the clock, which is dearer, is looked at now and then. */
struct work {
    unsigned tried;
    int64_t since_us;
};

static int64_t thread_us(void)
{
    struct timespec now = { 0 };

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int count(pcre2_callout_block *block, void *context)
{
    struct work *work = context;

    (void)block;
    work->tried++;
    if (work->tried % LOOK_EVERY != 0)
        return 0;
    if (work->tried == LOOK_EVERY)
        work->since_us = thread_us();
    else if (work->tried >= TRIED || thread_us() - work->since_us > TIME_US)
        return PCRE2_ERROR_CALLOUT;
    return 0;
}

static int match(const struct pattern *pattern, struct str text,
                 pcre2_match_context *limits)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int code = PCRE2_ERROR_NOMEMORY;

    if (data != NULL)
        code = pcre2_match(pattern->code, (PCRE2_SPTR)(text.p != NULL ? text.p : ""),
                           text.n, 0, PCRE2_NO_UTF_CHECK, data, limits);
    pcre2_match_data_free(data);
    return code;
}

/* Groups that repeat over a long text need more stack than compiled code has of its own. */
static int match_on_stack(const struct pattern *pattern, struct str text,
                          pcre2_match_context *limits)
{
    pcre2_jit_stack *stack = pcre2_jit_stack_create(STACK_LEAST, STACK_MOST, NULL);
    int code = PCRE2_ERROR_NOMEMORY;

    if (stack != NULL) {
        pcre2_jit_stack_assign(limits, NULL, stack);
        code = match(pattern, text, limits);
    }
    pcre2_jit_stack_free(stack);
    return code;
}

enum pattern_found pattern_find(const struct pattern *pattern, struct str text)
{
    pcre2_match_context *limits = pcre2_match_context_copy(pattern->limits);
    struct work work = { 0 };
    int code;

    if (limits == NULL)
        return PATTERN_TOO_HARD;
    (void)pcre2_set_callout(limits, count, &work);
    code = match(pattern, text, limits);
    if (code == PCRE2_ERROR_JIT_STACKLIMIT)
        code = match_on_stack(pattern, text, limits);
    pcre2_match_context_free(limits);
    if (code >= 0)
        return PATTERN_FOUND;
    return code == PCRE2_ERROR_NOMATCH ? PATTERN_ABSENT : PATTERN_TOO_HARD;
}
