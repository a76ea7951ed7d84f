/* scan.h - checks a JSON body while it arrives and remembers where our few fields lie.
 *
 *   struct scan scan;
 *   scan_init(&scan, depth);
 *   for each piece:  if (scan_feed(&scan, p, n) != SCAN_OK) -> 400
 *   at the end:      if (scan_end(&scan) != SCAN_OK) -> 400
 *   scan.fields[SCAN_MODEL].begin ...
 *
 *   {  "model" :  "auto"  , "messages": [ {...}, {...} ] , ... }
 *      ^key_begin ^begin ^end                offsets from the body's first byte
 *
 * No tree is built and nothing is allocated: the cost is a fraction of a nanosecond a
 * byte inside ASCII strings. The result does not depend on how the body is sliced.
 * Checked: RFC 8259 grammar, one object and nothing after it, depth, UTF-8 (overlong
 * forms and surrogates refused), and that none of our top-level keys occurs twice; keys
 * are compared unescaped. An error is final: later calls return it again. One thread;
 * plain memory, no release.
 */
#ifndef GATEWAY_DOMAIN_SCAN_H
#define GATEWAY_DOMAIN_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/jread.h"

/* Top-level keys whose place is recorded: what we read, change or price, what not every expert
 * is able to (ability.h), or what is refused under a ceiling (chat_price.c). A duplicate is an error. */
#define SCAN_FIELDS(X)                                                                   \
    X(MODEL, "model")                                                                    \
    X(STREAM, "stream")                                                                  \
    X(STREAM_OPTIONS, "stream_options")                                                  \
    X(MAX_TOKENS, "max_tokens")                                                          \
    X(MAX_COMPLETION_TOKENS, "max_completion_tokens")                                    \
    X(N, "n")                                                                            \
    X(BEST_OF, "best_of")                                                                \
    X(MESSAGES, "messages")                                                              \
    X(PROMPT, "prompt")                                                                  \
    X(SUFFIX, "suffix")                                                                  \
    X(INPUT, "input")                                                                    \
    X(TOOLS, "tools")                                                                    \
    X(FUNCTIONS, "functions")                                                            \
    X(RESPONSE_FORMAT, "response_format")                                                \
    X(GUIDED_JSON, "guided_json")                                                        \
    X(STRUCTURED_OUTPUTS, "structured_outputs")                                          \
    X(SERVICE_TIER, "service_tier")                                                      \
    X(AUDIO, "audio")                                                                    \
    X(MODALITIES, "modalities")                                                          \
    X(WEB_SEARCH_OPTIONS, "web_search_options")                                          \
    X(PREDICTION, "prediction")                                                          \
    X(LOGPROBS, "logprobs")                                                              \
    X(TOP_LOGPROBS, "top_logprobs")                                                      \
    X(TOOL_CHOICE, "tool_choice")                                                        \
    X(DOCUMENTS, "documents")                                                            \
    X(CACHE_CONTROL, "cache_control")                                                    \
    X(N_PREDICT, "n_predict")                                                            \
    X(NUM_PREDICT, "num_predict")                                                        \
    X(MAX_NEW_TOKENS, "max_new_tokens")                                                  \
    X(MAX_OUTPUT_TOKENS, "max_output_tokens")                                            \
    X(THINKING_BUDGET, "thinking_budget")                                                \
    X(USE_BEAM_SEARCH, "use_beam_search")                                                \
    X(CHAT_TEMPLATE, "chat_template")                                                    \
    X(PROMPT_EMBEDS, "prompt_embeds")                                                    \
    X(MM_PROCESSOR, "mm_processor_kwargs")                                               \
    X(MODELS, "models")                                                                  \
    X(FALLBACKS, "fallbacks")                                                            \
    X(PROVIDER, "provider")                                                              \
    X(ROUTE, "route")                                                                    \
    X(PRESET, "preset")                                                                  \
    X(PLUGINS, "plugins")                                                                \
    X(WEB_SEARCH, "web_search")                                                          \
    X(ENABLE_SEARCH, "enable_search")                                                    \
    X(SEARCH_PARAMETERS, "search_parameters")                                            \
    X(MCP_SERVERS, "mcp_servers")                                                        \
    X(CONTAINER, "container")                                                            \
    X(SPEED, "speed")                                                                    \
    X(INFERENCE_GEO, "inference_geo")                                                    \
    X(DATA_SOURCES, "data_sources")                                                      \
    X(API_BASE, "api_base")                                                              \
    X(BASE_URL, "base_url")                                                              \
    X(DEPLOYMENT_ID, "deployment_id")                                                    \
    X(OPTIONS, "options")                                                                \
    X(MAX_LENGTH, "max_length")                                                          \
    X(BETAS, "betas")                                                                    \
    X(ANTHROPIC_BETA, "anthropic_beta")                                                  \
    X(EXTRA_BODY, "extra_body")                                                          \
    X(FRUGAL, "frugal")

enum scan_field {
#define X(name, key) SCAN_##name,
    SCAN_FIELDS(X)
#undef X
        SCAN_FIELD_COUNT
};

const char *scan_field_key(enum scan_field field);
/* In whatever letters; SCAN_FIELD_COUNT: it is none of ours. */
enum scan_field scan_field_find(struct str key);

#define SCAN_ERRORS(X)                                                                   \
    X(OK, "success")                                                                     \
    X(MALFORMED, "not valid JSON")                                                       \
    X(TRUNCATED, "the JSON ends too early")                                              \
    X(NOT_OBJECT, "the body must be a JSON object")                                      \
    X(TOO_DEEP, "nested too deeply")                                                     \
    X(NOT_UTF8, "not valid UTF-8")                                                       \
    X(DUPLICATE, "the key occurs twice")

enum scan_err {
#define X(name, text) SCAN_##name,
    SCAN_ERRORS(X)
#undef X
};

const char *scan_err_text(enum scan_err code);

/* What a content part can hold beside text: X(name, key). */
#define SCAN_MEDIA(X)                                                                    \
    X(IMAGE, "image_url")                                                                \
    X(AUDIO, "input_audio")                                                              \
    X(AUDIO_URL, "audio_url")                                                            \
    X(VIDEO, "video_url")                                                                \
    X(FILE, "file")

enum scan_media {
    SCAN_MEDIA_NONE,
#define X(name, key) SCAN_MEDIA_##name,
    SCAN_MEDIA(X)
#undef X
};

struct scan_place {
    enum jread_type type; /* JREAD_NOTHING: absent */
    size_t key_begin;     /* the key's first quote */
    size_t begin, end;    /* the value: [begin, end) */
};

#define SCAN_MAX_DEPTH     512
#define SCAN_LAST_MESSAGES 16 /* places of the last ones are kept */
#define SCAN_KEY_BYTES     32 /* longer keys are none of ours */

struct scan {
    /* results, complete after scan_end */
    struct scan_place fields[SCAN_FIELD_COUNT];
    size_t bytes;          /* seen so far */
    size_t n_messages;     /* elements of `messages` */
    size_t n_bad_messages; /* of them, not objects */
    struct scan_place
        messages[SCAN_LAST_MESSAGES]; /* message i at i % SCAN_LAST_MESSAGES,
                                         the last ones only; no key_begin */
    size_t n_images;                  /* content parts with an `image_url` */
    size_t n_other_media;             /* content parts with other media */
    /* Bit i: enum scan_media i is among them, or told elsewhere, which is not counted above: by
     * a part's `type`, by a message's `images`, in content that is one part and no list. */
    unsigned media_kinds;
    size_t media_bytes;            /* of the values of those members */
    bool json_object, json_schema; /* a `type` of `response_format` is that */
    /* A top-level key is one of ours but for upper and lower case, or is not ASCII: what
     * readers that fold case take for ours. */
    bool has_odd_key;
    size_t odd_begin, odd_end; /* the first of them, without its quotes */
    bool has_odd_frugal; /* it is `frugal` but for the case: options that would be lost */
    enum scan_err error;
    size_t error_offset;         /* of the first wrong byte */
    enum scan_field error_field; /* when DUPLICATE */

    /* private: the machine */
    const char *piece; /* being fed; offset = bytes + (p - piece) */
    uint8_t state;
    uint8_t literal, literal_at;            /* which word, and how much of it has come */
    uint8_t number;                         /* place in a number */
    uint8_t hex_left;                       /* digits of an escape still to come */
    uint8_t utf8_left, utf8_low, utf8_high; /* bytes of a character still to come */
    uint8_t key_n;
    uint8_t in_field; /* whose value this is at level 1; SCAN_FIELD_COUNT: none of ours */
    uint8_t media;    /* whose value this is at level 5 of messages */
    bool in_type;    /* behind a `type` at level 2 of the response format, or of a part */
    bool in_content; /* behind a message's `content` */
    bool in_images;  /* behind a message's `images`, Ollama's name for them */
    bool is_key;     /* the string under way is a key */
    bool keep_key;   /* it is kept: a key that may be one of ours, or such a type */
    bool key_foreign; /* but is not: too long, or not ASCII */
    bool key_wide;    /* not ASCII */
    bool in_messages;
    uint16_t depth, max_depth, hex;
    char key[SCAN_KEY_BYTES];
    size_t string_begin, media_begin;
    uint64_t is_object[SCAN_MAX_DEPTH / 64]; /* bit d: level d + 1 is an object */
};

void scan_init(struct scan *scan, unsigned max_depth); /* 1..SCAN_MAX_DEPTH */
NODISCARD enum scan_err scan_feed(struct scan *scan, const char *bytes, size_t n);
NODISCARD enum scan_err scan_end(struct scan *scan);

/* The value's bytes in the whole body; empty when absent. */
struct str scan_raw(const struct scan *scan, enum scan_field field, struct str body);

#endif
