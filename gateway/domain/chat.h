/* chat.h - a chat completion request: its checked fields, and how it goes on to an
 * expert.
 *
 *   scan the body as it arrives (scan.h)
 *   chat_parse(&chat, &scan, body, &arena, &error)          typed values or a named 400
 *   chat_splice(&chat, &edit, &arena, pieces, &n, &bytes)   for every attempt
 *
 * The body reaches the expert byte for byte but for `model`,
 * stream_options.include_usage, the output limit and our `frugal` object:
 *
 *   body    {"frugal":{..},"model":"auto","messages":[ ... 11 MB ... ],"stream":true}
 *   pieces  {|"stream_options":{"include_usage":true},|"model":|"gpt"|,"messages":[ ... }
 *           ^body  ^arena                                ^body   ^arena ^body
 *
 * Pure; one thread; strings are borrowed from the body or the arena as said.
 */
#ifndef GATEWAY_DOMAIN_CHAT_H
#define GATEWAY_DOMAIN_CHAT_H

#include <sys/uio.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/arena.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/adapt.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/config.h"
#include "gateway/domain/scan.h"

#define CHAT_MAX_N      128
#define CHAT_MAX_MODEL  256 /* bytes of a model's name */
#define CHAT_MAX_PIECES 24

/* What is asked for, by where the prompt lies: X(name, path at an expert). Answers to a
 * prompt are choices, answers to an input are vectors. The native ones are requests of other
 * APIs to experts that speak them themselves (native.h). */
#define CHAT_SHAPES(X)                                                                   \
    X(MESSAGES, "/chat/completions")                                                     \
    X(PROMPT, "/completions")                                                            \
    X(INPUT, "/embeddings")                                                              \
    X(NATIVE_RESPONSES, "/responses")                                                    \
    X(NATIVE_MESSAGES, "/messages")

enum chat_shape {
#define X(name, path) CHAT_##name,
    CHAT_SHAPES(X)
#undef X
};
const char *chat_path(enum chat_shape shape);

struct chat_request {
    enum chat_shape shape;
    bool translated; /* out of another API: the limit's name is ours to choose */
    struct str body; /* borrowed until the request ends */
    /* Where it is translated: as it came, for who speaks that API himself; NULL: nobody does.
     * Borrowed likewise. */
    const struct chat_request *native;
    /* What of it the translation leaves out, as the client's error where nobody else is left:
     * only who speaks that API himself may be asked. NULL: nothing. Borrowed likewise. */
    const struct api_error *untold;
    bool stateful; /* it builds on what one expert has kept, so nobody can be chosen */
    const struct scan *scan; /* borrowed likewise */
    struct str model;        /* unescaped; in the arena */
    bool stream;
    bool include_usage;   /* the client asked for the usage chunk */
    int64_t n;            /* answers wanted, of all prompts together; 1 where absent */
    int64_t output_limit; /* the lower of max_tokens and max_completion_tokens; 0: none */
    size_t n_messages;    /* or prompts, or inputs */
    struct str frugal;    /* raw object, or empty */
    size_t prompt_bytes;  /* serialised messages, tools, functions, response format and
                             documents, media left out: bounds their tokens */
    size_t message_bytes; /* of them, the messages with their media; else 0 */
    size_t tools_bytes;   /* of them, what a template may print in a longer form */
    size_t n_images, n_other_media;
    uint32_t needs;     /* abilities, ability.h */
    bool limit_is_duty; /* its API asks for an output limit: it says little of what is
                           wanted */
};

/* Of an expert, what answers this request: its generator, or its embedding as one. */
const struct config_generator *chat_generator(const struct chat_request *chat,
                                              const struct config_expert *expert);

/* Does the expert speak the API that the request is in, or one into which it can be told? */
bool chat_speaks(const struct chat_request *chat, const struct config_expert *expert);
/* The expert speaks it only through the translation. */
bool chat_is_told(const struct chat_request *chat, const struct config_expert *expert);
/* What goes to this expert: the request as it came, or its translation. */
const struct chat_request *chat_form(const struct chat_request *chat,
                                     const struct config_expert *expert);

/* Types and ranges of what we read; anything else is the expert's to check. Errors carry
 * the parameter's name. */
NODISCARD enum api_err chat_parse(struct chat_request *chat, const struct scan *scan,
                                  struct str body, struct arena *arena,
                                  struct api_error *error);
/* The same for another shape of request. */
NODISCARD enum api_err chat_parse_as(struct chat_request *chat, enum chat_shape shape,
                                     const struct scan *scan, struct str body,
                                     struct arena *arena, struct api_error *error);
/* What a scan's error is to a client. */
enum api_err chat_scan_error(const struct scan *scan, struct api_error *error);

/* What a ceiling must know of a request beside its tokens; chat_price.c. A pass over the
 * messages: asked for only where there is a ceiling. */
struct chat_extras {
    const char
        *unpriced;      /* the first field with a price of its own, or whose effect on the
                             price is not known (hosted tools, audio, service_tier,
                             best_of, another output limit, ...), or NULL */
    struct str odd_key; /* where it is a key in other letters: as it stands in the body */
    bool cache_marks;   /* a cache_control somewhere: what is written may be dearer */
};
struct chat_extras chat_extras(const struct chat_request *chat);

struct chat_edit {
    struct str model;                    /* the expert's name for it */
    int64_t output_limit;                /* lowers or inserts the limit; 0: as it is */
    enum config_limit_field limit_field; /* the name under which it is sent; ANY: under
                                            those in use, else under max_tokens */
    const struct adapt *adapt;           /* the expert's dialect; NULL: it has none */
    uint32_t *adapted; /* set to its rules that changed something; may be NULL */
};
/* What a request may be cut into on its way with that edit. */
size_t chat_max_pieces(const struct chat_edit *edit);

/* ret_pieces: chat_max_pieces(), CHAT_MAX_PIECES without a dialect; they point into the body,
 * the arena and the configuration and live as long as these. Streams ask for usage, unless the
 * dialect drops that. NOMEM; TOO_LARGE: the dialect would have to change too many members. */
NODISCARD enum err chat_splice(const struct chat_request *chat,
                               const struct chat_edit *edit, struct arena *arena,
                               struct iovec *ret_pieces, size_t *ret_n,
                               size_t *ret_bytes);

#endif
