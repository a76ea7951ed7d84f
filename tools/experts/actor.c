/* actor.c - see actor.h. */
#include "tools/experts/actor.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "tools/experts/expert.h"

bool actor_speaks(const struct script *script)
{
    return script->skill >= 0 || script->judge != 0;
}

/* -- what is right -- */

/* The number that begins at `at`; a minus that joins two words is none. */
static bool number_at(struct str text, size_t at, double *ret_number, size_t *ret_end)
{
    char digits[40];
    size_t n = 0;

    if (at > 0 && text.p[at - 1] == '-' &&
        (at == 1 || !isalnum((unsigned char)text.p[at - 2])))
        digits[n++] = '-';
    for (; at < text.n && n + 1 < sizeof digits; at++) {
        bool inside = at + 1 < text.n && isdigit((unsigned char)text.p[at + 1]);
        if (isdigit((unsigned char)text.p[at]) || (text.p[at] == '.' && inside))
            digits[n++] = text.p[at];
        else if (text.p[at] != ',' || !inside)
            break;
    }
    digits[n] = '\0';
    *ret_number = strtod(digits, NULL);
    *ret_end = at;
    return true;
}

static bool last_number(struct str text, double *ret_number)
{
    bool found = false;

    for (size_t at = 0; at < text.n;) {
        if (isdigit((unsigned char)text.p[at]))
            found = number_at(text, at, ret_number, &at);
        else
            at++;
    }
    return found;
}

/* The whole text is a number. */
static bool is_number(struct str text)
{
    char copy[64], *end = NULL;

    if (text.n == 0 || text.n >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    (void)strtod(copy, &end);
    return end == copy + text.n;
}

static bool is_right(struct str truth, struct str answer)
{
    double meant, said;

    truth = str_trim(truth);
    if (is_number(truth))
        return last_number(truth, &meant) && last_number(answer, &said) &&
               fabs(meant - said) < 0.0051;
    return truth.n > 0 && memmem(answer.p, answer.n, truth.p, truth.n) != NULL;
}

/* -- draws -- */

/* 0..99, from the model's name, a word for what is drawn, and the texts in any order. */
static int draw(const char *model, const char *what, struct str a, struct str b)
{
    uint64_t one = XXH3_64bits(a.p, a.n), other = XXH3_64bits(b.p, b.n);
    uint64_t sum = (one ^ other) + one + other;

    sum = XXH3_64bits_withSeed(model, strlen(model), sum);
    return (int)(XXH3_64bits_withSeed(what, strlen(what), sum) % 100);
}

/* -- an expert -- */

static void answer(const struct script *script, const char *model, struct str prompt,
                   struct reply *reply)
{
    double number;

    expert_truth(prompt.p != NULL ? prompt.p : "", prompt.n, reply);
    if (draw(model, "skill", prompt, (struct str){ "", 0 }) < script->skill)
        return;
    struct str truth = str_of(reply->text);
    if (is_number(truth) && last_number(truth, &number))
        reply_number(reply, GRASP_FULL, number + 7, 2);
    else
        reply_say(reply, GRASP_FULL, "%s", "I am not sure.");
}

/* -- a judge -- */

/* The block of that name, without its markers; empty: there is none. */
static struct str block(struct str prompt, const char *name)
{
    struct str rest = prompt, line, found = { "", 0 };
    bool inside = false;
    size_t n = strlen(name);

    while (str_cut(&rest, '\n', &line)) {
        bool marker = str_starts(line, "<<<") && line.n > 19 + 4 &&
                      memcmp(line.p + line.n - 3, ">>>", 3) == 0 &&
                      line.p[line.n - 3 - 17] == ' ';
        if (marker && inside) {
            found.n = (size_t)(line.p - found.p);
            return str_trim(found);
        }
        if (marker && line.n == 3 + n + 17 + 3 && memcmp(line.p + 3, name, n) == 0) {
            inside = true;
            found.p = line.p + line.n + 1;
        }
    }
    return (struct str){ "", 0 };
}

static bool holds(struct str text, const char *words)
{
    return memmem(text.p, text.n, words, strlen(words)) != NULL;
}

static void judge(const struct script *script, const char *model, struct str prompt,
                  struct reply *reply)
{
    struct str question = block(prompt, "QUESTION"), truth = block(prompt, "REFERENCE");
    struct str one = block(prompt, "ANSWER"), two = { "", 0 };
    bool pair =
        one.n == 0 && block(prompt, "ANSWER A").n + block(prompt, "ANSWER B").n > 0;
    bool strictly = holds(prompt, "one line and nothing else");
    struct reply known;

    if (pair) {
        one = block(prompt, "ANSWER A");
        two = block(prompt, "ANSWER B");
    }
    if (truth.n == 0) {
        expert_truth(question.p, question.n, &known);
        truth = str_of(known.text);
    }
    int mute = draw(model, "prose", one, two);
    if (mute < script->judge_mute || (!strictly && mute < script->judge_prose)) {
        reply_say(reply, GRASP_FULL, "%s",
                  "Much can be said for this, and much against it; who am I to judge?");
        return;
    }
    bool first = is_right(truth, one), second = pair && is_right(truth, two);
    if (draw(model, "error", one, two) < script->judge_errors) {
        bool before = first;
        first = pair ? second : !first;
        second = before; /* of a pair; equals stay equal */
    }
    const char *reasons = strictly ? "" : "That follows from the question.\n";
    if (!pair)
        reply_say(reply, GRASP_FULL, "%sSCORE: %d", reasons, first ? 10 : 1);
    else if (draw(model, "first", one, two) < script->judge_first)
        reply_say(reply, GRASP_FULL, "%sVERDICT: A", reasons);
    else
        reply_say(reply, GRASP_FULL, "%sVERDICT: %s", reasons,
                  first == second ? "TIE"
                  : first         ? "A"
                                  : "B");
}

void actor_say(const struct script *script, const char *model, struct str prompt,
               struct reply *ret_reply)
{
    if (prompt.p == NULL)
        prompt = (struct str){ "", 0 };
    if (script->judge != 0)
        judge(script, model, prompt, ret_reply);
    else
        answer(script, model, prompt, ret_reply);
}
