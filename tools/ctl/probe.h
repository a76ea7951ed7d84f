/* probe.h - what `frugalctl probe` asks an endpoint, and what it learns.
 *
 *   probe_plan(&settings, out)              which calls, how many tokens at most; asks nothing
 *   probe_run(&settings, &found, &fault)    asks
 *   probe_block(&settings, &found, &block)  the expert's block of the configuration
 *   probe_found_release(&found)
 *
 * The steps are a table (PROBE_STEPS): name, most calls, prompt and answer tokens of a call at
 * most, what for. A prompt token is at least a byte, so its bytes bound it. A step whose call
 * fails leaves what it asks for unknown, and unknown is not able: `capabilities` lists what was
 * seen to work.
 */
#ifndef TOOLS_CTL_PROBE_H
#define TOOLS_CTL_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "gateway/base/buf.h"
#include "gateway/domain/config.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/probe_call.h"

#define PROBE_MODELS_MAX 4096
#define PROBE_DROPS      12

/* symbol, name, calls, bytes of a prompt, answer tokens of a call, what for */
#define PROBE_STEPS(X)                                                                   \
    X(CHAT, "chat", 2, 400, 16, "whether it chats, and the name of its output limit")    \
    X(STREAM, "stream", 2, 500, 48, "usage at the end of a stream, first token, speed")  \
    X(CONTEXT, "context", 5, 0, 0, "how long a prompt may be, its tokenizer: free")      \
    X(PARAMETERS, "parameters", 17, 600, 8, "which members of a request it refuses")     \
    X(TOOLS, "tools", 1, 900, 64, "a call of a tool")                                    \
    X(JSON, "json", 2, 900, 64, "JSON as such, and by a schema")                         \
    X(LOGPROBS, "logprobs", 1, 500, 4, "log probabilities")                              \
    X(N, "n", 1, 500, 8, "two answers at once")                                          \
    X(IMAGES, "images", 1, 2000, 8, "an image of one point, with --images")              \
    X(COMPLETIONS, "completions", 1, 300, 4, "/completions")                             \
    X(RESPONSES, "responses", 1, 300, 16, "OpenAI's /responses")                         \
    X(MESSAGES, "messages", 1, 300, 16, "Anthropic's /messages")                         \
    X(EMBEDDINGS, "embeddings", 1, 100, 0, "vectors, and how long they are")

enum probe_step {
#define X(symbol, name, calls, prompt, answer, what) PROBE_##symbol,
    PROBE_STEPS(X)
#undef X
        PROBE_STEP_COUNT
};

struct probe_settings {
    struct probe_line line;
    const char *base; /* the endpoint, "http://host:port/v1" */
    const char *model;
    const char *embedding_model; /* NULL: as model */
    bool images;
    const char *name;    /* of the expert */
    const char *key_env; /* NULL: no key */
    /* of its price, in this order; all absent: it is not known */
    bool free;
    const char *usd_per_hour; /* as written; or NULL */
    const char *price;        /* JSON; or NULL */
    const char *embedding_price;
    struct config_rates rates; /* for the plan; zeros where it costs nothing */
};

struct probe_found {
    bool chat, stream, usage_in_stream;
    bool completion_limit; /* max_tokens is refused, max_completion_tokens taken */
    bool over_limit;       /* answered more than it was allowed to */
    bool images_known;  /* seen, or told by the server; else they were not asked about */
    unsigned apis;      /* bit: enum config_api */
    uint32_t abilities; /* ability.h */
    size_t n_drops;
    const char *drops[PROBE_DROPS];                       /* static texts */
    int64_t context_tokens;                               /* 0: unknown */
    const char *context_from;                             /* static */
    int64_t output_cap;                                   /* 0: unknown */
    size_t dim;                                           /* 0: no embeddings */
    const char *tokenizer_takes;                          /* static; NULL: it has none */
    double connect_ms, first_token_ms, tokens_per_second; /* 0: unknown */
    int64_t calls, prompt_tokens, answer_tokens;          /* as reported */
    struct buf notes;                                     /* lines for people */
};

/* The calls with their most tokens, as a table. */
void probe_plan(const struct probe_settings *settings, FILE *out);
/* model_entry: what GET /models says of the model, or NOTHING; borrowed. */
NODISCARD enum fault_err probe_run(const struct probe_settings *settings,
                                   struct jread_value model_entry,
                                   struct probe_found *ret_found, struct fault *fault);
void probe_found_release(struct probe_found *found); /* takes a zeroed one */

/* How long a prompt may be: what the list of models, llama.cpp's /props, Ollama's /api/ps and
 * /api/show say; probe_context.c. */
void probe_context(const struct probe_settings *settings, struct jread_value model_entry,
                   struct probe_found *found);
/* One step of its own file: records calls and tokens. False: no answer with status 200; *ret
 * is to be released whatever comes. */
bool probe_ask(const struct probe_settings *settings, struct probe_found *found,
               const char *path, const char *body, struct probe_answer *ret_answer);
/* Appends a line to the notes. */
void probe_note(struct probe_found *found, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Can a block with the expert `name` be added to the file? Faults as below. */
NODISCARD enum fault_err probe_may_add(const char *path, const char *name,
                                       struct fault *fault);
/* The file's text with the expert of a block behind those that it has, every other byte as it was.
 * FAULT_CONFIG: the file has no object `experts`, has that expert, or is no JSON. */
NODISCARD enum fault_err probe_add(const char *path, struct str block, struct buf *out,
                                   struct fault *fault);
/* {"experts": {NAME: {...}}}, indented, checked by the configuration's own reader.
 * FAULT_CONFIG: the reader does not take it. */
NODISCARD enum fault_err probe_block(const struct probe_settings *settings,
                                     const struct probe_found *found, struct buf *out,
                                     struct fault *fault);

#endif
