/* expert.c - who can do what; see expert.h.
 *
 * The skills below are the whole difference between the experts. A specialist is quick and
 * has gaps in its rules; the generalist knows every rule and holds little in mind, so it
 * fails where a question is long. Neither ever rolls dice.
 */
#include "tools/experts/expert.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "tools/experts/arithmetic.h"
#include "tools/experts/calendar.h"
#include "tools/experts/text.h"
#include "tools/experts/units.h"

static const struct arithmetic_skill counter = {
    .bracket_depth = 1,
    .max_terms = 24,
    .product_digits = 8,
    .largest_divisor = 13,
    .largest_spelled = 100,
};
static const struct calendar_skill almanac = {
    .exact_span_days = 2500,
    .exact_shift = 5000,
};
static const struct units_skill converter = {
    .compounds = true,
    .factor_digits = 12,
    .largest_spelled = 100,
};
static const struct text_skill scribe = {
    .letters = 36,
    .words = 11,
};

static const struct arithmetic_skill broad_counter = {
    .bracket_depth = 9,
    .max_terms = 7,
    .product_digits = 7,
    .largest_divisor = 97,
    .largest_spelled = 1e6,
    .knows_ratios = true,
    .skips_context = true,
};
static const struct calendar_skill broad_almanac = {
    .century_rule = true,
    .day_first = true,
    .iso_weeks = true,
    .exact_span_days = 300,
    .exact_shift = 90,
};
static const struct units_skill broad_converter = {
    .rare_units = true,
    .factor_digits = 5,
    .largest_spelled = 1000,
};
static const struct text_skill broad_scribe = {
    .letters = 25,
    .words = 9,
    .folds = true,
    .looks_past_blanks = true,
};

/* Nobody of the house: what judges compare with. */
static const struct arithmetic_skill whole_counter = {
    .bracket_depth = 99,
    .max_terms = 999,
    .product_digits = 99,
    .largest_divisor = 99999,
    .largest_spelled = 1e6,
    .knows_ratios = true,
    .skips_context = true,
};
static const struct calendar_skill whole_almanac = {
    .century_rule = true,
    .day_first = true,
    .iso_weeks = true,
    .exact_span_days = INT32_MAX,
    .exact_shift = INT32_MAX,
};
static const struct units_skill whole_converter = {
    .rare_units = true,
    .compounds = true,
    .factor_digits = 17,
    .largest_spelled = 1e6,
};
static const struct text_skill whole_scribe = {
    .letters = SIZE_MAX,
    .words = SIZE_MAX / 2,
    .folds = true,
    .looks_past_blanks = true,
};

static void arithmetic_expert(const struct prompt *prompt, struct reply *reply)
{
    arithmetic_answer(&counter, prompt, reply);
}

static void calendar_expert(const struct prompt *prompt, struct reply *reply)
{
    calendar_answer(&almanac, prompt, reply);
}

static void units_expert(const struct prompt *prompt, struct reply *reply)
{
    units_answer(&converter, prompt, reply);
}

static void text_expert(const struct prompt *prompt, struct reply *reply)
{
    text_answer(&scribe, prompt, reply);
}

/* A skill of every field. */
struct breadth {
    const struct text_skill *text;
    const struct calendar_skill *calendar;
    const struct units_skill *units;
    const struct arithmetic_skill *arithmetic;
};
static const struct breadth broad = { &broad_scribe, &broad_almanac, &broad_converter,
                                      &broad_counter };
static const struct breadth whole = { &whole_scribe, &whole_almanac, &whole_converter,
                                      &whole_counter };

/* Asks itself in every field and says what it grasped best; of equals the earlier. */
static void ask_all(const struct breadth *breadth, const struct prompt *prompt,
                    struct reply *reply)
{
    struct reply other;
    text_answer(breadth->text, prompt, reply);
    calendar_answer(breadth->calendar, prompt, &other);
    if (other.grasp > reply->grasp)
        *reply = other;
    units_answer(breadth->units, prompt, &other);
    if (other.grasp > reply->grasp)
        *reply = other;
    arithmetic_answer(breadth->arithmetic, prompt, &other);
    if (other.grasp > reply->grasp)
        *reply = other;
}

/* Where the sentence before item `end` begins. */
static size_t sentence_before(const struct prompt *prompt, size_t end)
{
    size_t i = end;
    while (i > 0) {
        bool stop = prompt_is(prompt, i - 1, ".") || prompt_is(prompt, i - 1, "?");
        if (stop && i < end)
            break;
        i--;
    }
    return i;
}

/* The question stands at the end: it reads backwards, sentence by sentence, until what it
 * has read makes sense to it. */
static void ask_backwards(const struct breadth *breadth, const struct prompt *prompt,
                          struct reply *reply)
{
    struct prompt part;
    size_t at = prompt->n_items;
    reply_say(reply, GRASP_GUESS, "%s", "");
    while (at > 0 && reply->grasp == GRASP_GUESS) {
        at = sentence_before(prompt, at);
        size_t from = at > 0 ? prompt_offset(prompt, at - 1) + 1 : 0;
        prompt_read(&part, prompt->text + from, prompt->n - from);
        ask_all(breadth, &part, reply);
    }
}

static void generalist_expert(const struct prompt *prompt, struct reply *reply)
{
    ask_backwards(&broad, prompt, reply);
}

void expert_truth(const char *text, size_t bytes, struct reply *ret_reply)
{
    struct prompt prompt;
    prompt_read(&prompt, text, bytes);
    ask_backwards(&whole, &prompt, ret_reply);
}

const struct expert experts[] = {
#define X(name, answer, first_ms) { name, answer, first_ms },
    EXPERTS(X)
#undef X
};
const size_t n_experts = sizeof experts / sizeof *experts;

const struct expert *expert_find(const char *name, size_t bytes)
{
    for (size_t e = 0; e < n_experts; e++) {
        if (strlen(experts[e].name) == bytes && memcmp(experts[e].name, name, bytes) == 0)
            return &experts[e];
    }
    return NULL;
}

void expert_answer(const struct expert *expert, const char *text, size_t bytes,
                   struct reply *ret_reply)
{
    struct prompt prompt;
    prompt_read(&prompt, text, bytes);
    expert->answer(&prompt, ret_reply);
}
