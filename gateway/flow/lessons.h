/* lessons.h - scores that clients gave, out of the gateway's database, as calibration rows: adr/0007.
 *
 *   lessons_stamp(path, &stamp)             has anything come since?
 *   lessons_add(path, &wish, rows, &taken)  a row for each score that may teach
 *
 * A score becomes a sparse row: the prompt's text (and its vectors, where they were kept and
 * come from the model in use), and one cell, that of the expert which answered:
 *
 *     quality = weight * score + (1 - weight) * predicted quality
 *
 * so that a score that is half sure moves the estimate half as far. Where nothing was
 * predicted the score stands alone.
 *
 * Bounds against poisoning: scores that are to teach their own key alone are left out unless
 * the rows are for that key; one key gives no more than `share` of the calibration rows, its
 * newest.
 *
 * Threads: any that may block on a file; each call opens the database for reading and closes it.
 */
#ifndef GATEWAY_FLOW_LESSONS_H
#define GATEWAY_FLOW_LESSONS_H

#include <stddef.h>
#include <stdint.h>

#include "fuser/fuser.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/io/store_schema.h"

#define LESSONS_SHARE 0.1 /* of one key in the calibration rows, unless told otherwise */

struct lessons_wish {
    /* The columns of the rows, in their order; borrowed. */
    const char *const *experts;
    size_t n_experts;
    const struct fuser_embedder_info
        *embedders; /* dim 0: a remote one's vectors are left out */
    size_t n_embedders;
    struct str text_version; /* of the rows' texts, routing_text.h */
    const char *key; /* scores that teach this key alone are taken too; NULL: none */
    size_t most;     /* rows of one key */
};

struct lessons_taken {
    size_t given;    /* in the database */
    size_t taken;    /* became rows */
    size_t foreign;  /* teach another key alone */
    size_t unknown;  /* of experts that are no column */
    size_t textless; /* neither text nor a usable vector was kept */
    size_t crowded;  /* beyond their key's share */
};

/* Differs when a score came or was replaced. */
struct lessons_stamp {
    int64_t n, newest_us;
};

struct lessons_error {
    char text[300];
};

/* IO: the database cannot be read. error may be NULL. */
NODISCARD enum err lessons_stamp_of(const char *path, struct lessons_stamp *ret_stamp,
                                    struct lessons_error *error);
/* IO, NOMEM, or INVALID: the fuser refuses a row. Rows may have been added before a failure. */
NODISCARD enum err lessons_add(const char *path, const struct lessons_wish *wish,
                               struct fuser_rows *rows, struct lessons_taken *ret_taken,
                               struct lessons_error *error);
/* The bundle with all scores that may teach everybody as rows; the same one, referenced once more, when there are
 * none. Takes memory and time for a copy of the bundle. *ret_bundle is to be given back. */
NODISCARD enum err lessons_learn(const char *path, struct fuser_bundle *bundle,
                                 struct fuser_bundle **ret_bundle,
                                 struct lessons_taken *ret_taken,
                                 struct lessons_error *error);

#endif
