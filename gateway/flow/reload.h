/* reload.h - a reload that an operator asks for over HTTP: put to the main thread, which
 * reads files and may take its time, answered by mail to the exchange's loop.
 *
 *   loop   reload_start(reload, service, loop)      false: nobody takes it
 *   main   service->reload(context, mail) ... fills reload->report, reload_done(reload)
 *   loop   wake(arg): reload_render(&reload->report, &out)
 *
 * A report says all that a reload came to, whoever asked for it; a signal's goes to the log.
 *
 * Ownership: the exchange's (in its arena), which stays while `away`; main writes `report`
 * between the two mails and nobody else does.
 */
#ifndef GATEWAY_FLOW_RELOAD_H
#define GATEWAY_FLOW_RELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/domain/api_error.h"
#include "gateway/flow/snapshot.h"
#include "gateway/io/loop.h"

#define RELOAD_WARNINGS_MAX  32 /* beyond: counted in the last one */
#define RELOAD_WARNING_BYTES 400

struct reload_version { /* what decides requests */
    uint64_t snapshot;  /* 1, 2, 3... of this process */
    char config[17];    /* hash of the configuration's text */
    char bundle[24];    /* id; "": none */
};

struct reload_warning {
    char setting[64]; /* of the configuration, "limits.connections"; "": of none */
    char text[RELOAD_WARNING_BYTES];
};

struct reload_report {
    bool draining;               /* nothing was read: the gateway is about to end */
    bool failed;                 /* the old configuration stays in force */
    struct snapshot_error error; /* failed: why */
    struct reload_version before, now;
    size_t keys; /* in force */
    size_t n_warnings;
    struct reload_warning warnings[RELOAD_WARNINGS_MAX];
};

struct reload {
    struct reload_report report;
    void (*wake)(void *arg);
    void *arg;
    /* private */
    bool away;           /* main has it: it must stay where it is */
    struct loop *loop;   /* where the answer goes */
    void *context;       /* main's own */
    struct reload *next; /* in main's list of those who wait */
    struct loop_mail mail;
};

struct service;

/* wake and arg are set. False: this process takes no such request. */
NODISCARD bool reload_start(struct reload *reload, struct service *service,
                            struct loop *loop);
/* Main's, once, when the report is filled in: it does not touch the reload any more. */
void reload_done(struct reload *reload);

void reload_version_of(const struct snapshot *snapshot,
                       struct reload_version *ret_version);
/* setting NULL: it belongs to none. */
void reload_warn(struct reload_report *report, const char *setting, const char *format,
                 ...) PRINTF_LIKE(3, 4);
/* What the client's error is: OK where it was taken over. */
enum api_err reload_error(const struct reload_report *report, struct api_error *error);
/* The answer's body, of a success or of a failure. */
void reload_render(const struct reload_report *report, struct buf *out);

#endif
