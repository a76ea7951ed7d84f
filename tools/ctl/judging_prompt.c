/* judging_prompt.c - one prompt's judgements: which are needed, which are known, and what
 * quality they make. The same walk plans and settles, so that both mean the same. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "tools/ctl/agree.h"
#include "tools/ctl/bradley.h"
#include "tools/ctl/judging_private.h"
#include "tools/ctl/memory.h"

/* One prompt under way. */
struct board {
    struct judging *judging;
    size_t prompt;
    const struct judge_wish *wish;
    int judge; /* in the configuration, or -1 */
    char *question, *reference;
    bool plan;
    struct fault *fault;
};

/* Looks one judgement up; what is open goes on the list. *ret_quality is NAN unless it is
 * known. */
static enum fault_err look(struct board *board, struct judging_who first,
                           struct judging_who second, const char *const *answers,
                           double *ret_quality)
{
    struct judging *judging = board->judging;
    const struct config_expert *judge = &judging->work->config->experts[board->judge];
    struct judge_asked asked = {
        .form = board->wish->form,
        .question = board->question,
        .reference = board->reference,
        .criteria = board->wish->criteria,
        .answers = { answers[0], answers[1] },
    };
    struct judging_task task = {
        .prompt = board->prompt,
        .judge = (size_t)board->judge,
        .first = first,
        .second = second,
    };
    bool found = false;
    enum fault_err err;

    *ret_quality = NAN;
    for (int turn = 0; turn < 2; turn++) {
        asked.strict = task.strict = turn == 1;
        judge_shown(&asked, task.shown);
        err =
            calib_find_verdict(judging->work->store, judge->name, judge->generator.model,
                               task.shown, &found, ret_quality, board->fault);
        if (err != FAULT_OK)
            return err;
        if (!found || !isnan(*ret_quality))
            break;
    }
    if (board->plan && !found)
        judging_add(judging, &task);
    if (!board->plan && !found)
        judging->counts.open++;
    else if (!board->plan && isnan(*ret_quality))
        judging->counts.silent++;
    else if (!board->plan)
        judging->counts.verdicts++;
    if (!board->plan && found &&
        (first.expert == task.judge ||
         (answers[1] != NULL && second.expert == task.judge)))
        judging->counts.own++;
    return FAULT_OK;
}

static enum fault_err settle(struct board *board, struct judging_who who, double quality)
{
    struct worklist *work = board->judging->work;
    const struct worklist_expert *expert = &work->experts[who.expert];

    if (board->plan || !expert->wanted ||
        !expert->samples[board->prompt * work->n_samples + who.sample].known)
        return FAULT_OK;
    return worklist_quality(work, who.expert, board->prompt, who.sample, quality,
                            board->fault);
}

/* -- one answer at a time -- */

static enum fault_err grade_alone(struct board *board, struct judging_who who,
                                  const char *answer)
{
    const char *answers[2] = { answer, NULL };
    const char *text = board->judging->work->prompts[board->prompt].text;
    const char *trusted = board->wish->trusted;
    double quality = NAN;
    enum fault_err err = FAULT_OK;

    if (trusted != NULL && board->reference == NULL)
        board->judging->counts.open += board->plan ? 0 : 1;
    else if (trusted != NULL &&
             judging_expert(board->judging, trusted) == (int)who.expert)
        quality = who.sample == 0 ? 1 : agree_quality(text, board->reference, answer);
    else if (trusted != NULL &&
             (board->judge < 0 || agree_by(text, board->reference) != AGREE_TEXT))
        quality = agree_quality(text, board->reference, answer);
    else
        err = look(board, who, who, answers, &quality);
    return err == FAULT_OK ? settle(board, who, quality) : err;
}

static enum fault_err each_alone(struct board *board)
{
    struct judging *judging = board->judging;
    struct worklist *work = judging->work;
    enum fault_err err = FAULT_OK;

    for (size_t i = 0; err == FAULT_OK && i < work->config->n_experts; i++) {
        for (size_t s = 0;
             err == FAULT_OK && work->experts[i].wanted && s < work->n_samples; s++) {
            struct judging_who who = { i, s };
            char *answer = NULL;
            if (!work->experts[i].samples[board->prompt * work->n_samples + s].known)
                continue;
            err = judging_text(judging, board->prompt, who, &answer, board->fault);
            if (err == FAULT_OK && answer != NULL)
                err = grade_alone(board, who, answer);
            free(answer);
        }
    }
    return err;
}

/* -- two at a time -- */

/* Who has an answer to this sample of the prompt. */
struct field {
    size_t n;
    struct judging_who *who;
    char **answers;
    double *wins; /* n x n */
};

static enum fault_err open_field(struct board *board, size_t sample, struct field *field)
{
    const struct config *config = board->judging->work->config;
    enum fault_err err = FAULT_OK;

    *field = (struct field){
        .who = memory_new(config->n_experts, sizeof(*field->who)),
        .answers = memory_new(config->n_experts, sizeof(*field->answers)),
    };
    for (size_t i = 0; err == FAULT_OK && i < config->n_experts; i++) {
        struct judging_who who = { i, sample };
        char *answer = NULL;
        if (judging_expert(board->judging, config->experts[i].name) < 0)
            continue;
        err = judging_text(board->judging, board->prompt, who, &answer, board->fault);
        if (err != FAULT_OK || answer == NULL)
            continue;
        field->who[field->n] = who;
        field->answers[field->n++] = answer;
    }
    field->wins = memory_new(field->n * field->n + 1, sizeof(*field->wins));
    return err;
}

static void close_field(struct field *field)
{
    for (size_t i = 0; i < field->n; i++)
        free(field->answers[i]);
    free(field->answers);
    free(field->who);
    free(field->wins);
}

/* Both orders; equal answers tie unasked. */
static enum fault_err compare(struct board *board, struct field *field,
                              struct bradley_pair pair)
{
    size_t i = pair.first, j = pair.second;
    const char *answers[2] = { field->answers[i], field->answers[j] };
    const char *swapped[2] = { answers[1], answers[0] };
    struct judging_counts *counts = &board->judging->counts;
    double one = 0.5, other = 0.5;
    enum fault_err err = FAULT_OK;

    if (strcmp(answers[0], answers[1]) != 0) {
        err = look(board, field->who[i], field->who[j], answers, &one);
        if (err == FAULT_OK)
            err = look(board, field->who[j], field->who[i], swapped, &other);
        if (err == FAULT_OK && !board->plan && !isnan(one) && !isnan(other)) {
            counts->pairs++;
            counts->agreeing += one == 1 - other;
        }
    }
    if (err != FAULT_OK || isnan(one) || isnan(other))
        return err;
    double won = judge_both(one, other);
    field->wins[i * field->n + j] += won;
    field->wins[j * field->n + i] += 1 - won;
    return FAULT_OK;
}

/* The pairs of the field; room for n * opponents + n. */
static size_t pairs_of(const struct board *board, const struct field *field,
                       struct bradley_pair *ret_pairs)
{
    const char *id = board->judging->work->prompts[board->prompt].id;
    size_t count = 0;

    if (board->wish->against == NULL)
        return bradley_pairs(field->n, (size_t)board->wish->opponents,
                             XXH3_64bits(id, strlen(id)), ret_pairs);
    int against = judging_expert(board->judging, board->wish->against);
    for (size_t i = 0; i < field->n; i++) {
        for (size_t j = 0; j < field->n; j++) {
            if (i != j && field->who[j].expert == (size_t)against)
                ret_pairs[count++] = (struct bradley_pair){ i, j };
        }
    }
    return count;
}

static enum fault_err each_pair(struct board *board, size_t sample)
{
    struct field field;
    enum fault_err err = open_field(board, sample, &field);
    struct bradley_pair *pairs =
        memory_new(field.n * ((size_t)board->wish->opponents + 1) + 1, sizeof(*pairs));
    double *quality = memory_new(field.n + 1, sizeof(*quality));
    size_t n = err == FAULT_OK ? pairs_of(board, &field, pairs) : 0;

    for (size_t i = 0; err == FAULT_OK && i < n; i++)
        err = compare(board, &field, pairs[i]);
    if (err == FAULT_OK)
        bradley_fit(field.n, field.wins, BRADLEY_PRIOR, quality);
    for (size_t i = 0; err == FAULT_OK && i < field.n; i++)
        err = settle(board, field.who[i], quality[i]);
    free(quality);
    free(pairs);
    close_field(&field);
    return err;
}

enum fault_err judging_prompt(struct judging *judging, size_t prompt, bool plan,
                              struct fault *fault)
{
    const struct worklist_prompt *asked = &judging->work->prompts[prompt];
    const struct judge_wish *wish = grader_judge(asked->grader);
    struct board board = {
        .judging = judging,
        .prompt = prompt,
        .wish = wish,
        .judge = wish->expert != NULL ? judging_expert(judging, wish->expert) : -1,
        .plan = plan,
        .fault = fault,
        .question = judge_question(asked->messages),
    };
    enum fault_err err = judging_reference(judging, prompt, &board.reference, fault);

    if (err == FAULT_OK && wish->form == JUDGE_RUBRIC)
        err = each_alone(&board);
    for (size_t s = 0;
         err == FAULT_OK && wish->form == JUDGE_PAIRWISE && s < judging->work->n_samples;
         s++)
        err = each_pair(&board, s);
    free(board.question);
    free(board.reference);
    return err;
}
