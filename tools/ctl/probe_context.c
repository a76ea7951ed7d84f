/* probe_context.c - how long a prompt may be, from whoever tells; all of it free of charge.
 *
 * A server's own word about the model that runs goes before what the model could do: Ollama runs
 * models with a shorter context than they have, and cuts prompts off at it in silence.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/domain/ability.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/probe.h"

#define NAME_BYTES 256

static bool take(struct probe_found *found, struct jread_value value, const char *from)
{
    int64_t tokens;

    if (found->context_tokens > 0 || !jread_integer(value, &tokens) || tokens < 1 ||
        tokens > 1000000000)
        return false;
    found->context_tokens = tokens;
    found->context_from = from;
    return true;
}

/* The endpoint's path at its root, without the /v1. The caller's to free. */
static char *root_url(const struct probe_settings *settings, const char *path)
{
    size_t n = strlen(settings->base);

    if (n > 3 && strcmp(settings->base + n - 3, "/v1") == 0)
        n -= 3;
    return memory_format("%.*s%s", (int)n, settings->base, path);
}

/* False: no JSON with status 200. */
static bool ask_root(const struct probe_settings *settings, const char *method,
                     const char *path, const char *body, struct probe_answer *answer)
{
    char *url = root_url(settings, path);
    struct fault unsaid = { "" };
    enum fault_err err = probe_call(&settings->line, method, url, body, answer, &unsaid);

    free(url);
    return err == FAULT_OK && answer->status == 200 &&
           probe_json(answer).type == JREAD_MAP;
}

static void from_props(const struct probe_settings *settings, struct probe_found *found)
{
    struct probe_answer answer;

    if (ask_root(settings, "GET", "/props", NULL, &answer)) {
        struct jread_value root = probe_json(&answer);
        struct jread_value running = jread_get(root, "default_generation_settings");

        (void)take(found, jread_get(running, "n_ctx"), "llama.cpp's /props");
        if (jread_is_true(jread_get(jread_get(root, "modalities"), "vision"))) {
            found->abilities |= ABILITY_BIT(IMAGES);
            found->images_known = true;
        }
    }
    probe_answer_release(&answer);
}

/* Ollama's models that are loaded. */
static void from_ps(const struct probe_settings *settings, struct probe_found *found)
{
    struct probe_answer answer;

    if (ask_root(settings, "GET", "/api/ps", NULL, &answer)) {
        struct jread_iter it = jread_iter(jread_get(probe_json(&answer), "models"));
        struct jread_value model;

        while (jread_next_element(&it, &model))
            if (jread_string_is(jread_get(model, "name"), settings->model) ||
                jread_string_is(jread_get(model, "model"), settings->model))
                (void)take(found, jread_get(model, "context_length"),
                           "Ollama, as the model is loaded");
    }
    probe_answer_release(&answer);
}

/* "num_ctx                        8192\nstop ..." */
static int64_t num_ctx(struct jread_value parameters)
{
    struct buf text;
    int64_t tokens = 0;

    buf_init(&text, 1u << 20);
    (void)jread_put_string(parameters, 1u << 19, &text);
    buf_putf(&text, "%c", 0);
    const char *at = text.p != NULL ? strstr(text.p, "num_ctx") : NULL;
    if (at != NULL)
        tokens = strtoll(at + strlen("num_ctx"), NULL, 10);
    buf_release(&text);
    return tokens > 0 && tokens <= 1000000000 ? tokens : 0;
}

static void from_show(const struct probe_settings *settings, struct probe_found *found)
{
    struct probe_answer answer;
    struct jread_value root, key, value;
    struct buf body;

    buf_init(&body, 4096);
    buf_put(&body, "{\"model\":");
    buf_put_json(&body, str_of(settings->model));
    buf_putf(&body, "}%c", 0);
    bool good = !body.failed && ask_root(settings, "POST", "/api/show", body.p, &answer);

    if (good) {
        struct jread_iter able, info;

        root = probe_json(&answer);
        able = jread_iter(jread_get(root, "capabilities"));
        info = jread_iter(jread_get(root, "model_info"));
        while (jread_next_element(&able, &value)) {
            found->images_known = true; /* whoever lists them knows */
            if (jread_string_is(value, "vision"))
                found->abilities |= ABILITY_BIT(IMAGES);
        }
        int64_t set = num_ctx(jread_get(root, "parameters"));
        if (set > 0 && found->context_tokens == 0) {
            found->context_tokens = set;
            found->context_from = "Ollama's num_ctx of the model";
        }
        while (jread_next_member(&info, &key, &value)) {
            struct str raw = key.raw;
            const struct str end = STR(".context_length\"");

            if (raw.n > end.n && str_eq(str_skip(raw, raw.n - end.n), end) &&
                take(found, value, "the model, as Ollama tells of it"))
                probe_note(found,
                           "Ollama may run it with a shorter context than the %" PRId64
                           " tokens that it has: set num_ctx",
                           found->context_tokens);
        }
    }
    if (!body.failed)
        probe_answer_release(&answer);
    buf_release(&body);
}

void probe_context(const struct probe_settings *settings, struct jread_value model_entry,
                   struct probe_found *found)
{
    static const struct {
        const char *key, *from;
    } members[] = {
        { "max_model_len", "vLLM's list of models" },
        { "loaded_context_length", "the list of models" },
        { "context_length", "the list of models" },
        { "context_window", "the list of models" },
        { "max_context_length", "the list of models" },
        { "max_input_tokens", "the list of models" },
    };
    struct jread_value cap, input;
    struct jread_iter inputs;

    from_props(settings, found);
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        (void)take(found, jread_get(model_entry, members[i].key), members[i].from);
    if (found->context_tokens == 0)
        from_ps(settings, found);
    if (found->context_tokens == 0)
        from_show(settings, found);
    (void)take(found, jread_get(jread_get(model_entry, "meta"), "n_ctx_train"),
               "what the model was trained for");
    cap = jread_get(jread_get(model_entry, "top_provider"), "max_completion_tokens");
    if (cap.type != JREAD_NUMBER)
        cap = jread_get(model_entry, "max_completion_tokens");
    if (!jread_integer(cap, &found->output_cap) || found->output_cap < 1 ||
        (found->context_tokens > 0 && found->output_cap > found->context_tokens))
        found->output_cap = 0;
    inputs =
        jread_iter(jread_get(jread_get(model_entry, "architecture"), "input_modalities"));
    while (jread_next_element(&inputs, &input)) {
        found->images_known = true;
        if (jread_string_is(input, "image"))
            found->abilities |= ABILITY_BIT(IMAGES);
    }
}
