/* order.h - what a client ordered: which experts may answer, for how much, until when.
 *
 *   order_make(&order, config, &chat, &options, &error)     policy + request + headers
 *   order_fit(&order, i, remaining, &terms)                 may expert i be called now?
 *
 * A model is a policy (virtual) or an expert (direct). What policy and request say about
 * the same thing, the stricter holds. Pure; one thread; everything is borrowed from the
 * configuration, the chat and the options, which must outlive the order.
 */
#ifndef GATEWAY_FLOW_ORDER_H
#define GATEWAY_FLOW_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/config.h"
#include "gateway/domain/excluded.h"
#include "gateway/domain/frugal_headers.h"
#include "gateway/domain/key.h"
#include "gateway/domain/price.h"
#include "gateway/domain/reason.h"
#include "gateway/domain/rules.h"

/* A trimmed answer may not be shorter than this (unless the client wants it shorter):
 * nobody pays for a prompt in order to get three tokens. */
#define ORDER_LEAST_TOKENS 16
/* Output limit under a ceiling where neither the client nor a policy sets one. */
#define ORDER_DIRECT_TOKENS 4096
/* Who names no limit and does not fit into what is left of a key's budget is trimmed to half of
 * that, or to so many times the expected answer where this is more: others ask, too. */
#define ORDER_ROOM_TIMES 4
/* Output taken as expected where neither calibration nor a limit says anything. */
#define ORDER_EXPECTED_TOKENS 256

struct order {
    const struct config *config;
    const struct chat_request *chat;
    const struct config_policy *policy; /* NULL: direct */
    uint64_t allowed;                   /* bit i: experts[i] may answer */
    uint64_t known; /* bit i: the bundle has rows of experts[i]; order_may_choose */
    uint8_t excluded[CONFIG_MAX_EXPERTS]; /* enum excluded: why experts[i] may not */
    uint64_t reachable; /* bit i: the embedding of experts[i] may be bought */
    size_t preferred;   /* the policy's default where allowed, or the direct expert */
    double steering;    /* factor in lambda, of the policy's target; 1: none */
    double lambda, wait_per_s, min_quality, switch_z, gain_se;
    int64_t ceiling_pico; /* MONEY_NONE: none */
    bool told;            /* nobody is asked in another API than chat; order_form */
    bool capped; /* there is a ceiling, or a budget of the key: worst cases matter */
    enum config_on_budget on_budget;
    int64_t deadline_ms;          /* of the whole request, from its first byte */
    int64_t decision_deadline_ms; /* of the evidence, from the parsed request */
    int64_t policy_tokens;  /* output limit where the client sets none; under a ceiling */
    struct price_span span; /* when its calls take place */
    int64_t counted[CONFIG_MAX_EXPERTS]; /* by the expert's tokenizer; 0: bytes bound */
    struct order_rules { /* what the configuration's rules make of it, order_rules.c */
        struct rules_result found;
        const struct config_rule
            *decided; /* the last that changed anything; NULL: none */
        bool pinned;  /* `preferred` is asked first, by a rule */
    } rules;
    struct order_sticky { /* the expert of the request's conversation, stay.h */
        bool held;        /* there is one; it may answer, and is preferred */
        bool firm;        /* it stays, whatever is known of the others */
        size_t expert;
        int64_t
            saved_pico; /* off the expected price of its prompt: what is in its cache */
    } sticky;
};

/* key: what the request's key allows, *borrowed for the call*. barred: experts that are not
 * to be called under a ceiling or a budget, since they have charged more than their worst
 * case. now_s: wall time, which says what prices hold. NO_MODEL (also for a model that the
 * key may not use: nobody learns that it is there), BAD_OPTION (also when no expert is left),
 * UNABLE (nobody can what is asked for), UNPRICED and BUDGET (when capped). */
NODISCARD enum api_err order_make(struct order *order, const struct config *config,
                                  const struct chat_request *chat,
                                  const struct frugal_options *options,
                                  const struct key_allow *key, uint64_t barred,
                                  int64_t now_s, struct api_error *error);

/* Of those who still may answer, these may not, and why; who went before keeps his reason.
 * For who narrows an order; order_prefer afterwards, when somebody is left. */
void order_exclude(struct order *order, uint64_t experts, enum excluded why);
/* Is allowed, and for the policy to choose: whoever has no rows in the bundle is not, not even after
 * failures, as long as there are others, unless the operator made it the default. So nothing is
 * bought or kept in the hope of its answer either. order->known is for the caller to set, before
 * the order's money is looked at; without it everybody may be chosen. */
bool order_may_choose(const struct order *order, size_t expert);
/* Who is preferred must be allowed: if not, the first who is. */
void order_prefer(struct order *order);

/* Rules of tags and text; the order is made. API_RULE when nobody is left. */
NODISCARD enum api_err order_rule(struct order *order,
                                  const struct frugal_options *options, struct str text,
                                  struct api_error *error);
/* Those of domains, where rules.found has open ones; NULL: it is not known. False: nobody is
 * left, order_ruled_out says why. */
NODISCARD bool order_rule_domain(struct order *order, const char *domain);
enum api_err order_ruled_out(const struct order *order, struct api_error *error);
/* reason_word, but of a rule "rule:NAME". */
const char *order_reason_word(const struct order *order, enum reason reason);
/* Index of the policy, or -1. */
int order_policy(const struct order *order);

/* The policy's spending of today, till.h: lambda is multiplied. */
void order_steer(struct order *order, double factor);

/* The expert, one of the allowed, has the request's conversation. */
void order_stick(struct order *order, size_t expert, bool firm, int64_t saved_pico);

/* Can it matter what the expert's tokenizer says? It has one, the untrimmed worst case by bytes
 * does not fit into remaining_pico, and the least worst case of the fewest tokens does. */
bool order_wants_count(const struct order *order, size_t expert, int64_t remaining_pico);
/* It says so many. False: no text has so few or so many, and the bytes bound as before. */
bool order_count(struct order *order, size_t expert, int64_t tokens);
/* All have counted who were asked: those whose context is surely too small go. CONTEXT_LENGTH:
 * nobody is left. */
NODISCARD enum api_err order_counted(struct order *order, struct api_error *error);
/* How the prompt is bounded at this expert. */
enum config_prompt_bound order_bound(const struct order *order, size_t expert);

bool order_allows(const struct order *order, size_t expert);
/* The request as this expert is sent it: as it came, or translated. */
const struct chat_request *order_form(const struct order *order, size_t expert);
size_t order_allowed_count(const struct order *order);

/* On which terms an expert is called. */
struct order_terms {
    int64_t limit_tokens;  /* output limit to send; 0: the request's own, unchanged */
    int64_t worst_pico;    /* to reserve; MONEY_NONE: no bound, and no ceiling either */
    int64_t expected_pico; /* by expected_tokens, or by a guess */
    bool trimmed;          /* the limit is lower than what was asked for */
};

/* expected_tokens: of the output; NAN: not known. False: the worst case does not fit into
 * remaining_pico, or has no bound. */
bool order_fit(const struct order *order, size_t expert, int64_t remaining_pico,
               double expected_tokens, struct order_terms *ret_terms);

/* Could anybody at all be asked with so much? False: a 402, before anything was bought. */
bool order_possible(const struct order *order, int64_t remaining_pico);
/* What must be left for the answer: the least worst case, or that of all who are allowed where
 * the best of them must fit. MONEY_NONE: it has no bound. */
int64_t order_answer_pico(const struct order *order);
/* What evidence may cost so that it is never bought for a request that is refused
 * afterwards; MONEY_NONE: whatever it costs. */
int64_t order_evidence_pico(const struct order *order, int64_t remaining_pico);

/* Worst case of the least that the order's on_budget would do at this expert: what the
 * fuser takes as the price to be afforded. */
int64_t order_least_worst(const struct order *order, size_t expert);
/* Of the prompt and the fee per request, what is saved by the conversation's cache taken off. */
int64_t order_prompt_pico(const struct order *order, size_t expert);
/* Expected price by expected output tokens (NAN: a guess). */
int64_t order_expected(const struct order *order, size_t expert, double expected_tokens);

/* The 402, naming the least price at which an allowed expert could have been asked.
 * spent_pico: gone before, for evidence and attempts. */
enum api_err order_too_dear(const struct order *order, int64_t spent_pico,
                            struct api_error *error);

#endif
