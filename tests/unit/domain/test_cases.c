/* test_cases.c - every parser against its folder of cases, in every slicing where bytes may
 * come in pieces. */
#include "tests/unit/domain/cases.h"

#include <inttypes.h>
#include <math.h>

#include "gateway/domain/ability.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/config.h"
#include "gateway/domain/delta.h"
#include "gateway/domain/floats.h"
#include "gateway/domain/frugal_headers.h"
#include "gateway/domain/key_file.h"
#include "gateway/domain/price.h"
#include "gateway/domain/refusal.h"
#include "gateway/domain/retry_after.h"
#include "gateway/domain/routing_text.h"
#include "gateway/domain/scan.h"
#include "gateway/domain/sse.h"
#include "gateway/domain/usage.h"

#define DEPTH 16 /* small, so that a case can be too deep */

static void put_line(struct buf *out, const char *name, struct str value)
{
    buf_putf(out, "%s ", name);
    buf_put_json(out, value);
    buf_put(out, "\n");
}

/* An editor ends files with a line feed; one-line inputs are meant without it. */
static struct str one_line(struct str input)
{
    if (input.n > 0 && input.p[input.n - 1] == '\n')
        input.n--;
    return input;
}

/* -- scan -- */

static void scan_pieces(struct scan *scan, struct str body, size_t cut)
{
    scan_init(scan, DEPTH);
    if (scan_feed(scan, body.p, cut) == SCAN_OK)
        IGNORE(scan_feed(scan, body.p + cut, body.n - cut));
    IGNORE(scan_end(scan));
}

static void put_scan(const struct scan *scan, struct str body, struct buf *out)
{
    if (scan->error != SCAN_OK) {
        buf_putf(out, "error %s, at %zu\n", scan_err_text(scan->error),
                 scan->error_offset);
        return;
    }
    for (size_t i = 0; i < SCAN_FIELD_COUNT; i++) {
        const struct scan_place *place = &scan->fields[i];

        if (place->type == JREAD_NOTHING)
            continue;
        buf_putf(out, "%s: %s at %zu, key at %zu: ", scan_field_key((enum scan_field)i),
                 jread_type_name(place->type), place->begin, place->key_begin);
        buf_put_str(out, scan_raw(scan, (enum scan_field)i, body));
        buf_put(out, "\n");
    }
    buf_putf(out, "messages %zu, not objects %zu, images %zu, other media %zu in %zu\n",
             scan->n_messages, scan->n_bad_messages, scan->n_images, scan->n_other_media,
             scan->media_bytes);
}

static void print_scan(struct str body, struct buf *out)
{
    struct scan scan;
    struct buf again;

    scan_pieces(&scan, body, 0);
    put_scan(&scan, body, out);
    buf_init(&again, CASES_MAX_BYTES);
    for (size_t cut = 1; cut < body.n; cut++) {
        buf_clear(&again);
        scan_pieces(&scan, body, cut);
        put_scan(&scan, body, &again);
        if (!str_eq(buf_str(&again), buf_str(out)))
            buf_putf(out, "cut at %zu: " STR_FMT, cut, STR_ARG(buf_str(&again)));
    }
    buf_release(&again);
}

static void scans(void **state)
{
    (void)state;
    cases_run("scan", print_scan);
}

/* -- chat -- */

static void put_splice(const struct chat_request *chat, struct arena *arena,
                       struct buf *out)
{
    const struct chat_edit edit = { .model = STR_INIT("small\"1"),
                                    .output_limit = 100,
                                    .limit_field = CONFIG_LIMIT_MAX_COMPLETION_TOKENS };
    struct iovec pieces[CHAT_MAX_PIECES];
    size_t n, bytes, begin = out->n;

    assert_int_equal(chat_splice(chat, &edit, arena, pieces, &n, &bytes), ERR_OK);
    for (size_t i = 0; i < n; i++)
        buf_put_str(out, (struct str){ pieces[i].iov_base, pieces[i].iov_len });
    assert_int_equal(out->n - begin, bytes);
}

static void print_chat(struct str body, struct buf *out)
{
    struct api_error error = { .code = API_OK };
    struct chat_request chat;
    struct arena arena;
    struct scan scan;

    body = one_line(body);
    arena_init(&arena, 1 << 20);
    scan_pieces(&scan, body, 0);
    if (chat_scan_error(&scan, &error) != API_OK ||
        chat_parse(&chat, &scan, body, &arena, &error) != API_OK) {
        buf_putf(out, "%d ", api_error_status(error.code));
        api_error_body(&error, out);
        buf_put(out, "\n");
    } else {
        const char *unpriced = chat_extras(&chat).unpriced;
        char needs[ABILITY_TEXT_BYTES];

        put_line(out, "model", chat.model);
        buf_putf(out, "stream %d usage %d n %" PRId64 " limit %" PRId64 " messages %zu\n",
                 chat.stream, chat.include_usage, chat.n, chat.output_limit,
                 chat.n_messages);
        buf_putf(out, "unpriced %s prompt_bytes %zu images %zu needs %s\n",
                 unpriced ? unpriced : "-", chat.prompt_bytes, chat.n_images,
                 chat.needs != 0 ? ability_words(chat.needs, needs) : "-");
        put_line(out, "frugal", chat.frugal);
        put_splice(&chat, &arena, out);
        buf_put(out, "\n");
    }
    arena_release(&arena);
}

static void chats(void **state)
{
    (void)state;
    cases_run("chat", print_chat);
}

/* -- routing text -- */

static void print_routing_text(struct str body, struct buf *out)
{
    struct api_error error = { .code = API_OK };
    struct chat_request chat;
    struct arena arena;
    struct scan scan;
    struct buf text;

    arena_init(&arena, 1 << 20);
    buf_init(&text, ROUTING_TEXT_MAX);
    scan_pieces(&scan, body, 0);
    assert_int_equal(chat_scan_error(&scan, &error), API_OK);
    assert_int_equal(chat_parse(&chat, &scan, body, &arena, &error), API_OK);
    assert_int_equal(routing_text(&chat, &text), ERR_OK);
    put_line(out, "text", buf_str(&text));
    buf_release(&text);
    arena_release(&arena);
}

static void routing_texts(void **state)
{
    (void)state;
    cases_run("routing_text", print_routing_text);
}

/* -- events -- */

static void put_event(struct sse *sse, struct buf *out)
{
    struct sse_event event = sse_take(sse);

    buf_putf(out, "event%s%s%s\n", event.has_data ? "" : " without data",
             event.is_comment ? " of comments" : "",
             event.unterminated ? " unterminated" : "");
    put_line(out, "  name", event.name);
    put_line(out, "  data", event.data);
    put_line(out, "  raw ", event.raw);
}

static void feed(struct sse *sse, const char *p, size_t n, struct buf *out)
{
    while (n > 0 && !sse_failed(sse)) {
        size_t used = sse_feed(sse, p, n);

        p += used, n -= used;
        if (sse_ready(sse))
            put_event(sse, out);
    }
}

static void put_events(struct str stream, size_t cut, struct buf *out)
{
    struct sse sse;

    sse_init(&sse, 256);
    feed(&sse, stream.p, cut, out);
    feed(&sse, stream.p + cut, stream.n - cut, out);
    sse_finish(&sse);
    if (sse_ready(&sse))
        put_event(&sse, out);
    if (sse_failed(&sse))
        buf_put(out, "failed\n");
    sse_release(&sse);
}

static void print_sse(struct str stream, struct buf *out)
{
    struct buf again;

    put_events(stream, 0, out);
    buf_init(&again, CASES_MAX_BYTES);
    for (size_t cut = 1; cut < stream.n; cut++) {
        buf_clear(&again);
        put_events(stream, cut, &again);
        if (!str_eq(buf_str(&again), buf_str(out)))
            buf_putf(out, "cut at %zu: " STR_FMT, cut, STR_ARG(buf_str(&again)));
    }
    buf_release(&again);
}

static void events_in_every_slicing(void **state)
{
    (void)state;
    cases_run("sse", print_sse);
}

static void put_names(const struct usage_names *names, struct buf *out)
{
    if (names->id.n == 0 && names->model.n == 0 && names->fingerprint.n == 0)
        return;
    buf_putf(out, "id '" STR_FMT "' model '" STR_FMT "' fingerprint '" STR_FMT "'\n",
             STR_ARG(names->id), STR_ARG(names->model), STR_ARG(names->fingerprint));
}

static void print_delta(struct str data, struct buf *out)
{
    struct delta d = delta_read(one_line(data));
    struct iovec pieces[2];
    size_t n;

    buf_putf(
        out, "valid %d done %d content %d finished %d choices %d usage %d error %d\n",
        d.valid, d.done, d.content, d.finished, d.has_choices, d.has_usage, d.is_error);
    buf_putf(out, "tokens %d: %" PRId64 " (%" PRId64 " cached) + %" PRId64 ", text %zu\n",
             d.usage.known, d.usage.input_tokens, d.usage.cached_tokens,
             d.usage.output_tokens, d.output_bytes);
    if (d.is_error)
        buf_putf(out, "error %d " STR_FMT "\n", d.error_status, STR_ARG(d.error));
    put_names(&d.names, out);
    if (!d.has_usage)
        return;
    delta_strip_usage(one_line(data), pieces, &n);
    buf_putf(out, "usage chunk %d, without: ", delta_is_usage_chunk(&d));
    for (size_t i = 0; i < n; i++)
        buf_put_str(out, (struct str){ pieces[i].iov_base, pieces[i].iov_len });
    buf_put(out, "\n");
}

static void deltas(void **state)
{
    (void)state;
    cases_run("delta", print_delta);
}

/* -- answers -- */

static void put_cost(struct str answer, struct buf *out)
{
    const struct usage_cost cost = {
        .cost_pico = 1234567,
        .generation_pico = 1234000,
        .evidence_pico = 567,
        .decision_id = STR_INIT("dec_1"),
        .expert = STR_INIT("small"),
    };
    struct iovec pieces[USAGE_MAX_PIECES];
    struct arena arena;
    size_t n, bytes, begin = out->n;

    arena_init(&arena, 65536);
    assert_int_equal(usage_splice(answer, &cost, &arena, pieces, &n, &bytes), ERR_OK);
    for (size_t i = 0; i < n; i++)
        buf_put_str(out, (struct str){ pieces[i].iov_base, pieces[i].iov_len });
    assert_int_equal(out->n - begin, bytes);
    arena_release(&arena);
}

static void print_usage(struct str answer, struct buf *out)
{
    struct usage_answer read;

    answer = one_line(answer);
    if (!usage_read_answer(answer, &read)) {
        buf_put(out, "not a JSON object\n");
        return;
    }
    buf_putf(out,
             "tokens %s: %" PRId64 " (%" PRId64 " cached, %" PRId64 " written) + %" PRId64
             " (%" PRId64 " reasoning), text %zu\n",
             read.usage.known    ? "1"
             : read.usage.absurd ? "absurd"
                                 : "0",
             read.usage.input_tokens, read.usage.cached_tokens,
             read.usage.cache_write_tokens, read.usage.output_tokens,
             read.usage.reasoning_tokens, read.output_bytes);
    buf_putf(out, "choices %d error %d\n", read.has_choices, read.has_error);
    put_names(&read.names, out);
    put_cost(answer, out);
    buf_put(out, "\n");
}

static void usages(void **state)
{
    (void)state;
    cases_run("usage", print_usage);
}

static void print_floats(struct str answer, struct buf *out)
{
    float vector[8];
    size_t dim;
    int64_t tokens;
    enum floats_err err;

    for (size_t i = 0; i < 2; i++) {
        err = floats_read(answer, i, vector, ARRAY_LEN(vector), &dim, &tokens);
        if (err != FLOATS_OK) {
            buf_putf(out, "%zu: %s\n", i, floats_err_text(err));
            continue;
        }
        buf_putf(out, "%zu: %zu floats, %" PRId64 " tokens:", i, dim, tokens);
        for (size_t k = 0; k < dim; k++)
            buf_putf(out, " %.9g", (double)vector[k]);
        buf_put(out, "\n");
    }
}

static void vectors(void **state)
{
    (void)state;
    cases_run("floats", print_floats);
}

/* -- headers: lines `name: value`, an empty line, the `frugal` object -- */

static void put_options(const struct frugal_options *o, struct buf *out)
{
    char text[MONEY_TEXT_BYTES];

    buf_putf(out, "given %#x budget %s on_budget %d lambda %g\n", o->given,
             money_format(o->budget_pico, text), (int)o->on_budget, o->lambda);
    buf_putf(out, "min_quality %g deadline_ms %" PRId64 " explain %d\n", o->min_quality,
             o->deadline_ms, o->explain);
    put_line(out, "conversation", o->conversation_id);
    for (size_t i = 0; i < o->n_experts; i++)
        put_line(out, "expert", o->experts[i]);
    for (size_t i = 0; i < o->n_tags; i++)
        buf_putf(out, "tag " STR_FMT " = " STR_FMT "\n", STR_ARG(o->tags[i].name),
                 STR_ARG(o->tags[i].value));
}

static void print_headers(struct str input, struct buf *out)
{
    struct api_error error = { .code = API_OK };
    struct frugal_options options;
    struct arena arena;
    struct str line, name;
    enum api_err err = API_OK;

    arena_init(&arena, 1 << 20);
    frugal_options_init(&options);
    while (err == API_OK && str_cut(&input, '\n', &line) && line.n > 0) {
        (void)str_cut(&line, ':', &name);
        err = frugal_options_header(&options, name, str_trim(line), &arena, &error);
    }
    if (err == API_OK)
        err = frugal_options_body(&options, str_trim(input), &arena, &error);
    if (err == API_OK) {
        put_options(&options, out);
    } else {
        buf_putf(out, "%d ", api_error_status(error.code));
        api_error_body(&error, out);
        buf_put(out, "\n");
    }
    arena_release(&arena);
}

static void headers(void **state)
{
    (void)state;
    cases_run("headers", print_headers);
}

/* -- small ones -- */

static void print_retry_after(struct str value, struct buf *out)
{
    const int64_t now_s = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT */
    int64_t ms;

    if (retry_after_parse(one_line(value), now_s, &ms) == ERR_OK)
        buf_putf(out, "retry-after: %" PRId64 " ms\n", ms);
    else
        buf_put(out, "retry-after: invalid\n");
    if (retry_after_parse_ms(one_line(value), &ms) == ERR_OK)
        buf_putf(out, "retry-after-ms: %" PRId64 " ms\n", ms);
    else
        buf_put(out, "retry-after-ms: invalid\n");
}

static void retry_afters(void **state)
{
    (void)state;
    cases_run("retry_after", print_retry_after);
}

static void put_amount(const char *name, enum err err, int64_t pico, struct buf *out)
{
    char text[MONEY_TEXT_BYTES];

    if (err != ERR_OK)
        buf_putf(out, "%s: %s\n", name, err_text(err));
    else
        buf_putf(out, "%s: %" PRId64 " pico, %s USD\n", name, pico,
                 money_format(pico, text));
}

static void print_price(struct str text, struct buf *out)
{
    int64_t pico = 0;
    enum err err = money_parse(one_line(text), &pico);

    put_amount("usd", err, pico, out);
    err = money_parse_per_million(one_line(text), &pico);
    put_amount("per token", err, pico, out);
}

static void print_refusal(struct str body, struct buf *out)
{
    buf_putf(out, "%s\n", refusal_word(refusal_of(body)));
}

static void refusals(void **state)
{
    (void)state;
    cases_run("refusal", print_refusal);
}

static void prices(void **state)
{
    (void)state;
    cases_run("price", print_price);
}

static void put_prices(const struct config_prices *prices, struct buf *out)
{
    for (size_t i = 0; i < prices->n; i++) {
        const struct config_price *price = &prices->list[i];

        if (i > 0)
            buf_putf(out, " from %" PRId64, price->from_s);
        for (size_t t = 0; t < price->n_tiers; t++) {
            const struct config_rates *r = &price->tiers[t].rates;

            if (t > 0)
                buf_putf(out, " above %" PRId64, price->tiers[t].above_tokens);
            buf_putf(out,
                     " pico %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
                     " %" PRId64,
                     r->input_pico, r->cached_input_pico, r->cache_write_pico,
                     r->output_pico, r->reasoning_pico, r->request_pico);
        }
    }
    buf_put(out, "\n");
}

static void print_config(struct str text, struct buf *out)
{
    struct config_error error = { .set = false };
    struct config *config;
    char line[1200];

    if (config_parse(text, "dir/frugal.json", &config, &error) != ERR_OK) {
        buf_putf(out, "%s\n", config_error_text(&error, line, sizeof(line)));
        return;
    }
    buf_putf(out, "listen %s admin %s bundle %s\n", config->listen,
             config->admin ? config->admin : "-", config->bundle ? config->bundle : "-");
    if (config->store.path != NULL)
        buf_putf(out, "store %s %s %s commit %lld ms %lld rows prompts %d\n",
                 config->store.path, config->store.full ? "full" : "batched",
                 config->store.refuse ? "refuse" : "continue",
                 (long long)config->store.commit_ms, (long long)config->store.commit_rows,
                 config->store.keep_prompts);
    for (size_t i = 0; i < config->n_experts; i++) {
        const struct config_expert *e = &config->experts[i];

        buf_putf(out, "expert %s at %s: generator %d embedding %d key %s", e->name,
                 e->endpoints[0], e->has_generator, e->has_embedding,
                 e->key ? "yes" : "no");
        put_prices(e->has_generator ? &e->generator.prices : &e->embedding.prices, out);
    }
    for (size_t i = 0; i < config->n_embedders; i++)
        buf_putf(out, "embedder %s\n", config->embedders[i].name);
    for (size_t i = 0; i < config->n_policies; i++) {
        const struct config_policy *p = &config->policies[i];

        buf_putf(out, "policy %s: lambda %g experts %#" PRIx64 " default %s\n", p->name,
                 p->lambda, p->experts, config->experts[p->default_expert].name);
    }
    config_unref(config);
}

static void configs(void **state)
{
    (void)state;
    cases_run("config", print_config);
}

static void print_key_file(struct str text, struct buf *out)
{
    struct key_file_error error = { .text = "" };
    struct key_set set;
    char line[600];

    key_set_init(&set);
    if (key_file_parse(text, &set, &error) != ERR_OK)
        buf_putf(out, "%s\n", key_file_error_text("keys", &error, line, sizeof line));
    for (size_t i = 0; error.text[0] == '\0' && i < set.n; i++) {
        key_file_put(&set.keys[i], out);
        buf_put(out, "\n");
    }
    key_set_release(&set);
}

static void key_files(void **state)
{
    (void)state;
    cases_run("key_file", print_key_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_files),
        cmocka_unit_test(scans),
        cmocka_unit_test(chats),
        cmocka_unit_test(routing_texts),
        cmocka_unit_test(events_in_every_slicing),
        cmocka_unit_test(deltas),
        cmocka_unit_test(usages),
        cmocka_unit_test(vectors),
        cmocka_unit_test(headers),
        cmocka_unit_test(retry_afters),
        cmocka_unit_test(refusals),
        cmocka_unit_test(prices),
        cmocka_unit_test(configs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
