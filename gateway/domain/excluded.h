/* excluded.h - why an expert may not answer a request: the closed set that records show, in
 * the order in which experts are looked at. Who fails two of the tests is told by the first.
 *
 * What is excluded by the key is never told by name: who has a key learns nothing of the
 * experts that it may not use.
 */
#ifndef GATEWAY_DOMAIN_EXCLUDED_H
#define GATEWAY_DOMAIN_EXCLUDED_H

/* X(name, word, text) */
#define EXCLUDED_WHYS(X)                                                                 \
    X(NOT, "no", "it may answer")                                                        \
    X(KEY, "key", "the key may not use it")                                              \
    X(POLICY, "policy", "the policy does not list it")                                   \
    X(API, "api", "it does not speak the API that is asked for")                         \
    X(OPTION, "option", "the request's 'experts' do not name it")                        \
    X(ABILITY, "ability", "it is not able to what is asked for")                         \
    X(OUTPUT, "output", "the request may want a longer answer than it gives")            \
    X(CONTEXT, "context", "the request is too long for its context")                     \
    X(BARRED, "barred", "it has charged more than its worst case")                       \
    X(UNPRICED, "unpriced", "it has no price for something that is asked for")           \
    X(RULE, "rule", "a rule keeps it away")                                              \
    X(DOWN, "down", "its calls failed, and its next trial is not due")                   \
    X(LIMITED, "limited", "it answered 429 and named a time that is not over")           \
    X(SLOW_START, "slow_start", "it is back from being down and gets a share of calls")

enum excluded {
#define X(name, word, text) EXCLUDED_##name,
    EXCLUDED_WHYS(X)
#undef X
        EXCLUDED_COUNT
};

const char *excluded_word(enum excluded why); /* "context" */
const char *excluded_text(enum excluded why); /* a sentence for people */

#endif
