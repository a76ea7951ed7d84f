/* shelter.h - work that is being paid for goes on when the command is killed.
 *
 *      shelter_enter(fault)      first of all: returns in a child process, never in the parent
 *      shelter_close(fault)      when the terminal is no longer read from
 *
 *   frugalctl --fork--> child: asks, keeps, prints
 *       |                  ^  SIGINT SIGTERM SIGHUP SIGQUIT, SIGTSTP SIGCONT: passed on
 *       | waits            |  SIGTERM from the kernel: the parent is gone
 *       +- exits with the child's status
 *
 * A process that is killed takes its connections with it, and what an expert was about to
 * say over them: paid for, and lost. So it is not the process that people and supervisors
 * know by its number that holds them. When that one dies, however it dies, the child is told
 * to stop as by Ctrl-C: it waits for what is in flight, keeps it and ends. What kills both
 * at once (the machine, a container's end) leaves marks, phase.h.
 *
 * The child ignores SIGPIPE, since nobody may be reading what it says, and SIGTTOU, since the
 * terminal is in the hands of the parent's process group. Linux only (prctl).
 */
#ifndef TOOLS_CTL_SHELTER_H
#define TOOLS_CTL_SHELTER_H

#include "tools/ctl/fault.h"

/* Before files, threads and signals. The parent ends with the child's exit code, or with
 * 128 + its signal. */
NODISCARD enum fault_err shelter_enter(struct fault *fault);
/* From here on the terminal's Ctrl-C reaches the child through the parent alone, so that it
 * comes once, as does a signal to the parent's process group. */
NODISCARD enum fault_err shelter_close(struct fault *fault);

#endif
