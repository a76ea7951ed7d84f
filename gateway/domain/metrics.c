/* metrics.c - cells of all metrics in one row per worker.
 *
 *   cells   [ REQUESTS: 5 x 33 | DECISIONS: 128 x 13 | ... | DURATION: 5 x (buckets, sum) ]
 *            ^ offsets[metric]
 *
 * A histogram takes, for every label value, one cell per bucket (not cumulated), one for what
 * is above the last, and one for the sum in microseconds.
 */
#include "gateway/domain/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/money.h"
#include "gateway/domain/config.h"

static const int64_t bounds_us[] = { 50,      100,      250,      500,      1000,
                                     2500,    5000,     10000,    25000,    50000,
                                     100000,  250000,   500000,   1000000,  2500000,
                                     5000000, 10000000, 30000000, 60000000, 120000000 };

#define N_BOUNDS   ARRAY_LEN(bounds_us)
#define SUM_CELL   (N_BOUNDS + 1)
#define WIDTH      (N_BOUNDS + 2) /* cells of a histogram */
#define OTHER      "other"
#define CACHE_LINE 64

enum kind { COUNTER, USD, GAUGE, MONEY, SECONDS };

enum dimension {
#define X(name, label, n) DIMENSION_##name,
    METRIC_DIMENSIONS(X)
#undef X
};

static const struct {
    const char *label;
    size_t n;
} dimensions[] = {
#define X(name, label, n) { label, n },
    METRIC_DIMENSIONS(X)
#undef X
};

static const struct description {
    enum kind kind;
    const char *name;
    enum dimension a, b;
    const char *help;
} table[] = {
#define X(name, kind, exposed, a, b, help)                                               \
    { kind, exposed, DIMENSION_##a, DIMENSION_##b, help },
    METRICS(X)
#undef X
};

struct metrics_block {
    const size_t *offsets; /* of its metrics */
    size_t n_cells;
    _Alignas(CACHE_LINE) _Atomic int64_t cells[]; /* one writer */
};

struct metrics {
    size_t offsets[METRIC_COUNT + 1];
    pthread_mutex_t lock; /* guards what follows */
    size_t n_experts, n_policies;
    char experts[METRICS_MAX_EXPERTS][CONFIG_MAX_NAME + 1];
    char policies[METRICS_MAX_POLICIES][CONFIG_MAX_NAME + 1];
    size_t n_blocks;
    struct metrics_block *blocks[METRICS_MAX_BLOCKS]; /* owned */
};

static size_t cells_of(enum metric metric)
{
    const struct description *d = &table[metric];
    size_t width = d->kind == SECONDS ? WIDTH : 1;

    return dimensions[d->a].n * dimensions[d->b].n * width;
}

enum err metrics_new(struct metrics **ret_metrics)
{
    struct metrics *metrics = calloc(1, sizeof(*metrics));

    if (!metrics)
        return ERR_NOMEM;
    if (pthread_mutex_init(&metrics->lock, NULL) != 0) {
        free(metrics);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < METRIC_COUNT; i++)
        metrics->offsets[i + 1] = metrics->offsets[i] + cells_of((enum metric)i);
    memcpy(metrics->experts[0], OTHER, sizeof(OTHER));
    memcpy(metrics->policies[0], OTHER, sizeof(OTHER));
    metrics->n_experts = metrics->n_policies = 1;
    *ret_metrics = metrics;
    return ERR_OK;
}

void metrics_free(struct metrics *metrics)
{
    if (!metrics)
        return;
    for (size_t i = 0; i < metrics->n_blocks; i++)
        free(metrics->blocks[i]);
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

/* The name's place in the table, which grows up to `most`; 0 where it is full. */
static size_t slot_of(struct metrics *metrics, char (*names)[CONFIG_MAX_NAME + 1],
                      size_t *n_names, size_t most, const char *name)
{
    size_t n = strlen(name), slot = 0;

    if (n > CONFIG_MAX_NAME)
        return 0;
    pthread_mutex_lock(&metrics->lock);
    for (size_t i = 1; i < *n_names && slot == 0; i++)
        if (strcmp(names[i], name) == 0)
            slot = i;
    if (slot == 0 && *n_names < most) {
        slot = (*n_names)++;
        memcpy(names[slot], name, n + 1);
    }
    pthread_mutex_unlock(&metrics->lock);
    return slot;
}

size_t metrics_expert(struct metrics *metrics, const char *name)
{
    return slot_of(metrics, metrics->experts, &metrics->n_experts, METRICS_MAX_EXPERTS,
                   name);
}

size_t metrics_policy(struct metrics *metrics, const char *name)
{
    return slot_of(metrics, metrics->policies, &metrics->n_policies, METRICS_MAX_POLICIES,
                   name);
}

struct metrics_block *metrics_block(struct metrics *metrics)
{
    size_t n_cells = metrics->offsets[METRIC_COUNT];
    size_t bytes = sizeof(struct metrics_block) + n_cells * sizeof(_Atomic int64_t);
    struct metrics_block *block;
    bool full;

    bytes = (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    block = aligned_alloc(CACHE_LINE, bytes);
    if (!block)
        return NULL;
    block->offsets = metrics->offsets;
    block->n_cells = n_cells;
    for (size_t i = 0; i < n_cells; i++)
        atomic_init(&block->cells[i], 0);
    pthread_mutex_lock(&metrics->lock);
    full = metrics->n_blocks == METRICS_MAX_BLOCKS;
    if (!full)
        metrics->blocks[metrics->n_blocks++] = block;
    pthread_mutex_unlock(&metrics->lock);
    if (!full)
        return block;
    free(block);
    return NULL;
}

/* -- writing -- */

static _Atomic int64_t *cell_of(struct metrics_block *block, enum metric metric, size_t a,
                                size_t b)
{
    const struct description *d;
    size_t width;

    assert(metric < METRIC_COUNT);
    d = &table[metric];
    assert(a < dimensions[d->a].n && b < dimensions[d->b].n);
    width = d->kind == SECONDS ? WIDTH : 1;
    return &block->cells[block->offsets[metric] + (a * dimensions[d->b].n + b) * width];
}

/* There is one writer, so a plain read-modify-write is enough; atomic for the reader. */
static void bump(_Atomic int64_t *cell, int64_t by)
{
    int64_t now = atomic_load_explicit(cell, memory_order_relaxed), sum;

    if (__builtin_add_overflow(now, by, &sum))
        sum = by < 0 ? INT64_MIN : INT64_MAX;
    atomic_store_explicit(cell, sum, memory_order_relaxed);
}

void metrics_add(struct metrics_block *block, enum metric metric, size_t a, size_t b,
                 uint64_t value)
{
    assert(table[metric].kind == COUNTER || table[metric].kind == USD);
    bump(cell_of(block, metric, a, b), value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

void metrics_move(struct metrics_block *block, enum metric metric, size_t a,
                  int64_t delta)
{
    assert(table[metric].kind == GAUGE || table[metric].kind == MONEY);
    bump(cell_of(block, metric, a, 0), delta);
}

void metrics_set(struct metrics_block *block, enum metric metric, size_t a, int64_t value)
{
    metrics_set_at(block, metric, a, 0, value);
}

void metrics_set_at(struct metrics_block *block, enum metric metric, size_t a, size_t b,
                    int64_t value)
{
    assert(table[metric].kind == GAUGE);
    atomic_store_explicit(cell_of(block, metric, a, b), value, memory_order_relaxed);
}

void metrics_observe(struct metrics_block *block, enum metric metric, size_t a,
                     int64_t us)
{
    _Atomic int64_t *cells = cell_of(block, metric, a, 0);
    size_t bucket = 0;

    assert(table[metric].kind == SECONDS);
    if (us < 0)
        us = 0;
    while (bucket < N_BOUNDS && us > bounds_us[bucket])
        bucket++;
    bump(&cells[bucket], 1);
    bump(&cells[SUM_CELL], us);
}

/* -- reading -- */

static int64_t sum_cell(const struct metrics *metrics, size_t cell)
{
    int64_t sum = 0;

    for (size_t i = 0; i < metrics->n_blocks; i++) {
        int64_t value =
            atomic_load_explicit(&metrics->blocks[i]->cells[cell], memory_order_relaxed);

        if (__builtin_add_overflow(sum, value, &sum))
            sum = value < 0 ? INT64_MIN : INT64_MAX;
    }
    return sum;
}

static size_t first_cell(const struct metrics *metrics, enum metric metric, size_t a,
                         size_t b)
{
    const struct description *d = &table[metric];
    size_t width = d->kind == SECONDS ? WIDTH : 1;

    return metrics->offsets[metric] + (a * dimensions[d->b].n + b) * width;
}

int64_t metrics_value(struct metrics *metrics, enum metric metric, size_t a, size_t b)
{
    size_t n = table[metric].kind == SECONDS ? N_BOUNDS + 1 : 1;
    int64_t sum = 0;

    assert(a < dimensions[table[metric].a].n && b < dimensions[table[metric].b].n);
    pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; i < n; i++)
        sum += sum_cell(metrics, first_cell(metrics, metric, a, b) + i);
    pthread_mutex_unlock(&metrics->lock);
    return sum;
}

const char *metric_refusal_word(enum metric_refusal refusal)
{
    static const char *const words[] = {
#define X(name, word) word,
        METRIC_REFUSALS_TABLE(X)
#undef X
    };

    assert(refusal < METRIC_REFUSAL_COUNT);
    return words[refusal];
}

static const char *label_value(const struct metrics *metrics, enum dimension dimension,
                               size_t i)
{
    static const char *const routes[] = {
#define X(name, word) word,
        METRIC_ROUTES(X)
#undef X
    };
    static const char *const attempts[] = {
#define X(name, word) word,
        METRIC_ATTEMPT_RESULTS(X)
#undef X
    };
    static const char *const types[] = {
#define X(name, word) word,
        METRIC_TOKEN_TYPES(X)
#undef X
    };
    static const char *const sheds[] = {
#define X(name, word) word,
        METRIC_SHEDS(X)
#undef X
    };
    static const char *const caches[] = {
#define X(name, word) word,
        METRIC_CACHES(X)
#undef X
    };
    static const char *const healths[] = {
#define X(name, word) word,
        METRIC_HEALTHS(X)
#undef X
    };
    static const char *const spends[] = {
#define X(name, word) word,
        METRIC_SPENDS(X)
#undef X
    };
    static const char *const conversations[] = {
#define X(name, word) word,
        METRIC_CONVERSATIONS_TABLE(X)
#undef X
    };

    switch (dimension) {
    case DIMENSION_NONE:
        return "";
    case DIMENSION_CONVERSATION:
        return conversations[i];
    case DIMENSION_EXPERT:
        return metrics->experts[i];
    case DIMENSION_POLICY:
        return metrics->policies[i];
    case DIMENSION_ROUTE:
        return routes[i];
    case DIMENSION_ERROR:
        return api_error_word((enum api_err)i);
    case DIMENSION_REASON:
        return reason_word((enum reason)i);
    case DIMENSION_ATTEMPT:
        return attempts[i];
    case DIMENSION_TOKEN_TYPE:
        return types[i];
    case DIMENSION_SPEND:
        return spends[i];
    case DIMENSION_CACHE:
        return caches[i];
    case DIMENSION_HEALTH:
        return healths[i];
    case DIMENSION_REFUSAL:
        return metric_refusal_word((enum metric_refusal)i);
    case DIMENSION_SHED:
        return sheds[i];
    }
    return "";
}

/* -- Prometheus text -- */

/* Values come from tables or are names of the configuration: nothing needs escaping. */
static void put_label(const struct metrics *metrics, enum dimension dimension, size_t i,
                      bool *first, struct buf *out)
{
    if (dimension == DIMENSION_NONE)
        return;
    buf_putf(out, "%s%s=\"%s\"", *first ? "{" : ",", dimensions[dimension].label,
             label_value(metrics, dimension, i));
    *first = false;
}

static void put_labels(const struct metrics *metrics, const struct description *d,
                       size_t a, size_t b, const char *le, struct buf *out)
{
    bool first = true;

    put_label(metrics, d->a, a, &first, out);
    put_label(metrics, d->b, b, &first, out);
    if (le) {
        buf_putf(out, "%sle=\"%s\"", first ? "{" : ",", le);
        first = false;
    }
    buf_put(out, first ? " " : "} ");
}

#define SECONDS_BYTES 32

static const char *seconds_text(int64_t us, char text[SECONDS_BYTES])
{
    int n = snprintf(text, SECONDS_BYTES, "%" PRId64 ".%06" PRId64, us / 1000000,
                     us % 1000000);

    while (text[n - 1] == '0')
        n--;
    n -= text[n - 1] == '.';
    text[n] = '\0';
    return text;
}

static void put_histogram(const struct metrics *metrics, const struct description *d,
                          size_t cell, size_t a, struct buf *out)
{
    char text[SECONDS_BYTES];
    int64_t count = 0;

    for (size_t i = 0; i <= N_BOUNDS; i++) {
        count += sum_cell(metrics, cell + i);
        buf_putf(out, "%s_bucket", d->name);
        put_labels(metrics, d, a, 0,
                   i < N_BOUNDS ? seconds_text(bounds_us[i], text) : "+Inf", out);
        buf_putf(out, "%" PRId64 "\n", count);
    }
    buf_putf(out, "%s_sum", d->name);
    put_labels(metrics, d, a, 0, NULL, out);
    buf_putf(out, "%s\n", seconds_text(sum_cell(metrics, cell + SUM_CELL), text));
    buf_putf(out, "%s_count", d->name);
    put_labels(metrics, d, a, 0, NULL, out);
    buf_putf(out, "%" PRId64 "\n", count);
}

static void put_cell(const struct metrics *metrics, const struct description *d,
                     size_t cell, size_t a, size_t b, struct buf *out)
{
    bool always =
        d->a != DIMENSION_EXPERT && d->a != DIMENSION_POLICY && d->b == DIMENSION_NONE;
    int64_t value = sum_cell(metrics, cell);
    char text[MONEY_TEXT_BYTES];

    if (value == 0 && !always)
        return;
    buf_put(out, d->name);
    put_labels(metrics, d, a, b, NULL, out);
    if ((d->kind == USD || d->kind == MONEY) && value >= 0)
        buf_putf(out, "%s\n", money_format(value, text));
    else
        buf_putf(out, "%" PRId64 "\n", value);
}

static bool has_count(const struct metrics *metrics, size_t cell)
{
    for (size_t i = 0; i <= N_BOUNDS; i++)
        if (sum_cell(metrics, cell + i) != 0)
            return true;
    return false;
}

static void put_metric(const struct metrics *metrics, enum metric metric, struct buf *out)
{
    static const char *const types[] = { "counter", "counter", "gauge", "gauge",
                                         "histogram" };
    const struct description *d = &table[metric];
    size_t n_a = d->a == DIMENSION_EXPERT   ? metrics->n_experts
                 : d->a == DIMENSION_POLICY ? metrics->n_policies
                                            : dimensions[d->a].n;

    buf_putf(out, "# HELP %s %s\n# TYPE %s %s\n", d->name, d->help, d->name,
             types[d->kind]);
    for (size_t a = 0; a < n_a; a++) {
        for (size_t b = 0; b < dimensions[d->b].n; b++) {
            size_t cell = first_cell(metrics, metric, a, b);

            if (d->kind != SECONDS)
                put_cell(metrics, d, cell, a, b, out);
            else if (d->a == DIMENSION_NONE || has_count(metrics, cell))
                put_histogram(metrics, d, cell, a, out);
        }
    }
}

void metrics_render(struct metrics *metrics, struct buf *out)
{
    pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; i < METRIC_COUNT; i++)
        put_metric(metrics, (enum metric)i, out);
    pthread_mutex_unlock(&metrics->lock);
}
