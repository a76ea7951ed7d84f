/* haul.c - prompts come together, and some of them stay. */
#include "tools/ctl/haul.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "gateway/domain/routing_text.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/question.h"

/* Other hashes of the same messages for other ends: what is held out is no special sample. */
#define SALT_HOLD_OUT 0x64657621u

void haul_init(struct haul *haul)
{
    *haul = (struct haul){ 0 };
}

static void free_answers(struct haul_answer *answers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(answers[i].expert);
        free(answers[i].model);
        free(answers[i].text);
        free(answers[i].finish_reason);
    }
    free(answers);
}

void haul_release(struct haul *haul)
{
    for (size_t i = 0; i < haul->n; i++) {
        struct haul_prompt *prompt = &haul->prompts[i];
        free(prompt->id);
        free(prompt->messages);
        free(prompt->text);
        free(prompt->asked);
        free(prompt->domain);
        free(prompt->split);
        free(prompt->reference);
        free(prompt->grade);
        free_answers(prompt->answers, prompt->n_answers);
    }
    for (size_t i = 0; i < haul->n_strays; i++) {
        free(haul->strays[i].id);
        free_answers(haul->strays[i].answers, haul->strays[i].n_answers);
    }
    free(haul->prompts);
    free(haul->strays);
    names_release(&haul->ids);
    *haul = (struct haul){ 0 };
}

static char *copy_or_null(const char *text)
{
    return text != NULL ? memory_text(text) : NULL;
}

static struct haul_answer *copy_answers(const struct brought *brought)
{
    struct haul_answer *answers = memory_new(brought->n_answers, sizeof(*answers));

    for (size_t i = 0; i < brought->n_answers; i++) {
        const struct brought_answer *from = &brought->answers[i];
        answers[i] = (struct haul_answer){
            .expert = copy_or_null(from->expert),
            .model = copy_or_null(from->model),
            .text = copy_or_null(from->text),
            .finish_reason = copy_or_null(from->finish_reason),
            .input_tokens = from->input_tokens,
            .output_tokens = from->output_tokens,
            .latency_ms = from->latency_ms,
            .quality = from->quality,
            .cost_pico = from->cost_pico,
        };
    }
    return answers;
}

/* Whoever was asked has the name that the client knows: a batch's output tells another one, with a
 * date behind it. */
static void name_answer(const struct haul_prompt *prompt, struct haul_answer *answer)
{
    if (answer->expert == NULL && prompt->asked != NULL) {
        free(answer->model);
        answer->expert = memory_text(prompt->asked);
        answer->model = memory_text(prompt->asked);
    }
    if (answer->expert == NULL)
        answer->expert = memory_text(answer->model);
    if (answer->model == NULL)
        answer->model = memory_text(answer->expert);
}

/* Takes the answers. */
static void add_answers(struct haul_prompt *prompt, struct haul_answer *answers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        name_answer(prompt, &answers[i]);
    if (n > 0) {
        prompt->answers =
            memory_resize(prompt->answers, prompt->n_answers + n, sizeof(*answers));
        memcpy(prompt->answers + prompt->n_answers, answers, n * sizeof(*answers));
        prompt->n_answers += n;
    }
    free(answers);
}

static void complete(char **have, const char *brought)
{
    if (*have == NULL && brought != NULL)
        *have = memory_text(brought);
}

static void merge(struct haul *haul, struct haul_prompt *prompt,
                  const struct brought *brought)
{
    haul->merged++;
    complete(&prompt->asked, brought->asked);
    complete(&prompt->domain, brought->domain);
    complete(&prompt->split, brought->split);
    complete(&prompt->reference, brought->reference);
    complete(&prompt->grade, brought->grade);
    add_answers(prompt, copy_answers(brought), brought->n_answers);
}

static struct haul_prompt *push(struct haul *haul)
{
    if (haul->n == haul->room) {
        haul->room = haul->room > 0 ? haul->room * 2 : 256;
        haul->prompts = memory_resize(haul->prompts, haul->room, sizeof(*haul->prompts));
    }
    struct haul_prompt *prompt = &haul->prompts[haul->n++];
    *prompt = (struct haul_prompt){ 0 };
    return prompt;
}

static void keep_strays(struct haul *haul, const struct brought *brought)
{
    haul->strays = memory_resize(haul->strays, haul->n_strays + 1, sizeof(*haul->strays));
    haul->strays[haul->n_strays].id = memory_text(brought->id);
    haul->strays[haul->n_strays].answers = copy_answers(brought);
    haul->strays[haul->n_strays++].n_answers = brought->n_answers;
}

static enum fault_err add_new(struct haul *haul, const struct brought *brought,
                              const char *id, uint64_t hash, size_t line,
                              struct fault *fault)
{
    struct question *question = NULL;
    enum fault_err err = question_new(NULL, brought->messages, 0, &question, fault);

    if (err != FAULT_OK)
        return err;
    struct str text = question_text(question);
    struct haul_prompt *prompt = push(haul);
    (void)names_add(&haul->ids, id, haul->n - 1);
    prompt->id = memory_text(id);
    prompt->messages = memory_text(brought->messages);
    prompt->text = memory_text_n(text.p, text.n);
    prompt->asked = copy_or_null(brought->asked);
    prompt->domain = copy_or_null(brought->domain);
    prompt->split = copy_or_null(brought->split);
    prompt->reference = copy_or_null(brought->reference);
    prompt->grade = copy_or_null(brought->grade);
    prompt->hash = hash;
    prompt->line = line;
    add_answers(prompt, copy_answers(brought), brought->n_answers);
    question_free(question);
    return FAULT_OK;
}

enum fault_err haul_add(struct haul *haul, const struct brought *brought, size_t line,
                        struct fault *fault)
{
    char made[32];
    const char *id = brought->id;
    size_t known;

    if (brought->messages == NULL) {
        if (names_find(&haul->ids, id, &known))
            add_answers(&haul->prompts[known], copy_answers(brought), brought->n_answers);
        else
            keep_strays(haul, brought);
        return FAULT_OK;
    }
    uint64_t hash = XXH3_64bits(brought->messages, strlen(brought->messages));
    if (id == NULL) {
        (void)snprintf(made, sizeof(made), "p%016llx", (unsigned long long)hash);
        id = made;
    }
    if (!names_find(&haul->ids, id, &known))
        return add_new(haul, brought, id, hash, line, fault);
    if (strcmp(haul->prompts[known].messages, brought->messages) != 0)
        return fault_set(fault, FAULT_INPUT,
                         "id '%s' is a duplicate of line %zu, with another prompt", id,
                         haul->prompts[known].line);
    merge(haul, &haul->prompts[known], brought);
    return FAULT_OK;
}

size_t haul_settle(struct haul *haul)
{
    size_t lost = 0, known;

    for (size_t i = 0; i < haul->n_strays; i++) {
        struct haul_stray *stray = &haul->strays[i];
        if (names_find(&haul->ids, stray->id, &known)) {
            add_answers(&haul->prompts[known], stray->answers, stray->n_answers);
        } else {
            lost += stray->n_answers;
            free_answers(stray->answers, stray->n_answers);
        }
        free(stray->id);
    }
    haul->n_strays = 0;
    return lost;
}

void haul_move_answers(struct haul_prompt *from, struct haul_prompt *to)
{
    add_answers(to, from->answers, from->n_answers);
    from->answers = NULL;
    from->n_answers = 0;
}

size_t haul_count(const struct haul *haul, enum haul_fate fate)
{
    size_t n = 0;

    for (size_t i = 0; i < haul->n; i++)
        n += haul->prompts[i].fate == fate;
    return n;
}

/* -- choosing ---------------------------------------------------------------------------- */

static uint64_t hash_with(const struct haul_prompt *prompt, uint64_t seed)
{
    return XXH3_64bits_withSeed(&prompt->hash, sizeof(prompt->hash), seed);
}

/* One kept prompt in the draw. */
struct draw {
    const char *domain; /* "" where there is none */
    uint64_t key;
    size_t prompt;
};

static int compare_draws(const void *a, const void *b)
{
    const struct draw *left = a, *right = b;
    int by_domain = strcmp(left->domain, right->domain);

    if (by_domain != 0)
        return by_domain;
    if (left->key != right->key)
        return left->key < right->key ? -1 : 1;
    return (left->prompt > right->prompt) - (left->prompt < right->prompt);
}

/* Draws of one domain: [first, first + n). */
struct stratum {
    size_t first, n, quota;
    double rest; /* what rounding down took from the quota */
};

static size_t find_strata(const struct draw *draws, size_t n, struct stratum *strata)
{
    size_t n_strata = 0;

    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(draws[i].domain, draws[i - 1].domain) != 0)
            strata[n_strata++] = (struct stratum){ .first = i };
        strata[n_strata - 1].n++;
    }
    return n_strata;
}

/* The stratum that is owed most (or has most, where `down`). */
static struct stratum *most_of(struct stratum *strata, size_t n_strata, bool down)
{
    struct stratum *most = NULL;

    for (size_t s = 0; s < n_strata; s++) {
        struct stratum *one = &strata[s];
        if (down ? most == NULL || one->quota > most->quota
                 : one->quota < one->n && (most == NULL || one->rest > most->rest))
            most = one;
    }
    return most;
}

/* Largest remainders, and one for everybody where there are enough. */
static void share_out(struct stratum *strata, size_t n_strata, size_t n, size_t wanted)
{
    size_t given = 0;

    for (size_t s = 0; s < n_strata; s++) {
        double share = (double)wanted * (double)strata[s].n / (double)n;
        strata[s].quota = (size_t)share;
        strata[s].rest = share - floor(share);
        if (strata[s].quota == 0 && wanted >= n_strata) {
            strata[s].quota = 1;
            strata[s].rest -= 1;
        }
        given += strata[s].quota;
    }
    for (; given < wanted; given++) {
        struct stratum *most = most_of(strata, n_strata, false);
        most->quota++;
        most->rest -= 1;
    }
    for (; given > wanted; given--)
        most_of(strata, n_strata, true)->quota--;
}

void haul_sample(struct haul *haul, size_t n, uint64_t seed)
{
    size_t kept = haul_count(haul, HAUL_KEPT), at = 0;

    if (n == 0 || n >= kept)
        return;
    struct draw *draws = memory_new(kept, sizeof(*draws));
    struct stratum *strata = memory_new(kept, sizeof(*strata));
    for (size_t i = 0; i < haul->n; i++) {
        const struct haul_prompt *prompt = &haul->prompts[i];
        if (prompt->fate == HAUL_KEPT)
            draws[at++] =
                (struct draw){ .domain = prompt->domain != NULL ? prompt->domain : "",
                               .key = hash_with(prompt, seed),
                               .prompt = i };
    }
    qsort(draws, kept, sizeof(*draws), compare_draws);
    size_t n_strata = find_strata(draws, kept, strata);
    share_out(strata, n_strata, kept, n);
    for (size_t s = 0; s < n_strata; s++) {
        for (size_t i = strata[s].quota; i < strata[s].n; i++)
            haul->prompts[draws[strata[s].first + i].prompt].fate = HAUL_NOT_SAMPLED;
    }
    free(strata);
    free(draws);
}

void haul_hold_out(struct haul *haul, double share)
{
    for (size_t i = 0; i < haul->n; i++) {
        struct haul_prompt *prompt = &haul->prompts[i];
        /* 53 bits: a double's. */
        double draw = (double)(hash_with(prompt, SALT_HOLD_OUT) >> 11) * 0x1p-53;
        if (prompt->fate == HAUL_KEPT && prompt->split == NULL)
            prompt->split = memory_text(draw < share ? HAUL_DEV : HAUL_CALIB);
    }
}

/* -- into the store ---------------------------------------------------------------------- */

static enum fault_err write_answer(struct calib *store, int64_t row,
                                   const struct haul_answer *answer, struct fault *fault)
{
    int64_t expert;
    enum fault_err err = calib_expert(store, answer->expert, &expert, fault);

    if (err == FAULT_OK && answer->text != NULL) {
        const struct calib_answer kept = {
            .model = answer->model,
            .text = answer->text,
            .finish_reason = answer->finish_reason,
            .input_tokens = answer->input_tokens,
            .output_tokens = answer->output_tokens,
            .latency_ms = answer->latency_ms,
            .cost_pico = answer->cost_pico,
            .estimated = isnan(answer->output_tokens) != 0,
        };
        err = calib_add_answer(store, row, expert, &kept, fault);
    }
    if (err == FAULT_OK && !isnan(answer->quality)) {
        const struct calib_cell cell = {
            .quality = answer->quality,
            .input_tokens = answer->input_tokens,
            .output_tokens = answer->output_tokens,
            .latency_ms = answer->latency_ms,
            .cost_pico = answer->cost_pico,
        };
        err = calib_put_cell(store, row, expert, &cell, fault);
    }
    return err;
}

static enum fault_err write_prompt(struct calib *store, const struct haul_prompt *from,
                                   const char *new_split, const char *stamp,
                                   struct fault *fault)
{
    const struct calib_prompt prompt = {
        .id = from->id,
        .messages = from->messages,
        .text = from->text,
        .text_version = stamp,
        .domain = from->domain,
        .split = from->split,
        .new_split = new_split,
        .reference = from->reference,
        .grade = from->grade,
    };
    int64_t row;
    enum fault_err err = calib_put_prompt(store, &prompt, &row, fault);

    for (size_t i = 0; err == FAULT_OK && i < from->n_answers; i++)
        err = write_answer(store, row, &from->answers[i], fault);
    return err;
}

enum fault_err haul_write(const struct haul *haul, struct calib *store,
                          const char *new_split, struct progress *bar,
                          struct fault *fault)
{
    char stamp[ROUTING_TEXT_STAMP];
    enum fault_err err = question_stamp(stamp, fault);

    for (size_t i = 0; err == FAULT_OK && i < haul->n; i++) {
        if (haul->prompts[i].fate == HAUL_KEPT)
            err = write_prompt(store, &haul->prompts[i], new_split, stamp, fault);
        progress_set(bar, (double)(i + 1) / (double)haul->n, NULL);
    }
    return err;
}
