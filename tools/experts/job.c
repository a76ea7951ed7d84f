/* job.c - see job.h.
 *
 * What must hold: a job on the lane's waiting list is suspended, and only such a job is
 * resumed; whatever way it ends, it is counted exactly once.
 */
#include "tools/experts/job.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tools/experts/embed.h"
#include "tools/experts/gzip.h"
#include "tools/experts/play.h"
#include "tools/experts/service.h"

enum { BURST_BYTES = 16384 }; /* events without a pause between them go out together */

enum route { ASK, MODELS, HEALTH, STATS, INVOICES, WRONG_METHOD, UNKNOWN };

static const struct {
    const char *method, *path;
    enum route route;
    enum request_api api;
} routes[] = {
    { "POST", "/v1/chat/completions", ASK, REQUEST_CHAT },
    { "POST", "/v1/completions", ASK, REQUEST_COMPLETIONS },
    { "POST", "/v1/embeddings", ASK, REQUEST_EMBEDDINGS },
    { "POST", "/v1/responses", ASK, REQUEST_RESPONSES },
    { "POST", "/v1/messages", ASK, REQUEST_MESSAGES },
    { "GET", "/v1/models", MODELS, 0 },
    { "GET", "/healthz", HEALTH, 0 },
    { "GET", "/stats", STATS, 0 },
    { "GET", "/invoices", INVOICES, 0 },
};

struct job {
    struct lane *lane;
    struct caller *caller;
    struct MHD_Connection *connection;
    enum route route;
    enum request_api api;
    uint64_t number;
    struct buf body, out;
    struct play *play; /* owned */
    struct stats_model *stats;
    struct invoice invoice; /* its id; the rest when it is over */
    struct loop_timer wake;
    uint64_t due_us;     /* nothing is said before */
    enum play_step step; /* of the last thing said */
    size_t slice;        /* bytes of one write; 0: as they come */
    bool started;        /* the body was read and understood */
    bool suspended, gone;
    bool cut;                 /* by us: that the line is gone then is no news */
    struct job *next, **prev; /* on lane->waiting while suspended */
};

static enum route route_of(const char *method, const char *url, enum request_api *ret_api)
{
    enum route route = UNKNOWN;
    *ret_api = REQUEST_CHAT;
    for (size_t r = 0; r < ARRAY_LEN(routes); r++) {
        if (strcmp(url, routes[r].path) != 0)
            continue;
        *ret_api = routes[r].api;
        if (strcmp(method, routes[r].method) == 0)
            return routes[r].route;
        route = WRONG_METHOD;
    }
    return route;
}

static void resume(struct job *job)
{
    *job->prev = job->next;
    if (job->next != NULL)
        job->next->prev = job->prev;
    job->suspended = false;
    loop_timer_clear(job->lane->loop, &job->wake);
    MHD_resume_connection(job->connection);
    lane_turn(job->lane);
}

static void on_wake(void *arg)
{
    resume(arg);
}

/* Until due_us, or for ever where due_us is UINT64_MAX. */
static void suspend(struct job *job, uint64_t due_us)
{
    struct lane *lane = job->lane;
    job->suspended = true;
    job->next = lane->waiting;
    job->prev = &lane->waiting;
    if (job->next != NULL)
        job->next->prev = &job->next;
    lane->waiting = job;
    MHD_suspend_connection(job->connection);
    job->due_us = due_us;
    if (due_us != UINT64_MAX && loop_timer_set(lane->loop, &job->wake, due_us) != LOOP_OK)
        job_gone(job); /* no memory for a timer: better cut than hang */
}

static void take_id(struct job *job)
{
    const char *id =
        MHD_lookup_connection_value(job->connection, MHD_HEADER_KIND, "x-request-id");
    (void)snprintf(job->invoice.id, sizeof job->invoice.id, "%s", id != NULL ? id : "");
    for (char *p = job->invoice.id; *p != 0; p++)
        *p = *p < ' ' || *p > '~' ? '?' : *p;
}

struct job *job_new(struct lane *lane, struct caller *caller,
                    struct MHD_Connection *connection, const char *method,
                    const char *url)
{
    struct job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return NULL;
    job->lane = lane;
    job->caller = caller;
    job->connection = connection;
    job->gone = caller->left || lane->closing;
    job->route = route_of(method, url, &job->api);
    lane->number += lane->stride;
    job->number = lane->number;
    job->wake = (struct loop_timer){ .fn = on_wake, .arg = job };
    buf_init(&job->body, SERVICE_BODY_BYTES);
    buf_init(&job->out, PLAY_BODY_BYTES);
    caller->job = job;
    take_id(job);
    return job;
}

void job_body(struct job *job, const char *bytes, size_t n)
{
    /* Too long a body is read to its end and refused then: `failed` remembers. */
    IGNORE(buf_add(&job->body, bytes, n));
}

void job_gone(struct job *job)
{
    job->gone = true;
    if (job->suspended)
        resume(job);
}

static void bill(struct job *job)
{
    job->invoice.model = job->stats->name;
    if (job->lane->invoices != NULL && play_bill(job->play, &job->invoice))
        invoices_add(job->lane->invoices, &job->invoice);
}

void job_over(struct job *job, bool sent_all)
{
    if (job == NULL)
        return;
    assert(!job->suspended);
    if (job->play != NULL && job->stats != NULL)
        bill(job);
    if (job->stats != NULL) {
        bool whole = job->step == PLAY_END && sent_all && !job->gone;
        atomic_fetch_add(&job->stats->in_flight, -1);
        atomic_fetch_add(whole      ? &job->stats->completed
                         : job->cut ? &job->stats->cut
                                    : &job->stats->cancelled,
                         1);
        if (job->play != NULL)
            atomic_fetch_add(&job->stats->completion_tokens,
                             (int64_t)play_completion_tokens(job->play));
    }
    loop_timer_clear(job->lane->loop, &job->wake);
    job->caller->job = NULL;
    play_free(job->play);
    buf_release(&job->body);
    buf_release(&job->out);
    free(job);
}

/* -- answers --------------------------------------------------------------------- */

/* libmicrohttpd closes such a connection in a later run, but only where it has an event of the
 * socket or no older connection is open: we make the event. */
static ssize_t cut_off(struct job *job)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(job->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    job->cut = !job->gone;
    if (info != NULL)
        (void)shutdown(info->connect_fd, SHUT_RDWR);
    lane_turn(job->lane);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static ssize_t on_read(void *arg, uint64_t position, char *room, size_t most)
{
    (void)position;
    struct job *job = arg;
    uint64_t now_us = loop_now_us(job->lane->loop);
    if (job->gone)
        return cut_off(job);
    if (now_us < job->due_us && job->due_us != UINT64_MAX) {
        suspend(job, job->due_us);
        return 0;
    }
    while (job->step == PLAY_MORE && job->out.n < BURST_BYTES && now_us >= job->due_us) {
        int wait_ms = 0;
        job->step = play_next(job->play, &job->out, &wait_ms);
        job->due_us = now_us + (uint64_t)wait_ms * 1000;
    }
    if (job->out.n > 0) {
        size_t n = job->out.n < most ? job->out.n : most;
        if (job->slice > 0 && n > job->slice) {
            n = job->slice;
            job->due_us = now_us + 1000;
        }
        memcpy(room, job->out.p, n);
        buf_consume(&job->out, n);
        return (ssize_t)n;
    }
    if (job->step == PLAY_END)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (job->step == PLAY_CUT)
        return cut_off(job);
    suspend(job, job->step == PLAY_STALL ? UINT64_MAX : job->due_us);
    return 0;
}

static enum MHD_Result queue(struct job *job, unsigned status, const char *type,
                             struct MHD_Response *response)
{
    if (response == NULL)
        return MHD_NO;
    char id[40];
    (void)snprintf(id, sizeof id, "up-%llx", (unsigned long long)job->number);
    const struct script *script =
        job->play != NULL ? &play_request(job->play)->script : NULL;
    enum MHD_Result ok = MHD_add_response_header(response, "Content-Type", type);
    if (ok == MHD_YES)
        ok = MHD_add_response_header(response, "x-request-id", id);
    if (ok == MHD_YES && script != NULL && script->retry_after >= 0) {
        char seconds[24];
        (void)snprintf(seconds, sizeof seconds, "%d", script->retry_after);
        ok = MHD_add_response_header(response, "Retry-After", seconds);
    }
    if (ok == MHD_YES && script != NULL && script->gzip != 0 &&
        !play_request(job->play)->stream)
        ok = MHD_add_response_header(response, "Content-Encoding", "gzip");
    if (ok == MHD_YES)
        ok = MHD_queue_response(job->connection, status, response);
    MHD_destroy_response(response);
    return ok;
}

/* The bytes stay in job->out, which outlives the response. */
static enum MHD_Result queue_out(struct job *job, unsigned status, const char *type)
{
    return queue(
        job, status, type,
        MHD_create_response_from_buffer(job->out.n, job->out.p, MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result refuse(struct job *job, const struct request_error *error)
{
    play_error(error, job->api, &job->out);
    if (job->stats != NULL)
        atomic_fetch_add(&job->stats->refused, 1);
    job->step = PLAY_END;
    return queue_out(job, (unsigned)error->status, "application/json");
}

static enum MHD_Result answer_stream(struct job *job)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BURST_BYTES, on_read, job, NULL);
    if (response != NULL &&
        MHD_add_response_header(response, "Cache-Control", "no-cache") != MHD_YES) {
        MHD_destroy_response(response);
        return MHD_NO;
    }
    return queue(job, (unsigned)play_request(job->play)->script.status,
                 "text/event-stream", response);
}

/* In one piece, or with its whole length announced and cut in the middle. */
static enum MHD_Result answer_body(struct job *job)
{
    const struct script *script = &play_request(job->play)->script;
    job->step = play_body(job->play, &job->out);
    if (script->gzip != 0) {
        struct buf plain = job->out;
        buf_init(&job->out, PLAY_BODY_BYTES);
        gzip_put(&job->out, buf_str(&plain));
        buf_release(&plain);
    }
    if (job->step == PLAY_END && job->slice == 0)
        return queue_out(job, (unsigned)script->status, "application/json");
    size_t whole = job->out.n;
    if (job->step == PLAY_CUT)
        job->out.n = whole / 2;
    return queue(
        job, (unsigned)script->status, "application/json",
        MHD_create_response_from_callback(whole, BURST_BYTES, on_read, job, NULL));
}

static enum MHD_Result answer_play(struct job *job)
{
    const struct request *request = play_request(job->play);
    if (request->script.status >= 400) {
        struct request_error error = { .status = request->script.status };
        (void)snprintf(error.message, sizeof error.message,
                       "the script answers with status %d", request->script.status);
        if (request->script.unsupported != 0)
            error.code = "unsupported_parameter";
        return refuse(job, &error);
    }
    return request->stream ? answer_stream(job) : answer_body(job);
}

/* Reads the request; the answer may have to wait. */
static enum MHD_Result start(struct job *job)
{
    struct request request;
    struct request_error error = { .status = 413 };
    enum MHD_Result result = MHD_NO;
    request_init(&request);
    request.aliases = job->lane->aliases;
    const char *body = job->body.n > 0 ? job->body.p : "";
    int refused = 413;
    if (job->body.failed)
        (void)snprintf(error.message, sizeof error.message, "the body is too large");
    else
        refused = request_read(&request, job->api, body, job->body.n, &error);
    buf_release(&job->body);
    job->stats = stats_of(job->lane->stats, refused == 0 ? request.model : "refused");
    atomic_fetch_add(&job->stats->requests, 1);
    atomic_fetch_add(&job->stats->in_flight, 1);
    if (refused != 0) {
        result = refuse(job, &error);
        goto out;
    }
    atomic_fetch_add(&job->stats->prompt_tokens, (int64_t)request.prompt_tokens);
    job->play = play_new(&request, job->number);
    if (job->play == NULL)
        goto out;
    const struct script *script = &play_request(job->play)->script;
    const struct expert *expert = play_request(job->play)->expert;
    uint64_t now_us = loop_now_us(job->lane->loop);
    int delay_ms = expert != NULL ? expert->first_ms : script->delay_ms;
    job->slice = (size_t)script->slice_bytes;
    result = MHD_YES;
    if (script->cut_head != 0) {
        job->step = PLAY_CUT;
        job->cut = !job->gone;
        result = MHD_NO;
    } else if (script->stall_head != 0) {
        suspend(job, UINT64_MAX);
    } else if (delay_ms > 0) {
        suspend(job, now_us + (uint64_t)delay_ms * 1000);
    } else {
        job->due_us = now_us + (uint64_t)script->first_ms * 1000;
        result = answer_play(job);
    }
out:
    request_release(&request);
    return result;
}

static void put_models(const struct aliases *aliases, struct buf *out)
{
    buf_put(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < aliases_count(aliases); i++) {
        buf_put(out, i > 0 ? ",{\"id\":" : "{\"id\":");
        buf_put_json(out, str_of(aliases_name(aliases, i)));
        buf_put(out, ",\"object\":\"model\",\"created\":0,\"owned_by\":\"library\"}");
    }
    if (aliases != NULL) {
        buf_put(out, "]}\n");
        return;
    }
    for (size_t e = 0; e < n_experts; e++)
        buf_putf(out,
                 "{\"id\":\"%s\",\"object\":\"model\",\"created\":0,\"owned_by\":"
                 "\"frugal-experts\"},",
                 experts[e].name);
    buf_put(out, "{\"id\":\"" EMBED_MODEL "\",\"object\":\"model\",\"created\":0,"
                 "\"owned_by\":\"frugal-experts\"}]}\n");
}

static uint64_t after_of(struct job *job)
{
    const char *after =
        MHD_lookup_connection_value(job->connection, MHD_GET_ARGUMENT_KIND, "after");
    return after != NULL ? strtoull(after, NULL, 10) : 0;
}

enum MHD_Result job_answer(struct job *job)
{
    if (job->gone)
        return MHD_NO;
    bool resumed = job->started;
    job->started = true;
    struct request_error error = { .status = 404 };
    switch (job->route) {
    case ASK:
        if (!resumed)
            return start(job);
        job->due_us = loop_now_us(job->lane->loop) +
                      (uint64_t)play_request(job->play)->script.first_ms * 1000;
        return answer_play(job);
    case MODELS:
        put_models(job->lane->aliases, &job->out);
        return queue_out(job, 200, "application/json");
    case HEALTH:
        buf_put(&job->out, "{\"status\":\"ok\"}\n");
        return queue_out(job, 200, "application/json");
    case STATS:
        stats_render(job->lane->stats, &job->out);
        return queue_out(job, 200, "application/json");
    case INVOICES:
        if (job->lane->invoices == NULL)
            break;
        invoices_render(job->lane->invoices, after_of(job), &job->out);
        return queue_out(job, 200, "application/json");
    case WRONG_METHOD:
        error.status = 405;
        (void)snprintf(error.message, sizeof error.message, "no such method here");
        return refuse(job, &error);
    case UNKNOWN:
        break;
    }
    (void)snprintf(error.message, sizeof error.message, "no such path here");
    return refuse(job, &error);
}
