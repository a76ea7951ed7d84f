/* account.c - what one key has spent, and what is reserved on it; see account.h.
 *
 * Windows are turned when somebody looks: whoever comes first after midnight empties the
 * day. A hold remembers the turn of each window, so one of an earlier turn gives back
 * nothing and books nothing there: its window is over.
 */
#include "gateway/flow/account.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/flow/admission.h"
#include "gateway/flow/bucket.h"

#define DAY_US INT64_C(86400000000)

struct window {
    int64_t budget_pico, bound_pico, held_pico;
    int64_t period; /* which day, which month; 0: the total */
    uint32_t turn;  /* counts the periods that began */
};

struct account {
    pthread_mutex_t lock; /* guards everything below it but id */
    const struct clock *clock;
    struct window windows[KEY_WINDOW_COUNT];
    struct bucket requests, tokens;
    struct admission_key admission; /* not under the lock */
    char id[];
};

struct accounts {
    pthread_mutex_t lock; /* guards the list */
    const struct clock *clock;
    struct account **list; /* sorted by id */
    size_t n, room;
};

/* -- time -- */

/* Days and months since 1970. */
static int64_t day_of(int64_t wall_us)
{
    return wall_us / DAY_US;
}

static int64_t month_of(int64_t wall_us)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm tm = { .tm_mday = 1 };

    (void)gmtime_r(&seconds, &tm);
    return ((int64_t)tm.tm_year - 70) * 12 + tm.tm_mon;
}

static int64_t month_begins_us(int64_t month)
{
    struct tm tm = { .tm_year = (int)(70 + month / 12),
                     .tm_mon = (int)(month % 12),
                     .tm_mday = 1 };

    return (int64_t)timegm(&tm) * 1000000;
}

static int64_t period_of(enum key_window window, int64_t wall_us)
{
    switch (window) {
    case KEY_DAY:
        return day_of(wall_us);
    case KEY_MONTH:
        return month_of(wall_us);
    default:
        return 0;
    }
}

static int64_t period_ends_us(enum key_window window, int64_t period)
{
    switch (window) {
    case KEY_DAY:
        return (period + 1) * DAY_US;
    case KEY_MONTH:
        return month_begins_us(period + 1);
    default:
        return 0;
    }
}

/* A clock that is set back by a little must not give yesterday's budget again, so the
 * window stays the later one. One that was far ahead is believed when it returns, or the
 * window would not turn for long; what was spent meanwhile stays counted. */
static void turn_window(struct window *window, int64_t period)
{
    if (period > window->period) {
        window->bound_pico = 0;
        window->held_pico = 0;
        window->turn++;
        window->period = period;
    } else if (period < window->period - 1) {
        window->period = period;
    }
}

static void turn(struct account *account)
{
    int64_t now = clock_wall_us(account->clock);

    /* The month follows from the day, and is dear to compute. */
    if (day_of(now) == account->windows[KEY_DAY].period)
        return;
    for (int w = 0; w < KEY_WINDOW_COUNT; w++)
        turn_window(&account->windows[w], period_of((enum key_window)w, now));
}

static void lock(struct account *account)
{
    int failed = pthread_mutex_lock(&account->lock);

    assert(failed == 0);
    turn(account);
}

static void unlock(struct account *account)
{
    int failed = pthread_mutex_unlock(&account->lock);

    assert(failed == 0);
}

/* -- the book -- */

struct accounts *accounts_new(const struct clock *clock)
{
    struct accounts *accounts = calloc(1, sizeof *accounts);

    if (accounts == NULL)
        return NULL;
    accounts->clock = clock;
    (void)pthread_mutex_init(&accounts->lock, NULL);
    return accounts;
}

void accounts_free(struct accounts *accounts)
{
    if (accounts == NULL)
        return;
    for (size_t i = 0; i < accounts->n; i++) {
        (void)pthread_mutex_destroy(&accounts->list[i]->lock);
        free(accounts->list[i]);
    }
    (void)pthread_mutex_destroy(&accounts->lock);
    free(accounts->list);
    free(accounts);
}

static struct account *account_new(struct str id, const struct clock *clock)
{
    struct account *account = calloc(1, sizeof *account + id.n + 1);
    int64_t now;

    if (account == NULL)
        return NULL;
    now = clock_wall_us(clock);
    (void)pthread_mutex_init(&account->lock, NULL);
    account->clock = clock;
    if (id.n > 0)
        memcpy(account->id, id.p, id.n);
    for (int w = 0; w < KEY_WINDOW_COUNT; w++)
        account->windows[w] =
            (struct window){ .budget_pico = MONEY_NONE,
                             .period = period_of((enum key_window)w, now) };
    bucket_init(&account->requests, 0, clock_us(clock));
    bucket_init(&account->tokens, 0, clock_us(clock));
    return account;
}

static int compare_ids(struct str a, const char *b)
{
    size_t n = strlen(b);
    int order = memcmp(a.p != NULL ? a.p : "", b, a.n < n ? a.n : n);

    if (order != 0)
        return order;
    return a.n < n ? -1 : a.n > n;
}

/* The place of id in the list, or where it belongs. */
static size_t find(const struct accounts *accounts, struct str id)
{
    size_t low = 0, high = accounts->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare_ids(id, accounts->list[middle]->id) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static enum err insert(struct accounts *accounts, size_t at, struct str id)
{
    size_t room = accounts->room == 0 ? 16 : accounts->room * 2;
    struct account *account, **list;

    if (accounts->n >= ACCOUNTS_MAX)
        return ERR_TOO_LARGE;
    if (accounts->n == accounts->room) {
        list = realloc(accounts->list, room * sizeof(struct account *));
        if (list == NULL)
            return ERR_NOMEM;
        accounts->list = list;
        accounts->room = room;
    }
    account = account_new(id, accounts->clock);
    if (account == NULL)
        return ERR_NOMEM;
    memmove(accounts->list + at + 1, accounts->list + at,
            (accounts->n - at) * sizeof(struct account *));
    accounts->list[at] = account;
    accounts->n++;
    return ERR_OK;
}

enum err accounts_open(struct accounts *accounts, struct str id,
                       struct account **ret_account)
{
    enum err err = ERR_OK;
    size_t at;

    (void)pthread_mutex_lock(&accounts->lock);
    at = find(accounts, id);
    if (at == accounts->n || compare_ids(id, accounts->list[at]->id) != 0)
        err = insert(accounts, at, id);
    if (err == ERR_OK)
        *ret_account = accounts->list[at];
    (void)pthread_mutex_unlock(&accounts->lock);
    return err;
}

const char *account_id(const struct account *account)
{
    return account->id;
}

/* -- money -- */

static int64_t free_of(const struct window *window)
{
    if (window->budget_pico == MONEY_NONE)
        return MONEY_NONE;
    return money_sub(window->budget_pico,
                     money_add(window->bound_pico, window->held_pico));
}

/* What the seat holds of that window; nothing where the window has turned since. */
static int64_t seated(const struct account *account, const struct account_hold *seat,
                      int w)
{
    if (seat == NULL || !seat->open || seat->turns[w] != account->windows[w].turn)
        return 0;
    return seat->held_pico;
}

static int64_t remaining(const struct account *account, const struct account_hold *seat)
{
    int64_t least = MONEY_NONE;

    for (int w = 0; w < KEY_WINDOW_COUNT; w++) {
        struct window window = account->windows[w];
        int64_t left;

        window.held_pico -= seated(account, seat, w);
        left = free_of(&window);
        least = left < least ? left : least;
    }
    return least;
}

static bool bounded(const struct account *account)
{
    for (int w = 0; w < KEY_WINDOW_COUNT; w++) {
        if (account->windows[w].budget_pico != MONEY_NONE)
            return true;
    }
    return false;
}

void account_limit(struct account *account, const struct key_limits *limits)
{
    lock(account);
    for (int w = 0; w < KEY_WINDOW_COUNT; w++) {
        assert(limits->budget_pico[w] >= 0);
        account->windows[w].budget_pico = limits->budget_pico[w];
    }
    bucket_change(&account->requests, limits->requests_per_minute,
                  clock_us(account->clock));
    bucket_change(&account->tokens, limits->tokens_per_minute, clock_us(account->clock));
    unlock(account);
}

void account_restore(struct account *account, int64_t wall_us,
                     const int64_t bound_pico[KEY_WINDOW_COUNT])
{
    lock(account);
    for (int w = 0; w < KEY_WINDOW_COUNT; w++) {
        struct window *window = &account->windows[w];

        assert(bound_pico[w] >= 0);
        if (period_of((enum key_window)w, wall_us) == window->period)
            window->bound_pico = money_add(window->bound_pico, bound_pico[w]);
    }
    unlock(account);
}

bool account_bounded(struct account *account)
{
    bool result;

    lock(account);
    result = bounded(account);
    unlock(account);
    return result;
}

int64_t account_remaining(struct account *account, const struct account_hold *seat)
{
    int64_t least;

    lock(account);
    least = remaining(account, seat);
    unlock(account);
    return least;
}

int64_t account_unspent(struct account *account)
{
    int64_t least = MONEY_NONE;

    lock(account);
    for (int w = 0; w < KEY_WINDOW_COUNT; w++) {
        struct window window = account->windows[w];
        int64_t left;

        window.held_pico = 0;
        left = free_of(&window);
        least = left < least ? left : least;
    }
    unlock(account);
    return least;
}

/* What a hold takes out of the windows. Without budgets worst cases may be unknown or add
 * up to more than fits; then nothing is held, as nothing is compared. */
static int64_t holdable(const struct account *account, int64_t worst_pico)
{
    for (int w = 0; w < KEY_WINDOW_COUNT; w++) {
        if (money_add(account->windows[w].held_pico, worst_pico) == MONEY_NONE)
            return 0;
    }
    return worst_pico;
}

/* Takes the hold out of the windows it was taken in. */
static void give_back(struct account *account, struct account_hold *hold)
{
    for (int w = 0; w < KEY_WINDOW_COUNT; w++) {
        struct window *window = &account->windows[w];

        if (window->turn != hold->turns[w])
            continue;
        assert(window->held_pico >= hold->held_pico);
        window->held_pico -= hold->held_pico;
    }
    hold->open = false;
}

enum account_err account_reserve(struct account *account, int64_t worst_pico,
                                 struct account_hold *seat, struct account_hold *ret_hold)
{
    enum account_err err = ACCOUNT_OK;
    struct account_hold hold = { .open = true };

    assert(worst_pico >= 0 && !ret_hold->open);
    lock(account);
    if (worst_pico == MONEY_NONE && bounded(account))
        err = ACCOUNT_NO_BOUND;
    else if (worst_pico > remaining(account, seat))
        err = ACCOUNT_SHORT;
    if (err == ACCOUNT_OK) {
        if (seat != NULL && seat->open)
            give_back(account, seat);
        hold.held_pico = holdable(account, worst_pico);
        for (int w = 0; w < KEY_WINDOW_COUNT; w++) {
            account->windows[w].held_pico += hold.held_pico;
            hold.turns[w] = account->windows[w].turn;
        }
        *ret_hold = hold;
    }
    unlock(account);
    return err;
}

void account_settle(struct account *account, struct account_hold *hold,
                    int64_t bound_pico)
{
    assert(bound_pico >= 0);
    if (!hold->open)
        return;
    lock(account);
    give_back(account, hold);
    for (int w = 0; w < KEY_WINDOW_COUNT; w++) {
        struct window *window = &account->windows[w];

        if (window->turn == hold->turns[w])
            window->bound_pico = money_add(window->bound_pico, bound_pico);
    }
    unlock(account);
}

static void look(const struct account *account, enum key_window which,
                 struct account_window *ret_window)
{
    const struct window *window = &account->windows[which];

    *ret_window =
        (struct account_window){ .budget_pico = window->budget_pico,
                                 .bound_pico = window->bound_pico,
                                 .held_pico = window->held_pico,
                                 .resets_us = period_ends_us(which, window->period) };
}

void account_view(struct account *account,
                  struct account_window ret_windows[KEY_WINDOW_COUNT])
{
    lock(account);
    for (int w = 0; w < KEY_WINDOW_COUNT; w++)
        look(account, (enum key_window)w, &ret_windows[w]);
    unlock(account);
}

/* Of windows that leave the same the longest: its end is the one to wait for. */
enum key_window account_tightest(struct account *account,
                                 struct account_window *ret_window)
{
    enum key_window tightest = KEY_WINDOW_COUNT;
    int64_t least = MONEY_NONE;

    lock(account);
    for (int w = 0; w < KEY_WINDOW_COUNT; w++) {
        int64_t left = free_of(&account->windows[w]);

        if (left != MONEY_NONE && left <= least) {
            least = left;
            tightest = (enum key_window)w;
        }
    }
    if (tightest != KEY_WINDOW_COUNT)
        look(account, tightest, ret_window);
    unlock(account);
    return tightest;
}

/* -- rates -- */

static bool take(struct bucket *bucket, int64_t n, int64_t now_us,
                 struct account_rate *ret_rate)
{
    bool taken = bucket_take(bucket, n, now_us);

    *ret_rate =
        (struct account_rate){ .limit = bucket->limit,
                               .remaining = bucket_remaining(bucket, now_us),
                               .reset_us = bucket_reset_us(bucket, now_us),
                               .wait_us = taken ? 0 : bucket_wait_us(bucket, n, now_us) };
    return taken;
}

struct admission_key *account_admission(struct account *account)
{
    return &account->admission;
}

bool account_request(struct account *account, struct account_rate *ret_rate)
{
    bool taken;

    lock(account);
    taken = take(&account->requests, 1, clock_us(account->clock), ret_rate);
    unlock(account);
    return taken;
}

bool account_tokens(struct account *account, int64_t tokens,
                    struct account_rate *ret_rate)
{
    bool taken;

    lock(account);
    taken = take(&account->tokens, tokens, clock_us(account->clock), ret_rate);
    unlock(account);
    return taken;
}

void account_tokens_used(struct account *account, int64_t reserved, int64_t used)
{
    assert(reserved >= 0 && used >= 0);
    lock(account);
    bucket_give(&account->tokens, reserved - used, clock_us(account->clock));
    unlock(account);
}
