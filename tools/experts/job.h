/* job.h - one HTTP request of the server, from its head to its last byte.
 *
 *     job_new()  job_body()*  job_answer()+  job_over()     called by the lane, in this order
 *
 *     READING -> WAITING (suspended, for the script's delay) -> ANSWERING
 *                                                                 | stream: suspended
 *                                                                 | between its chunks
 *
 * A job belongs to its lane's thread.
 */
#ifndef TOOLS_EXPERTS_JOB_H
#define TOOLS_EXPERTS_JOB_H

#include <stdbool.h>

#include "tools/experts/lane.h"

/* NULL: out of memory. Method and url are looked at now and not kept. */
struct job *job_new(struct lane *lane, struct caller *caller,
                    struct MHD_Connection *connection, const char *method,
                    const char *url);
void job_body(struct job *job, const char *bytes, size_t n);

/* The body is complete, or the job was resumed. MHD_NO closes the connection. */
enum MHD_Result job_answer(struct job *job);

/* The client has gone: if the job waits it is resumed, to end. */
void job_gone(struct job *job);

/* The last call: counts and frees. NULL is fine. */
void job_over(struct job *job, bool sent_all);

#endif
