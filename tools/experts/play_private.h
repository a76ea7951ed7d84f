/* play_private.h - what play.c and play_native.c share; for them alone. */
#ifndef TOOLS_EXPERTS_PLAY_PRIVATE_H
#define TOOLS_EXPERTS_PLAY_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/experts/play.h"

enum phase { ROLE, REASONING, CONTENT, FINISH, USAGE, DONE };

struct play {
    struct request request; /* owned */
    uint64_t number;
    long long created;
    char *text; /* owned: an expert's or an actor's whole answer; NULL for
                      other scripts */
    size_t text_bytes;
    size_t tokens;  /* of one choice */
    bool cut_short; /* by max_tokens */
    enum phase phase;
    int chunk;       /* content chunks of the current choice so far */
    int choice;      /* whose turn it is */
    size_t at;       /* bytes of text that were sent */
    size_t written;  /* tokens of all choices that were sent */
    size_t reasoned; /* of them, reasoning */
    int events;      /* play_native.c: of an API that numbers them */
};

/* What the script does at this chunk instead of going on; PLAY_MORE: nothing. PLAY_END: an
 * error event is due, which is the API's own. */
enum play_step play_interrupted(const struct play *play);
bool play_content_left(const struct play *play);
/* The next piece of content as a JSON string; counts it. */
void play_put_piece(struct play *play, struct buf *out);
/* All of the content, or of the reasoning, as a JSON string; counts nothing. */
void play_put_text(const struct play *play, struct buf *out);
void play_put_reasoning(const struct play *play, struct buf *out);
/* The numbers to be told, true or as the script has them. */
struct play_usage {
    size_t prompt, completion;
    const char *sign, *quote; /* before and around the completion's */
};
struct play_usage play_usage_of(const struct play *play);

/* play_native.c */
bool play_is_native(const struct play *play);
enum play_step play_native_next(struct play *play, struct buf *out, int *ret_wait_ms);
enum play_step play_native_body(struct play *play, struct buf *out);

#endif
