/* lane.h - one thread of the server and its connections; see service.h.
 *
 *      loop --readable--> MHD_run --> lane's handler --> job_...
 *       |                                                  |
 *       +--timer--> job wakes --> MHD_resume_connection    | suspended while it waits
 *       +--EPOLLRDHUP of the client's socket: job is gone <+
 *
 * libmicrohttpd does not see a client that leaves while its connection is suspended, so
 * every client socket is watched here as well.
 */
#ifndef TOOLS_EXPERTS_LANE_H
#define TOOLS_EXPERTS_LANE_H

#include <stdbool.h>

#include <microhttpd.h>

#include "gateway/base/err.h"
#include "gateway/io/loop.h"
#include "tools/experts/alias.h"
#include "tools/experts/stats.h"

struct job;

/* Open: jobs live in it. One thread. */
struct lane {
    struct loop *loop;
    struct MHD_Daemon *daemon;
    struct loop_watch readable;    /* the daemon's epoll descriptor */
    struct loop_task run;          /* MHD_run at the end of the turn */
    struct stats *stats;           /* shared */
    struct invoices *invoices;     /* shared; NULL: none are written */
    const struct aliases *aliases; /* shared; NULL: none */
    struct job *waiting;           /* list of suspended jobs */
    bool closing;                  /* no job may wait any more */
    uint64_t number;               /* of the last job; starts at the lane's own offset */
    uint64_t stride;               /* lanes count in turns, so that numbers are unique */
};

/* A client's connection, from accept to close. */
struct caller {
    struct lane *lane;
    struct loop_watch gone;
    struct job *job; /* in progress, or NULL */
    bool left;       /* seen once, perhaps before its request was read */
};

/* listen_fd is taken, also on failure. */
NODISCARD enum err lane_new(int listen_fd, struct stats *stats, struct invoices *invoices,
                            const struct aliases *aliases, uint64_t first,
                            uint64_t stride, struct lane **ret_lane);
void lane_run(struct lane *lane);  /* until lane_stop() */
void lane_stop(struct lane *lane); /* any thread */
void lane_free(struct lane *lane); /* takes NULL; the lane is not running any more */

void lane_turn(struct lane *lane); /* MHD has something to do: before the turn ends */

#endif
