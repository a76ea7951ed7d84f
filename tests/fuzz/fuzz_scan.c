/* fuzz_scan.c - the request scan, the request and its splice.
 *
 * Laws: slicing does not matter; what the scan takes, the in-place reader takes, too, and the
 * other way round but for what only the scan checks; a splice can be scanned and says what it
 * should; splicing a splice changes nothing.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/domain/chat.h"
#include "gateway/domain/price.h"
#include "gateway/domain/routing_text.h"
#include "gateway/domain/scan.h"

#define DEPTH 64

static void scan_all(struct scan *scan, struct str body, size_t piece)
{
    scan_init(scan, DEPTH);
    while (body.n > 0) {
        size_t n = piece < body.n ? piece : body.n;

        if (scan_feed(scan, body.p, n) != SCAN_OK)
            break;
        body = str_skip(body, n);
    }
    IGNORE(scan_end(scan));
}

static void same(const struct scan *a, const struct scan *b)
{
    LAW(a->error == b->error && a->error_offset == b->error_offset);
    LAW(a->error_field == b->error_field);
    if (a->error != SCAN_OK)
        return;
    LAW(memcmp(a->fields, b->fields, sizeof(a->fields)) == 0);
    LAW(memcmp(a->messages, b->messages, sizeof(a->messages)) == 0);
    LAW(a->bytes == b->bytes && a->n_messages == b->n_messages);
    LAW(a->n_bad_messages == b->n_bad_messages && a->n_images == b->n_images);
    LAW(a->n_other_media == b->n_other_media && a->media_bytes == b->media_bytes);
    LAW(a->media_kinds == b->media_kinds);
    LAW(a->json_object == b->json_object && a->json_schema == b->json_schema);
}

static void agrees_with_reader(const struct scan *scan, struct str body)
{
    struct jread_value root;
    bool json = jread_parse(body, DEPTH, &root);

    if (scan->error == SCAN_OK)
        LAW(json && root.type == JREAD_MAP && str_is_utf8(body));
    if (scan->error == SCAN_MALFORMED || scan->error == SCAN_TRUNCATED)
        LAW(!json);
    if (scan->error == SCAN_NOT_OBJECT)
        LAW(!json || root.type != JREAD_MAP);
}

static struct str splice(const struct chat_request *chat, struct arena *arena,
                         struct buf *out)
{
    const struct chat_edit edit = { .model = STR_INIT("a\"\xc3\xa9"),
                                    .output_limit = 100,
                                    .limit_field = CONFIG_LIMIT_MAX_COMPLETION_TOKENS };
    struct iovec pieces[CHAT_MAX_PIECES];
    size_t n, bytes;

    LAW(chat_splice(chat, &edit, arena, pieces, &n, &bytes) == ERR_OK);
    buf_clear(out);
    for (size_t i = 0; i < n; i++)
        buf_put_str(out, (struct str){ pieces[i].iov_base, pieces[i].iov_len });
    LAW(!out->failed && out->n == bytes);
    return buf_str(out);
}

static void splice_is_stable(const struct chat_request *chat, struct arena *arena)
{
    struct chat_request again;
    struct buf first, second;
    struct scan scan;
    struct str body;

    buf_init(&first, 1 << 24);
    buf_init(&second, 1 << 24);
    body = splice(chat, arena, &first);
    scan_all(&scan, body, SIZE_MAX);
    LAW(scan.error == SCAN_OK);
    LAW(chat_parse(&again, &scan, body, arena, NULL) == API_OK);
    LAW(str_is(again.model, "a\"\xc3\xa9") && again.frugal.n == 0);
    LAW(again.output_limit > 0 && again.output_limit <= 100);
    /* Under one name only, and nothing new that a ceiling would refuse. */
    LAW(scan.fields[SCAN_MAX_TOKENS].type == JREAD_NOTHING);
    LAW(!chat_extras(&again).unpriced == !chat_extras(chat).unpriced);
    LAW(again.stream == chat->stream && (!chat->stream || again.include_usage));
    LAW(again.n_messages == chat->n_messages && again.prompt_bytes == chat->prompt_bytes);
    LAW(str_eq(splice(&again, arena, &second), body));
    buf_release(&first);
    buf_release(&second);
}

static void text_is_fit(const struct chat_request *chat)
{
    struct buf text;

    buf_init(&text, ROUTING_TEXT_MAX);
    LAW(routing_text(chat, &text) == ERR_OK);
    LAW(str_is_utf8(buf_str(&text)));
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str body = { (const char *)data, n };
    struct scan whole, sliced;
    struct chat_request chat;
    struct arena arena;

    scan_all(&whole, body, SIZE_MAX);
    for (size_t piece = 1; piece <= 17; piece += 4) {
        scan_all(&sliced, body, piece);
        same(&whole, &sliced);
    }
    agrees_with_reader(&whole, body);
    if (whole.error != SCAN_OK)
        return 0;
    arena_init(&arena, 1 << 20);
    if (chat_parse(&chat, &whole, body, &arena, NULL) == API_OK) {
        splice_is_stable(&chat, &arena);
        text_is_fit(&chat);
    }
    arena_release(&arena);
    return 0;
}
