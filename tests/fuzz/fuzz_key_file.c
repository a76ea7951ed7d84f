/* fuzz_key_file.c - the mounted file of keys. Laws: a failure says what and where, inside the
 * file; a success gives whole keys, each with an id of its own; a key printed as a line is
 * read again as the same key. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "gateway/domain/key_file.h"

/* A line has no place for a quote or a line's end, and shows times to the millisecond. */
static bool fits_a_line(const struct key *key)
{
    const char *const texts[] = { key->name, key->tags };

    for (size_t i = 0; i < 2; i++) {
        if (strpbrk(texts[i], "\"\n\r\t") != NULL)
            return false;
    }
    return key->expires_us % 1000 == 0 && key->revoked_us % 1000 == 0;
}

static void is_read_again(const struct key *key)
{
    struct key_set one, again;
    struct buf line;

    key_set_init(&one);
    key_set_init(&again);
    buf_init(&line, 1 << 20);
    LAW(key_set_add(&one, key) == ERR_OK);
    key_file_put(key, &line);
    LAW(!line.failed);
    LAW(key_file_parse(buf_str(&line), &again, NULL) == ERR_OK);
    LAW(key_set_same(&one, &again));
    buf_release(&line);
    key_set_release(&one);
    key_set_release(&again);
}

static void is_whole(const struct key *key)
{
    LAW(key_id_ok(str_of(key->id)));
    LAW(key->n_hashes >= 1 && key->n_hashes <= KEY_SECRETS);
    LAW(strlen(key->name) <= KEY_NAME_MAX && strlen(key->tags) <= KEY_TAGS_MAX);
    LAW(key->expires_us >= 0 && key->revoked_us >= 0);
    LAW(key->limits.requests_per_minute >= 0 &&
        key->limits.requests_per_minute <= KEY_RATE_MAX);
    for (int w = 0; w < KEY_WINDOW_COUNT; w++)
        LAW(key->limits.budget_pico[w] >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str text = { (const char *)data, n };
    struct key_file_error error = { .text = "" };
    struct key_set set;

    if (!key_start())
        return 1;
    key_set_init(&set);
    if (key_file_parse(text, &set, &error) != ERR_OK) {
        LAW(error.text[0] != '\0');
        LAW(error.line >= 0 && (size_t)error.line <= n + 1);
        LAW(error.column >= 0 && (size_t)error.column <= n + 1);
    } else {
        LAW(error.text[0] == '\0');
        for (size_t i = 0; i < set.n; i++) {
            is_whole(&set.keys[i]);
            if (fits_a_line(&set.keys[i]))
                is_read_again(&set.keys[i]);
        }
    }
    key_set_release(&set);
    return 0;
}
