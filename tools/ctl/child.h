/* child.h - a grader of the operator's own: one program, asked line by line.
 *
 *   struct child *child = child_new("./grade --strict", 30000);
 *   switch (child_ask(child, &line, &quality, note, sizeof note)) ...
 *   child_free(child)
 *
 *   {"id", "prompt", "messages", "reference", "answer"}\n   -->  program
 *   {"id", "quality": 0..1 or null, "note"}\n               <--
 *
 * The program is started with the first question (`sh -c "exec COMMAND"`, standard error is
 * ours) and asked one line at a time; `id` must come back. One that ends, is late, or says
 * what is no such line loses that answer only: it is ended with its group, counted, and
 * started anew for the next question, CHILD_RESTARTS times in a run. After that, or when it
 * ends CHILD_IN_ROW times in a row, it is given up.
 *
 * Threads: one. SIGPIPE is ignored while it runs.
 */
#ifndef TOOLS_CTL_CHILD_H
#define TOOLS_CTL_CHILD_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/ctl/fault.h"

#define CHILD_RESTARTS   20
#define CHILD_IN_ROW     5
#define CHILD_LINE_BYTES (1u << 20) /* of what it says */
#define CHILD_NOTE_BYTES 200

struct child;

enum child_answer {
    CHILD_OK,       /* *ret_quality is set; NAN: it says that it cannot tell */
    CHILD_FAILED,   /* no answer to this question: the note says why */
    CHILD_GIVEN_UP, /* no answer to any more */
};

/* All but `id` and `answer` may be NULL. messages: JSON. */
struct child_question {
    const char *id, *prompt, *messages, *reference, *answer;
};

struct child *child_new(const char *command, int limit_ms);
void child_free(struct child *child); /* takes NULL; ends the program */

enum child_answer child_ask(struct child *child, const struct child_question *question,
                            double *ret_quality, char note[CHILD_NOTE_BYTES]);
/* How often it failed in all. */
size_t child_failures(const struct child *child);

#endif
