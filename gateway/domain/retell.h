/* retell.h - a request of another API, written down as a chat completion request.
 *
 *   struct retell r;
 *   retell_init(&r, body, &out, &error);
 *   retell_fields(&r, rules, n)        every top-level member, by its rule
 *   retell_message(&r, "user") ...     the API's own work, see messages.c and responses.c
 *   retell_end(&r)
 *
 *   {"model":"auto","system":"..","max_tokens":9,"messages":[..],"top_k":5}
 *          |            |               |              |              |
 *        passed      message          passed        messages    unknown: passed
 *
 * Each API is a table of rules: what is passed on as it is, dropped since it says nothing to a
 * chat expert, refused by name, or translated. An unknown member is passed, as it is in a chat
 * request, unless the translation could write its name itself. Raw values are copied, not
 * decoded, wherever both sides write them alike.
 *
 * The body was scanned before (scan.h): it is one valid JSON object. The first error wins and
 * is for the client. Pure; one thread; out may grow to its maximum, test error.code and
 * out->failed at the end, as retell_end does.
 */
#ifndef GATEWAY_DOMAIN_RETELL_H
#define GATEWAY_DOMAIN_RETELL_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/base/jput.h"
#include "gateway/base/str.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/jread.h"

/* What a chat completion cannot say: only an expert that speaks the API itself can be asked
 * then. What is written is not to be sent, but still says what the request is about. */
struct retell_gap {
    struct api_error
        error;     /* the first one, for where there is no such expert; code OK: none */
    bool stateful; /* it builds on what one expert has kept */
};

struct retell {
    struct jread_value root;
    struct jput j; /* the chat request */
    struct api_error *error;
    struct retell_gap *gap; /* NULL: what cannot be said is an error */
    const char *api;        /* "Messages", for errors */
    bool in_messages;       /* the list is open */
    bool in_calls;          /* an assistant's message with tool calls is open */
    bool limited;           /* a limit of the output was given */
    /* Members that are told at the end: what is said, and what stands before it. */
    struct jread_value said, before;
    size_t item; /* of the list being read, for errors */
};

enum retell_way { RETELL_PASS, RETELL_DROP, RETELL_REFUSE, RETELL_DO };

struct retell_rule {
    const char *key;
    enum retell_way way;
    void (*translate)(struct retell *r, struct jread_value value); /* DO */
};

void retell_init(struct retell *r, const char *api, struct str body, struct buf *out,
                 struct retell_gap *gap, struct api_error *error);
/* A null is as good as absent. */
void retell_fields(struct retell *r, const struct retell_rule *rules, size_t n);
NODISCARD enum api_err retell_end(struct retell *r);

bool retell_set(struct jread_value value); /* neither absent nor null */
/* False, and the error is said: it is there and of another type. */
bool retell_want(struct retell *r, const char *param, struct jread_value value,
                 enum jread_type type);
/* "'messages.3.content': ..." and 400, or the gap; the path is of the item being read. */
void retell_refuse(struct retell *r, const char *param, const char *format, ...)
    PRINTF_LIKE(3, 4);
void retell_refuse_kind(struct retell *r, const char *param, struct jread_value kind);

/* What both translations write. A key is a literal. */
void retell_raw(struct retell *r, const char *key, struct jread_value value);
/* {"name", "description", "parameters", "strict"} as a chat tool; parameters and strict may
 * be absent. */
void retell_tool(struct retell *r, struct jread_value tool, const char *parameters);
/* The schema of a wanted answer; name absent: "answer". */
void retell_schema(struct retell *r, struct jread_value name, struct jread_value schema,
                   struct jread_value strict);
/* One call of an assistant's message; arguments as a JSON string, or any value that is
 * written into one. Opens the message and its list where none is open. */
void retell_call(struct retell *r, struct jread_value id, struct jread_value name,
                 struct jread_value arguments);
void retell_calls_end(struct retell *r);
/* An object {"type":"image_url",..} in a list of parts. detail may be absent. */
void retell_image(struct retell *r, struct str url_inside, struct jread_value detail);
void retell_text_part(struct retell *r, struct jread_value text);
/* The strings' insides, joined by line feeds, as one JSON string. */
struct retell_join {
    size_t n;
};
void retell_join_begin(struct retell *r, const char *key, struct retell_join *join);
void retell_join_add(struct retell *r, struct retell_join *join, struct jread_value text);
void retell_join_end(struct retell *r);

#endif
