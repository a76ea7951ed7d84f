/* dialect.h - the APIs that a client may speak, a row each.
 *
 *   const struct dialect *d = dialect_of(DIALECT_MESSAGES);
 *   if (d->request) d->request(body, &out, gap, &error)    the body as a chat request
 *   voice_init(&voice, d->voice, ..)                       its answer, told back (voice.h)
 *   dialect_error(d, &error, id, &out), dialect_status(d, status)
 *
 * A dialect without `request` is passed on as it came and answered as the expert answers.
 * Pure; any thread.
 */
#ifndef GATEWAY_DOMAIN_DIALECT_H
#define GATEWAY_DOMAIN_DIALECT_H

#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/base/str.h"
#include "gateway/domain/api_error.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/voice.h"

#define DIALECTS(X)                                                                      \
    X(CHAT)                                                                              \
    X(COMPLETIONS)                                                                       \
    X(EMBEDDINGS)                                                                        \
    X(RESPONSES)                                                                         \
    X(MESSAGES)

enum dialect_name {
#define X(name) DIALECT_##name,
    DIALECTS(X)
#undef X
        DIALECT_COUNT
};

struct retell_gap;

struct dialect {
    enum chat_shape shape; /* of the body, once it is translated */
    /* NULL: nothing is translated */
    enum api_err (*request)(struct str body, struct buf *out, struct retell_gap *gap,
                            struct api_error *error);
    enum chat_shape
        native; /* for experts that speak it themselves; where it is translated */
    enum config_api api; /* what they have among their APIs */
    const struct voice_ops *voice;
    void (*echo)(struct str body, struct buf *echo); /* for voice_facts; may be NULL */
};

const struct dialect *dialect_of(enum dialect_name name);

/* An error's status as this API's clients expect it. */
int dialect_status(const struct dialect *dialect, int status);
/* An error's body. */
void dialect_error(const struct dialect *dialect, const struct api_error *error,
                   struct str request_id, struct buf *out);
/* What says nothing on a stream but that it lives. */
struct str dialect_ping(const struct dialect *dialect);
/* An error in a stream that was begun; sequence: of its next event (voice.h). */
void dialect_error_event(const struct dialect *dialect, const struct api_error *error,
                         struct str request_id, int64_t sequence, struct buf *out);
/* An expert's own error body: as it came where it has this API's shape; else in that shape,
 * with its words where it has any. */
void dialect_refusal(const struct dialect *dialect, struct str body, int status,
                     struct str request_id, struct buf *out);

#endif
