/* health.c - may this endpoint be called now? See health.h.
 *
 *     breaker   | state 2 | opened in a row 6 | time 56 |
 *         CLOSED     time: when it recovered, of slow start; 0: it was never open
 *         OPEN       time: from when on a trial may be made
 *         HALF_OPEN  time: from when on another trial may be made
 *     window    | number 16 | calls 24 | failures 24 |       a full field spills into the
 *                                                            next and begins another window
 *
 * What must hold: a change of state is one successful compare and exchange, and whoever
 * made it is the only one who is told.
 */
#include "gateway/flow/health.h"

#include <stddef.h>

#define TIME_BITS   56
#define TIME_MAX    ((UINT64_C(1) << TIME_BITS) - 1)
#define OPENS_MAX   63u
#define COUNT_BITS  24
#define COUNT_MAX   ((UINT64_C(1) << COUNT_BITS) - 1)

#define EARLY_SHARE 10 /* of the first open time: so long nobody tries it early */

#define SLOW_FIRST  100 /* per mille of the calls at the beginning of slow start */

struct breaker {
    enum health_state state;
    unsigned opens;
    uint64_t time_us;
};

static struct breaker unpack(uint64_t word)
{
    return (struct breaker){ .state = (enum health_state)(word >> 62),
                             .opens = word >> TIME_BITS & OPENS_MAX,
                             .time_us = word & TIME_MAX };
}

static uint64_t pack(enum health_state state, unsigned opens, uint64_t time_us)
{
    return (uint64_t)state << 62 |
           (uint64_t)(opens < OPENS_MAX ? opens : OPENS_MAX) << TIME_BITS |
           (time_us < TIME_MAX ? time_us : TIME_MAX);
}

const char *health_state_word(enum health_state state)
{
    static const char *const words[] = {
#define X(name, word) word,
        HEALTH_STATES(X)
#undef X
    };

    return words[state];
}

const char *health_may_word(enum health_may may)
{
    static const char *const words[] = {
#define X(name, word) word,
        HEALTH_MAYS(X)
#undef X
    };

    return words[may];
}

/* Workers read the clock once a turn each, so another one's "now" may be ahead of ours. */
static uint64_t since(uint64_t from_us, uint64_t now_us)
{
    return now_us > from_us ? now_us - from_us : 0;
}

/* A well mixed number of the time: splitmix64's finaliser. */
static uint64_t chance(uint64_t now_us)
{
    uint64_t z = now_us + UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* From now on, when it is opened for the `opens`-th time in a row: within a quarter of its
 * time. Who is checked stays open until two checks should have been made. */
static uint64_t open_until(const struct health_rules *rules, unsigned opens,
                           uint64_t now_us)
{
    uint64_t us = rules->open_us;

    for (unsigned i = 1; i < opens && us < rules->open_max_us; i++)
        us *= 2;
    if (us > rules->open_max_us)
        us = rules->open_max_us;
    us = us * 3 / 4 + chance(now_us) % (us / 2 + 1);
    if (us < 2 * rules->checked_us)
        us = 2 * rules->checked_us;
    return now_us + us;
}

/* Who was well for long enough begins with the shortest time again. */
static unsigned opened_again(const struct breaker *b, const struct health_rules *rules,
                             uint64_t now_us)
{
    bool forgiven =
        b->state == HEALTH_CLOSED && since(b->time_us, now_us) > rules->open_max_us;

    return forgiven ? 1 : b->opens + 1;
}

static bool change(struct health *health, uint64_t *word, uint64_t next, uint64_t now_us)
{
    bool other_state = *word >> 62 != next >> 62;

    if (!atomic_compare_exchange_strong(&health->breaker, word, next))
        return false;
    if (other_state)
        atomic_store_explicit(&health->changed_us, now_us, memory_order_relaxed);
    return true;
}

enum health_state health_state(const struct health *health)
{
    return unpack(atomic_load_explicit(&health->breaker, memory_order_relaxed)).state;
}

/* -- looking ----------------------------------------------------------------------------- */

/* Per mille of the calls that should come here. */
static uint64_t slow_share(const struct breaker *b, const struct health_rules *rules,
                           uint64_t now_us)
{
    uint64_t gone = since(b->time_us, now_us);

    if (b->opens == 0 || gone >= rules->slow_us)
        return 1000;
    return SLOW_FIRST + (1000 - SLOW_FIRST) * gone / rules->slow_us;
}

enum health_may health_show(const struct health *health, const struct health_rules *rules,
                            uint64_t now_us, uint64_t *ret_until_us)
{
    const struct breaker b =
        unpack(atomic_load_explicit(&health->breaker, memory_order_relaxed));
    uint64_t limited =
        atomic_load_explicit(&health->limited_until_us, memory_order_relaxed);
    enum health_may may = HEALTH_MAY_READY;
    uint64_t until = 0;

    if (b.state != HEALTH_CLOSED) {
        may = b.time_us > now_us ? HEALTH_MAY_DOWN : HEALTH_MAY_TRIAL;
        until = b.time_us > now_us ? b.time_us : 0;
    } else if (slow_share(&b, rules, now_us) < 1000) {
        may = HEALTH_MAY_SLOW;
    }
    if (limited > now_us && may != HEALTH_MAY_DOWN) {
        may = HEALTH_MAY_LIMITED;
        until = limited;
    } else if (limited > until && may == HEALTH_MAY_DOWN) {
        until = limited;
    }
    if (ret_until_us != NULL)
        *ret_until_us = until;
    return may;
}

enum health_may health_look(struct health *health, const struct health_rules *rules,
                            uint64_t now_us, uint64_t *ret_until_us)
{
    enum health_may may = health_show(health, rules, now_us, ret_until_us);
    struct breaker b;
    uint64_t share, turn;

    if (may != HEALTH_MAY_SLOW)
        return may;
    b = unpack(atomic_load_explicit(&health->breaker, memory_order_relaxed));
    share = slow_share(&b, rules, now_us);
    turn = atomic_fetch_add_explicit(&health->slow_turn, 1, memory_order_relaxed);
    return (turn + 1) * share / 1000 > turn * share / 1000 ? HEALTH_MAY_READY
                                                           : HEALTH_MAY_SLOW;
}

/* -- before its time --------------------------------------------------------------------- */

/* From when on it may be tried early: it was opened, or found to be down still, a while
 * ago. UINT64_MAX: not at all. */
static uint64_t early_from(const struct health *health, const struct health_rules *rules,
                           const struct breaker *b)
{
    uint64_t limited =
        atomic_load_explicit(&health->limited_until_us, memory_order_relaxed);
    uint64_t from = atomic_load_explicit(&health->changed_us, memory_order_relaxed) +
                    rules->open_us / EARLY_SHARE;

    if (b->state != HEALTH_OPEN || rules->checked_us > 0)
        return UINT64_MAX;
    return limited > from ? limited : from;
}

bool health_early(const struct health *health, const struct health_rules *rules,
                  uint64_t now_us)
{
    const struct breaker b =
        unpack(atomic_load_explicit(&health->breaker, memory_order_relaxed));

    return early_from(health, rules, &b) <= now_us;
}

bool health_hope(const struct health *health, const struct health_rules *rules,
                 uint64_t since_us, uint64_t now_us, uint64_t by_us)
{
    const struct breaker b =
        unpack(atomic_load_explicit(&health->breaker, memory_order_relaxed));
    uint64_t until;

    if (health_show(health, rules, now_us, &until) <= HEALTH_MAY_SLOW)
        return true;
    if (b.state == HEALTH_OPEN &&
        atomic_load_explicit(&health->changed_us, memory_order_relaxed) > since_us)
        return false;
    return b.state == HEALTH_HALF_OPEN || until <= by_us ||
           early_from(health, rules, &b) <= by_us;
}

/* -- counting ---------------------------------------------------------------------------- */

/* Adds a call to the window of now; true: too many of its calls failed. */
static bool count_in_window(struct health *health, const struct health_rules *rules,
                            uint64_t now_us, bool failed)
{
    uint64_t number = now_us / rules->window_us & 0xffff;
    uint64_t one = UINT64_C(1) << COUNT_BITS | failed;
    uint64_t word = atomic_load_explicit(&health->window, memory_order_relaxed);
    uint64_t calls, failures;

    if (rules->share_percent == 0)
        return false;
    for (;;) {
        if (word >> 2 * COUNT_BITS == number) {
            word = one +
                   atomic_fetch_add_explicit(&health->window, one, memory_order_relaxed);
            break;
        }
        if (atomic_compare_exchange_weak_explicit(
                &health->window, &word, number << 2 * COUNT_BITS | one,
                memory_order_relaxed, memory_order_relaxed)) {
            word = number << 2 * COUNT_BITS | one;
            break;
        }
    }
    calls = word >> COUNT_BITS & COUNT_MAX;
    failures = word & COUNT_MAX;
    return failed && calls >= rules->share_calls &&
           failures * 100 >= calls * rules->share_percent;
}

static void forget(struct health *health)
{
    atomic_store_explicit(&health->failed_in_row, 0, memory_order_relaxed);
    atomic_store_explicit(&health->window, 0, memory_order_relaxed);
}

static void note_failure(struct health *health, uint64_t now_us, const char *why)
{
    atomic_store_explicit(&health->failed_why, why, memory_order_relaxed);
    atomic_store_explicit(&health->failed_us, now_us, memory_order_relaxed);
}

static enum health_change open_closed(struct health *health,
                                      const struct health_rules *rules, uint64_t now_us)
{
    uint64_t word = atomic_load(&health->breaker);

    for (;;) {
        const struct breaker b = unpack(word);
        unsigned opens = opened_again(&b, rules, now_us);

        if (b.state != HEALTH_CLOSED)
            return HEALTH_SAME;
        if (change(health, &word,
                   pack(HEALTH_OPEN, opens, open_until(rules, opens, now_us)), now_us))
            return HEALTH_OPENED;
    }
}

static enum health_change told_closed(struct health *health,
                                      const struct health_rules *rules, uint64_t now_us,
                                      bool failed)
{
    bool too_many = count_in_window(health, rules, now_us, failed);
    unsigned in_row;

    if (!failed) {
        if (atomic_load_explicit(&health->failed_in_row, memory_order_relaxed) != 0)
            atomic_store_explicit(&health->failed_in_row, 0, memory_order_relaxed);
        return HEALTH_SAME;
    }
    in_row =
        1 + atomic_fetch_add_explicit(&health->failed_in_row, 1, memory_order_relaxed);
    if (!too_many && (rules->failures == 0 || in_row < rules->failures))
        return HEALTH_SAME;
    return open_closed(health, rules, now_us);
}

/* -- a call ------------------------------------------------------------------------------ */

/* The trial is ours if we put off the next one. Before its time only one is under way: while
 * it is, the breaker is half open. */
static bool take_trial(struct health *health, const struct health_rules *rules,
                       bool early, uint64_t now_us, uint64_t word,
                       struct health_ticket *ret_ticket, enum health_change *ret_change)
{
    const struct breaker b = unpack(word);
    bool due = b.time_us <= now_us;

    if ((!due && !(early && b.state == HEALTH_OPEN)) ||
        !change(health, &word,
                pack(HEALTH_HALF_OPEN, b.opens, open_until(rules, b.opens, now_us)),
                now_us))
        return false;
    *ret_ticket =
        (struct health_ticket){ .trial = true, .until_us = due ? 0 : b.time_us };
    *ret_change = b.state == HEALTH_OPEN ? HEALTH_TRYING : HEALTH_SAME;
    return true;
}

bool health_enter(struct health *health, const struct health_rules *rules, bool early,
                  uint64_t now_us, struct health_ticket *ret_ticket,
                  enum health_change *ret_change)
{
    uint64_t word = atomic_load_explicit(&health->breaker, memory_order_relaxed);
    struct health_ticket ticket = { .trial = false };

    *ret_change = HEALTH_SAME;
    if (word >> 62 != HEALTH_CLOSED &&
        !take_trial(health, rules, early, now_us, word, &ticket, ret_change))
        return false;
    atomic_fetch_add_explicit(&health->in_flight, 1, memory_order_relaxed);
    *ret_ticket = ticket;
    return true;
}

/* Closed again, or open for longer; without a word of it the next call is the trial. An early
 * one (until_us is still to come) that fails, or says nothing, leaves all as it was. */
static enum health_change told_trial(struct health *health,
                                     const struct health_rules *rules, uint64_t now_us,
                                     uint64_t until_us, enum health_said said)
{
    uint64_t word = atomic_load(&health->breaker);

    for (;;) {
        const struct breaker b = unpack(word);
        uint64_t next = pack(HEALTH_OPEN, b.opens, until_us > now_us ? until_us : now_us);

        if (b.state != HEALTH_HALF_OPEN)
            return b.state == HEALTH_CLOSED && said != HEALTH_NOTHING
                       ? told_closed(health, rules, now_us, said == HEALTH_FAILED)
                       : HEALTH_SAME;
        if (said == HEALTH_WORKED) {
            forget(health);
            next = pack(HEALTH_CLOSED, b.opens, now_us);
        } else if (said == HEALTH_FAILED && until_us <= now_us) {
            next = pack(HEALTH_OPEN, b.opens + 1, open_until(rules, b.opens + 1, now_us));
        }
        if (change(health, &word, next, now_us))
            return said == HEALTH_WORKED ? HEALTH_RECOVERED : HEALTH_REOPENED;
    }
}

enum health_change health_told(struct health *health, const struct health_rules *rules,
                               uint64_t now_us, struct health_ticket *ticket,
                               enum health_said said, const char *why)
{
    bool trial = ticket->trial;

    if (said == HEALTH_NOTHING)
        return HEALTH_SAME;
    if (said == HEALTH_FAILED)
        note_failure(health, now_us, why);
    ticket->trial = false;
    if (trial)
        return told_trial(health, rules, now_us, ticket->until_us, said);
    if (health_state(health) != HEALTH_CLOSED)
        return HEALTH_SAME; /* it began before: the trial knows better */
    return told_closed(health, rules, now_us, said == HEALTH_FAILED);
}

enum health_change health_leave(struct health *health, const struct health_rules *rules,
                                uint64_t now_us, struct health_ticket *ticket)
{
    bool trial = ticket->trial;

    atomic_fetch_sub_explicit(&health->in_flight, 1, memory_order_relaxed);
    ticket->trial = false;
    return trial ? told_trial(health, rules, now_us, ticket->until_us, HEALTH_NOTHING)
                 : HEALTH_SAME;
}

bool health_limit(struct health *health, const struct health_rules *rules,
                  uint64_t now_us, uint64_t for_us)
{
    uint64_t until =
        now_us + (for_us < rules->limited_max_us ? for_us : rules->limited_max_us);
    uint64_t before =
        atomic_load_explicit(&health->limited_until_us, memory_order_relaxed);

    do {
        if (before >= until)
            return false;
    } while (!atomic_compare_exchange_weak(&health->limited_until_us, &before, until));
    return before <= now_us;
}

enum health_change health_checked(struct health *health, const struct health_rules *rules,
                                  uint64_t now_us, bool good, const char *why)
{
    uint64_t word = atomic_load(&health->breaker), time_us;
    unsigned in_row;

    if (!good)
        note_failure(health, now_us, why);
    if (word >> 62 == HEALTH_CLOSED) {
        if (good || rules->failures == 0)
            return HEALTH_SAME;
        in_row = 1 + atomic_fetch_add_explicit(&health->failed_in_row, 1,
                                               memory_order_relaxed);
        return in_row < rules->failures ? HEALTH_SAME
                                        : open_closed(health, rules, now_us);
    }
    while (word >> 62 == HEALTH_OPEN) {
        const struct breaker b = unpack(word);

        time_us = good ? now_us : now_us + 2 * rules->checked_us;
        if (good ? b.time_us <= now_us : b.time_us >= time_us)
            break;
        if (change(health, &word, pack(HEALTH_OPEN, b.opens, time_us), now_us))
            break;
    }
    return HEALTH_SAME;
}
