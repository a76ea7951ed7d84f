/* plain.c - texts for comparing, and their words. */
#include "tools/ctl/plain.h"

#include <ctype.h>
#include <stdlib.h>

#include "gateway/domain/routing_text.h"
#include "tools/ctl/memory.h"
#include "tools/ctl/question.h"
#include "tools/ctl/templates.h"

static enum fault_err make_rule(const struct haul *haul, struct routing_rule *rule,
                                size_t *ret_templates, struct fault *fault)
{
    struct templates found = { 0 };
    struct routing_strip *strip = NULL;

    IGNORE(routing_rule_parse(STR(PLAIN_RULE), rule, NULL));
    for (size_t i = 0; i < haul->n; i++)
        templates_add(&found, haul->prompts[i].messages);
    enum fault_err err = templates_strip(&found, true, &strip, fault);
    if (strip != NULL)
        *ret_templates = strip->turn.n + strip->system.n;
    /* More than a bundle carries is taken off none: the texts are then compared with them. */
    if (err == FAULT_OK && routing_rule_strip(rule, &strip) != ERR_OK)
        routing_strip_free(strip);
    templates_release(&found);
    return err;
}

enum fault_err plain_cut(const struct haul *haul, struct plain *ret_plain,
                         struct fault *fault)
{
    struct plain plain = { .n = haul->n };
    struct routing_rule rule = { .strip = NULL };
    struct progress bar;
    enum fault_err err = make_rule(haul, &rule, &plain.templates, fault);

    progress_init(&bar, "comparing", 1);
    plain.at = memory_new(haul->n, sizeof(*plain.at));
    for (size_t i = 0; err == FAULT_OK && i < haul->n; i++) {
        struct question *question = NULL;
        err = question_new(NULL, haul->prompts[i].messages, 0, &question, fault);
        if (err == FAULT_OK)
            err = question_cut(question, &rule, fault);
        if (err == FAULT_OK) {
            struct str text = question_text(question);
            plain.at[i] = memory_text_n(text.p, text.n);
        }
        question_free(question);
        progress_set(&bar, (double)(i + 1) / (double)haul->n, NULL);
    }
    progress_end(&bar);
    routing_rule_release(&rule);
    if (err == FAULT_OK)
        *ret_plain = plain;
    else
        plain_release(&plain);
    return err;
}

void plain_release(struct plain *plain)
{
    for (size_t i = 0; plain->at != NULL && i < plain->n; i++)
        free(plain->at[i]);
    free(plain->at);
    *plain = (struct plain){ 0 };
}

/* Characters of three bytes and more from U+2E80 on: CJK and beyond. */
static bool stands_alone(unsigned char lead)
{
    return lead >= 0xE3;
}

static bool in_word(unsigned char c)
{
    return isalnum(c) != 0 || (c >= 0x80 && !stands_alone(c));
}

void plain_words(const char *text, plain_word_fn each, void *context)
{
    const char *at = text;

    while (*at != '\0') {
        const char *from = at;
        if (stands_alone((unsigned char)*at)) {
            size_t n = str_utf8_sequence(str_of(at));
            at += n > 0 ? n : 1;
        } else {
            while (in_word((unsigned char)*at))
                at++;
        }
        if (at > from)
            each(context, (struct str){ from, (size_t)(at - from) });
        else
            at++;
    }
}
