/* routing_stamp.c - a rule as rows and bundles have it: version, templates, and a hash of what it does.
 *
 * The hash is of the texts that the rule makes of requests that exercise its parts: short and long
 * turns, parts, escapes, several turns, system prompts, completions; and of one request that begins
 * with each template. It is not of the code, so what leaves the texts as they are leaves the hash.
 */
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "gateway/base/arena.h"
#include "gateway/domain/routing_text.h"
#include "gateway/domain/scan.h"

#define TAG         ";strip="
#define PROBE_DEPTH 16
#define PROBE_BYTES (4 * (size_t)ROUTING_TEXT_MOST)
#define PROBE_ARENA 65536

/* Requests; "~" stands for LONG words, of which no two are equal. */
static const char *const probes[] = {
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"What is 17 times "
    "23?\"}]}",
    "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"Be "
    "\\u00fcbrief.\"},"
    "{\"role\":\"developer\",\"content\":\"In \\\"French\\\".\"},"
    "{\"role\":\"user\",\"content\":\"How far is it from Oslo to Bergen?\"},"
    "{\"role\":\"assistant\",\"content\":\"463 km\"},"
    "{\"role\":\"user\",\"content\":\"and in miles?\"}]}",
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
    "\"text\":\"a\\n\"},"
    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}},{\"type\":\"text\",\"text\":"
    "\"b "
    "\\ud83d\\ude00\"}]},{\"role\":\"tool\",\"content\":\"12\"}]}",
    "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":\"no user\"}]}",
    "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"~\"},{\"role\":"
    "\"user\","
    "\"content\":\"~ first\"},{\"role\":\"user\",\"content\":\"~\"}]}",
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"~~~~~~~~\"}]}",
};
#define LONG 700

static void put_probe(struct buf *body, const char *probe)
{
    for (unsigned word = 0; *probe != '\0'; probe++) {
        if (*probe != '~') {
            IGNORE(buf_add(body, probe, 1));
            continue;
        }
        for (unsigned i = 0; i < LONG; i++)
            buf_putf(body, "\\u00e4%u ", ++word);
    }
}

/* Adds the text of the request and its length. */
static enum err add_text(const struct routing_rule *rule, struct str body,
                         struct buf *texts)
{
    struct api_error error = { .code = API_OK };
    struct chat_request chat;
    struct arena arena;
    struct scan scan;
    size_t before = texts->n;
    enum err err = ERR_INVALID;

    arena_init(&arena, PROBE_ARENA);
    scan_init(&scan, PROBE_DEPTH);
    if (scan_feed(&scan, body.p, body.n) == SCAN_OK && scan_end(&scan) == SCAN_OK &&
        chat_parse(&chat, &scan, body, &arena, &error) == API_OK)
        err = routing_text_by(rule, &chat, texts);
    buf_putf(texts, "#%zu", texts->n - before);
    arena_release(&arena);
    return texts->failed ? ERR_NOMEM : err;
}

static enum err add_templates(const struct routing_rule *rule,
                              const struct routing_templates *templates, const char *role,
                              struct buf *body, struct buf *texts)
{
    enum err err = ERR_OK;

    for (size_t i = 0; err == ERR_OK && i < templates->n; i++) {
        buf_clear(body);
        buf_putf(body,
                 "{\"model\":\"m\",\"messages\":[{\"role\":\"%s\",\"content\":", role);
        buf_put_json(body, templates->at[i]);
        /* What follows is inside the string: over its closing quote. */
        if (body->n > 0)
            body->n--;
        buf_put(body, " 17 times 23\"},{\"role\":\"user\",\"content\":\"Well?\"}]}");
        err = body->failed ? ERR_NOMEM : add_text(rule, buf_str(body), texts);
    }
    return err;
}

enum err routing_rule_stamp(const struct routing_rule *rule,
                            char ret_stamp[ROUTING_TEXT_STAMP])
{
    struct buf body, texts;
    enum err err = ERR_OK;

    buf_init(&body, 8 * PROBE_BYTES);
    buf_init(&texts, 64 * PROBE_BYTES);
    buf_put(&texts, rule->version);
    for (size_t i = 0; err == ERR_OK && i < ARRAY_LEN(probes); i++) {
        buf_clear(&body);
        put_probe(&body, probes[i]);
        err = body.failed ? ERR_NOMEM : add_text(rule, buf_str(&body), &texts);
    }
    if (err == ERR_OK)
        err = routing_rule_extra(rule, &texts);
    if (err == ERR_OK && rule->strip != NULL)
        err = add_templates(rule, &rule->strip->turn, "user", &body, &texts);
    if (err == ERR_OK && rule->strip != NULL)
        err = add_templates(rule, &rule->strip->system, "system", &body, &texts);
    if (err == ERR_OK)
        (void)snprintf(ret_stamp, ROUTING_TEXT_STAMP, "%s#%016llx", rule->version,
                       (unsigned long long)XXH3_64bits(texts.p, texts.n));
    buf_release(&texts);
    buf_release(&body);
    return err;
}

enum err routing_rule_extra(const struct routing_rule *rule, struct buf *out)
{
    return rule->strip != NULL ? routing_strip_write(rule->strip, out) : ERR_OK;
}

enum err routing_rule_strip(struct routing_rule *rule, struct routing_strip **strip)
{
    size_t n = strlen(rule->version);
    struct buf bytes;
    enum err err;

    if (*strip == NULL)
        return ERR_OK;
    buf_init(&bytes, 2 * (size_t)ROUTING_STRIP_BYTES);
    err = routing_strip_write(*strip, &bytes);
    if (err == ERR_OK) {
        (void)snprintf(rule->version + n, sizeof rule->version - n, TAG "%08x",
                       (unsigned)XXH3_64bits(bytes.p, bytes.n));
        rule->strip = *strip;
        *strip = NULL;
    }
    buf_release(&bytes);
    return err;
}

void routing_rule_release(struct routing_rule *rule)
{
    routing_strip_free(rule->strip);
    rule->strip = NULL;
}

struct str routing_stamp_version(struct str stamp)
{
    struct str version = { 0 };

    (void)str_cut(&stamp, '#', &version);
    return version;
}

/* The version without its templates' tag. */
static struct str without_tag(struct str version)
{
    const char *tag =
        version.n > 0 ? memmem(version.p, version.n, TAG, strlen(TAG)) : NULL;

    return tag != NULL ? str_first(version, (size_t)(tag - version.p)) : version;
}

static enum err read_rule(struct str version, struct str extra, struct routing_rule *rule,
                          const char **ret_why)
{
    struct routing_strip *strip = NULL;

    *ret_why = "no rule of this program";
    if (routing_rule_parse(without_tag(version), rule, NULL) != ERR_OK)
        return ERR_INVALID;
    if (extra.n > 0 && routing_strip_read(extra, &strip) != ERR_OK)
        return ERR_INVALID;
    enum err err = routing_rule_strip(rule, &strip);
    routing_strip_free(strip);
    if (err == ERR_OK && version.n > 0 && !str_is(version, rule->version)) {
        *ret_why = "a rule whose templates are not those of the bundle: build it again";
        err = ERR_INVALID;
    }
    return err;
}

enum err routing_rule_of_bundle(struct str stamp, struct str extra,
                                struct routing_rule *ret_rule, const char **ret_why)
{
    struct routing_rule rule = { .strip = NULL };
    char here[ROUTING_TEXT_STAMP];
    const char *why = NULL;
    struct str rest = stamp, version = { 0 };
    enum err err;

    (void)str_cut(&rest, '#', &version);
    err = read_rule(version, extra, &rule, &why);
    if (err == ERR_OK && rest.n > 0) {
        err = routing_rule_stamp(&rule, here);
        if (err == ERR_OK && !str_is(stamp, here)) {
            why =
                "a rule by which this program makes other texts: build the bundle again "
                "with `frugalctl build` of this version";
            err = ERR_INVALID;
        }
    }
    if (err == ERR_OK) {
        *ret_rule = rule;
        return ERR_OK;
    }
    routing_rule_release(&rule);
    if (ret_why != NULL)
        *ret_why = why != NULL ? why : "out of memory";
    return err;
}
