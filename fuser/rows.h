/* rows.h - calibration rows as the builder sees them. The functions are in fuser.h.
 *
 * Rows, generators and embedders stand in the order in which the caller gave them; the
 * bundle sorts them by name, so that the order of a file never changes a decision.
 */
#ifndef FUSER_ROWS_H
#define FUSER_ROWS_H

#include "fuser/fuser.h"

#define ROWS_ID_MAX     512        /* bytes of an id or a domain */
#define ROWS_TEXT_MAX   (64 << 20) /* bytes of a text */
#define ROWS_MAX        (1u << 26)
#define ROWS_AMOUNT_MAX 1e9f /* tokens, or milliseconds */

struct rows_entry {
    char *id;     /* owned: one allocation holds id, domain and text */
    char *domain; /* or NULL */
    char *text;   /* or NULL */
    size_t text_bytes;
};

struct fuser_rows {
    size_t n, room;
    size_t n_generators, n_embedders;
    char (*generators)[FUSER_MAX_NAME];
    struct fuser_embedder_info embedders[FUSER_MAX_EMBEDDERS];
    struct rows_entry *entries;                  /* n */
    struct fuser_cell *cells;                    /* n x n_generators */
    float *vectors[FUSER_MAX_EMBEDDERS];         /* n x dim; NULL for built-in ones */
    unsigned char *present[FUSER_MAX_EMBEDDERS]; /* n: the row has that vector */
    uint32_t *slots; /* hash table of ids: row + 1, 0 is free */
    size_t n_slots;  /* a power of two, at least twice n */
};

#endif
