/* api_error.h - every error a client can get, in one table, and its body in OpenAI's
 * shape.
 *
 *   struct api_error error = { 0 };
 *   if (chat_parse(..., &error) != API_OK)
 *       api_error_body(&error, &body), status = api_error_status(error.code), ...
 *
 * Name, HTTP status, `type`, `code` (NULL: null), fault domain and default text stand
 * here and nowhere else. The first error wins: api_error_set leaves one that is already
 * set.
 */
#ifndef GATEWAY_DOMAIN_API_ERROR_H
#define GATEWAY_DOMAIN_API_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/err.h"

/* Whose fault, for metrics (error.type begins with it) and for x-frugal-error-source:
 * EXPERT says "expert", the others "gateway". */
#define API_FAULTS(X)                                                                    \
    X(NONE, "none")                                                                      \
    X(CALLER, "caller")                                                                  \
    X(POLICY, "policy")                                                                  \
    X(EXPERT, "expert")                                                                  \
    X(GATEWAY, "gateway")

enum api_fault {
#define X(name, word) API_FAULT_##name,
    API_FAULTS(X)
#undef X
};

#define INVALID_REQUEST "invalid_request_error"
/* X(name, word, status, type, code, fault, should_retry, text): should_retry is NULL or
 * the value of x-should-retry; word is the closed label in logs and metrics. */
#define API_ERRORS(X)                                                                    \
    X(OK, "ok", 200, "", NULL, NONE, NULL, "")                                           \
    X(BAD_JSON, "bad_json", 400, INVALID_REQUEST, "invalid_json", CALLER, NULL,          \
      "the body is not valid JSON")                                                      \
    X(BAD_UTF8, "bad_utf8", 400, INVALID_REQUEST, "invalid_utf8", CALLER, NULL,          \
      "the body is not valid UTF-8")                                                     \
    X(TOO_DEEP, "too_deep", 400, INVALID_REQUEST, "too_deep", CALLER, NULL,              \
      "the body is nested too deeply")                                                   \
    X(DUPLICATE_KEY, "duplicate_key", 400, INVALID_REQUEST, "duplicate_key", CALLER,     \
      NULL, "a key occurs twice")                                                        \
    X(BAD_TYPE, "bad_type", 400, INVALID_REQUEST, "invalid_type", CALLER, NULL,          \
      "a value has the wrong type")                                                      \
    X(BAD_VALUE, "bad_value", 400, INVALID_REQUEST, "invalid_value", CALLER, NULL,       \
      "a value is out of range")                                                         \
    X(MISSING, "missing", 400, INVALID_REQUEST, "missing_required_parameter", CALLER,    \
      NULL, "a required parameter is missing")                                           \
    X(BAD_OPTION, "bad_option", 400, INVALID_REQUEST, "invalid_option", CALLER, NULL,    \
      "an x-frugal option is unknown, repeated or unparsable")                           \
    X(UNPRICED, "unpriced_field", 400, INVALID_REQUEST, "unpriced_field", CALLER, NULL,  \
      "a field with a price of its own is not allowed under a budget")                   \
    X(UNSUPPORTED, "unsupported", 400, INVALID_REQUEST, "unsupported_parameter", CALLER, \
      NULL, "a parameter is not supported here")                                         \
    X(UNABLE, "unable", 400, INVALID_REQUEST, "unsupported_capability", CALLER, NULL,    \
      "no allowed expert is able to what is asked for")                                  \
    X(CONTEXT_LENGTH, "context_length", 400, INVALID_REQUEST, "context_length_exceeded", \
      CALLER, NULL, "the prompt is too long for every allowed expert")                   \
    X(NO_KEY, "no_key", 401, INVALID_REQUEST, "invalid_api_key", CALLER, NULL,           \
      "no valid API key was given")                                                      \
    X(BUDGET, "budget_exceeded", 402, "insufficient_quota", "budget_exceeded", POLICY,   \
      "false", "no allowed expert can answer within the budget of this request")         \
    X(KEY_BUDGET, "key_budget_spent", 402, "insufficient_quota", "insufficient_quota",   \
      POLICY, "false", "the budget of this key is spent")                                \
    X(KEY_RESERVED, "key_budget_reserved", 429, "rate_limit_error",                      \
      "rate_limit_exceeded", POLICY, NULL,                                               \
      "the rest of this key's budget is reserved for requests that are under way")       \
    X(NO_FEEDBACK, "no_feedback", 403, INVALID_REQUEST, "feedback_off", POLICY, NULL,    \
      "this key may not score answers")                                                  \
    X(RULE, "denied_by_rule", 403, INVALID_REQUEST, "denied_by_rule", POLICY, "false",   \
      "a rule of this gateway lets no expert answer this request")                       \
    X(NO_ROUTE, "no_route", 404, INVALID_REQUEST, "unknown_url", CALLER, NULL,           \
      "there is no such route")                                                          \
    X(NO_MODEL, "no_model", 404, INVALID_REQUEST, "model_not_found", CALLER, NULL,       \
      "the model does not exist")                                                        \
    X(NO_DECISION, "no_decision", 404, INVALID_REQUEST, "decision_not_found", CALLER,    \
      NULL, "there is no such decision")                                                 \
    X(NO_STORE, "no_store", 404, INVALID_REQUEST, "no_store", CALLER, NULL,              \
      "this gateway keeps no records: its configuration has no store")                   \
    X(BAD_METHOD, "bad_method", 405, INVALID_REQUEST, "method_not_allowed", CALLER,      \
      NULL, "the method is not allowed here")                                            \
    X(CLIENT_SLOW, "client_slow", 408, INVALID_REQUEST, "request_timeout", CALLER, NULL, \
      "the request did not arrive in time")                                              \
    X(TOO_LARGE, "too_large", 413, INVALID_REQUEST, "request_too_large", CALLER, NULL,   \
      "the body is too large")                                                           \
    X(RELOAD, "reload_refused", 422, INVALID_REQUEST, "reload_refused", CALLER, NULL,    \
      "the configuration was not taken over")                                            \
    X(HEADERS_LARGE, "headers_too_large", 431, INVALID_REQUEST, "headers_too_large",     \
      CALLER, NULL, "the headers are too large")                                         \
    X(RATE_LIMIT, "rate_limit", 429, "rate_limit_error", "rate_limit_exceeded", POLICY,  \
      NULL, "too many requests")                                                         \
    X(CLIENT_GONE, "client_gone", 499, INVALID_REQUEST, "client_closed_request", CALLER, \
      NULL, "the client closed the connection")                                          \
    X(INTERNAL, "internal", 500, "server_error", "internal_error", GATEWAY, NULL,        \
      "the gateway failed")                                                              \
    X(NOMEM, "no_memory", 500, "server_error", "out_of_memory", GATEWAY, NULL,           \
      "the gateway is out of memory")                                                    \
    X(OVERLOADED, "overloaded", 503, "server_error", "overloaded", GATEWAY, NULL,        \
      "the gateway has too many requests in flight")                                     \
    X(UNRECORDED, "unrecorded", 503, "server_error", "store_unavailable", GATEWAY, NULL, \
      "the gateway cannot record requests now")                                          \
    X(DRAINING, "draining", 503, "server_error", "shutting_down", GATEWAY, NULL,         \
      "the gateway is shutting down")                                                    \
    X(EXPERT_BUSY, "expert_busy", 503, "server_error", "expert_busy", EXPERT, NULL,      \
      "every allowed expert is busy or down")                                            \
    X(EXPERT_CONNECT, "expert_connect", 502, "server_error", "expert_unreachable",       \
      EXPERT, NULL, "the expert cannot be reached")                                      \
    X(EXPERT_BROKEN, "expert_broken", 502, "server_error", "expert_broken", EXPERT,      \
      NULL, "the expert's answer was cut or malformed")                                  \
    X(EXPERT_STATUS, "expert_status", 502, "server_error", "expert_error", EXPERT, NULL, \
      "the expert answered with an error")                                               \
    X(EXPERT_TIMEOUT, "expert_timeout", 504, "server_error", "expert_timeout", EXPERT,   \
      NULL, "the expert did not answer in time")                                         \
    X(DEADLINE, "deadline", 504, "server_error", "deadline_exceeded", GATEWAY, NULL,     \
      "the deadline of the request has passed")

enum api_err {
#define X(name, word, status, type, code, fault, retry, text) API_##name,
    API_ERRORS(X)
#undef X
        API_ERR_COUNT
};

struct api_error {
    enum api_err code;
    char message[400];   /* empty: the table's text */
    char param[64];      /* empty: null */
    int64_t retry_after; /* seconds for `retry-after`; 0: no such header */
};

/* First one wins; returns error's code (or `code` where error is NULL), so that a
 * function may end in `return api_error_set(...)`. param may be NULL, format may be NULL
 * (the table's text). Messages are lower case, without a full stop. */
enum api_err api_error_set(struct api_error *error, enum api_err code, const char *param,
                           const char *format, ...) PRINTF_LIKE(4, 5);

int api_error_status(enum api_err code);
const char *api_error_word(enum api_err code); /* closed label: "bad_json" */
const char *api_error_text(enum api_err code); /* where there is no message */
const char *api_error_type(enum api_err code);
const char *api_error_message(const struct api_error *error); /* or the table's text */
const char *api_error_code(enum api_err code);                /* or NULL */
enum api_fault api_error_fault(enum api_err code);
const char *api_fault_word(enum api_fault fault);
const char *api_error_should_retry(enum api_err code); /* "true", "false" or NULL */
const char *api_error_source(enum api_err code);       /* "gateway" or "expert" */

/* Adds {"error":{"message","type","param","code"}}; test body->failed afterwards. */
void api_error_body(const struct api_error *error, struct buf *body);
/* The same as an SSE event: `data: {...}\n\n`. */
void api_error_event(const struct api_error *error, struct buf *out);

#endif
