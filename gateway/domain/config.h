/* config.h - the configuration: read once, checked whole, never changed.
 *
 *   struct config *config;
 *   struct config_error error = { 0 };
 *   if (config_load("frugal.json", &config, &error) != ERR_OK)
 *       fprintf(stderr, "%s\n", config_error_text(&error, line, sizeof line));
 *   ...
 *   config_unref(config);
 *
 * A reload loads another one and swaps the snapshot; who is still working keeps his
 * reference. Everything below is owned by the config, immutable after load, and may be
 * read from any thread.
 *
 * Index spaces, used everywhere (the fuser's names are given in the same order):
 *   generator i of the fuser  =  experts[i]   (one without a generator is never allowed)
 *   embedder  j of the fuser  =  embedders[j]
 *
 * Settings are tables in config.c: a scalar setting is one line there with key, type,
 * default, limits and help. Unknown keys are errors ("did you mean"). Relative paths are
 * resolved against the folder of the file. Prices are read exactly, from their text,
 * never through a double. Secrets are {"env": "NAME"} or {"file": "path"}, both with an
 * optional "optional": true; they are never printed: config_print_help and the errors
 * show names only.
 */
#ifndef GATEWAY_DOMAIN_CONFIG_H
#define GATEWAY_DOMAIN_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/base/money.h"
#include "gateway/base/str.h"
#include "gateway/domain/adapt.h"

#define CONFIG_MAX_EXPERTS   64 /* a bit mask of them is a uint64_t */
#define CONFIG_MAX_EMBEDDERS 6
#define CONFIG_MAX_POLICIES  64
#define CONFIG_MAX_ENDPOINTS 16
#define CONFIG_MAX_ORIGINS   64
#define CONFIG_MAX_HEADERS   64
#define CONFIG_MAX_NAME      64        /* bytes of a name; letters, digits, - _ . / : */
#define CONFIG_MAX_FILE      (4 << 20) /* bytes of a configuration */
#define CONFIG_MAX_SECRET    8192      /* bytes of a secret */
#define CONFIG_MAX_UNIX_PATH 108       /* the kernel's, of a socket, final 0 included */

/* -- prices -- */

#define CONFIG_MAX_TIERS  4  /* of one price, the lowest included */
#define CONFIG_MAX_PRICES 16 /* of one expert, one after another */

struct config_rates {   /* pico-USD per token, but for the fee */
    int64_t input_pico; /* prompt tokens */
    int64_t
        cached_input_pico;    /* of them, read from a cache; input_pico where not given */
    int64_t cache_write_pico; /* of them, written to a cache; likewise */
    int64_t output_pico;      /* answer tokens */
    int64_t reasoning_pico;   /* of them, reasoning; output_pico where not given */
    int64_t request_pico;     /* of every request */
};

/* From a date on. The prompt's tokens say which tier a request is in: the last one that they
 * are above, and all of its tokens are charged at that tier's rates. */
struct config_price {
    int64_t from_s;     /* wall time; INT64_MIN: it has always been so */
    int64_t as_of_s;    /* when somebody last looked; INT64_MIN: nobody says */
    const char *source; /* where; or NULL */
    bool hourly;        /* notional: of a machine that is paid by the hour */
    size_t n_tiers;     /* at least 1 */
    struct config_tier {
        int64_t above_tokens; /* 0 of the first, then rising */
        struct config_rates rates;
    } tiers[CONFIG_MAX_TIERS];
};

/* The prices of one expert by date, rising; the first one has always been in force. */
struct config_prices {
    bool free;          /* marked so: one price, of zeros */
    bool writes_priced; /* every rate of a cache write was given */
    size_t n;           /* at least 1 */
    const struct config_price *list;
};

/* How the tokens of a prompt are bounded from above before the call. */
#define CONFIG_PROMPT_BOUNDS(X)                                                          \
    X(BYTES, "bytes")       /* a token is at least one byte of the serialised prompt */  \
    X(TOKENIZE, "tokenize") /* the same, or what a free tokenizer counts in it */        \
    X(NONE, "none")         /* no bound: never chosen under a ceiling */

enum config_prompt_bound {
#define X(name, word) CONFIG_BOUND_##name,
    CONFIG_PROMPT_BOUNDS(X)
#undef X
};

/* What to do when a ceiling cannot be met, from mild to strict. */
#define CONFIG_ON_BUDGETS(X)                                                             \
    X(TRIM, "trim")           /* lower the output limit until the worst case fits */     \
    X(DOWNGRADE, "downgrade") /* the best expert that is affordable without trimming */  \
    X(REJECT, "reject")       /* 402 when the best expert is not affordable */

enum config_on_budget {
#define X(name, word) CONFIG_ON_BUDGET_##name,
    CONFIG_ON_BUDGETS(X)
#undef X
};

/* What a tokenizer takes: X(name, word). */
#define CONFIG_TOKENIZER_TAKES(X)                                                        \
    X(CONTENT, "content")   /* {"content": text}, as llama.cpp's server */               \
    X(MESSAGES, "messages") /* {"model", "messages"}, as vLLM */

enum config_tokenizer_takes {
#define X(name, word) CONFIG_TAKES_##name,
    CONFIG_TOKENIZER_TAKES(X)
#undef X
};

enum config_limit_field { /* the name under which an expert takes an output limit */
                          CONFIG_LIMIT_ANY, /* either; max_tokens where there is none */
                          CONFIG_LIMIT_MAX_TOKENS,
                          CONFIG_LIMIT_MAX_COMPLETION_TOKENS,
};

/* -- experts -- */

/* The APIs that an endpoint may speak, beside embeddings: X(name, word). Who speaks chat is
 * also asked for answers in the last two, which are translated. */
#define CONFIG_APIS(X)                                                                   \
    X(CHAT, "chat")                                                                      \
    X(COMPLETIONS, "completions")                                                        \
    X(RESPONSES, "responses")                                                            \
    X(MESSAGES, "messages")

enum config_api {
#define X(name, word) CONFIG_API_##name,
    CONFIG_APIS(X)
#undef X
};

struct config_generator {
    const char *model;    /* the upstream's name of it */
    unsigned apis;        /* bit i: it speaks enum config_api i */
    bool abilities_given; /* in the file; else it is taken to be able to everything */
    uint32_t abilities;   /* ability.h */
    struct adapt adapt;   /* its dialect */
    struct config_prices prices;
    int64_t context_tokens; /* 0: not known */
    int64_t
        max_output_tokens; /* the model's own cap, which the upstream honours; 0: none */
    enum config_prompt_bound prompt_bound;
    const char *tokenizer; /* path of it at the endpoint's root, with its slash */
    enum config_tokenizer_takes tokenizer_takes;
    int64_t tokenizer_ms; /* for which it is waited */
    enum config_limit_field limit_field;
    int64_t template_tokens; /* that its chat template adds to a request, at most */
    int64_t image_tokens;    /* upper bound of one image; 0: not known, so never chosen
                             for a request with images under a ceiling */
};

struct config_embedding {
    const char *model;
    size_t dim;                  /* floats in a vector; 0: taken as it comes */
    struct config_prices prices; /* of input and fee only */
    bool hedge;     /* a call that takes longer than nearly all is made twice */
    double wait_ms; /* what a call is expected to take, for the price of waiting */
};

struct config_timeouts { /* milliseconds, each > 0 */
    int64_t connect_ms;
    int64_t
        first_byte_ms; /* from the request sent to the first byte of the answer's body */
    int64_t idle_ms;   /* between two pieces of an answer */
    int64_t total_ms;
};

/* When an endpoint counts as down, and how it comes back: flow/health.h. */
struct config_health {
    int64_t failures;      /* in a row; 0: they do not count */
    int64_t share_percent; /* of the calls of a window; 0: it does not count */
    int64_t share_calls;   /* least number of calls for that */
    int64_t window_ms;
    int64_t open_ms, open_max_ms; /* for which it is left alone: at first, at most */
    int64_t slow_start_ms;        /* until it gets its whole share again; 0: at once */
    int64_t limited_max_ms;       /* of a 429's Retry-After */
};

/* How an endpoint is checked beside the calls, free of charge: X(name, word). */
#define CONFIG_PROBE_KINDS(X)                                                            \
    X(NONE, "none")                                                                      \
    X(TCP, "tcp")       /* a connection is opened and closed */                          \
    X(MODELS, "models") /* GET /models */

enum config_probe_kind {
#define X(name, word) CONFIG_PROBE_##name,
    CONFIG_PROBE_KINDS(X)
#undef X
};

struct config_probe {
    enum config_probe_kind kind;
    int64_t every_ms;
};

struct config_expert {
    const char *name;
    size_t n_endpoints;
    const char *
        *endpoints;  /* http(s)://host[:port]/path without a slash at the end; append
                        "/chat/completions" or "/embeddings" */
    const char *key; /* SECRET: never log; NULL: no key */
    const char
        *key_header; /* the field that carries it; "authorization": as a bearer token */
    int64_t max_in_flight;
    const char *prior_like; /* of the bundle, and maybe not configured; NULL: none */
    bool has_generator, has_embedding; /* at least one */
    struct config_generator generator;
    struct config_embedding embedding;
    struct config_generator embedder; /* the embedding, as what answers /v1/embeddings:
                                         its output costs nothing */
    struct config_timeouts timeouts;
    struct config_health health;
    struct config_probe probe;
    int64_t trusted_from_s; /* wall time: what it charged before bars it from nothing;
                               INT64_MIN: not said */
    struct config_expert_tls {
        const char *ca_file;              /* PEM, or NULL: the system's */
        const char *cert_file, *key_file; /* PEM, shown to it; both or none */
        bool verify;
        bool http2; /* offered, where it is https */
    } tls;
};

/* -- embedders and policies -- */

enum config_embedder_kind {
    CONFIG_EMBEDDER_SURFACE, /* built in, free */
    CONFIG_EMBEDDER_LEXICAL, /* built in, free */
    CONFIG_EMBEDDER_REMOTE,  /* an expert's embedding */
};

struct config_embedder {
    const char *name;
    enum config_embedder_kind kind;
    size_t expert; /* index, when REMOTE */
};

/* What `frugalctl tune` expects of a policy, for people: nothing is decided by it. Means over
 * requests like the calibration prompts, their standard errors, and 95 % intervals. */
struct config_expected {
    double quality, quality_se, quality_low, quality_high;
    double usd_per_1k, usd_per_1k_se, usd_per_1k_low, usd_per_1k_high; /* requests */
    int64_t rows;       /* prompts that this was found out by */
    const char *bundle; /* id of the bundle that was tuned; NULL: not said */
};

struct config_policy {
    const char *name;       /* a virtual model */
    int64_t value_pico;     /* what one right answer is worth; MONEY_NONE: cost is no
                              matter (lambda 0) */
    double lambda;          /* quality per USD: 1 / value */
    double wait_per_s;      /* quality per second of waiting; 0: none */
    double min_quality;     /* 0: none */
    double switch_z;        /* leave the best fixed expert only for a gain of more than so
                              many standard errors; 0: always */
    double gain_se;         /* buy evidence only for a gain of more than so many standard
                              errors; 0: for any */
    double explore_percent; /* of requests, at most: experts with few rows are tried */
    bool silent_value, silent_switch_z; /* not in the file: a tuned bundle says */
    bool silent_gain_se;
    uint64_t experts;      /* bit i: experts[i] is allowed; only those with a generator */
    size_t default_expert; /* index; always allowed */
    int64_t max_output_tokens; /* inserted under a ceiling where the client sets none */
    int64_t budget_pico;       /* ceiling of each request; MONEY_NONE: none */
    int64_t target_pico; /* to be spent in a UTC day, steer.h; MONEY_NONE: whatever */
    double steer_least, steer_most; /* factors of lambda on the way there */
    enum config_on_budget on_budget;
    bool sticky;                  /* conversations stay with their expert */
    int64_t decision_deadline_ms; /* evidence that comes later is not waited for */
    bool has_expected;
    struct config_expected expected;
};

/* -- limits -- */

/* May a request be sent again that an expert may have carried out? */
#define CONFIG_UNSURES(X)                                                                \
    X(NEVER, "never")                                                                    \
    X(ELSEWHERE, "elsewhere") /* to other experts */                                     \
    X(ANYWHERE, "anywhere")   /* to the same one as well */

enum config_unsure {
#define X(name, word) CONFIG_UNSURE_##name,
    CONFIG_UNSURES(X)
#undef X
};

struct config_limits {
    int64_t body_bytes;          /* of a request */
    int64_t header_bytes;        /* of a request, per connection */
    int64_t depth;               /* nesting of JSON */
    int64_t connections;         /* clients, all workers together */
    int64_t in_flight;           /* requests, all workers together */
    int64_t queue;               /* that wait for a place among them: 503 beyond */
    int64_t queue_ms;            /* of waiting; a quarter where the queue stands */
    int64_t bodies_bytes;        /* of all requests together: 503 beyond */
    int64_t request_timeout_ms;  /* from the first byte to the whole body */
    int64_t request_deadline_ms; /* of a request altogether */
    int64_t arena_bytes;         /* memory of one request beside its bodies */
    int64_t answer_bytes;        /* of an answer that is not streamed */
    int64_t event_bytes;         /* of one server-sent event */
    int64_t hold_bytes;          /* held back before the commit point */
    int64_t hold_chunks;
    int64_t hold_ms;
    int64_t queue_bytes;    /* answer queued for a slow client before the expert waits */
    int64_t attempts;       /* calls of generators for one request, all in all */
    int64_t attempts_again; /* of them, of an expert that has failed, after a pause */
    int64_t backoff_ms;     /* that pause, the first time; then twice as long */
    int64_t backoff_max_ms;
    int64_t embedding_cache_bytes; /* of vectors of remote embedders; 0: none are kept */
    int64_t drain_ms;              /* after SIGTERM, for what is in flight */
    int64_t drain_grace_ms;        /* then, for a last request on an open connection */
    int64_t upstream_connections;  /* kept open, per worker */
    int64_t keep_alive_ms;         /* an idle client connection */
};

/* -- the store -- */

/* Whose requests are taught by the scores that somebody gives. */
#define CONFIG_FEEDBACKS(X)                                                              \
    X(OFF, "off")       /* scores are refused */                                         \
    X(OWN, "own")       /* his alone */                                                  \
    X(SHARED, "shared") /* everybody's */

enum config_feedback {
#define X(name, word) CONFIG_FEEDBACK_##name,
    CONFIG_FEEDBACKS(X)
#undef X
};

struct config_store {
    const char *path; /* resolved, or NULL: there is none */
    bool full;        /* durability: every paid call waits for the disk */
    bool refuse;      /* on failure: 503, rather than lose rows */
    int64_t commit_ms, commit_rows;
    int64_t queue_rows, queue_bytes;
    int64_t keep_days, keep_bytes; /* 0: no bound */
    bool keep_prompts, keep_vectors;
    int64_t keep_neighbours;       /* of a record */
    enum config_feedback feedback; /* of requests without a key */
    int64_t feedback_per_day;      /* scores of one key; 0: no bound */
    int64_t learn_s; /* the bundle in force takes scores so often; 0: never */
};

/* -- conversations, sticky.h -- */

struct config_stickiness {
    int64_t entries; /* conversations remembered; 0: none */
    int64_t keep_s;  /* since the last answer */
    int64_t cache_s; /* for which an expert's cache holds what it was used for */
};

/* How clients reach the public listener. Files in PEM form. */
struct config_tls {
    const char *cert_file, *key_file; /* resolved, both or none; NULL: in clear */
    const char *client_ca_file;       /* NULL: clients show no certificate */
};

/* -- rules, rules.h -- */

#define CONFIG_MAX_RULES 64 /* a bit mask of them is a uint64_t */

/* What a rule says of the experts that it names: X(name, word). */
#define CONFIG_RULE_ACTIONS(X)                                                           \
    X(ALLOW, "allow") /* nobody else may answer */                                       \
    X(DENY, "deny")   /* they may not */                                                 \
    X(PIN, "pin")     /* it is asked first */

enum config_rule_action {
#define X(name, word) CONFIG_RULE_##name,
    CONFIG_RULE_ACTIONS(X)
#undef X
};

struct pattern;

struct config_rule {
    const char *name;
    const char *reason; /* "rule:NAME", for headers and records */
    uint64_t
        policies; /* bit p: it binds policies[p]; UINT64_MAX: whatever is asked for */
    const char *tag_name, *tag_value; /* NULL: no tag; any value of it */
    struct pattern *pattern;          /* of the routing text; NULL: any */
    const char *domain;               /* NULL: any */
    enum config_rule_action action;
    uint64_t experts; /* bit i; of a pin one */
};

struct config {
    const char *path;   /* of the file */
    const char *folder; /* of the file */
    char version
        [17]; /* hash of the text of the file, and of its policies_file, in hex: which
                           settings these are */
    const char *listen;        /* "host:port"; port 0: any free one */
    const char *admin;         /* "host:port" or "unix:/path", or NULL: none */
    const char *bundle;        /* resolved path, or NULL: no bundle */
    const char *policies_file; /* resolved path, or NULL */
    struct config_tls tls;
    struct config_store store;
    const char *keys_file;     /* resolved path of the mounted file of keys, or NULL */
    int64_t workers;           /* 0 in the file means one per processor, resolved here */
    int64_t instance;          /* of this gateway among several, in ids */
    enum config_unsure resend; /* a request of unknown fate */
    const char *log_level;     /* "info" */
    bool log_requests;         /* one line per request */
    bool core_dumps;
    int64_t ping_ms; /* of silence on a stream; 0: no signs of life */
    bool ping_held;  /* before its first event, too */
    size_t n_cors;
    const char **cors; /* origins whose pages may ask; "*": all */
    size_t n_expert_headers;
    const char *const *expert_headers; /* lower case; the last character may be '*' */
    struct config_limits limits;
    struct config_stickiness stickiness;

    size_t n_experts;
    struct config_expert *experts; /* in the order of the file */
    size_t n_embedders;
    struct config_embedder *embedders;
    size_t n_policies;
    struct config_policy *policies;
    size_t n_rules;
    struct config_rule *rules; /* in the order of the file */

    /* private */
    struct arena arena; /* holds all of the above */
    atomic_uint references;
};

struct config_error {
    bool set; /* first one wins */
    char file[256];
    char pointer[256]; /* JSON pointer, "" for the whole file */
    int line, column;  /* from 1; 0: none */
    char text[400];
};

/* "frugal.json:12:20: /experts/small/generator/price/input: must not be negative". Returns
 * text. */
const char *config_error_text(const struct config_error *error, char *text, size_t bytes);

/* Reads, checks and resolves. error may be NULL. IO: the file or a secret cannot be read;
 * INVALID: anything wrong in it; NOMEM. The new config has one reference. */
NODISCARD enum err config_load(const char *path, struct config **ret_config,
                               struct config_error *error);
/* The same from memory; path names it in errors and gives the folder. */
NODISCARD enum err config_parse(struct str text, const char *path,
                                struct config **ret_config, struct config_error *error);
/* The value of one `price` by itself, as it stands in a file; what *ret_prices has lives as long
 * as *ret_owner. For tools that read files which are not whole yet. */
NODISCARD enum err config_parse_prices(struct str text, bool embedding,
                                       struct config **ret_owner,
                                       struct config_prices *ret_prices,
                                       struct config_error *error);
struct config *config_ref(struct config *config);
void config_unref(
    struct config *config); /* takes NULL; wipes secrets with the last one */

/* Told of the settings that a reload does not change and that differ, one after another:
 * "listen", "limits.connections"; the name is borrowed for the call. */
typedef void (*config_named)(void *context, const char *name);
void config_each_restart(const struct config *before, const struct config *after,
                         config_named fn, void *context);

/* May a page of that origin ask? */
bool config_allows_origin(const struct config *config, struct str origin);

/* Index, or -1. */
int config_find_expert(const struct config *config, struct str name);
int config_find_policy(const struct config *config, struct str name);

/* Every setting of the tables with default, limits and help, one a line. */
void config_print_help(struct buf *out);

#endif
