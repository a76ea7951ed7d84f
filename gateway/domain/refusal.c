/* refusal.c - the codes and words with which experts refuse; see refusal.h. */
#include "gateway/domain/refusal.h"

#include <ctype.h>
#include <string.h>

#include "gateway/domain/jread.h"

#define DEPTH         16
#define MESSAGE_BYTES 1024 /* of a message that are looked at */

struct sign {
    const char *text;
    enum refusal refusal;
};

/* The whole of a code or type. */
static const struct sign codes[] = {
    { "context_length_exceeded", REFUSAL_TOO_LONG },          /* OpenAI */
    { "string_above_max_length", REFUSAL_TOO_LONG },          /* OpenAI */
    { "exceed_context_size_error", REFUSAL_TOO_LONG },        /* llama.cpp */
    { "model_max_prompt_tokens_exceeded", REFUSAL_TOO_LONG }, /* GitHub */
    { "unsupported_parameter", REFUSAL_UNSUPPORTED },         /* OpenAI */
    { "unsupported_value", REFUSAL_UNSUPPORTED },             /* OpenAI */
    { "unknown_parameter", REFUSAL_UNSUPPORTED },             /* OpenAI */
    { "extra_forbidden", REFUSAL_UNSUPPORTED }, /* whoever checks by pydantic */
};

/* In a message, in small letters. What is longer comes before what it contains. */
static const struct sign words[] = {
    { "maximum context length", REFUSAL_TOO_LONG },     /* OpenAI, vLLM */
    { "available context size", REFUSAL_TOO_LONG },     /* llama.cpp */
    { "exceed context window", REFUSAL_TOO_LONG },      /* llama-cpp-python */
    { "exceed context limit", REFUSAL_TOO_LONG },       /* Anthropic */
    { "prompt is too long", REFUSAL_TOO_LONG },         /* Anthropic */
    { "exceeds the context length", REFUSAL_TOO_LONG }, /* Ollama */
    { "context length of only", REFUSAL_TOO_LONG },     /* LM Studio */
    { "longer than the model", REFUSAL_TOO_LONG },      /* SGLang: 's context length */
    { "too long to fit into the model", REFUSAL_TOO_LONG },    /* vLLM */
    { "too long and exceeds limit", REFUSAL_TOO_LONG },        /* vLLM */
    { "maximum number of tokens allowed", REFUSAL_TOO_LONG },  /* Gemini */
    { "tokens + `max_new_tokens` must be", REFUSAL_TOO_LONG }, /* TGI */
    { "`inputs` must have less than", REFUSAL_TOO_LONG },      /* TGI */
    { "max_tokens must be at least 1, got -",
      REFUSAL_TOO_LONG },                                     /* vLLM, nothing is left */
    { "unsupported param", REFUSAL_UNSUPPORTED },             /* OpenAI, llama.cpp */
    { "unsupported value", REFUSAL_UNSUPPORTED },             /* OpenAI */
    { "unknown parameter", REFUSAL_UNSUPPORTED },             /* OpenAI */
    { "unrecognized request argument", REFUSAL_UNSUPPORTED }, /* OpenAI */
    { "model supports at most", REFUSAL_UNSUPPORTED },        /* OpenAI: max_tokens */
    { "is not supported", REFUSAL_UNSUPPORTED }, /* llama.cpp: image input, and others */
    { "not support", REFUSAL_UNSUPPORTED },      /* Ollama: does not support tools */
    { "is unsupported", REFUSAL_UNSUPPORTED },   /* Groq */
    { "extra inputs are not permitted", REFUSAL_UNSUPPORTED }, /* Mistral, Anthropic */
    { "not a multimodal model", REFUSAL_UNSUPPORTED },         /* vLLM */
    { "tool choice requires", REFUSAL_UNSUPPORTED },           /* vLLM */
    { "requires --jinja", REFUSAL_UNSUPPORTED },               /* llama.cpp: tools */
    { "at most 0 image", REFUSAL_UNSUPPORTED },                /* vLLM */
};

/* Of them, what is written for nothing else, whatever the status is. */
static const struct sign sure_words[] = {
    { "input is not supported - hint", REFUSAL_UNSUPPORTED }, /* llama.cpp, with a 500 */
    { "unsupported param: tools", REFUSAL_UNSUPPORTED },      /* likewise */
};

const char *refusal_word(enum refusal refusal)
{
    static const char *const names[] = { "other", "too_long", "unsupported" };

    return names[refusal];
}

static enum refusal by_code(struct jread_value code)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (jread_string_is(code, codes[i].text))
            return codes[i].refusal;
    return REFUSAL_OTHER;
}

static enum refusal by_signs(struct jread_value message, const struct sign *signs,
                             size_t n)
{
    char small[MESSAGE_BYTES];
    struct str raw = message.raw;

    if (message.type != JREAD_TEXT)
        return REFUSAL_OTHER;
    raw = str_first(raw, sizeof small);
    for (size_t i = 0; i < raw.n; i++)
        small[i] = (char)tolower((unsigned char)raw.p[i]);
    for (size_t i = 0; i < n; i++)
        if (memmem(small, raw.n, signs[i].text, strlen(signs[i].text)) != NULL)
            return signs[i].refusal;
    return REFUSAL_OTHER;
}

static enum refusal by_words(struct jread_value message)
{
    return by_signs(message, words, ARRAY_LEN(words));
}

/* The first that says something: code and type before words, since these are for people. */
static enum refusal of_error(struct jread_value error)
{
    enum refusal refusal = by_code(jread_get(error, "code"));

    if (refusal == REFUSAL_OTHER)
        refusal = by_code(jread_get(error, "type"));
    if (refusal == REFUSAL_OTHER)
        refusal = by_words(jread_get(error, "message"));
    return refusal == REFUSAL_OTHER ? by_words(jread_get(error, "msg")) : refusal;
}

/* A list of findings, or one. */
static enum refusal of_detail(struct jread_value detail)
{
    struct jread_iter it = jread_iter(detail);
    struct jread_value finding;
    enum refusal refusal = by_words(detail);

    if (detail.type == JREAD_LIST)
        while (refusal == REFUSAL_OTHER && jread_next_element(&it, &finding))
            refusal = of_error(finding);
    return refusal;
}

static bool read_body(struct str body, struct jread_value *ret_root)
{
    return body.n <= REFUSAL_BYTES && jread_parse(body, DEPTH, ret_root) &&
           ret_root->type == JREAD_MAP;
}

enum refusal refusal_for_sure(struct str body)
{
    struct jread_value root, error;
    enum refusal refusal;

    if (!read_body(body, &root))
        return REFUSAL_OTHER;
    error = jread_get(root, "error");
    refusal = by_code(jread_get(error, "code"));
    if (refusal == REFUSAL_OTHER)
        refusal = by_code(jread_get(error, "type"));
    if (refusal == REFUSAL_OTHER)
        refusal =
            by_signs(jread_get(error, "message"), sure_words, ARRAY_LEN(sure_words));
    return refusal;
}

enum refusal refusal_of(struct str body)
{
    struct jread_value root, error, message;
    enum refusal refusal;

    if (!read_body(body, &root))
        return REFUSAL_OTHER;
    error = jread_get(root, "error");
    message = jread_get(root, "message");
    refusal = error.type == JREAD_MAP ? of_error(error) : by_words(error);
    if (refusal == REFUSAL_OTHER)
        refusal = of_error(root);
    if (refusal == REFUSAL_OTHER)
        refusal = of_detail(jread_get(root, "detail"));
    return refusal == REFUSAL_OTHER ? of_detail(jread_get(message, "detail")) : refusal;
}
