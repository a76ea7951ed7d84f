/* probe_call.h - one call of `frugalctl probe` and all that is seen of its answer.
 *
 *   struct probe_line line = { .network = &network, .key = getenv(..), .wait_ms = 120000 };
 *   probe_call(&line, "POST", url, "{..}", &answer, &fault)
 *   probe_answer_release(&answer)
 *
 * A status other than 200 is an answer, too. Of a stream it is kept when each piece came, so that
 * events can be timed afterwards.
 */
#ifndef TOOLS_CTL_PROBE_CALL_H
#define TOOLS_CTL_PROBE_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/domain/jread.h"
#include "tools/ctl/fault.h"
#include "tools/ctl/network.h"

#define PROBE_ANSWER_BYTES (16u << 20)
#define PROBE_PIECES       1024 /* whose times are kept */

struct probe_line { /* all borrowed */
    struct network *network;
    const char *key, *key_header; /* NULL: none; as a bearer token */
    unsigned wait_ms;             /* for a whole answer */
};

struct probe_answer {
    unsigned status;
    struct buf body;
    double connect_ms, first_ms, done_ms;
    size_t n_pieces;
    struct {
        size_t end; /* bytes of the body until and with it */
        double at_ms;
    } pieces[PROBE_PIECES];
};

/* body NULL: none. FAULT_EXPERT: no whole answer came. *ret_answer is to be released then, too. */
NODISCARD enum fault_err probe_call(const struct probe_line *line, const char *method,
                                    const char *url, const char *body,
                                    struct probe_answer *ret_answer, struct fault *fault);
void probe_answer_release(struct probe_answer *answer); /* takes a zeroed one */

/* The body as JSON; NOTHING where it is none. */
struct jread_value probe_json(const struct probe_answer *answer);
/* When the byte came. */
double probe_byte_ms(const struct probe_answer *answer, size_t at);
/* "status 404: no model of that name": what a refusal says, the caller's to free. */
char *probe_refusal(const struct probe_answer *answer);

#endif
