/* test_nomem.c - memory fails at the 1st, 2nd, 3rd... allocation of one request's whole life,
 * on every API, with evidence that is bought, with a ledger: the client always hears something
 * or sees its connection end, and nothing is left behind.
 *
 * Linked with --wrap, so that the calls of our objects come here; those of libraries do not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/log.h"
#include "gateway/flow/exchange.h"
#include "gateway/flow/worker.h"
#include "tests/unit/failing_malloc.h"
#include "tests/unit/flow/router.h"
#include "tests/unit/io/script_server.h"
#include "tests/unit/io/store_fixture.h"

#define TURNS_MAX 2000 /* of the loop; each waits 10 ms at most */

/* -- an expert that answers whatever is asked, on one connection after another -- */

#define USAGE "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}"

static const char whole[] =
    "{\"id\":\"x\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\","
    "\"choices\":"
    "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"fine\"},"
    "\"finish_reason\":\"stop\"}]," USAGE "}";
static const char chunks[] =
    "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
    "\"content\":\"\"}}]}\n\n"
    "data: "
    "{\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"fine\"}}]}\n\n"
    "data: "
    "{\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"
    "\n\n"
    "data: {\"id\":\"x\",\"choices\":[]," USAGE "}\n\n"
    "data: [DONE]\n\n";
static const char vector[] =
    "{\"data\":[{\"index\":0,\"embedding\":[1,0.1,0.1,0.1]}]," USAGE "}";

static struct {
    int fd;
    uint16_t port;
    pthread_t thread;
} expert;

static void say(struct script_peer *peer, const char *type, const char *body)
{
    char head[256];

    (void)snprintf(head, sizeof head,
                   "HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %zu\r\n"
                   "connection: close\r\n\r\n",
                   type, strlen(body));
    script_send(peer, head);
    script_send(peer, body);
}

/* The same in the words of the two other APIs. */
static const char message[] =
    "{\"id\":\"x\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\","
    "\"content\":[{"
    "\"type\":\"text\",\"text\":\"fine\"}],\"stop_reason\":\"end_turn\","
    "\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}";
static const char message_events[] =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"x\","
    "\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n"
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
    "\"delta\":{\"type\":\"text_delta\",\"text\":\"fine\"}}\n\n"
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
    "\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n"
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
static const char response[] =
    "{\"id\":\"x\",\"object\":\"response\",\"status\":\"completed\",\"output\":[{"
    "\"type\":"
    "\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"fine\"}]}],"
    "\"usage\":{\"input_tokens\":3,\"output_tokens\":2,\"total_tokens\":5}}";
static const char response_events[] =
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\","
    "\"sequence_number\":0,\"delta\":\"fine\"}\n\n"
    "event: response.completed\ndata: {\"type\":\"response.completed\","
    "\"sequence_number\":1,\"response\":{\"id\":\"x\",\"status\":\"completed\","
    "\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}}\n\n";

static const char *answer_to(const char *request, bool stream)
{
    if (strstr(request, "/embeddings ") != NULL)
        return vector;
    if (strstr(request, "/messages ") != NULL)
        return stream ? message_events : message;
    if (strstr(request, "/responses ") != NULL)
        return stream ? response_events : response;
    return stream ? chunks : whole;
}

/* Ends when the listening socket is shut. */
static void *serve(void *arg)
{
    (void)arg;
    for (;;) {
        struct script_peer peer = { .fd = accept(expert.fd, NULL, NULL) };

        if (peer.fd < 0)
            return NULL;
        if (script_read(&peer)) {
            bool stream = strstr(peer.request, "\"stream\":true") != NULL;

            say(&peer, stream ? "text/event-stream" : "application/json",
                answer_to(peer.request, stream));
        }
        free(peer.request);
        (void)close(peer.fd);
    }
}

static void open_expert(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;

    expert.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(expert.fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(expert.fd, 64), 0);
    assert_int_equal(getsockname(expert.fd, (struct sockaddr *)&address, &size), 0);
    expert.port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&expert.thread, NULL, serve, NULL), 0);
}

static void close_expert(void)
{
    (void)shutdown(expert.fd, SHUT_RDWR);
    pthread_join(expert.thread, NULL);
    (void)close(expert.fd);
}

/* -- a client ---------------------------------------------------------------------------- */

struct client {
    unsigned status;
    size_t bytes;
    bool over, aborted;
    char body[65536];
};

static void op_head(void *arg, unsigned status, const struct exchange_field *fields,
                    size_t n_fields, int64_t content_length)
{
    struct client *client = arg;

    (void)fields;
    (void)n_fields;
    (void)content_length;
    assert_int_equal(client->status, 0);
    client->status = status;
}

static size_t op_body(void *arg, const void *bytes, size_t n)
{
    struct client *client = arg;

    assert_true(client->status != 0 && !client->over);
    assert_true(client->bytes + n < sizeof client->body);
    memcpy(client->body + client->bytes, bytes, n);
    client->bytes += n;
    return 0;
}

static void op_end(void *arg)
{
    struct client *client = arg;

    assert_true(client->status != 0 && !client->over);
    client->over = true;
}

static void op_abort(void *arg)
{
    struct client *client = arg;

    assert_false(client->over);
    client->over = client->aborted = true;
}

static const struct client_ops ops = { op_head, op_body, op_end, op_abort };

/* -- one request from its head to its end -- */

struct scene {
    enum exchange_route route;
    const char *path, *body, *option; /* option: value of x-frugal-explain, or NULL */
    const char *expected;             /* somewhere in the answer */
    const char *embedder;
    bool bundle, ledger;
};

static struct stage {
    struct router router;
    struct snapshot *snapshot;
    struct service service;
    struct metrics_block *block;
    const struct scene *scene;
} stage;

static void feed(struct exchange *x, const char *body)
{
    size_t half = strlen(body) / 2;

    if (exchange_body(x, body, half) &&
        exchange_body(x, body + half, strlen(body) - half))
        exchange_complete(x);
}

/* The client got what it asked for. */
static bool play(struct worker *worker)
{
    const struct scene *scene = stage.scene;
    const struct exchange_header headers[] = {
        { STR("content-type"), STR("application/json") },
        { STR("x-frugal-budget-usd"), STR("0.01") },
        { STR("x-frugal-explain"), str_of(scene->option != NULL ? scene->option : "") },
    };
    struct exchange_request request = {
        .route = scene->route,
        .method = STR("POST"),
        .path = str_of(scene->path),
        .headers = headers,
        .n_headers = scene->option != NULL ? 3 : 2,
        .content_length = (int64_t)strlen(scene->body),
        .peer = STR("127.0.0.1:1"),
    };
    struct client client = { .status = 0 };
    struct exchange *x = exchange_new(worker, &request, &ops, &client);

    if (x == NULL)
        return false;
    feed(x, scene->body);
    for (int i = 0; !client.over && i < TURNS_MAX; i++)
        loop_turn(worker_loop(worker), 10);
    assert_true(client.over); /* whatever happened, the client is told */
    exchange_gone(x);
    for (int i = 0; worker_exchanges(worker) > 0 && i < TURNS_MAX; i++)
        loop_turn(worker_loop(worker), 10);
    assert_int_equal(worker_exchanges(worker), 0);
    client.body[client.bytes] = '\0';
    return client.status == 200 && !client.aborted &&
           strstr(client.body, scene->expected) != NULL;
}

static bool attempt(void)
{
    struct worker *worker = NULL;
    bool ok = false;

    stage.service.admission = (struct admission){ .n_lanes = 0 };
    if (worker_new(&stage.service, 0, stage.snapshot, stage.block, &worker) == ERR_OK) {
        ok = play(worker);
        assert_int_equal(stage.service.admission.in_flight, 0);
        assert_int_equal(stage.service.admission.bodies, 0);
    }
    worker_free(worker);
    return ok;
}

static void nothing_is_held(void)
{
    static const enum metric gauges[] = { METRIC_IN_FLIGHT, METRIC_RESERVATIONS,
                                          METRIC_RESERVED, METRIC_WAITING };

    for (size_t i = 0; i < ARRAY_LEN(gauges); i++)
        assert_int_equal(metrics_value(stage.service.metrics, gauges[i], 0, 0), 0);
    for (size_t i = 0; i < stage.snapshot->config->n_experts; i++)
        assert_int_equal(stage.snapshot->gauges[i]->in_flight, 0);
}

/* Once more with another failing call, until none fails. Not each failure must be told: what
 * is only nice to have (a larger buffer at once, a line of the log) may be done without. */
static void act(const struct scene *scene)
{
    long nth = 0, failed = 0;
    bool reached = true;

    stage.scene = scene;
    stage.snapshot = router_load(&stage.router, scene->embedder, expert.port,
                                 scene->bundle ? ",\"bundle\":\"bundle.frugal\"" : "");
    for (; reached; nth++) {
        bool ok;

        calls_left = nth;
        ok = attempt();
        reached = calls_left < 0;
        calls_left = -1;
        failed += !ok;
        assert_true(ok || reached);
        nothing_is_held();
        assert_true(nth < 3000);
    }
    assert_true(failed > 5); /* something was allocated at all */
    snapshot_unref(stage.snapshot);
}

/* -- scenes ------------------------------------------------------------------------------ */

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"sum add the numbers\"}]"

static void a_whole_answer(void **state)
{
    (void)state;
    act(&(struct scene){ .route = EXCHANGE_CHAT,
                         .path = "/v1/chat/completions",
                         .body = "{\"model\":\"mathy\"," MESSAGES "}",
                         .expected = "fine",
                         .embedder = "lexical" });
}

static void a_stream(void **state)
{
    (void)state;
    act(&(struct scene){ .route = EXCHANGE_CHAT,
                         .path = "/v1/chat/completions",
                         .body = "{\"model\":\"mathy\",\"stream\":true," MESSAGES "}",
                         .expected = "[DONE]",
                         .embedder = "lexical" });
}

static void an_answer_that_is_routed_and_explained(void **state)
{
    (void)state;
    act(&(struct scene){ .route = EXCHANGE_CHAT,
                         .path = "/v1/chat/completions",
                         .body = "{\"model\":\"auto\"," MESSAGES "}",
                         .option = "true",
                         .expected = "fine",
                         .embedder = "lexical",
                         .bundle = true });
}

static void a_decision_alone(void **state)
{
    (void)state;
    act(&(struct scene){ .route = EXCHANGE_DECISION,
                         .path = "/v1/route",
                         .body = "{\"model\":\"auto\"," MESSAGES "}",
                         .expected = "mathy",
                         .embedder = "lexical",
                         .bundle = true });
}

static void a_stream_of_the_responses_api(void **state)
{
    (void)state;
    act(&(struct scene){ .route = EXCHANGE_RESPONSES,
                         .path = "/v1/responses",
                         .body =
                             "{\"model\":\"mathy\",\"stream\":true,\"input\":\"sum\"}",
                         .expected = "response.completed",
                         .embedder = "lexical" });
}

static void an_answer_of_the_messages_api(void **state)
{
    (void)state;
    act(&(struct scene){ .route = EXCHANGE_MESSAGES,
                         .path = "/v1/messages",
                         .body = "{\"model\":\"mathy\",\"max_tokens\":9," MESSAGES "}",
                         .expected = "fine",
                         .embedder = "lexical" });
}

/* -- of an expert that speaks the client's API itself */

static void own_words_as_a_whole(void **state)
{
    (void)state;
    act(&(struct scene){ .route = EXCHANGE_MESSAGES,
                         .path = "/v1/messages",
                         .body = "{\"model\":\"own\",\"max_tokens\":9," MESSAGES "}",
                         .expected = "cost_details",
                         .embedder = "lexical" });
    act(&(struct scene){ .route = EXCHANGE_RESPONSES,
                         .path = "/v1/responses",
                         .body = "{\"model\":\"own\",\"input\":\"sum\"}",
                         .expected = "cost_details",
                         .embedder = "lexical" });
}

static void own_words_in_a_stream(void **state)
{
    (void)state;
    act(&(struct scene){
        .route = EXCHANGE_MESSAGES,
        .path = "/v1/messages",
        .body = "{\"model\":\"own\",\"max_tokens\":9,\"stream\":true," MESSAGES "}",
        .expected = "message_stop",
        .embedder = "lexical" });
    act(&(struct scene){ .route = EXCHANGE_RESPONSES,
                         .path = "/v1/responses",
                         .body = "{\"model\":\"own\",\"stream\":true,\"input\":\"sum\"}",
                         .expected = "cost_details",
                         .embedder = "lexical" });
}

static void vectors_of_a_built_in_embedder(void **state)
{
    (void)state;
    act(&(struct scene){ .route = EXCHANGE_EMBEDDINGS,
                         .path = "/v1/embeddings",
                         .body = "{\"model\":\"lexical\",\"input\":[\"sum\",\"poem\"]}",
                         .expected = "embedding",
                         .embedder = "lexical",
                         .bundle = true });
}

static void an_answer_in_the_ledger(void **state)
{
    struct store_settings with = settings();
    const struct scene scene = { .route = EXCHANGE_CHAT,
                                 .path = "/v1/chat/completions",
                                 .body = "{\"model\":\"auto\"," MESSAGES "}",
                                 .expected = "fine",
                                 .embedder = "lexical",
                                 .bundle = true };

    assert_int_equal(fresh_folder(state), 0);
    with.path = path;
    assert_int_equal(store_open(&with, &stage.service.store, NULL), STORE_OK);
    act(&scene);
    store_close(stage.service.store);
    stage.service.store = NULL;
    assert_int_equal(number_in_file("SELECT count(*) FROM charges WHERE fate = 'open'"),
                     0);
    assert_true(number_in_file("SELECT count(*) FROM decisions WHERE state = 'settled'") >
                0);
    assert_int_equal(remove_folder(state), 0);
}

static void an_answer_after_evidence_that_is_bought(void **state)
{
    (void)state;
    router_remove(&stage.router);
    router_build(&stage.router, "remote");
    act(&(struct scene){ .route = EXCHANGE_CHAT,
                         .path = "/v1/chat/completions",
                         .body = "{\"model\":\"auto\"," MESSAGES "}",
                         .expected = "fine",
                         .embedder = "remote",
                         .bundle = true });
}

static int setup(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    open_expert();
    snprintf(
        stage.router.more, sizeof stage.router.more,
        ",\"own\":{\"endpoints\":[\"http://127.0.0.1:%u/v1\"],\"generator\":{\"model\":"
        "\"m\",\"price\":{\"input\":1,\"output\":1},\"api\":[\"messages\",\"responses\"]}"
        "}",
        expert.port);
    router_build(&stage.router, "lexical");
    if (!http_global_init() || metrics_new(&stage.service.metrics) != ERR_OK)
        return -1;
    stage.service.resolve = resolve_new(NULL);
    stage.block = metrics_block(stage.service.metrics);
    return stage.service.resolve == NULL || stage.block == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    close_expert();
    resolve_free(stage.service.resolve);
    metrics_free(stage.service.metrics);
    router_remove(&stage.router);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_answer),
        cmocka_unit_test(a_stream),
        cmocka_unit_test(an_answer_that_is_routed_and_explained),
        cmocka_unit_test(a_decision_alone),
        cmocka_unit_test(a_stream_of_the_responses_api),
        cmocka_unit_test(an_answer_of_the_messages_api),
        cmocka_unit_test(own_words_as_a_whole),
        cmocka_unit_test(own_words_in_a_stream),
        cmocka_unit_test(vectors_of_a_built_in_embedder),
        cmocka_unit_test(an_answer_in_the_ledger),
        cmocka_unit_test(an_answer_after_evidence_that_is_bought),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
