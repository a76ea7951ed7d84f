/* fuzz_adapt.c - requests on their way to an expert with a dialect.
 *
 * Laws: what arrives is a request that asks for the same, for no more money; what the expert
 * does not take is not there, what it is always sent is there once; it settles when told again. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/domain/adapt.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/jread.h"

static const struct adapt_rule rules[] = {
    { ADAPT_RENAME, false, "temperature", "heat", STR_INIT("\"heat\"") },
    { ADAPT_RENAME, true, "max_completion_tokens", "max_tokens",
      STR_INIT("\"max_tokens\"") },
    { ADAPT_DROP, false, "user", NULL, { NULL, 0 } },
    { ADAPT_DROP, false, "stream_options", NULL, { NULL, 0 } },
    { ADAPT_SET, false, "top_k", NULL, { NULL, 0 } },
};
static const struct adapt dialect = { ARRAY_LEN(rules), rules, STR_INIT("\"top_k\":4,"),
                                      true };

static bool parse(struct str body, struct scan *scan, struct chat_request *chat,
                  struct arena *arena)
{
    scan_init(scan, 64);
    return scan_feed(scan, body.p, body.n) == SCAN_OK && scan_end(scan) == SCAN_OK &&
           chat_parse(chat, scan, body, arena, NULL) == API_OK;
}

static bool splice(const struct chat_request *chat, struct arena *arena, struct buf *out)
{
    const struct chat_edit edit = { .model = STR_INIT("m"),
                                    .output_limit = 100,
                                    .limit_field = CONFIG_LIMIT_MAX_TOKENS,
                                    .adapt = &dialect };
    struct iovec pieces[CHAT_MAX_PIECES + 2 * ADAPT_MAX_CHANGES];
    size_t n, bytes;
    enum err err = chat_splice(chat, &edit, arena, pieces, &n, &bytes);

    LAW(err == ERR_OK || err == ERR_TOO_LARGE);
    LAW(chat_max_pieces(&edit) == ARRAY_LEN(pieces));
    for (size_t i = 0; err == ERR_OK && i < n; i++)
        buf_put_str(out, (struct str){ pieces[i].iov_base, pieces[i].iov_len });
    return err == ERR_OK;
}

/* How often a member occurs. */
static size_t count(struct str body, const char *name)
{
    struct jread_value root, key, value;
    struct jread_iter it;
    size_t n = 0;

    LAW(jread_parse(body, 64, &root));
    it = jread_iter(root);
    while (jread_next_member(&it, &key, &value))
        n += jread_string_is(key, name);
    return n;
}

static void holds(const struct chat_request *chat, const struct chat_request *told,
                  struct str body)
{
    LAW(count(body, "user") == 0 && count(body, "stream_options") == 0);
    LAW(count(body, "temperature") == 0 && count(body, "top_k") == 1);
    LAW(count(body, "max_completion_tokens") == 0 && count(body, "max_tokens") == 1);
    LAW(told->output_limit > 0 && told->output_limit <= 100);
    LAW(chat->output_limit == 0 || told->output_limit <= chat->output_limit);
    LAW(told->n == chat->n && told->stream == chat->stream);
    LAW(told->needs == chat->needs && told->n_messages == chat->n_messages);
    LAW(told->prompt_bytes == chat->prompt_bytes);
    LAW(!chat_extras(told).unpriced == !chat_extras(chat).unpriced);
}

/* What is inserted changes places when it is told again, once. */
static void tell(const struct chat_request *chat, struct arena *arena, struct buf told[3])
{
    struct chat_request last = *chat, next;
    struct scan scans[3];

    for (size_t i = 0; i < 3; i++) {
        if (!splice(&last, arena, &told[i])) {
            LAW(i == 0);
            return;
        }
        LAW(parse(buf_str(&told[i]), &scans[i], &next, arena));
        holds(chat, &next, buf_str(&told[i]));
        last = next;
    }
    LAW(str_eq(buf_str(&told[1]), buf_str(&told[2])));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct chat_request chat;
    struct arena arena;
    struct buf told[3];
    struct scan scan;

    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < 3; i++)
        buf_init(&told[i], 1 << 24);
    if (parse((struct str){ (const char *)data, n }, &scan, &chat, &arena))
        tell(&chat, &arena, told);
    for (size_t i = 0; i < 3; i++)
        buf_release(&told[i]);
    arena_release(&arena);
    return 0;
}
