/* probe_run.c - the steps of a probe: one question each, and what its answer shows.
 *
 *   chat --> stream --> context --> parameters --> what it is able to --> other APIs
 *    |                                  the output limit goes under the name that chat has found;
 *    +-- no chat: the other APIs alone  what was refused is asked with no more
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/domain/ability.h"
#include "gateway/domain/token_count.h"
#include "gateway/domain/usage.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/probe.h"
#include "tools/ctl/probe_stream.h"

#define BODY_BYTES  65536
#define TEXT_BYTES  4096
#define NOTES_BYTES 65536
#define SAY_OK      "Say OK."

static const struct {
    const char *name, *what;
    int64_t calls, prompt, answer;
} steps[] = {
#define X(symbol, name, calls, prompt, answer, what)                                     \
    { name, what, calls, prompt, answer },
    PROBE_STEPS(X)
#undef X
};

/* Optional members of a request that applications send, with values that change something. */
static const struct {
    const char *name, *value;
} parameters[] = {
    { "temperature", "0.7" },
    { "top_p", "0.9" },
    { "seed", "7" },
    { "stop", "[\"###\"]" },
    { "frequency_penalty", "0.1" },
    { "presence_penalty", "0.1" },
    { "logit_bias", "{}" },
    { "user", "\"probe\"" },
};

void probe_note(struct probe_found *found, const char *format, ...)
{
    char line[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    buf_putf(&found->notes, "%s\n", line);
}

bool probe_ask(const struct probe_settings *settings, struct probe_found *found,
               const char *path, const char *body, struct probe_answer *ret_answer)
{
    struct fault fault = { "" };
    char *url = memory_format("%s%s", settings->base, path);
    enum fault_err err =
        probe_call(&settings->line, "POST", url, body, ret_answer, &fault);
    struct usage usage = usage_read(jread_get(probe_json(ret_answer), "usage"));

    free(url);
    found->calls++;
    if (usage.known) {
        found->prompt_tokens += usage.input_tokens;
        found->answer_tokens += usage.output_tokens;
    }
    if (err != FAULT_OK)
        probe_note(found, "%s", fault.text);
    return err == FAULT_OK && ret_answer->status == 200;
}

/* {"model":..,"messages":[..],"max_tokens":N MORE}: MORE begins with a comma, or is "". */
static void chat_body(const struct probe_settings *settings,
                      const struct probe_found *found, const char *text,
                      enum probe_step step, const char *more, struct buf *out)
{
    buf_init(out, BODY_BYTES);
    buf_put(out, "{\"model\":");
    buf_put_json(out, str_of(settings->model));
    buf_put(out, ",\"messages\":[{\"role\":\"user\",\"content\":");
    if (text[0] == '[')
        buf_put(out, text);
    else
        buf_put_json(out, str_of(text));
    buf_putf(out, "}],\"%s\":%" PRId64 "%s}%c",
             found->completion_limit ? "max_completion_tokens" : "max_tokens",
             step == PROBE_N ? steps[step].answer / 2 : steps[step].answer, more, 0);
}

static bool ask_chat(const struct probe_settings *settings, struct probe_found *found,
                     const char *text, enum probe_step step, const char *more,
                     struct probe_answer *answer)
{
    struct buf body;

    chat_body(settings, found, text, step, more, &body);
    bool good = probe_ask(settings, found, "/chat/completions", body.p, answer);
    buf_release(&body);
    return good;
}

static struct jread_value first_choice(const struct probe_answer *answer)
{
    struct jread_iter it = jread_iter(jread_get(probe_json(answer), "choices"));
    struct jread_value choice = { .type = JREAD_NOTHING };

    (void)jread_next_element(&it, &choice);
    return choice;
}

/* Does the refusal name the member, as its `param` or in its words? */
static bool names(const struct probe_answer *answer, const char *member)
{
    struct jread_value error = jread_get(probe_json(answer), "error");
    struct str body = buf_str(&answer->body);
    char *quoted = memory_format("'%s'", member);
    bool found = jread_string_is(jread_get(error, "param"), member) ||
                 memmem(body.p, body.n, quoted, strlen(quoted)) != NULL;

    free(quoted);
    if (!found && jread_get(error, "param").type != JREAD_TEXT)
        found = memmem(body.p, body.n, member, strlen(member)) != NULL;
    return found;
}

static void note_refusal(struct probe_found *found, const char *what,
                         const struct probe_answer *answer)
{
    if (answer->status == 0)
        return; /* it is noted that no answer came */
    char *words = probe_refusal(answer);

    probe_note(found, "%s: %s", what, words);
    free(words);
}

/* -- chat and streams -------------------------------------------------------------------- */

static void step_chat(const struct probe_settings *settings, struct probe_found *found)
{
    struct probe_answer answer;
    bool good = ask_chat(settings, found, SAY_OK, PROBE_CHAT, "", &answer);

    if (!good && answer.status >= 400 && answer.status < 500 &&
        names(&answer, "max_tokens")) {
        probe_answer_release(&answer);
        found->completion_limit = true;
        good = ask_chat(settings, found, SAY_OK, PROBE_CHAT, "", &answer);
    }
    struct usage usage = usage_read(jread_get(probe_json(&answer), "usage"));
    if (!good)
        note_refusal(found, "chat", &answer);
    else if (first_choice(&answer).type != JREAD_MAP)
        probe_note(found, "chat: the answer has no choices");
    else
        found->chat = true;
    if (found->chat && !usage.known)
        probe_note(found, "chat: no usage is reported, so costs will be estimates");
    if (usage.known && usage.output_tokens > steps[PROBE_CHAT].answer) {
        found->over_limit = true;
        probe_note(found,
                   "the output limit was not honoured (%" PRId64
                   " tokens instead of %" PRId64 "): no ceiling can bind it",
                   usage.output_tokens, steps[PROBE_CHAT].answer);
    }
    if (usage.known && usage.reasoning_tokens > 0)
        probe_note(found, "it thinks first: %" PRId64 " of its tokens were reasoning",
                   usage.reasoning_tokens);
    found->connect_ms = answer.connect_ms;
    probe_answer_release(&answer);
}

static void step_stream(const struct probe_settings *settings, struct probe_found *found)
{
    static const char *const count = "Count from 1 to 100 in words.";
    static const char *const with = ",\"stream\":true,\"stream_options\":"
                                    "{\"include_usage\":true}";
    struct probe_answer answer;
    struct probe_streamed streamed;
    bool good = ask_chat(settings, found, count, PROBE_STREAM, with, &answer);

    if (!good && answer.status >= 400 && answer.status < 500 &&
        names(&answer, "stream_options")) {
        probe_answer_release(&answer);
        found->drops[found->n_drops++] = "stream_options";
        good =
            ask_chat(settings, found, count, PROBE_STREAM, ",\"stream\":true", &answer);
    }
    if (!good)
        note_refusal(found, "stream", &answer);
    probe_read_stream(&answer, &streamed);
    found->stream = good && streamed.n_contents > 0;
    found->usage_in_stream = found->stream && streamed.usage.known;
    if (good && !found->stream)
        probe_note(found, "stream: no event had content");
    if (found->stream && !found->usage_in_stream)
        probe_note(found,
                   "stream: no usage is told, so costs of streams will be estimates");
    if (found->usage_in_stream) {
        found->prompt_tokens += streamed.usage.input_tokens;
        found->answer_tokens += streamed.usage.output_tokens;
    }
    found->first_token_ms = streamed.first_ms;
    found->tokens_per_second = streamed.tokens_per_second;
    probe_answer_release(&answer);
}

/* -- tokenizer --------------------------------------------------------------------------- */

static void step_tokenizer(const struct probe_settings *settings,
                           struct probe_found *found)
{
    static const char *const takes[] = { "content", "messages" };
    size_t n = strlen(settings->base);

    if (n > 3 && strcmp(settings->base + n - 3, "/v1") == 0)
        n -= 3;
    char *url = memory_format("%.*s/tokenize", (int)n, settings->base);
    for (size_t i = 0; i < ARRAY_LEN(takes) && found->tokenizer_takes == NULL; i++) {
        struct fault unsaid = { "" };
        struct probe_answer answer;
        struct buf body;

        buf_init(&body, BODY_BYTES);
        buf_put(&body, "{\"model\":");
        buf_put_json(&body, str_of(settings->model));
        buf_putf(&body, ",%s}%c",
                 i == 0 ? "\"content\":\"one two three\""
                        : "\"messages\":[{\"role\":\"user\",\"content\":\"one two\"}]",
                 0);
        if (probe_call(&settings->line, "POST", url, body.p, &answer, &unsaid) ==
                FAULT_OK &&
            answer.status == 200 && token_answer(buf_str(&answer.body)) > 0)
            found->tokenizer_takes = takes[i];
        probe_answer_release(&answer);
        buf_release(&body);
    }
    free(url);
}

/* -- parameters -------------------------------------------------------------------------- */

static bool dropped(const struct probe_found *found, const char *name)
{
    for (size_t i = 0; i < found->n_drops; i++)
        if (strcmp(found->drops[i], name) == 0)
            return true;
    return false;
}

/* With those of the mask, but for what is dropped already. */
static bool ask_with(const struct probe_settings *settings, struct probe_found *found,
                     unsigned mask, struct probe_answer *answer)
{
    struct buf more;

    buf_init(&more, BODY_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(parameters); i++)
        if ((mask >> i & 1) != 0 && !dropped(found, parameters[i].name))
            buf_putf(&more, ",\"%s\":%s", parameters[i].name, parameters[i].value);
    buf_putf(&more, "%c", 0);
    bool good = ask_chat(settings, found, SAY_OK, PROBE_PARAMETERS, more.p, answer);
    buf_release(&more);
    return good;
}

/* All at once; who is named by the refusal is left out of the next try; where nobody is named,
 * one after another. */
static void step_parameters(const struct probe_settings *settings,
                            struct probe_found *found)
{
    const unsigned all = (1u << ARRAY_LEN(parameters)) - 1;
    int64_t left = steps[PROBE_PARAMETERS].calls - (int64_t)ARRAY_LEN(parameters);
    bool named = true;

    while (named && left-- > 0) {
        struct probe_answer answer;

        named = false;
        if (ask_with(settings, found, all, &answer)) {
            probe_answer_release(&answer);
            return;
        }
        if (answer.status != 400 && answer.status != 422) {
            note_refusal(found, "parameters", &answer);
            probe_answer_release(&answer);
            return;
        }
        for (size_t i = 0; i < ARRAY_LEN(parameters) && !named; i++)
            if (!dropped(found, parameters[i].name) &&
                names(&answer, parameters[i].name)) {
                found->drops[found->n_drops++] = parameters[i].name;
                named = true;
            }
        probe_answer_release(&answer);
    }
    for (size_t i = 0; i < ARRAY_LEN(parameters); i++) {
        struct probe_answer answer;

        if (dropped(found, parameters[i].name))
            continue;
        if (!ask_with(settings, found, 1u << i, &answer) &&
            (answer.status == 400 || answer.status == 422))
            found->drops[found->n_drops++] = parameters[i].name;
        probe_answer_release(&answer);
    }
}

/* -- what it is able to ------------------------------------------------------------------ */

static void step_tools(const struct probe_settings *settings, struct probe_found *found)
{
    static const char *const tools =
        ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"clock\","
        "\"description\":\"Tells the time in a "
        "city.\",\"parameters\":{\"type\":\"object\","
        "\"properties\":{\"city\":{\"type\":\"string\",\"enum\":[\"Oslo\",\"Rome\"]}},"
        "\"required\":[\"city\"]}}}],\"tool_choice\":\"required\"";
    struct probe_answer answer;

    if (!ask_chat(settings, found, "What time is it in Oslo? Use the tool.", PROBE_TOOLS,
                  tools, &answer)) {
        note_refusal(found, "tools", &answer);
    } else {
        struct jread_value calls =
            jread_get(jread_get(first_choice(&answer), "message"), "tool_calls");
        struct jread_iter it = jread_iter(calls);

        if (jread_next_element(&it, &calls))
            found->abilities |= ABILITY_BIT(TOOLS);
        else
            probe_note(found, "tools: taken, but none was called");
    }
    probe_answer_release(&answer);
}

/* The text of the answer as JSON: whole, or cut off at the limit. */
static bool says_json(const struct probe_answer *answer, const char *member)
{
    struct jread_value choice = first_choice(answer), root;
    struct buf text;
    bool good = false;

    buf_init(&text, TEXT_BYTES);
    (void)jread_put_string(jread_get(jread_get(choice, "message"), "content"),
                           TEXT_BYTES - 1, &text);
    struct str said = str_trim(buf_str(&text));
    if (jread_parse(said, JREAD_MAX_DEPTH, &root))
        good = root.type == JREAD_MAP &&
               (member == NULL || jread_get(root, member).type == JREAD_BOOL);
    else
        good = str_starts(said, "{") &&
               jread_string_is(jread_get(choice, "finish_reason"), "length");
    buf_release(&text);
    return good;
}

static void step_json(const struct probe_settings *settings, struct probe_found *found)
{
    static const struct {
        const char *more, *name, *member;
        uint32_t ability;
    } kinds[] = {
        { ",\"response_format\":{\"type\":\"json_object\"}", "json_object", NULL,
          ABILITY_BIT(JSON_OBJECT) },
        { ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
          "\"answer\",\"strict\":true,\"schema\":{\"type\":\"object\",\"properties\":"
          "{\"ok\":{\"type\":\"boolean\"}},\"required\":[\"ok\"],"
          "\"additionalProperties\":false}}}",
          "json_schema", "ok", ABILITY_BIT(JSON_SCHEMA) },
    };

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct probe_answer answer;

        if (!ask_chat(settings, found,
                      "Answer with a JSON object whose member ok is true.", PROBE_JSON,
                      kinds[i].more, &answer))
            note_refusal(found, kinds[i].name, &answer);
        else if (says_json(&answer, kinds[i].member))
            found->abilities |= kinds[i].ability;
        else
            probe_note(found, "%s: taken, but the answer is no such JSON", kinds[i].name);
        probe_answer_release(&answer);
    }
}

static void step_logprobs(const struct probe_settings *settings,
                          struct probe_found *found)
{
    struct probe_answer answer;

    if (ask_chat(settings, found, SAY_OK, PROBE_LOGPROBS,
                 ",\"logprobs\":true,\"top_logprobs\":2", &answer) &&
        jread_get(first_choice(&answer), "logprobs").type == JREAD_MAP)
        found->abilities |= ABILITY_BIT(LOGPROBS);
    probe_answer_release(&answer);
}

static void step_n(const struct probe_settings *settings, struct probe_found *found)
{
    struct jread_value choice;
    struct probe_answer answer;
    size_t n = 0;

    if (ask_chat(settings, found, SAY_OK, PROBE_N, ",\"n\":2", &answer)) {
        struct jread_iter it = jread_iter(jread_get(probe_json(&answer), "choices"));

        while (jread_next_element(&it, &choice))
            n++;
    }
    if (n == 2)
        found->abilities |= ABILITY_BIT(N);
    probe_answer_release(&answer);
}

static void step_images(const struct probe_settings *settings, struct probe_found *found)
{
    /* One grey point. */
    static const char *const content =
        "[{\"type\":\"text\",\"text\":\"Say OK.\"},{\"type\":\"image_url\",\"image_url\":"
        "{\"url\":\"data:image/"
        "png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAA"
        "CklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==\"}}]";
    struct probe_answer answer;

    if (!settings->images || found->images_known)
        return;
    found->images_known = true;
    if (ask_chat(settings, found, content, PROBE_IMAGES, "", &answer))
        found->abilities |= ABILITY_BIT(IMAGES);
    else
        note_refusal(found, "images", &answer);
    probe_answer_release(&answer);
}

/* -- other APIs -------------------------------------------------------------------------- */

static void other_api(const struct probe_settings *settings, struct probe_found *found,
                      enum config_api api, const char *path, enum probe_step step)
{
    static const char *const asks[] = {
        [CONFIG_API_COMPLETIONS] = "\"prompt\":\"One, two,\",\"max_tokens\"",
        [CONFIG_API_RESPONSES] = "\"input\":\"Say OK.\",\"max_output_tokens\"",
        [CONFIG_API_MESSAGES] =
            "\"messages\":[{\"role\":\"user\",\"content\":\"Say OK.\"}],\"max_tokens\"",
    };
    struct probe_answer answer;
    struct buf body;

    buf_init(&body, BODY_BYTES);
    buf_put(&body, "{\"model\":");
    buf_put_json(&body, str_of(settings->model));
    buf_putf(&body, ",%s:%" PRId64 "}%c", asks[api], steps[step].answer, 0);
    if (probe_ask(settings, found, path, body.p, &answer)) {
        struct jread_value root = probe_json(&answer);
        bool good = api == CONFIG_API_COMPLETIONS
                        ? jread_get(root, "choices").type == JREAD_LIST
                    : api == CONFIG_API_RESPONSES
                        ? jread_string_is(jread_get(root, "object"), "response")
                        : jread_string_is(jread_get(root, "type"), "message");

        if (good)
            found->apis |= 1u << api;
    }
    probe_answer_release(&answer);
    buf_release(&body);
}

static void step_embeddings(const struct probe_settings *settings,
                            struct probe_found *found)
{
    const char *model =
        settings->embedding_model != NULL ? settings->embedding_model : settings->model;
    struct jread_value value;
    struct probe_answer answer;
    struct buf body;

    buf_init(&body, BODY_BYTES);
    buf_put(&body, "{\"model\":");
    buf_put_json(&body, str_of(model));
    buf_putf(&body, ",\"input\":\"one two three\"}%c", 0);
    if (probe_ask(settings, found, "/embeddings", body.p, &answer)) {
        struct jread_iter data = jread_iter(jread_get(probe_json(&answer), "data"));

        if (jread_next_element(&data, &value)) {
            struct jread_iter vector = jread_iter(jread_get(value, "embedding"));

            while (jread_next_element(&vector, &value))
                found->dim += value.type == JREAD_NUMBER;
        }
    } else if (settings->embedding_model != NULL) {
        note_refusal(found, "embeddings", &answer);
    }
    if (found->dim > 8192) {
        probe_note(found, "embeddings: %zu numbers are more than the gateway takes",
                   found->dim);
        found->dim = 0;
    }
    probe_answer_release(&answer);
    buf_release(&body);
}

/* -- all --------------------------------------------------------------------------------- */

void probe_plan(const struct probe_settings *settings, FILE *out)
{
    int64_t calls = 0, prompt = 0, answer = 0;
    char text[MONEY_TEXT_BYTES];

    (void)fprintf(out, "%-12s %5s %13s %13s\n", "step", "calls", "prompt tokens",
                  "answer tokens");
    for (size_t i = 0; i < PROBE_STEP_COUNT; i++) {
        if (i == PROBE_IMAGES && !settings->images)
            continue;
        (void)fprintf(out, "%-12s %5lld %13lld %13lld  %s\n", steps[i].name,
                      (long long)steps[i].calls,
                      (long long)(steps[i].calls * steps[i].prompt),
                      (long long)(steps[i].calls * steps[i].answer), steps[i].what);
        calls += steps[i].calls;
        prompt += steps[i].calls * steps[i].prompt;
        answer += steps[i].calls * steps[i].answer;
    }
    int64_t pico = money_add(money_mul(settings->rates.request_pico, calls),
                             money_add(money_mul(settings->rates.input_pico, prompt),
                                       money_mul(settings->rates.output_pico, answer)));
    (void)fprintf(out, "%-12s %5lld %13lld %13lld  at most", "altogether",
                  (long long)calls, (long long)prompt, (long long)answer);
    if (pico > 0)
        (void)fprintf(out, ": %s USD", money_format(pico, text));
    (void)fprintf(out, "\n");
}

enum fault_err probe_run(const struct probe_settings *settings,
                         struct jread_value model_entry, struct probe_found *ret_found,
                         struct fault *fault)
{
    struct probe_found *found = ret_found;

    *found = (struct probe_found){ .chat = false };
    buf_init(&found->notes, NOTES_BYTES);
    if (settings->embedding_model == NULL ||
        strcmp(settings->embedding_model, settings->model) != 0) {
        step_chat(settings, found);
    }
    if (found->chat) {
        found->apis |= 1u << CONFIG_API_CHAT;
        step_stream(settings, found);
    }
    probe_context(settings, model_entry, found);
    step_tokenizer(settings, found);
    if (found->chat) {
        step_parameters(settings, found);
        step_tools(settings, found);
        step_json(settings, found);
        step_logprobs(settings, found);
        step_n(settings, found);
        step_images(settings, found);
        other_api(settings, found, CONFIG_API_COMPLETIONS, "/completions",
                  PROBE_COMPLETIONS);
    }
    other_api(settings, found, CONFIG_API_RESPONSES, "/responses", PROBE_RESPONSES);
    other_api(settings, found, CONFIG_API_MESSAGES, "/messages", PROBE_MESSAGES);
    step_embeddings(settings, found);
    if (found->apis == 0 && found->dim == 0)
        return fault_set(fault, FAULT_EXPERT,
                         "'%s' neither answers nor embeds with model '%s':\n" STR_FMT,
                         settings->base, settings->model,
                         STR_ARG(str_trim(buf_str(&found->notes))));
    return FAULT_OK;
}

void probe_found_release(struct probe_found *found)
{
    buf_release(&found->notes);
}
