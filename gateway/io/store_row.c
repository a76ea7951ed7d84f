/* store_row.c - rows in one piece of memory. What must hold: the texts of a row lie inside
 * it, so that it can go to another thread when its request's arena is gone. */
#include "gateway/io/store_row.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/io/store_private.h"

const char *store_kind_word(enum store_kind kind)
{
    static const char *const words[] = {
#define X(name, word) word,
        STORE_KINDS(X)
#undef X
    };

    return words[kind];
}

const char *store_fate_word(enum store_fate fate)
{
    static const char *const words[] = {
#define X(name, word) word,
        STORE_FATES(X)
#undef X
    };

    return words[fate];
}

const char *store_state_word(enum store_state state)
{
    static const char *const words[] = {
#define X(name, word) word,
        STORE_STATES(X)
#undef X
    };

    return words[state];
}

/* The texts of each sort of row, in the order in which they are packed. */
#define DECISION_TEXTS(X, d)                                                             \
    X((d)->id)                                                                           \
    X((d)->request_id)                                                                   \
    X((d)->response_id)                                                                  \
    X((d)->key)                                                                          \
    X((d)->policy)                                                                       \
    X((d)->expert)                                                                       \
    X((d)->reason)                                                                       \
    X((d)->tags)                                                                         \
    X((d)->bundle)                                                                       \
    X((d)->config)                                                                       \
    X((d)->record)

#define FEEDBACK_TEXTS(X, f)                                                             \
    X((f)->decision)                                                                     \
    X((f)->expert)                                                                       \
    X((f)->key)                                                                          \
    X((f)->messages)                                                                     \
    X((f)->text)                                                                         \
    X((f)->text_version)                                                                 \
    X((f)->vectors)

/* Moves the text to *at, and *at behind it. */
static void pack(struct str *text, char **at)
{
    if (text->n > 0)
        memcpy(*at, text->p, text->n);
    (*at)[text->n] = '\0';
    text->p = text->p != NULL ? *at : NULL;
    *at += text->n + 1;
}

static struct store_row *row_new(enum store_sort sort, size_t bytes)
{
    struct store_row *row = malloc(sizeof *row + bytes);

    if (row == NULL)
        return NULL;
    *row = (struct store_row){ .sort = sort, .bytes = sizeof *row + bytes };
    return row;
}

struct store_row *store_row_decision(const struct store_decision *decision)
{
    size_t n = decision->n_charges;
    size_t bytes = n * sizeof(struct store_charge);
    struct store_charge *charges;
    struct store_row *row;
    char *at;

    assert(decision->id.n > 0);
#define X(text) bytes += (text).n + 1;
    DECISION_TEXTS(X, decision)
#undef X
    for (size_t i = 0; i < n; i++)
        bytes += decision->charges[i].expert.n + 1;
    row = row_new(STORE_SORT_DECISION, bytes);
    if (row == NULL)
        return NULL;
    row->decision = *decision;
    charges = (struct store_charge *)row->rest;
    at = (char *)(charges + n);
    if (n > 0)
        memcpy(charges, decision->charges, n * sizeof *charges);
    row->decision.charges = charges;
#define X(text) pack(&(text), &at);
    DECISION_TEXTS(X, &row->decision)
#undef X
    for (size_t i = 0; i < n; i++)
        pack(&charges[i].expert, &at);
    return row;
}

struct store_row *store_row_feedback(const struct store_feedback *feedback)
{
    struct store_row *row;
    size_t bytes = 0;
    char *at;

    assert(feedback->decision.n > 0);
#define X(text) bytes += (text).n + 1;
    FEEDBACK_TEXTS(X, feedback)
#undef X
    row = row_new(STORE_SORT_FEEDBACK, bytes);
    if (row == NULL)
        return NULL;
    row->feedback = *feedback;
    at = row->rest;
#define X(text) pack(&(text), &at);
    FEEDBACK_TEXTS(X, &row->feedback)
#undef X
    return row;
}

void store_row_free(struct store_row *row)
{
    free(row);
}

size_t store_row_bytes(const struct store_row *row)
{
    return row->bytes;
}

const struct store_decision *store_row_as_decision(const struct store_row *row)
{
    return row->sort == STORE_SORT_DECISION ? &row->decision : NULL;
}

const struct store_feedback *store_row_as_feedback(const struct store_row *row)
{
    return row->sort == STORE_SORT_FEEDBACK ? &row->feedback : NULL;
}
