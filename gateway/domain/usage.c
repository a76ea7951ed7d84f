/* usage.c - tokens as reported, and the cost written into the answer. */
#include "gateway/domain/usage.h"

#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/money.h"

#define DEPTH JREAD_MAX_DEPTH

/* -- reading -- */

/* A count by one of its names; absent or null: 0 and false. What cannot be is marked. */
static bool read_tokens(struct jread_value usage, const char *name, const char *other,
                        int64_t *ret_tokens, bool *absurd)
{
    struct jread_value value = jread_get(usage, name);
    int64_t tokens;

    if (value.type == JREAD_NOTHING && other)
        value = jread_get(usage, other);
    if (value.type == JREAD_NOTHING || value.type == JREAD_NULLS)
        return false;
    if (!jread_integer(value, &tokens) || tokens < 0 || tokens > USAGE_MAX_TOKENS) {
        *absurd = true;
        return false;
    }
    *ret_tokens = tokens;
    return true;
}

static struct jread_value details_of(struct jread_value usage, const char *name,
                                     const char *other)
{
    struct jread_value details = jread_get(usage, name);

    return details.type == JREAD_MAP ? details : jread_get(usage, other);
}

/* Who writes input_tokens may count what is read from and written to a cache beside it, and
 * says so under names of its own; under prompt_tokens all of it is in that count. */
static void read_caches(struct jread_value value, struct usage *usage)
{
    struct jread_value details =
        details_of(value, "prompt_tokens_details", "input_tokens_details");
    bool apart = jread_get(value, "prompt_tokens").type == JREAD_NOTHING;
    int64_t read = 0, written = 0;

    if (!read_tokens(details, "cached_tokens", NULL, &usage->cached_tokens,
                     &usage->absurd))
        (void)read_tokens(value, "prompt_cache_hit_tokens", NULL, &usage->cached_tokens,
                          &usage->absurd);
    (void)read_tokens(details, "cache_write_tokens", "cache_creation_tokens",
                      &usage->cache_write_tokens, &usage->absurd);
    if (read_tokens(value, "cache_read_input_tokens", NULL, &read, &usage->absurd)) {
        usage->cached_tokens = read;
        usage->input_tokens += apart ? read : 0;
    }
    if (read_tokens(value, "cache_creation_input_tokens", NULL, &written,
                    &usage->absurd)) {
        usage->cache_write_tokens = written;
        usage->input_tokens += apart ? written : 0;
    }
    usage->absurd |=
        usage->cached_tokens + usage->cache_write_tokens > usage->input_tokens;
}

/* Most count reasoning in the completion, some beside it: the total tells which. */
static void read_reasoning(struct jread_value value, struct usage *usage)
{
    struct jread_value details =
        details_of(value, "completion_tokens_details", "output_tokens_details");
    int64_t total = 0;
    bool beside;

    if (!read_tokens(details, "reasoning_tokens", NULL, &usage->reasoning_tokens,
                     &usage->absurd) ||
        usage->reasoning_tokens == 0)
        return;
    beside = read_tokens(value, "total_tokens", NULL, &total, &usage->absurd)
                 ? total == usage->input_tokens + usage->output_tokens +
                                usage->reasoning_tokens
                 : usage->reasoning_tokens > usage->output_tokens;
    if (beside)
        usage->output_tokens += usage->reasoning_tokens;
    usage->absurd |= usage->reasoning_tokens > usage->output_tokens;
}

struct usage usage_read(struct jread_value value)
{
    struct usage usage = { .known = false };
    bool input, output;

    if (value.type != JREAD_MAP)
        return usage;
    input = read_tokens(value, "prompt_tokens", "input_tokens", &usage.input_tokens,
                        &usage.absurd);
    output = read_tokens(value, "completion_tokens", "output_tokens",
                         &usage.output_tokens, &usage.absurd);
    if (input && output && !usage.absurd) {
        read_caches(value, &usage);
        read_reasoning(value, &usage);
        usage.known = !usage.absurd;
    }
    return usage.known ? usage : (struct usage){ .absurd = usage.absurd };
}

struct usage usage_beside_text(struct usage usage, size_t text_bytes)
{
    if (!usage.known ||
        (usage.input_tokens > 0 && (usage.output_tokens > 0 || text_bytes == 0)))
        return usage;
    return (struct usage){ .absurd = true };
}

size_t usage_text_bytes(struct jread_value value)
{
    struct jread_iter it = jread_iter(value);
    struct jread_value key, item;
    size_t n = 0;

    if (value.type == JREAD_TEXT)
        return value.raw.n - 2;
    if (value.type == JREAD_LIST)
        while (jread_next_element(&it, &item))
            n += usage_text_bytes(item);
    if (value.type != JREAD_MAP)
        return n;
    while (jread_next_member(&it, &key, &item)) {
        if (item.type == JREAD_TEXT &&
            (jread_string_is(key, "role") || jread_string_is(key, "type") ||
             jread_string_is(key, "id") || jread_string_is(key, "object") ||
             jread_string_is(key, "finish_reason")))
            continue;
        n += usage_text_bytes(item);
    }
    return n;
}

static struct str plain_name(struct jread_value value)
{
    struct str name = { 0 };

    if (value.type == JREAD_TEXT)
        name = (struct str){ value.raw.p + 1, value.raw.n - 2 };
    if (name.n == 0 || name.n > USAGE_MAX_NAME || memchr(name.p, '\\', name.n) != NULL)
        return (struct str){ 0 };
    return name;
}

bool usage_names_take(struct usage_names *names, struct jread_value key,
                      struct jread_value value)
{
    if (str_is(key.raw, "\"id\""))
        names->id = plain_name(value);
    else if (str_is(key.raw, "\"model\""))
        names->model = plain_name(value);
    else if (str_is(key.raw, "\"system_fingerprint\""))
        names->fingerprint = plain_name(value);
    else
        return false;
    return true;
}

/* Vectors have no completion. */
static struct usage read_input_only(struct jread_value value)
{
    struct usage usage = { .known = false };

    usage.known =
        (read_tokens(value, "prompt_tokens", "input_tokens", &usage.input_tokens,
                     &usage.absurd) ||
         read_tokens(value, "total_tokens", NULL, &usage.input_tokens, &usage.absurd)) &&
        !usage.absurd;
    return usage.known ? usage : (struct usage){ .absurd = usage.absurd };
}

bool usage_read_answer(struct str body, struct usage_answer *ret_answer)
{
    struct usage_answer answer = { .has_choices = false };
    struct jread_value root, key, value;
    struct jread_iter it;

    if (!jread_parse(body, DEPTH, &root) || root.type != JREAD_MAP)
        return false;
    it = jread_iter(root);
    while (jread_next_member(&it, &key, &value)) {
        struct jread_iter elements = jread_iter(value);
        struct jread_value first;

        if (usage_names_take(&answer.names, key, value))
            continue;
        if (jread_string_is(key, "usage")) {
            answer.usage = usage_read(value);
            answer.usage_raw = value.type == JREAD_MAP ? value.raw : STR("");
        } else if (jread_string_is(key, "error")) {
            answer.has_error = value.type != JREAD_NULLS;
        } else if (jread_string_is(key, "choices") && value.type == JREAD_LIST) {
            answer.has_choices = jread_next_element(&elements, &first);
            answer.output_bytes = usage_text_bytes(value);
        } else if (jread_string_is(key, "data") && value.type == JREAD_LIST) {
            answer.has_data = jread_next_element(&elements, &first);
        }
    }
    if (answer.has_data && !answer.has_choices && answer.usage_raw.n > 0)
        answer.usage = read_input_only(jread_trusted(answer.usage_raw));
    *ret_answer = answer;
    return true;
}

int64_t usage_estimate_tokens(size_t bytes)
{
    if (bytes / 4 > (size_t)USAGE_MAX_TOKENS)
        return USAGE_MAX_TOKENS;
    return (int64_t)(bytes / 4 + (bytes % 4 != 0));
}

/* -- writing -- */

static void put_usd(struct buf *out, const char *name, int64_t pico)
{
    char text[MONEY_TEXT_BYTES];

    if (pico == MONEY_NONE)
        return;
    buf_put(out, ",\"");
    buf_put(out, name);
    buf_put(out, "\":");
    buf_put(out, money_format(pico, text));
}

void usage_put_cost(struct buf *out, const struct usage_cost *cost)
{
    put_usd(out, "cost", cost->cost_pico);
    buf_put(out, ",\"cost_details\":{\"decision_id\":");
    buf_put_json(out, cost->decision_id);
    buf_put(out, ",\"expert\":");
    buf_put_json(out, cost->expert);
    put_usd(out, "generation_usd", cost->generation_pico);
    put_usd(out, "evidence_usd", cost->evidence_pico);
    buf_put(out, cost->estimated ? ",\"estimated\":true" : ",\"estimated\":false");
    if (cost->estimated)
        put_usd(out, "bound_usd", cost->bound_pico);
    if (cost->explain.n > 0) {
        buf_put(out, ",\"decision\":");
        buf_put_str(out, cost->explain);
    }
    buf_put(out, "}");
}

void usage_put_guess(struct buf *out, const struct usage_cost *cost)
{
    buf_putf(out,
             "{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64
             ",\"total_tokens\":%" PRId64,
             cost->guess_input, cost->guess_output,
             cost->guess_input + cost->guess_output);
    usage_put_cost(out, cost);
    buf_put(out, "}");
}

/* The usage object with our members at its end and no others of these names. */
static void put_usage(struct buf *out, struct jread_value usage,
                      const struct usage_cost *cost)
{
    struct jread_iter it = jread_iter(usage);
    struct jread_value key, value;
    struct str ours;
    struct buf tail;

    buf_put(out, "{");
    while (jread_next_member(&it, &key, &value)) {
        if (jread_string_is(key, "cost") || jread_string_is(key, "cost_details"))
            continue;
        if (out->n > 1)
            buf_put(out, ",");
        buf_put_str(out, key.raw);
        buf_put(out, ":");
        buf_put_str(out, value.raw);
    }
    buf_init(&tail, out->max_bytes);
    usage_put_cost(&tail, cost);
    ours = buf_str(&tail);
    buf_put_str(out, out->n > 1 ? ours : str_skip(ours, 1)); /* without its first comma */
    out->failed = out->failed || tail.failed;
    buf_release(&tail);
    buf_put(out, "}");
}

static void set_piece(struct iovec *piece, const char *p, size_t n)
{
    *piece = (struct iovec){ (void *)(uintptr_t)p, n };
}

enum err usage_splice(struct str json, const struct usage_cost *cost, struct arena *arena,
                      struct iovec ret_pieces[USAGE_MAX_PIECES], size_t *ret_n,
                      size_t *ret_bytes)
{
    struct jread_value root, usage;

    if (!jread_parse(json, DEPTH, &root) || root.type != JREAD_MAP)
        return ERR_INVALID;
    usage = jread_get(root, "usage");
    return usage_splice_at(json, usage.type == JREAD_MAP ? usage.raw : STR(""), cost,
                           arena, ret_pieces, ret_n, ret_bytes);
}

enum err usage_splice_at(struct str json, struct str usage_raw,
                         const struct usage_cost *cost, struct arena *arena,
                         struct iovec ret_pieces[USAGE_MAX_PIECES], size_t *ret_n,
                         size_t *ret_bytes)
{
    struct str written;
    struct buf out;
    size_t before;
    enum err err;

    if (usage_raw.n == 0) {
        set_piece(&ret_pieces[0], json.p, json.n);
        *ret_n = 1;
        *ret_bytes = json.n;
        return ERR_OK;
    }
    buf_init(&out, SIZE_MAX / 4);
    put_usage(&out, jread_trusted(usage_raw), cost);
    err = out.failed ? ERR_NOMEM : arena_copy(arena, buf_str(&out), &written);
    buf_release(&out);
    if (err != ERR_OK)
        return err;
    before = (size_t)(usage_raw.p - json.p);
    set_piece(&ret_pieces[0], json.p, before);
    set_piece(&ret_pieces[1], written.p, written.n);
    set_piece(&ret_pieces[2], usage_raw.p + usage_raw.n, json.n - before - usage_raw.n);
    *ret_n = 3;
    *ret_bytes = json.n - usage_raw.n + written.n;
    return ERR_OK;
}
