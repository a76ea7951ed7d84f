/* judging_estimate.c - how many calls of judges follow, and of what size.
 *
 * Answers that are there are planned as they will be; judgements of answers that are still to
 * come are counted, not planned. Equal answers are judged once, so the second number is too
 * large: it is multiplied by what the store says of the answers that are there,
 *
 *     (verdicts kept + judgements planned) / judgements counted
 *
 * once JUDGING_SHARE of them were counted. That share holds repetitions for want of a verdict,
 * too.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/money.h"
#include "gateway/domain/price.h"
#include "tools/ctl/agree.h"
#include "tools/ctl/bradley.h"
#include "tools/ctl/judging_private.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/quote.h"

#define JUDGING_SHARE   20
#define JUDGING_OUTPUT  60 /* tokens of a verdict that nobody has seen */
#define BYTES_PER_TOKEN 4
#define BYTES_AT_MOST                                                                    \
    8 /* of a token, for the worst case of an answer that is not there */
#define ASKED_AT_MOST 2 /* once more where there is no verdict */

/* What one judge has to do. */
struct bill {
    size_t counted;       /* judgements of answers that are there */
    size_t open;          /* judgements that wait for answers */
    size_t planned;       /* calls of the former */
    double input_tokens;  /* sum over planned and open */
    int64_t most_pico;    /* likewise */
    int64_t output_limit; /* of a verdict */
};

struct count {
    struct judging *judging;
    struct estimate *estimate;
    struct bill *bills; /* per expert of the configuration */
    bool ask_again;
    struct fault *fault;
};

/* -- one prompt -- */

/* Answers to one sample of a prompt. */
struct answers {
    size_t there, coming;
    double tokens; /* mean of an answer */
};

static enum fault_err see_answer(struct count *count, size_t prompt,
                                 struct judging_who who, bool stored,
                                 struct answers *answers)
{
    struct worklist *work = count->judging->work;
    const struct worklist_expert *expert = &work->experts[who.expert];
    bool there =
        expert->wanted && worklist_sample(work, who.expert, prompt, who.sample)->known;
    bool open = false;
    enum fault_err err = FAULT_OK;

    if (!there && stored) {
        char *text = NULL;
        err = judging_text(count->judging, prompt, who, &text, count->fault);
        there = text != NULL;
        free(text);
    }
    if (err == FAULT_OK && !there && worklist_planned(work, who.expert, prompt) &&
        who.sample < work->repeat)
        err = worklist_open_question(work, who.expert, prompt, who.sample,
                                     count->ask_again, &open, count->fault);
    if (err != FAULT_OK || !(there || open))
        return err;
    answers->there += there;
    answers->coming += open;
    answers->tokens += estimate_output(count->estimate, who.expert,
                                       work->prompts[prompt].row, 1, work->output_tokens)
                           .mean;
    return FAULT_OK;
}

/* Who is judged. Pairs are made of all experts' answers, also of those not asked for. */
static enum fault_err see_answers(struct count *count, size_t prompt, size_t sample,
                                  const struct judge_wish *wish, struct answers *ret)
{
    struct worklist *work = count->judging->work;
    bool pairs = wish->form == JUDGE_PAIRWISE;
    int trusted =
        wish->trusted != NULL ? judging_expert(count->judging, wish->trusted) : -1;
    enum fault_err err = FAULT_OK;

    *ret = (struct answers){ 0 };
    for (size_t i = 0; err == FAULT_OK && i < work->config->n_experts; i++) {
        struct judging_who who = { i, sample };
        bool counts =
            pairs ? judging_expert(count->judging, work->config->experts[i].name) >= 0
                  : work->experts[i].wanted;
        if (counts && (int)i != trusted)
            err = see_answer(count, prompt, who, pairs, ret);
    }
    if (ret->there + ret->coming > 0)
        ret->tokens /= (double)(ret->there + ret->coming);
    return err;
}

static size_t judgements(const struct judge_wish *wish, size_t answers)
{
    if (wish->form == JUDGE_RUBRIC)
        return answers;
    if (wish->against != NULL)
        return answers > 0 ? 2 * (answers - 1) : 0;
    return 2 * bradley_count(answers, (size_t)wish->opponents);
}

/* n judgements that wait for answers. */
static void bill_open(struct bill *bill, const struct config_expert *judge,
                      const struct judge_wish *wish, size_t n, double frame_bytes,
                      double answer_tokens, double answer_limit)
{
    double answers = wish->form == JUDGE_PAIRWISE ? 2 : 1;
    double tokens = frame_bytes / BYTES_PER_TOKEN + answers * answer_tokens;
    double most = frame_bytes + answers * answer_limit * BYTES_AT_MOST;

    bill->open += n;
    bill->input_tokens += (double)n * tokens;
    bill->most_pico =
        money_add(bill->most_pico,
                  money_mul(quote_tokens(judge, (int64_t)most, wish->output_tokens),
                            (int64_t)n * ASKED_AT_MOST));
}

static enum fault_err count_prompt(struct count *count, size_t prompt)
{
    struct worklist *work = count->judging->work;
    const struct judge_wish *wish = grader_judge(work->prompts[prompt].grader);
    int judge = wish->expert != NULL ? judging_expert(count->judging, wish->expert) : -1;
    char *reference = NULL;
    enum fault_err err = FAULT_OK;

    if (judge < 0)
        return FAULT_OK;
    err = judging_reference(count->judging, prompt, &reference, count->fault);
    bool by_words = wish->trusted != NULL && reference != NULL &&
                    agree_by(work->prompts[prompt].text, reference) != AGREE_TEXT;
    char *question = judge_question(work->prompts[prompt].messages);
    double frame =
        (double)(judge_frame_bytes(wish->form, wish->criteria) + strlen(question) +
                 (reference != NULL ? strlen(reference) : 0));
    struct bill *bill = &count->bills[judge];
    bill->output_limit = wish->output_tokens;
    for (size_t s = 0; err == FAULT_OK && s < work->n_samples; s++) {
        struct answers answers;
        err = see_answers(count, prompt, s, wish, &answers);
        if (err != FAULT_OK)
            break;
        size_t now = judgements(wish, answers.there);
        size_t then = judgements(wish, answers.there + answers.coming);
        bill->counted += now; /* of those that need no judge as well: the share is less */
        if (!by_words)
            bill_open(bill, &work->config->experts[judge], wish, then - now, frame,
                      answers.tokens, (double)work->output_tokens);
    }
    free(question);
    free(reference);
    return err;
}

/* -- what can be planned -- */

static enum fault_err bill_planned(struct count *count)
{
    struct judging *judging = count->judging;
    struct phase phase;
    enum fault_err err = judging_phase(judging, &phase, count->fault);

    for (size_t i = 0; err == FAULT_OK && i < judging->work->config->n_experts; i++) {
        const struct config_expert *judge = &judging->work->config->experts[i];
        struct bill *bill = &count->bills[i];
        for (;;) {
            struct asker_question question = { .expert = i };
            bool any = false;
            err = phase.source->next(phase.context, i, &question, &any, count->fault);
            if (err != FAULT_OK || !any)
                break;
            const struct chat_request *chat = question_chat(question.question);
            bill->planned++;
            bill->input_tokens += (double)price_prompt_expected(&judge->generator, chat);
            bill->most_pico = money_add(
                bill->most_pico, money_mul(quote_worst(judge, chat), ASKED_AT_MOST));
            question_free(question.question);
        }
    }
    return err;
}

/* -- the line -- */

static struct estimate_calls line_of(const struct bill *bill,
                                     const struct config_expert *judge, size_t expert,
                                     const struct calib_verdicts *kept)
{
    double share = 1, n = (double)(bill->planned + bill->open);
    double limit = (double)bill->output_limit;
    struct estimate_calls line = { .expert = expert,
                                   .what = "verdicts",
                                   .basis = ESTIMATE_ASSUMED,
                                   .most_pico = bill->most_pico };
    double input = bill->input_tokens / n, output = fmin(JUDGING_OUTPUT, limit);
    double low = fmin(5, limit), high = fmin(JUDGING_OUTPUT * 3, limit);

    if (bill->counted >= JUDGING_SHARE)
        share = (double)(kept->n + bill->planned) / (double)bill->counted;
    if (kept->n >= ESTIMATE_KNOWN) {
        line.basis = ESTIMATE_MEASURED;
        input = kept->input_tokens;
        output = kept->output_tokens;
        low = output * 0.8;
        high = fmin(output * 1.25, limit);
    }
    double calls = (double)bill->planned + share * (double)bill->open;
    int64_t whole = llround(calls);
    line.calls = (size_t)whole;
    line.input_tokens = calls * input;
    line.output_tokens = calls * output;
    line.output_low = calls * low;
    line.output_high = calls * high;
    line.expected_pico =
        money_mul(quote_tokens(judge, llround(input), llround(output)), whole);
    line.low_pico = money_mul(quote_tokens(judge, llround(input), llround(low)), whole);
    line.high_pico = money_mul(quote_tokens(judge, llround(input), llround(high)), whole);
    return line;
}

enum fault_err judging_estimate(struct judging *judging, struct estimate *estimate,
                                bool ask_again, struct fault *fault)
{
    struct worklist *work = judging->work;
    struct count count = {
        .judging = judging,
        .estimate = estimate,
        .bills = memory_new(work->config->n_experts, sizeof(*count.bills)),
        .ask_again = ask_again,
        .fault = fault,
    };
    enum fault_err err = FAULT_OK;

    for (size_t i = 0; err == FAULT_OK && i < work->n_prompts; i++) {
        if (grader_judge(work->prompts[i].grader) != NULL)
            err = count_prompt(&count, i);
    }
    if (err == FAULT_OK)
        err = bill_planned(&count);
    for (size_t i = 0; err == FAULT_OK && i < work->config->n_experts; i++) {
        const struct config_expert *judge = &work->config->experts[i];
        struct calib_verdicts kept;
        if (count.bills[i].planned + count.bills[i].open == 0)
            continue;
        err = calib_count_verdicts(work->store, judge->name, judge->generator.model,
                                   &kept, fault);
        struct estimate_calls line = line_of(&count.bills[i], judge, i, &kept);
        if (err == FAULT_OK)
            estimate_calls(estimate, &line);
    }
    free(count.bills);
    return err;
}
