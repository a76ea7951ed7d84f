/* answer.c - head and framing of an HTTP/1.x answer */
#include "gateway/io/answer.h"

#include <assert.h>
#include <string.h>

/* -- the head ---------------------------------------------------------------------------- */

bool answer_may_begin(const char *bytes, size_t n)
{
    static const char start[] = "HTTP/1.";
    const size_t most = sizeof start - 1;
    return memcmp(bytes, start, n < most ? n : most) == 0;
}

size_t answer_head_end(const char *bytes, size_t n, size_t from)
{
    /* An end may straddle the border by up to three bytes. */
    const char *at = bytes + (from > 3 ? from - 3 : 0), *end = bytes + n;
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        if (lf == NULL)
            return 0;
        at = lf + 1;
        if (at < end && *at == '\n')
            return (size_t)(at + 1 - bytes);
        if (end - at >= 2 && at[0] == '\r' && at[1] == '\n')
            return (size_t)(at + 2 - bytes);
    }
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 200 OK": *ret_old is true for 1.0. */
static bool read_status(const char *line, size_t n, unsigned *ret_status, bool *ret_old)
{
    if (n < 12 || !answer_may_begin(line, n) || !is_digit(line[7]) || line[8] != ' ')
        return false;
    if (!is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]))
        return false;
    if (n > 12 && line[12] != ' ')
        return false;
    *ret_old = line[7] == '0';
    *ret_status =
        (unsigned)((line[9] - '0') * 100 + (line[10] - '0') * 10 + line[11] - '0');
    return *ret_status >= 100;
}

/* Lower-cases a field's name. False: it has a byte that no name has. */
static bool read_name(char *name, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (name[i] <= ' ' || name[i] == 0x7f)
            return false;
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] + ('a' - 'A'));
    }
    return n > 0;
}

static bool read_length(const char *value, uint64_t *ret_length)
{
    uint64_t length = 0;
    if (*value == '\0')
        return false;
    for (; *value != '\0'; value++) {
        if (!is_digit(*value) || length > (UINT64_MAX >> 8) / 10)
            return false;
        length = length * 10 + (uint64_t)(*value - '0');
    }
    *ret_length = length;
    return true;
}

static bool same_word(const char *a, size_t n, const char *word)
{
    if (n != strlen(word))
        return false;
    for (size_t i = 0; i < n; i++)
        if ((a[i] | 0x20) != word[i])
            return false;
    return true;
}

/* Is the word (lower case letters and dashes) in the comma list? */
static bool has_word(const char *list, const char *word)
{
    while (*list != '\0') {
        list += strspn(list, " \t,");
        const size_t n = strcspn(list, " \t,");
        if (same_word(list, n, word))
            return true;
        list += n;
    }
    return false;
}

struct framing {
    bool old, close, keep_alive, chunked, has_length;
    uint64_t length;
};

static bool read_framing(struct framing *framing, const char *name, const char *value)
{
    uint64_t length;
    if (strcmp(name, "content-length") == 0) {
        if (!read_length(value, &length))
            return false;
        if (framing->has_length && framing->length != length)
            return false;
        framing->has_length = true;
        framing->length = length;
    } else if (strcmp(name, "transfer-encoding") == 0) {
        if (framing->chunked || !same_word(value, strlen(value), "chunked"))
            return false;
        framing->chunked = true;
    } else if (strcmp(name, "connection") == 0) {
        framing->close = framing->close || has_word(value, "close");
        framing->keep_alive = framing->keep_alive || has_word(value, "keep-alive");
    }
    return true;
}

static void frame(struct answer *answer, const struct framing *framing)
{
    const bool bare =
        answer->status < 200 || answer->status == 204 || answer->status == 304;
    answer->framing = ANSWER_LENGTH;
    answer->left = 0;
    if (!bare && framing->chunked)
        answer->framing = ANSWER_CHUNKED;
    else if (!bare && framing->has_length)
        answer->left = framing->length;
    else if (!bare)
        answer->framing = ANSWER_UNTIL_CLOSE;
    answer->keeps = !framing->close && (!framing->old || framing->keep_alive) &&
                    answer->framing != ANSWER_UNTIL_CLOSE &&
                    !(framing->chunked && framing->has_length);
    answer->chunk_state = 0;
    answer->overhead_bytes = 0;
    answer->any_digit = false;
}

/* The next line, NUL-terminated, folded ones joined; NULL: a NUL or a lone CR is in it. */
static char *next_line(char **at, char *end, size_t *ret_n)
{
    char *line = *at;
    char *lf = memchr(line, '\n', (size_t)(end - line));
    assert(lf != NULL); /* the head ends in an empty line */
    while (lf + 1 < end && (lf[1] == ' ' || lf[1] == '\t') && lf != line) {
        *lf = ' ';
        if (lf[-1] == '\r')
            lf[-1] = ' ';
        lf = memchr(lf, '\n', (size_t)(end - lf));
        assert(lf != NULL);
    }
    *at = lf + 1;
    size_t n = (size_t)(lf - line);
    if (n > 0 && line[n - 1] == '\r')
        n--;
    line[n] = '\0';
    *ret_n = n;
    return memchr(line, '\0', n) == NULL && memchr(line, '\r', n) == NULL ? line : NULL;
}

bool answer_head(struct answer *answer, char *head, size_t n,
                 struct answer_field ret_fields[ANSWER_FIELDS_MAX], size_t *ret_n_fields)
{
    char *at = head, *const end = head + n;
    struct framing framing = { .old = false };
    size_t kept = 0, line_n;
    char *line = next_line(&at, end, &line_n);
    if (line == NULL || !read_status(line, line_n, &answer->status, &framing.old))
        return false;
    while (at < end) {
        line = next_line(&at, end, &line_n);
        if (line == NULL)
            return false;
        if (line_n == 0)
            break;
        char *colon = memchr(line, ':', line_n);
        if (colon == NULL || !read_name(line, (size_t)(colon - line)))
            return false;
        *colon = '\0';
        char *value = colon + 1, *last = line + line_n;
        value += strspn(value, " \t");
        while (last > value && (last[-1] == ' ' || last[-1] == '\t'))
            *--last = '\0';
        if (!read_framing(&framing, line, value))
            return false;
        if (kept < ANSWER_FIELDS_MAX)
            ret_fields[kept++] = (struct answer_field){ line, value };
    }
    frame(answer, &framing);
    *ret_n_fields = kept;
    return true;
}

/* -- the body ---------------------------------------------------------------------------- */

enum chunk_state {
    CHUNK_SIZE,
    CHUNK_EXTENSION, /* skipped to the end of the line */
    CHUNK_SIZE_LF,   /* after a CR */
    CHUNK_DATA,
    CHUNK_DATA_CR, /* the line end after the data */
    CHUNK_DATA_LF,
    CHUNK_TRAILER, /* at the start of a line */
    CHUNK_TRAILER_LINE,
    CHUNK_TRAILER_LF, /* the last LF */
    CHUNK_DONE,
    CHUNK_BAD
};

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum chunk_state after_size(struct answer *answer)
{
    if (!answer->any_digit)
        return CHUNK_BAD;
    answer->any_digit = false;
    answer->overhead_bytes = 0;
    return answer->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
}

static enum chunk_state read_size(struct answer *answer, char c)
{
    const int value = hex_value(c);
    if (value >= 0) {
        if (answer->left > UINT64_MAX >> 8)
            return CHUNK_BAD;
        answer->left = answer->left * 16 + (uint64_t)value;
        answer->any_digit = true;
        return CHUNK_SIZE;
    }
    if (c == '\n')
        return after_size(answer);
    if (!answer->any_digit)
        return CHUNK_BAD;
    if (c == '\r')
        return CHUNK_SIZE_LF;
    return c == ';' || c == ' ' || c == '\t' ? CHUNK_EXTENSION : CHUNK_BAD;
}

/* One byte that is not payload. */
static enum chunk_state step(struct answer *answer, char c)
{
    switch ((enum chunk_state)answer->chunk_state) {
    case CHUNK_SIZE:
        return read_size(answer, c);
    case CHUNK_EXTENSION:
        if (c == '\n')
            return after_size(answer);
        return ++answer->overhead_bytes > ANSWER_OVERHEAD_BYTES ? CHUNK_BAD
                                                                : CHUNK_EXTENSION;
    case CHUNK_SIZE_LF:
        return c == '\n' ? after_size(answer) : CHUNK_BAD;
    case CHUNK_DATA_CR:
        if (c == '\r')
            return CHUNK_DATA_LF;
        return c == '\n' ? CHUNK_SIZE : CHUNK_BAD;
    case CHUNK_DATA_LF:
        return c == '\n' ? CHUNK_SIZE : CHUNK_BAD;
    case CHUNK_TRAILER:
        if (c == '\n')
            return CHUNK_DONE;
        if (c == '\r')
            return CHUNK_TRAILER_LF;
        /* fall through */
    case CHUNK_TRAILER_LINE:
        if (c == '\n')
            return CHUNK_TRAILER;
        return ++answer->overhead_bytes > ANSWER_OVERHEAD_BYTES ? CHUNK_BAD
                                                                : CHUNK_TRAILER_LINE;
    case CHUNK_TRAILER_LF:
        return c == '\n' ? CHUNK_DONE : CHUNK_BAD;
    case CHUNK_DATA:
    case CHUNK_DONE:
    case CHUNK_BAD:
        break;
    }
    assert(!"no byte is read in this state");
    return CHUNK_BAD;
}

static enum answer_state read_chunks(struct answer *answer, char *bytes, size_t n,
                                     size_t *ret_payload, size_t *ret_used)
{
    size_t at = 0, payload = 0;
    while (at < n && answer->chunk_state != CHUNK_DONE &&
           answer->chunk_state != CHUNK_BAD) {
        if (answer->chunk_state != CHUNK_DATA) {
            answer->chunk_state = step(answer, bytes[at++]);
            continue;
        }
        const size_t most = n - at;
        const size_t take = answer->left < most ? (size_t)answer->left : most;
        if (payload != at)
            memmove(bytes + payload, bytes + at, take);
        payload += take;
        at += take;
        answer->left -= take;
        if (answer->left == 0)
            answer->chunk_state = CHUNK_DATA_CR;
    }
    *ret_payload = payload;
    *ret_used = at;
    if (answer->chunk_state == CHUNK_BAD)
        return ANSWER_BAD;
    return answer->chunk_state == CHUNK_DONE ? ANSWER_END : ANSWER_MORE;
}

enum answer_state answer_body(struct answer *answer, char *bytes, size_t n,
                              size_t *ret_payload, size_t *ret_used)
{
    if (answer->framing == ANSWER_CHUNKED)
        return read_chunks(answer, bytes, n, ret_payload, ret_used);
    if (answer->framing == ANSWER_UNTIL_CLOSE) {
        *ret_payload = *ret_used = n;
        return ANSWER_MORE;
    }
    const size_t take = answer->left < n ? (size_t)answer->left : n;
    answer->left -= take;
    *ret_payload = *ret_used = take;
    return answer->left == 0 ? ANSWER_END : ANSWER_MORE;
}

enum answer_state answer_close(const struct answer *answer)
{
    return answer->framing == ANSWER_UNTIL_CLOSE ? ANSWER_END : ANSWER_BAD;
}
