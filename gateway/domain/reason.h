/* reason.h - why an expert was chosen: the closed set that headers, logs and metrics
 * show.
 */
#ifndef GATEWAY_DOMAIN_REASON_H
#define GATEWAY_DOMAIN_REASON_H

#define REASONS(X)                                                                       \
    X(ROUTED, "routed", "the fuser's best expert for this prompt")                       \
    X(DIRECT, "direct", "the client named the expert")                                   \
    X(NO_BUNDLE, "no_bundle", "nothing was learned yet: the default expert")             \
    X(EMBEDDER_FAILED, "embedder_failed",                                                \
      "no evidence could be had: the default expert")                                    \
    X(DECISION_TIMEOUT, "decision_timeout", "the evidence came too late: the default")   \
    X(TOO_FAR, "too_far", "no known prompt is near: the default expert")                 \
    X(TOO_FEW, "too_few", "too few known outcomes near: the default expert")             \
    X(CEILING, "ceiling", "the best expert that the ceiling allows")                     \
    X(MIN_QUALITY, "min_quality", "no expert reaches the minimum: the best one")         \
    X(FAILOVER, "failover", "a better ranked expert failed")                             \
    X(NOT_WORTH, "not_worth", "no evidence was worth its price: the best on average")    \
    X(DEFAULT, "default", "the policy has nothing to choose by: its default expert")     \
    X(ONLY_EXPERT, "only_expert", "one expert was allowed")                              \
    X(STICKY, "sticky", "the conversation stays with its expert")                        \
    X(RULE, "rule", "a rule of the configuration says so")                               \
    X(EXPLORE, "explore", "an expert with few rows is tried: it may be the best")

enum reason {
#define X(name, word, text) REASON_##name,
    REASONS(X)
#undef X
        REASON_COUNT
};

const char *reason_word(enum reason reason); /* "routed" */
const char *reason_text(enum reason reason); /* a sentence for people */

#endif
