/* admission.c - which requests are under way at once, and who waits; see admission.h.
 *
 *   queue   parties, in turn     A -> B -> C          each: its seats, the oldest first
 *           seats, by age        a1 -> c1 -> a2 ...   who has waited too long is in front
 *
 * What must always hold: a place is taken by compare-and-swap, so the counter never passes
 * the limit, not even for a moment; whoever gives a place back, or finds none and begins to
 * wait, looks at the other side afterwards, so that no free place is overlooked; nobody is
 * woken from inside a call, so that requests do not run inside each other.
 */
#include "gateway/flow/admission.h"

#include <assert.h>
#include <stdlib.h>

#define BUCKETS     64u        /* of the table of waiting parties; a power of two */
#define LOOK_MAX    64u        /* parties that are compared for one place */
#define BODY_STEP   (64 << 10) /* bytes are taken in such steps */
#define STANDING    4          /* a standing queue waits for a fourth */
#define RETRY_MAX_S 3u

TAILQ_HEAD(seats, admission_seat);

struct admission_party {
    struct admission_key *key;
    struct seats seats;
    int64_t n;
    TAILQ_ENTRY(admission_party) turn;
    LIST_ENTRY(admission_party) bucket;
};

struct admission_queue {
    struct admission *admission;
    size_t lane;
    struct loop *loop;
    struct metrics_block *metrics;
    int64_t places, queue; /* limits, as they were last seen */
    uint64_t patience_us;
    int64_t held, n; /* places that this worker has; seats that wait */
    uint64_t busy_since_us;
    unsigned retry;
    struct seats seats;
    TAILQ_HEAD(, admission_party) parties;
    LIST_HEAD(, admission_party) table[BUCKETS];
    struct loop_timer timer;
    struct loop_task task; /* places may be free */
};

static void serve(void *arg);
static void too_late(void *arg);

/* Nobody is left whose seats could be free: mail that comes late finds nothing to do. */
static void called(void *arg)
{
    struct admission_queue *queue = arg;

    atomic_store(&queue->admission->lanes[queue->lane].called, false);
    serve(queue);
}

static void called_late(void *arg)
{
    (void)arg;
}

struct admission_queue *admission_open(struct admission *admission, struct loop *loop,
                                       struct metrics_block *metrics)
{
    struct admission_queue *queue = calloc(1, sizeof *queue);
    struct admission_lane *lane;

    if (queue == NULL)
        return NULL;
    assert(admission->n_lanes < METRICS_MAX_BLOCKS);
    queue->admission = admission;
    queue->lane = admission->n_lanes++;
    queue->loop = loop;
    queue->metrics = metrics;
    queue->timer = (struct loop_timer){ .fn = too_late, .arg = queue };
    queue->task = (struct loop_task){ .fn = serve, .arg = queue };
    TAILQ_INIT(&queue->seats);
    TAILQ_INIT(&queue->parties);
    for (size_t i = 0; i < BUCKETS; i++)
        LIST_INIT(&queue->table[i]);
    lane = &admission->lanes[queue->lane];
    lane->loop = loop;
    lane->mail = (struct loop_mail){ .fn = called, .arg = queue };
    return queue;
}

void admission_close(struct admission_queue *queue)
{
    if (queue == NULL)
        return;
    assert(queue->n == 0 && queue->held == 0);
    loop_timer_clear(queue->loop, &queue->timer);
    loop_undefer(queue->loop, &queue->task);
    queue->admission->lanes[queue->lane].mail.fn = called_late;
    free(queue);
}

static void see(struct admission_queue *queue, const struct config_limits *limits)
{
    queue->places = limits->in_flight;
    queue->queue = limits->queue;
    queue->patience_us = (uint64_t)limits->queue_ms * 1000;
}

static enum admission_state shed(struct admission_queue *queue,
                                 struct admission_seat *seat, enum metric_shed why)
{
    seat->state = ADMISSION_SHED;
    seat->why = why;
    metrics_add(queue->metrics, METRIC_SHED, why, 0, 1);
    return seat->state;
}

static struct admission_key *key_of(struct admission_queue *queue,
                                    const struct admission_seat *seat)
{
    return seat->key != NULL ? seat->key : &queue->admission->none;
}

/* -- places ------------------------------------------------------------------------------ */

static bool free_place(const struct admission_queue *queue)
{
    return atomic_load(&queue->admission->in_flight) < queue->places;
}

static int64_t waiting_elsewhere(const struct admission_queue *queue)
{
    return atomic_load(&queue->admission->waiting) - queue->n;
}

static bool take_place(struct admission_queue *queue)
{
    struct admission *all = queue->admission;
    int64_t lanes = (int64_t)all->n_lanes;
    int64_t share = (queue->places + lanes - 1) / lanes; /* of all: at least the places */
    int taken = atomic_load(&all->in_flight);

    if (queue->held >= share && waiting_elsewhere(queue) > 0)
        return false;
    while (taken < queue->places) {
        if (atomic_compare_exchange_weak(&all->in_flight, &taken, taken + 1))
            return true;
    }
    return false;
}

static void let_in(struct admission_queue *queue, struct admission_seat *seat)
{
    seat->state = ADMISSION_IN;
    queue->held++;
    atomic_fetch_add(&key_of(queue, seat)->places, 1);
    metrics_move(queue->metrics, METRIC_IN_FLIGHT, 0, 1);
}

/* Places are free that this worker has no use for. */
static void call_another(struct admission_queue *queue)
{
    struct admission *all = queue->admission;
    unsigned turn;

    if (waiting_elsewhere(queue) <= 0 || !free_place(queue))
        return;
    turn = atomic_fetch_add(&all->turn, 1);
    for (size_t i = 0; i < all->n_lanes; i++) {
        size_t lane = (turn + i) % all->n_lanes;

        if (lane == queue->lane || atomic_load(&all->lanes[lane].waiting) == 0)
            continue;
        if (!atomic_exchange(&all->lanes[lane].called, true))
            loop_post(all->lanes[lane].loop, &all->lanes[lane].mail);
        return;
    }
}

/* -- the queue --------------------------------------------------------------------------- */

static size_t bucket_of(const struct admission_key *key)
{
    return (size_t)(((uintptr_t)key >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 58) &
           (BUCKETS - 1);
}

/* NULL: out of memory. */
static struct admission_party *party_of(struct admission_queue *queue,
                                        struct admission_key *key)
{
    struct admission_party *party;

    LIST_FOREACH(party, &queue->table[bucket_of(key)], bucket)
    {
        if (party->key == key)
            return party;
    }
    party = calloc(1, sizeof *party);
    if (party == NULL)
        return NULL;
    party->key = key;
    TAILQ_INIT(&party->seats);
    TAILQ_INSERT_TAIL(&queue->parties, party, turn);
    LIST_INSERT_HEAD(&queue->table[bucket_of(key)], party, bucket);
    return party;
}

static void drop_if_empty(struct admission_queue *queue, struct admission_party *party)
{
    if (party->n > 0)
        return;
    TAILQ_REMOVE(&queue->parties, party, turn);
    LIST_REMOVE(party, bucket);
    free(party);
}

static void count(struct admission_queue *queue, struct admission_party *party, int by)
{
    queue->n += by;
    party->n += by;
    atomic_fetch_add(&party->key->waiting, by);
    atomic_fetch_add(&queue->admission->lanes[queue->lane].waiting, by);
    atomic_fetch_add(&queue->admission->waiting, by);
    metrics_move(queue->metrics, METRIC_WAITING, 0, by);
}

static void unlink_seat(struct admission_queue *queue, struct admission_seat *seat)
{
    struct admission_party *party = seat->party;

    TAILQ_REMOVE(&party->seats, seat, in_party);
    TAILQ_REMOVE(&queue->seats, seat, in_queue);
    seat->party = NULL;
    count(queue, party, -1);
    drop_if_empty(queue, party);
}

/* When the oldest has waited long enough. */
static uint64_t due_us(const struct admission_queue *queue)
{
    uint64_t standing = queue->busy_since_us + queue->patience_us;
    uint64_t own = TAILQ_FIRST(&queue->seats)->since_us + queue->patience_us / STANDING;

    return own > standing ? own : standing;
}

/* A timer that is early looks again. */
static bool watch(struct admission_queue *queue)
{
    uint64_t due;

    if (queue->n == 0)
        return true;
    due = due_us(queue);
    if (queue->timer.slot != 0 && queue->timer.due_us <= due)
        return true;
    return loop_timer_set(queue->loop, &queue->timer, due) == LOOP_OK;
}

static void too_late(void *arg)
{
    struct admission_queue *queue = arg;

    /* Where no timer can be had, who waits would wait for ever. */
    while (queue->n > 0 && (due_us(queue) <= loop_now_us(queue->loop) || !watch(queue))) {
        struct admission_seat *seat = TAILQ_FIRST(&queue->seats);

        unlink_seat(queue, seat);
        (void)shed(queue, seat, METRIC_SHED_LATE);
        seat->wake(seat->arg);
    }
}

/* The one with the fewest places under way, among those whose turn is next. */
static struct admission_party *next_party(struct admission_queue *queue)
{
    struct admission_party *party, *best = NULL;
    unsigned looked = 0;
    int least = 0;

    TAILQ_FOREACH(party, &queue->parties, turn)
    {
        int places = atomic_load_explicit(&party->key->places, memory_order_relaxed);

        if (best == NULL || places < least) {
            best = party;
            least = places;
        }
        if (++looked == LOOK_MAX)
            break;
    }
    TAILQ_REMOVE(&queue->parties, best, turn);
    TAILQ_INSERT_TAIL(&queue->parties, best, turn);
    return best;
}

static void serve(void *arg)
{
    struct admission_queue *queue = arg;

    while (queue->n > 0 && take_place(queue)) {
        struct admission_seat *seat = TAILQ_FIRST(&next_party(queue)->seats);

        seat->waited_us = loop_now_us(queue->loop) - seat->since_us;
        unlink_seat(queue, seat);
        let_in(queue, seat);
        metrics_observe(queue->metrics, METRIC_QUEUE_WAIT, 0, (int64_t)seat->waited_us);
        seat->wake(seat->arg);
    }
    call_another(queue);
}

/* -- requests ---------------------------------------------------------------------------- */

bool admission_full(struct admission_queue *queue, struct admission_seat *seat,
                    const struct config_limits *limits)
{
    see(queue, limits);
    if (free_place(queue) || atomic_load(&queue->admission->waiting) < queue->queue)
        return false;
    (void)shed(queue, seat, METRIC_SHED_FULL);
    return true;
}

bool admission_body(struct admission_queue *queue, struct admission_seat *seat,
                    size_t bytes, const struct config_limits *limits)
{
    _Atomic int64_t *bodies = &queue->admission->bodies;
    int64_t more;

    if ((int64_t)bytes <= seat->body_bytes)
        return true;
    more = ((int64_t)bytes - seat->body_bytes + BODY_STEP - 1) / BODY_STEP * BODY_STEP;
    if (atomic_fetch_add(bodies, more) + more > limits->bodies_bytes) {
        atomic_fetch_sub(bodies, more);
        (void)shed(queue, seat, METRIC_SHED_MEMORY);
        return false;
    }
    seat->body_bytes += more;
    metrics_move(queue->metrics, METRIC_BODY_BYTES, 0, more);
    return true;
}

static enum admission_state begin_to_wait(struct admission_queue *queue,
                                          struct admission_seat *seat)
{
    int64_t left = queue->queue - atomic_load(&queue->admission->waiting);
    struct admission_party *party;

    if (left <= 0)
        return shed(queue, seat, METRIC_SHED_FULL);
    if (seat->key != NULL && atomic_load(&seat->key->waiting) >= left)
        return shed(queue, seat, METRIC_SHED_KEY);
    party = party_of(queue, key_of(queue, seat));
    if (party == NULL)
        return shed(queue, seat, METRIC_SHED_MEMORY);
    seat->state = ADMISSION_WAITING;
    seat->party = party;
    seat->since_us = loop_now_us(queue->loop);
    if (queue->n == 0)
        queue->busy_since_us = seat->since_us;
    TAILQ_INSERT_TAIL(&party->seats, seat, in_party);
    TAILQ_INSERT_TAIL(&queue->seats, seat, in_queue);
    count(queue, party, 1);
    if (!watch(queue)) {
        unlink_seat(queue, seat);
        return shed(queue, seat, METRIC_SHED_MEMORY);
    }
    /* A place that was given back meanwhile, elsewhere. */
    if (free_place(queue))
        loop_defer(queue->loop, &queue->task, LOOP_WORK);
    return seat->state;
}

enum admission_state admission_ask(struct admission_queue *queue,
                                   struct admission_seat *seat,
                                   const struct config_limits *limits)
{
    assert(seat->state == ADMISSION_NONE);
    see(queue, limits);
    if (queue->n > 0 || !take_place(queue))
        return begin_to_wait(queue, seat);
    let_in(queue, seat);
    return seat->state;
}

void admission_leave(struct admission_queue *queue, struct admission_seat *seat)
{
    enum admission_state state = seat->state;

    seat->state = ADMISSION_NONE;
    if (seat->body_bytes > 0) {
        atomic_fetch_sub(&queue->admission->bodies, seat->body_bytes);
        metrics_move(queue->metrics, METRIC_BODY_BYTES, 0, -seat->body_bytes);
    }
    seat->body_bytes = 0;
    if (state == ADMISSION_WAITING) {
        unlink_seat(queue, seat);
        return;
    }
    if (state != ADMISSION_IN)
        return;
    queue->held--;
    atomic_fetch_sub(&key_of(queue, seat)->places, 1);
    metrics_move(queue->metrics, METRIC_IN_FLIGHT, 0, -1);
    atomic_fetch_sub(&queue->admission->in_flight, 1);
    if (atomic_load(&queue->admission->waiting) > 0)
        loop_defer(queue->loop, &queue->task, LOOP_WORK);
}

int64_t admission_retry_s(struct admission_queue *queue)
{
    return 1 + queue->retry++ % RETRY_MAX_S;
}
