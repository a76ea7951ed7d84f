/* idle.h - connections without a request, and who of them goes when there are too many
 *
 *   connection_started     idle_enter, idle_crowd      a place of limits.connections is taken
 *   a request's head       idle_leave
 *   a request's end        idle_enter
 *   connection_closed      idle_leave
 *
 * When nearly all places are taken, each further connection costs the one its place that has
 * been without a request for longest, but for the last second: so clients that connect and
 * say nothing, or send a head byte by byte, keep nobody out. Those with a request under way
 * are never touched.
 *
 * Threads: the worker's own.
 */
#ifndef GATEWAY_EDGE_IDLE_H
#define GATEWAY_EDGE_IDLE_H

#include "gateway/edge/server_private.h"

void idle_init(struct server *server);
void idle_release(struct server *server); /* every connection is closed */
/* Takes one that is idle already: its time begins anew. */
void idle_enter(struct connection *connection);
/* Takes one that is not idle. */
void idle_leave(struct connection *connection);
/* Somebody has come; closes who has to go. */
void idle_crowd(struct server *server);

#endif
