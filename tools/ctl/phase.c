/* phase.c - between a source of questions and the asker: marks, transactions, the bar. */
#include "tools/ctl/phase.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "gateway/base/money.h"
#include "tools/ctl/memory.h"

static const char *model_of(const struct phase *phase, size_t expert)
{
    return phase->crew->config->experts[expert].generator.model;
}

static struct calib_ask name_of(const struct phase *phase,
                                const struct asker_question *question,
                                struct phase_name *ret_name)
{
    phase->source->name(phase->context, question, ret_name);
    return (struct calib_ask){
        .prompt = ret_name->prompt,
        .expert = ret_name->expert,
        .model = model_of(phase, question->expert),
        .what = ret_name->what,
    };
}

static void set_id(const struct phase *phase, struct asker_question *question)
{
    struct phase_name name;
    struct calib_ask ask = name_of(phase, question, &name);
    char *text = memory_format("%s\n%s\n%s\n%s",
                               phase->crew->config->experts[question->expert].name,
                               ask.model, name.prompt_id, ask.what);

    (void)snprintf(question->id, sizeof(question->id), "calib-%016" PRIx64,
                   (uint64_t)XXH3_64bits(text, strlen(text)));
    free(text);
}

/* -- what the asker is told -- */

/* True: an earlier run sent it and did not see its end. */
static enum fault_err in_doubt(struct phase *phase, const struct asker_question *question,
                               bool *ret_doubt, struct fault *fault)
{
    struct phase_name name;
    struct calib_ask ask = name_of(phase, question, &name);
    struct calib *store = phase->crew->store;
    enum calib_state state;
    int64_t bound;
    enum fault_err err = calib_asked(store, &ask, &state, &bound, fault);

    *ret_doubt = err == FAULT_OK && state == CALIB_SENT && !phase->crew->ask_again;
    if (*ret_doubt) {
        phase->doubtful++;
        phase->doubt_pico = money_add(phase->doubt_pico, bound);
    }
    if (err != FAULT_OK || state != CALIB_SENT || *ret_doubt)
        return err;
    err = calib_begin(store, fault);
    if (err == FAULT_OK)
        err =
            calib_put_spending(store, ask.prompt, ask.expert,
                               "a call in flight when its run was killed", bound, fault);
    if (err == FAULT_OK)
        err = calib_drop_asked(store, &ask, fault);
    if (err == FAULT_OK)
        err = calib_commit(store, fault);
    return err;
}

static bool on_next(void *context, size_t expert, struct asker_question *ret_question)
{
    struct phase *phase = context;
    bool any = false, doubt = true;

    while (phase->err == FAULT_OK && doubt) {
        struct asker_question question = { .expert = expert };
        phase->err =
            phase->source->next(phase->context, expert, &question, &any, phase->fault);
        if (phase->err != FAULT_OK || !any)
            return false;
        phase->err = in_doubt(phase, &question, &doubt, phase->fault);
        if (phase->err != FAULT_OK || doubt) {
            question_free(question.question);
            continue;
        }
        set_id(phase, &question);
        *ret_question = question;
    }
    return phase->err == FAULT_OK;
}

static bool on_sending(void *context, const struct asker_question *question,
                       int64_t bound_pico)
{
    struct phase *phase = context;
    struct phase_name name;
    struct calib_ask ask = name_of(phase, question, &name);

    if (phase->err == FAULT_OK)
        phase->err = calib_put_sent(phase->crew->store, &ask, bound_pico, phase->fault);
    return phase->err == FAULT_OK;
}

static void show(struct phase *phase)
{
    const struct asker *asker = phase->crew->asker;
    size_t done = phase->before + phase->answered + phase->failed;
    char note[80];

    (void)snprintf(note, sizeof(note), "%zu/%zu  $%.4f%s", done, phase->total,
                   money_to_usd(asker_spent_pico(asker)),
                   asker_stopped(asker) ? "  stopping" : "");
    progress_set(&phase->bar, (double)done, note);
}

static enum fault_err keep(struct phase *phase, const struct asker_question *question,
                           const struct asker_answer *answer, struct fault *fault)
{
    struct phase_name name;
    struct calib_ask ask = name_of(phase, question, &name);
    struct calib *store = phase->crew->store;

    if (answer->dropped)
        return FAULT_OK; /* its mark stays: it is in doubt from now on */
    enum fault_err err = calib_begin(store, fault);
    if (err == FAULT_OK && answer->lost_pico > 0)
        err = calib_put_spending(store, ask.prompt, ask.expert, "a call of unknown fate",
                                 answer->lost_pico, fault);
    if (err == FAULT_OK && answer->ok)
        err = calib_drop_asked(store, &ask, fault);
    if (err == FAULT_OK && answer->ok)
        err = phase->source->keep(phase->context, question, answer, fault);
    if (err == FAULT_OK && !answer->ok && answer->attempts > 0)
        err = calib_put_failed(store, &ask, answer->error, fault);
    if (err == FAULT_OK)
        err = calib_commit(store, fault);
    return err;
}

static void on_answered(void *context, const struct asker_question *question,
                        const struct asker_answer *answer)
{
    struct phase *phase = context;
    struct phase_name name;

    if (phase->err == FAULT_OK)
        phase->err = keep(phase, question, answer, phase->fault);
    if (answer->ok) {
        phase->answered++;
    } else {
        bool asked = answer->attempts > 0; /* else it is missing, and no failure */
        phase->failed += asked;
        (void)name_of(phase, question, &name);
        (void)snprintf(phase->example, sizeof(phase->example),
                       "expert '%s', prompt '%s': %s",
                       phase->crew->config->experts[question->expert].name,
                       name.prompt_id, answer->error);
        if (asked && phase->source->failed != NULL)
            phase->source->failed(phase->context, question);
    }
    question_free(question->question);
    show(phase);
    if (phase->err != FAULT_OK && !asker_stopped(phase->crew->asker))
        asker_stop(phase->crew->asker);
}

/* -- the whole -- */

enum fault_err phase_run(struct phase *phase, const struct phase_crew *crew,
                         struct fault *fault)
{
    static const struct asker_source source = { on_next, on_sending, on_answered };

    phase->crew = crew;
    phase->fault = fault;
    progress_init(&phase->bar, phase->label, (double)phase->total);
    progress_resume(&phase->bar, (double)phase->before);
    show(phase);
    asker_run(crew->asker, &source, phase);
    progress_end(&phase->bar);
    return phase->err;
}

size_t phase_missing(const struct phase *phase)
{
    return phase->total - phase->before - phase->answered;
}

enum fault_err phase_verdict(const struct phase *phase, const struct phase_crew *crew,
                             struct fault *fault)
{
    size_t missing = phase_missing(phase);

    if (missing == 0)
        return FAULT_OK;
    if (asker_short(crew->asker))
        return fault_set(fault, FAULT_STOPPED,
                         "--max-usd is reached, %zu questions are not answered; run "
                         "again to go on",
                         missing);
    if (asker_stopped(crew->asker))
        return fault_set(fault, FAULT_STOPPED,
                         "stopped, %zu questions are not answered; run again to go on",
                         missing);
    if (phase->doubtful == missing)
        return fault_set(fault, FAULT_STOPPED,
                         "%zu questions were in flight when an earlier run was killed: "
                         "they may have been paid for and are not asked again, unless "
                         "--ask-again is given",
                         missing);
    return fault_set(fault, FAULT_EXPERT,
                     "%zu questions have no answer; run again to ask them; the last "
                     "failure: %s",
                     missing, phase->example);
}
