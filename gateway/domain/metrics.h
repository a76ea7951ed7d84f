/* metrics.h - counters, gauges and histograms: one table, one block a worker, summed at
 * scrape.
 *
 *   at start     metrics_new(&metrics);   slot = metrics_expert(metrics, "small")
 *   each worker  struct metrics_block *block = metrics_block(metrics);
 *                metrics_add(block, METRIC_ATTEMPTS, slot, METRIC_ATTEMPT_OK, 1);
 *   scrape       metrics_render(metrics, &out);       Prometheus text, any thread
 *
 *   block of worker 0   [ cell cell cell ... ]  one writer, relaxed atomics
 *   block of worker 1   [ cell cell cell ... ]          |
 *   scrape              [ sum  sum  sum  ... ]  <-------+
 *
 * Label sets are closed: an enum here, or the experts of the configuration, which get a
 * slot by name (at most METRICS_MAX_EXPERTS over the life of the process; later ones, and
 * names never given, are "other"). So the size of a block is fixed and no stranger makes
 * it grow.
 *
 * Threads: a block has one writing thread. metrics_expert and metrics_block take a lock
 * that guards the name table and the list of blocks; they belong to start and reload, not
 * to the path of a request.
 */
#ifndef GATEWAY_DOMAIN_METRICS_H
#define GATEWAY_DOMAIN_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/reason.h"

#define METRICS_MAX_EXPERTS  128 /* slot 0 is "other" */
#define METRICS_MAX_POLICIES 129 /* likewise */
#define METRICS_MAX_BLOCKS   64

#define METRIC_ROUTES(X)                                                                 \
    X(CHAT, "chat")                                                                      \
    X(COMPLETIONS, "completions")                                                        \
    X(EMBEDDINGS, "embeddings")                                                          \
    X(RESPONSES, "responses")                                                            \
    X(MESSAGES, "messages")                                                              \
    X(ROUTE, "route")                                                                    \
    X(MODELS, "models")                                                                  \
    X(DECISIONS, "decisions")                                                            \
    X(HEALTH, "health")                                                                  \
    X(OTHER, "other")

/* How an attempt at an expert, or a call of an embedder, ended. */
#define METRIC_ATTEMPT_RESULTS(X)                                                        \
    X(OK, "ok")                                                                          \
    X(CONNECT, "connect")                                                                \
    X(TIMEOUT, "timeout")                                                                \
    X(STATUS_4XX, "status_4xx")                                                          \
    X(STATUS_429, "status_429")                                                          \
    X(STATUS_5XX, "status_5xx")                                                          \
    X(CUT, "cut")                                                                        \
    X(MALFORMED, "malformed")                                                            \
    X(CANCELLED, "cancelled")

#define METRIC_TOKEN_TYPES(X)                                                            \
    X(INPUT, "input")                                                                    \
    X(OUTPUT, "output")

#define METRIC_SPENDS(X)                                                                 \
    X(GENERATION, "generation")                                                          \
    X(EVIDENCE, "evidence")

/* Why a request was not let in by its key. NONE is never counted. */
#define METRIC_REFUSALS_TABLE(X)                                                         \
    X(NONE, "none")                                                                      \
    X(MISSING, "missing")     /* no key was given */                                     \
    X(MALFORMED, "malformed") /* not of a form that a key has */                         \
    X(UNKNOWN, "unknown")                                                                \
    X(EXPIRED, "expired")                                                                \
    X(REVOKED, "revoked")                                                                \
    X(REQUESTS, "requests") /* too many a minute */                                      \
    X(TOKENS, "tokens")     /* too many a minute */                                      \
    X(BUDGET, "budget")     /* spent */                                                  \
    X(RESERVED, "reserved") /* not spent, but reserved for others under way */

/* Why a request was not let in under load. */
#define METRIC_SHEDS(X)                                                                  \
    X(FULL, "full")     /* nobody more may wait */                                       \
    X(KEY, "key")       /* nobody more with this key may wait */                         \
    X(LATE, "late")     /* no place came free in time */                                 \
    X(MEMORY, "memory") /* there is none for its body */

enum metric_shed {
#define X(name, word) METRIC_SHED_##name,
    METRIC_SHEDS(X)
#undef X
        METRIC_SHED_COUNT
};
/* What may be done with an endpoint: the words of flow/health.h, in its order. */
#define METRIC_HEALTHS(X)                                                                \
    X(TRIAL, "trial")                                                                    \
    X(READY, "ready")                                                                    \
    X(SLOW, "slow_start")                                                                \
    X(LIMITED, "limited")                                                                \
    X(DOWN, "down")

/* What became of a conversation that was begun before. */
#define METRIC_CONVERSATIONS_TABLE(X)                                                    \
    X(NEW, "new")             /* nothing was remembered of it */                         \
    X(STAYED, "stayed")       /* leaving would not have paid */                          \
    X(TOOL_LOOP, "tool_loop") /* likewise, and nothing was weighed */                    \
    X(SWITCHED, "switched")   /* leaving paid */                                         \
    X(UNABLE, "unable")       /* its expert may not answer any more */                   \
    X(FAILED, "failed")       /* its expert failed */

enum metric_conversation {
#define X(name, word) METRIC_CONVERSATION_##name,
    METRIC_CONVERSATIONS_TABLE(X)
#undef X
        METRIC_CONVERSATION_COUNT
};

/* Whether a vector was kept from before. */
#define METRIC_CACHES(X)                                                                 \
    X(HIT, "hit")                                                                        \
    X(MISS, "miss")

enum metric_cache {
#define X(name, word) METRIC_CACHE_##name,
    METRIC_CACHES(X)
#undef X
        METRIC_CACHE_COUNT
};
enum metric_refusal {
#define X(name, word) METRIC_REFUSAL_##name,
    METRIC_REFUSALS_TABLE(X)
#undef X
        METRIC_REFUSAL_COUNT
};
enum metric_route {
#define X(name, word) METRIC_ROUTE_##name,
    METRIC_ROUTES(X)
#undef X
        METRIC_ROUTE_COUNT
};
enum metric_attempt {
#define X(name, word) METRIC_ATTEMPT_##name,
    METRIC_ATTEMPT_RESULTS(X)
#undef X
        METRIC_ATTEMPT_COUNT
};
enum metric_token_type {
#define X(name, word) METRIC_TOKENS_##name,
    METRIC_TOKEN_TYPES(X)
#undef X
        METRIC_TOKENS_COUNT
};
enum metric_health {
#define X(name, word) METRIC_HEALTH_##name,
    METRIC_HEALTHS(X)
#undef X
        METRIC_HEALTH_COUNT
};
enum metric_spend {
#define X(name, word) METRIC_SPEND_##name,
    METRIC_SPENDS(X)
#undef X
        METRIC_SPEND_COUNT
};

/* Dimensions: X(name, label, number of values). NONE has the one value 0. */
#define METRIC_DIMENSIONS(X)                                                             \
    X(NONE, "", 1)                                                                       \
    X(EXPERT, "expert", METRICS_MAX_EXPERTS)                                             \
    X(ROUTE, "route", METRIC_ROUTE_COUNT)                                                \
    X(ERROR, "result", API_ERR_COUNT)                                                    \
    X(REASON, "reason", REASON_COUNT)                                                    \
    X(ATTEMPT, "result", METRIC_ATTEMPT_COUNT)                                           \
    X(TOKEN_TYPE, "gen_ai_token_type", METRIC_TOKENS_COUNT)                              \
    X(SPEND, "for", METRIC_SPEND_COUNT)                                                  \
    X(REFUSAL, "why", METRIC_REFUSAL_COUNT)                                              \
    X(SHED, "why", METRIC_SHED_COUNT)                                                    \
    X(CACHE, "result", METRIC_CACHE_COUNT)                                               \
    X(HEALTH, "state", METRIC_HEALTH_COUNT)                                              \
    X(CONVERSATION, "result", METRIC_CONVERSATION_COUNT)                                 \
    X(POLICY, "policy", METRICS_MAX_POLICIES)

/* X(name, kind, exposed name, first dimension, second dimension, help). kind: COUNTER
 * counts, USD counts pico-USD and shows USD, GAUGE goes up and down, MONEY does so in
 * pico-USD and shows USD, SECONDS is a
 * histogram fed in microseconds and shown in seconds. */
#define METRICS(X)                                                                       \
    X(REQUESTS, COUNTER, "frugal_requests_total", ROUTE, ERROR,                          \
      "Requests by route and by how they ended for the client")                          \
    X(DECISIONS, COUNTER, "frugal_decisions_total", EXPERT, REASON,                      \
      "Decisions by chosen expert and reason")                                           \
    X(CONVERSATIONS, COUNTER, "frugal_conversations_total", CONVERSATION, NONE,          \
      "Decisions within a conversation by what became of its expert")                    \
    X(RULES_TOO_HARD, COUNTER, "frugal_rules_too_hard_total", NONE, NONE,                \
      "Texts that took a rule's regex too long: the rule did not match")                 \
    X(ATTEMPTS, COUNTER, "frugal_attempts_total", EXPERT, ATTEMPT,                       \
      "Calls of a generator by how they ended")                                          \
    X(EMBEDDINGS, COUNTER, "frugal_embeddings_total", EXPERT, ATTEMPT,                   \
      "Calls of an embedder by how they ended")                                          \
    X(HEDGES, COUNTER, "frugal_embedding_hedges_total", EXPERT, NONE,                    \
      "Second calls of an embedder that took long")                                      \
    X(HEDGES_WON, COUNTER, "frugal_embedding_hedges_won_total", EXPERT, NONE,            \
      "Second calls of an embedder that answered first")                                 \
    X(EXPERT_CHECKS, COUNTER, "frugal_expert_checks_total", EXPERT, ATTEMPT,             \
      "Checks of endpoints beside the calls by how they ended")                          \
    X(EMBEDDING_CACHE, COUNTER, "frugal_embedding_cache_total", EXPERT, CACHE,           \
      "Vectors of remote embedders that were looked for among those kept")               \
    X(EMBEDDING_CACHE_BYTES, GAUGE, "frugal_embedding_cache_bytes", NONE, NONE,          \
      "Memory of the vectors that are kept")                                             \
    X(FAILOVERS, COUNTER, "frugal_failovers_total", EXPERT, NONE,                        \
      "Attempts that were followed by another expert")                                   \
    X(EXPERT_STATE, GAUGE, "frugal_expert_state", EXPERT, HEALTH,                        \
      "Endpoints of an expert by their health")                                          \
    X(EXPERT_OPENED, COUNTER, "frugal_expert_opened_total", EXPERT, NONE,                \
      "Times that an endpoint was taken out since its calls failed")                     \
    X(EXPERT_TRIALS, COUNTER, "frugal_expert_trials_total", EXPERT, NONE,                \
      "Calls that tried whether an endpoint is back")                                    \
    X(EXPERT_LIMITED, COUNTER, "frugal_expert_limited_total", EXPERT, NONE,              \
      "Times that an endpoint said for how long it wants no calls")                      \
    X(TOKENS, COUNTER, "frugal_tokens_total", EXPERT, TOKEN_TYPE,                        \
      "Tokens that experts reported")                                                    \
    X(COST, USD, "frugal_cost_usd_total", EXPERT, SPEND,                                 \
      "Money spent, settled or estimated")                                               \
    X(NO_USAGE, COUNTER, "frugal_answers_without_usage_total", EXPERT, NONE,             \
      "Answers whose tokens were estimated because none were reported")                  \
    X(ABSURD_USAGE, COUNTER, "frugal_usage_not_believed_total", EXPERT, NONE,            \
      "Answers whose reported tokens cannot be: their worst case counts")                \
    X(OVER_BOUND, COUNTER, "frugal_usage_over_reservation_total", EXPERT, NONE,          \
      "Answers above their reservation or output limit")                                 \
    X(EXPERTS_BARRED, GAUGE, "frugal_expert_barred", EXPERT, NONE,                       \
      "1 while an expert that broke its worst case is not asked under ceilings")         \
    X(RESERVED, MONEY, "frugal_reserved_usd", NONE, NONE,                                \
      "Worst cases of what is under way, where they are bounded")                        \
    X(RESERVATIONS, GAUGE, "frugal_reservations", NONE, NONE,                            \
      "Paid calls under way that are not settled")                                       \
    X(POLICY_SPENT, MONEY, "frugal_policy_spent_today_usd", POLICY, NONE,                \
      "Spent by a policy since midnight UTC, as of its last request")                    \
    X(LAMBDA_FACTOR, MONEY, "frugal_policy_lambda_factor", POLICY, NONE,                 \
      "Correction of a policy's lambda by its spending, as of its last request")         \
    X(STREAMS_CUT, COUNTER, "frugal_streams_cut_total", EXPERT, NONE,                    \
      "Streams that an expert cut after the commit point")                               \
    X(CLIENTS_GONE, COUNTER, "frugal_clients_gone_total", NONE, NONE,                    \
      "Requests whose client left before the end")                                       \
    X(REFUSALS, COUNTER, "frugal_key_refusals_total", REFUSAL, NONE,                     \
      "Requests that were not let in by their key")                                      \
    X(KEYS, GAUGE, "frugal_keys", NONE, NONE, "Keys in force")                           \
    X(KEYS_FAILED, COUNTER, "frugal_keys_failed_total", NONE, NONE,                      \
      "Times that changed keys could not be read and the old ones were kept")            \
    X(IN_FLIGHT, GAUGE, "frugal_requests_in_flight", NONE, NONE, "Requests under way")   \
    X(WAITING, GAUGE, "frugal_requests_waiting", NONE, NONE,                             \
      "Requests that wait for a place among those under way")                            \
    X(BODY_BYTES, GAUGE, "frugal_body_bytes", NONE, NONE,                                \
      "Taken for the bodies of requests, in steps of 64 KiB")                            \
    X(SHED, COUNTER, "frugal_requests_shed_total", SHED, NONE,                           \
      "Requests refused since there were too many")                                      \
    X(UPSTREAM_IN_FLIGHT, GAUGE, "frugal_expert_in_flight", EXPERT, NONE,                \
      "Calls of an expert under way")                                                    \
    X(CONNECTIONS, GAUGE, "frugal_client_connections", NONE, NONE,                       \
      "Open connections of clients")                                                     \
    X(CONNECTIONS_CLOSED, COUNTER, "frugal_idle_connections_closed_total", NONE, NONE,   \
      "Connections without a request that were closed to make room for others")          \
    X(BUNDLE_LOADED, GAUGE, "frugal_bundle_loaded", NONE, NONE,                          \
      "1 while decisions come from a bundle")                                            \
    X(BUNDLE_ROWS, GAUGE, "frugal_bundle_rows", NONE, NONE,                              \
      "Calibration rows in the bundle")                                                  \
    X(EXPERT_ROWS, GAUGE, "frugal_expert_rows", EXPERT, NONE,                            \
      "Calibration rows in which an expert's quality is known")                          \
    X(EXPERTS_WITHOUT_ROWS, GAUGE, "frugal_experts_without_rows", NONE, NONE,            \
      "Configured experts that the bundle does not know")                                \
    X(BUNDLE_EXPERTS_IGNORED, GAUGE, "frugal_bundle_experts_ignored", NONE, NONE,        \
      "Experts of the bundle that are not configured")                                   \
    X(TLS_EXPIRY, GAUGE, "frugal_tls_certificate_expiry_seconds", NONE, NONE,            \
      "Unix time at which the certificate of the public listener expires; 0: none")      \
    X(RELOADS, COUNTER, "frugal_reloads_total", NONE, NONE,                              \
      "Configurations taken over while running")                                         \
    X(RELOADS_FAILED, COUNTER, "frugal_reloads_failed_total", NONE, NONE,                \
      "Configurations refused while running")                                            \
    X(STORE_WAITING, GAUGE, "frugal_store_queue_rows", NONE, NONE,                       \
      "Rows not yet committed, and places kept for requests under way")                  \
    X(STORE_FAILING, GAUGE, "frugal_store_failing", NONE, NONE,                          \
      "1 while the last commit failed")                                                  \
    X(STORE_ROWS, COUNTER, "frugal_store_rows_total", NONE, NONE, "Rows committed")      \
    X(STORE_LOST, COUNTER, "frugal_store_rows_lost_total", NONE, NONE,                   \
      "Rows that were never written")                                                    \
    X(STORE_FAILURES, COUNTER, "frugal_store_failures_total", NONE, NONE,                \
      "Commits that failed and were tried again")                                        \
    X(STORE_REMOVED, COUNTER, "frugal_store_decisions_removed_total", NONE, NONE,        \
      "Decisions removed by age or size")                                                \
    X(STORE_REFUSED, COUNTER, "frugal_store_requests_refused_total", NONE, NONE,         \
      "Requests refused since they could not be recorded")                               \
    X(STORE_COMMIT, SECONDS, "frugal_store_commit_seconds", NONE, NONE,                  \
      "Transactions of the store")                                                       \
    X(DURATION, SECONDS, "gen_ai_server_request_duration_seconds", ROUTE, NONE,          \
      "Requests from the first byte to the last")                                        \
    X(FIRST_TOKEN, SECONDS, "gen_ai_server_time_to_first_token_seconds", EXPERT, NONE,   \
      "From the request to the first content of the answer")                             \
    X(ATTEMPT_DURATION, SECONDS, "gen_ai_client_operation_duration_seconds", EXPERT,     \
      NONE, "Calls of a generator from start to end")                                    \
    X(OVERHEAD, SECONDS, "frugal_overhead_seconds", NONE, NONE,                          \
      "Time of a request spent in the gateway itself")                                   \
    X(QUEUE_WAIT, SECONDS, "frugal_queue_wait_seconds", NONE, NONE,                      \
      "Requests that waited for a place and got one")                                    \
    X(DECISION, SECONDS, "frugal_decision_seconds", NONE, NONE,                          \
      "From the parsed request to the decision, evidence included")                      \
    X(SEARCH, SECONDS, "frugal_search_seconds", NONE, NONE,                              \
      "Neighbour searches and decisions, per batch")                                     \
    X(LOOP_TURN, SECONDS, "frugal_loop_turn_seconds", NONE, NONE,                        \
      "Turns of a worker's loop: for so long nobody else was served")

enum metric {
#define X(name, kind, exposed, a, b, help) METRIC_##name,
    METRICS(X)
#undef X
        METRIC_COUNT
};

const char *metric_refusal_word(enum metric_refusal refusal);

struct metrics;       /* owned by main, outlives the workers */
struct metrics_block; /* owned by its metrics; written by one thread */

NODISCARD enum err metrics_new(struct metrics **ret_metrics);
void metrics_free(struct metrics *metrics); /* takes NULL */

/* Slot of an expert's name, the same for the life of the process; 0 ("other") when the
 * table is full. Any thread. */
size_t metrics_expert(struct metrics *metrics, const char *name);
/* The same for a policy's name. */
size_t metrics_policy(struct metrics *metrics, const char *name);
/* A new zeroed block; NULL: out of memory or METRICS_MAX_BLOCKS. Any thread. */
NODISCARD struct metrics_block *metrics_block(struct metrics *metrics);

/* a and b: values of the metric's two dimensions, 0 for NONE. An index out of its range
 * is a bug (assert). */
void metrics_add(struct metrics_block *block, enum metric metric, size_t a, size_t b,
                 uint64_t value);
/* Gauges: up or down by delta; the scrape sums over blocks. */
void metrics_move(struct metrics_block *block, enum metric metric, size_t a,
                  int64_t delta);
/* Gauges: the block's own share is now value. */
void metrics_set(struct metrics_block *block, enum metric metric, size_t a,
                 int64_t value);
/* The same with a second dimension. A block that is only ever set may have several writers
 * who set the same truth. */
void metrics_set_at(struct metrics_block *block, enum metric metric, size_t a, size_t b,
                    int64_t value);
/* Histograms. */
void metrics_observe(struct metrics_block *block, enum metric metric, size_t a,
                     int64_t us);

/* The sum over all blocks now, for admin pages and tests. Histograms: their count. */
int64_t metrics_value(struct metrics *metrics, enum metric metric, size_t a, size_t b);
/* Prometheus text format 0.0.4, cells that are zero left out of label sets of experts. */
void metrics_render(struct metrics *metrics, struct buf *out);

#endif
