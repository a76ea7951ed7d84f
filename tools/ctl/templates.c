/* templates.c - beginnings that many texts share, out of their order.
 *
 *   sorted   You are a clerk. Answer: A..        the whole range shares "You are a clerk. Answer: ";
 *            You are a clerk. Answer: B..        behind that it falls apart, so that is a template
 *            You are a clerk. Answer: C..
 */
#include "tools/ctl/templates.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/arena.h"
#include "gateway/domain/jread.h"
#include "tools/ctl/memory.h"

#define GO_ON 0.9 /* so many of a range that go on alike belong to the same template */
#define ARENA (8u << 20)
#define WORD_BYTES                                                                       \
    64 /* where so many bytes hold no white space, characters are the bounds */

static void push(struct templates_texts *texts, struct str text)
{
    if (texts->n == texts->room) {
        texts->room = texts->room > 0 ? texts->room * 2 : 256;
        texts->at = memory_resize(texts->at, texts->room, sizeof(*texts->at));
    }
    text = str_clip_utf8(text, ROUTING_STRIP_LONG);
    texts->at[texts->n++] = memory_text_n(text.p, text.n);
}

/* The first text of a message, as the rule decodes it. */
static void push_message(struct templates_texts *texts, struct jread_value message)
{
    struct jread_value content = jread_get(message, "content"), part;
    struct jread_iter it = jread_iter(content);
    struct buf text;

    while (content.type == JREAD_LIST && jread_next_element(&it, &part)) {
        content = part.type == JREAD_TEXT ? part : jread_get(part, "text");
        if (content.type != JREAD_TEXT)
            content.type = JREAD_LIST;
    }
    if (content.type != JREAD_TEXT)
        return;
    buf_init(&text, ROUTING_STRIP_LONG + 8);
    (void)jread_put_string(content, ROUTING_STRIP_LONG, &text);
    if (text.n > 0 && memchr(text.p, 0, text.n) == NULL)
        push(texts, buf_str(&text));
    buf_release(&text);
}

void templates_add(struct templates *templates, const char *messages)
{
    struct jread_value list = jread_trusted(str_of(messages)), message;
    struct jread_value last = { .type = JREAD_NOTHING };
    struct jread_iter it = jread_iter(list);

    for (bool first = true; jread_next_element(&it, &message); first = false) {
        struct jread_value role = jread_get(message, "role");
        if (first &&
            (jread_string_is(role, "system") || jread_string_is(role, "developer")))
            push_message(&templates->systems, message);
        if (jread_string_is(role, "user"))
            last = message;
    }
    if (last.type == JREAD_MAP)
        push_message(&templates->turns, last);
}

static void release(struct templates_texts *texts)
{
    for (size_t i = 0; i < texts->n; i++)
        free(texts->at[i]);
    free(texts->at);
    *texts = (struct templates_texts){ 0 };
}

void templates_release(struct templates *templates)
{
    release(&templates->turns);
    release(&templates->systems);
}

/* -- finding ----------------------------------------------------------------------------- */

struct search {
    char *const *at; /* sorted */
    size_t least;    /* texts of a template */
    struct str found[ROUTING_STRIP_MOST];
    size_t shared[ROUTING_STRIP_MOST]; /* by how many texts */
    size_t n;
};

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t common(const char *a, const char *b)
{
    size_t n = 0;

    while (a[n] != '\0' && a[n] == b[n])
        n++;
    return n;
}

static bool is_white(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* So much of n bytes that no word is cut: behind white space, or the whole text. */
static size_t bound(const char *text, size_t n)
{
    size_t at = n;

    if (text[n] == '\0')
        return n;
    while (at > 0 && n - at < WORD_BYTES && !is_white(text[at - 1]))
        at--;
    if (at > 0 && is_white(text[at - 1]))
        return at;
    return str_clip_utf8((struct str){ text, n }, n).n;
}

/* Of more than can be kept, those that most texts share. */
static void found(struct search *search, struct str template, size_t shared)
{
    size_t least = 0;

    for (size_t i = 1; i < search->n; i++) {
        if (search->shared[i] < search->shared[least])
            least = i;
    }
    if (search->n < ROUTING_STRIP_MOST)
        least = search->n++;
    else if (search->shared[least] >= shared)
        return;
    search->found[least] = template;
    search->shared[least] = shared;
}

/* Behind the first text of [from, to) that has another byte at `depth`. */
static size_t child_end(const struct search *search, size_t from, size_t to, size_t depth)
{
    char byte = search->at[from][depth];

    while (from < to && search->at[from][depth] == byte)
        from++;
    return from;
}

/* One range of texts, and `taken`: bytes of the template that they have already. Ranges that are
 * still to be looked at wait on a stack: texts may be thousands of bytes deep. */
struct range {
    size_t from, to, taken;
};

struct stack {
    struct range *at;
    size_t n, room;
};

static void wait_for(struct stack *stack, struct range range)
{
    if (stack->n == stack->room) {
        stack->room = stack->room > 0 ? stack->room * 2 : 64;
        stack->at = memory_resize(stack->at, stack->room, sizeof(range));
    }
    stack->at[stack->n++] = range;
}

static void look(struct search *search, struct range range, struct stack *stack)
{
    const char *first = search->at[range.from], *last = search->at[range.to - 1];
    size_t n = range.to - range.from, depth = common(first, last), most = 0;
    bool equal = first[depth] == '\0' && last[depth] == '\0';

    for (size_t i = range.from, end; i < range.to && !equal; i = end) {
        end = child_end(search, i, range.to, depth);
        most = end - i > most ? end - i : most;
    }
    if ((double)most < GO_ON * (double)n) {
        size_t bytes = bound(first, depth);
        if (bytes >= range.taken + TEMPLATES_LEAST) {
            found(search, (struct str){ first, bytes }, n);
            range.taken = bytes;
        }
    }
    for (size_t i = range.from, end; i < range.to && !equal; i = end) {
        end = child_end(search, i, range.to, depth);
        if (end - i >= search->least)
            wait_for(stack, (struct range){ i, end, range.taken });
    }
}

/* once: of equal texts one. */
static void find(struct templates_texts *texts, bool once, struct search *search)
{
    struct stack stack = { 0 };
    size_t n = 0;

    if (texts->n > 0)
        qsort(texts->at, texts->n, sizeof(*texts->at), compare);
    char **at = memory_new(texts->n, sizeof(*at));
    for (size_t i = 0; i < texts->n; i++) {
        if (!once || n == 0 || strcmp(at[n - 1], texts->at[i]) != 0)
            at[n++] = texts->at[i];
    }
    search->at = at;
    search->least = (size_t)((double)n * TEMPLATES_SHARE);
    if (search->least < TEMPLATES_FEW)
        search->least = TEMPLATES_FEW;
    if (n >= search->least)
        wait_for(&stack, (struct range){ 0, n, 0 });
    while (stack.n > 0)
        look(search, stack.at[--stack.n], &stack);
    free(stack.at);
    free(at);
}

enum fault_err templates_strip(struct templates *templates, bool with_system,
                               struct routing_strip **ret_strip, struct fault *fault)
{
    struct search turns = { .n = 0 }, systems = { .n = 0 };

    *ret_strip = NULL;
    find(&templates->turns, true, &turns);
    if (with_system)
        find(&templates->systems, false, &systems);
    if (turns.n + systems.n == 0)
        return FAULT_OK;
    if (routing_strip_new(turns.found, turns.n, systems.found, systems.n, ret_strip) !=
        ERR_OK)
        return fault_set(fault, FAULT_IO, "out of memory");
    return FAULT_OK;
}
