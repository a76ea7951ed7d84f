/* till.c - what each policy has spent since midnight; see till.h. */
#include "gateway/flow/till.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/base/money.h"
#include "gateway/domain/steer.h"
#include "gateway/io/store_query.h"

struct till *till_new(const char *name)
{
    struct till *till = calloc(1, sizeof *till);

    if (till == NULL)
        return NULL;
    if (pthread_mutex_init(&till->lock, NULL) != 0) {
        free(till);
        return NULL;
    }
    atomic_init(&till->refs, 1);
    snprintf(till->name, sizeof till->name, "%s", name);
    return till;
}

struct till *till_ref(struct till *till)
{
    atomic_fetch_add(&till->refs, 1);
    return till;
}

void till_unref(struct till *till)
{
    if (till == NULL || atomic_fetch_sub(&till->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&till->lock);
    free(till);
}

/* Under the lock. A clock that goes back stays in the later day. */
static void turn(struct till *till, int64_t now_s)
{
    int64_t day = now_s / STEER_DAY_S;

    if (day <= till->day)
        return;
    till->day = day;
    till->spent_pico = 0;
}

/* Under the lock: a gauge is the sum over the blocks, so the difference goes to ours. */
static void show(int64_t *shown, int64_t value, enum metric metric, size_t slot,
                 struct metrics_block *block)
{
    metrics_move(block, metric, slot, value - *shown);
    *shown = value;
}

void till_add(struct till *till, int64_t now_s, int64_t spent_pico, size_t slot,
              struct metrics_block *block)
{
    pthread_mutex_lock(&till->lock);
    turn(till, now_s);
    till->spent_pico = money_add(till->spent_pico, spent_pico);
    show(&till->shown_spent, till->spent_pico, METRIC_POLICY_SPENT, slot, block);
    pthread_mutex_unlock(&till->lock);
}

static int64_t second_of(const struct till *till, int64_t now_s)
{
    int64_t second = now_s - till->day * STEER_DAY_S;

    return second < 0 ? 0 : second;
}

double till_factor(struct till *till, const struct config_policy *policy, int64_t now_s,
                   size_t slot, struct metrics_block *block)
{
    const struct steer_rule rule = { policy->target_pico, policy->steer_least,
                                     policy->steer_most };
    double factor = 1;

    if (policy->target_pico == MONEY_NONE)
        return 1;
    pthread_mutex_lock(&till->lock);
    turn(till, now_s);
    factor = steer_factor(&rule, till->spent_pico, second_of(till, now_s));
    show(&till->shown_spent, till->spent_pico, METRIC_POLICY_SPENT, slot, block);
    show(&till->shown_factor, (int64_t)(factor * 1e6) * (MONEY_USD / 1000000),
         METRIC_LAMBDA_FACTOR, slot, block);
    pthread_mutex_unlock(&till->lock);
    return factor;
}

int64_t till_spent(struct till *till, int64_t now_s)
{
    int64_t spent;

    pthread_mutex_lock(&till->lock);
    turn(till, now_s);
    spent = till->spent_pico;
    pthread_mutex_unlock(&till->lock);
    return spent;
}

struct restoring {
    struct till *const *tills;
    size_t n;
    int64_t day;
};

static void restore_one(void *context, const struct store_spend *spend)
{
    const struct restoring *restoring = context;

    for (size_t i = 0; i < restoring->n; i++) {
        struct till *till = restoring->tills[i];

        if (!str_is(spend->policy, till->name))
            continue;
        till->day = restoring->day;
        till->spent_pico = spend->spent_pico;
    }
}

void till_restore(struct till *const *tills, size_t n, const char *path, int64_t now_s)
{
    struct restoring restoring = { tills, n, now_s / STEER_DAY_S };
    struct store_spend_filter today = { .first_day = restoring.day,
                                        .last_day = restoring.day };
    struct store_error why = { .text = "" };
    struct store_view view = { .file = NULL };
    enum store_err err = store_file_open(path, STORE_FILE_READ, &view.file, &why);

    if (err == STORE_OK)
        err =
            store_spend(&view, &today, STORE_GROUP_POLICY, restore_one, &restoring, &why);
    if (err != STORE_OK)
        log_message(LOG_WARN, "steering_begins_anew",
                    "what policies spent today is not known: %s", why.text);
    store_file_close(view.file);
}
