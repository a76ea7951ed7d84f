/* ability.h - what not every expert is able to: tools, images, a JSON schema...
 *
 *   needs = ability_needs(&chat)                       what a request asks for
 *   lacks = needs & ~generator->abilities              what the expert cannot
 *   ability_words(lacks, text, sizeof text)            "images, tools"
 *
 * A bit each. What a chat needs was noted by the scan as its bytes came; here is only
 * looked up. An expert's abilities are its setting `capabilities`: where it is absent the
 * expert is taken to be able to everything. Pure; any thread.
 */
#ifndef GATEWAY_DOMAIN_ABILITY_H
#define GATEWAY_DOMAIN_ABILITY_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/str.h"

/* X(name, word, param, text): the word of the setting, of messages and of records; where in a
 * request it is asked for; what it is, for people. */
#define ABILITIES(X)                                                                     \
    X(TOOLS, "tools", "tools", "calls tools")                                            \
    X(IMAGES, "images", "messages", "takes images")                                      \
    X(AUDIO, "audio", "messages", "takes audio")                                         \
    X(VIDEO, "video", "messages", "takes video")                                         \
    X(FILES, "files", "messages", "takes files")                                         \
    X(JSON_OBJECT, "json_object", "response_format", "answers in JSON")                  \
    X(JSON_SCHEMA, "json_schema", "response_format", "answers by a JSON schema")         \
    X(LOGPROBS, "logprobs", "logprobs", "tells log probabilities")                       \
    X(N, "n", "n", "gives several answers")                                              \
    X(SUFFIX, "suffix", "suffix", "fills in before a suffix")                            \
    X(AUDIO_OUTPUT, "audio_output", "modalities", "answers as audio")                    \
    X(IMAGE_OUTPUT, "image_output", "modalities", "answers as images")

enum ability {
#define X(name, word, param, text) ABILITY_##name,
    ABILITIES(X)
#undef X
        ABILITY_COUNT
};

#define ABILITY_ALL        UINT32_MAX
#define ABILITY_BIT(name)  (UINT32_C(1) << ABILITY_##name)
#define ABILITY_TEXT_BYTES 160 /* holds the words of all */

struct chat_request;

/* Its shape, body and scan are looked at, nothing else. The messages of a native one are read as a
 * whole, which takes long for a long body: some 1 ms a megabyte. */
uint32_t ability_needs(const struct chat_request *chat);

const char *ability_word(enum ability ability);
const char *ability_param(enum ability ability);
/* ABILITY_COUNT: there is none of that name. */
enum ability ability_find(struct str word);
/* "images, tools and n"; returns text. */
const char *ability_words(uint32_t abilities, char text[ABILITY_TEXT_BYTES]);

#endif
