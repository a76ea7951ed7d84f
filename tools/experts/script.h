/* script.h - what a scripted model is told to do, by its name.
 *
 *     script:chunks=50,chunk_ms=20,cut_after=3
 *
 * The table below is the whole language: key, default, what it does. `frugal-experts --help`
 * prints it. Counts of chunks begin at 0; -1 is "never" where that makes sense. A stream's
 * n-th chunk carries the word "wN " (see play.h), so that a reader sees what is missing.
 */
#ifndef TOOLS_EXPERTS_SCRIPT_H
#define TOOLS_EXPERTS_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define SCRIPT_PREFIX "script:"
#define SCRIPT_MAX    100000000 /* largest value of any key */

#define SCRIPT_KEYS(X)                                                                   \
    X(delay_ms, 0, "wait before the head of the answer")                                 \
    X(first_ms, 0, "wait between the head and the first event of a stream")              \
    X(chunks, 8, "content chunks, one word each")                                        \
    X(chunk_ms, 0, "wait before each further chunk")                                     \
    X(chunk_bytes, 0, "bytes of content in a chunk; 0: just its word")                   \
    X(slice_bytes, 0, "write to the socket in slices of so many bytes, a ms apart")      \
    X(cut_after, -1, "cut the line after so many chunks; without a stream, in mid-body") \
    X(cut_head, 0, "1: cut the line before the head")                                    \
    X(stall_after, -1, "after so many chunks say nothing more and keep the line open")   \
    X(stall_head, 0, "1: read the request and never answer")                             \
    X(malformed_at, -1, "this chunk, or the whole body, is broken JSON")                 \
    X(error_event_at, -1, "instead of this chunk an error event, then the end")          \
    X(status, 200, "HTTP status; 400 and above answer with an error object")             \
    X(unsupported, 0, "1: that error object says unsupported_parameter")                 \
    X(reasoner, 0,                                                                       \
      "1: as OpenAI's reasoning models, max_tokens and another temperature than 1 are "  \
      "refused")                                                                         \
    X(retry_after, -1, "seconds in a retry-after header")                                \
    X(tokens, -1, "completion tokens to report; -1: the true count")                     \
    X(prompt_tokens, -1, "prompt tokens to report; -1: the true count")                  \
    X(usage, 0,                                                                          \
      "none: say none; wrong: ten times the truth; late: after a pause of its "          \
      "own; with_choices: on the finish chunk; running: on every chunk; negative, "      \
      "absurd, zero, text: numbers that cannot be")                                      \
    X(cached, 0, "prompt tokens read from a cache, as far as there are any")             \
    X(cache_write, 0, "prompt tokens written to a cache, as far as there are any")       \
    X(ignore_limit, 0, "1: output limits are not honoured")                              \
    X(bill_all, 0, "1: what was cut off or left is invoiced to its end")                 \
    X(empty, 0, "1: no content at all: a bare [DONE], a body of 0 bytes")                \
    X(comments, 0, "1: a comment line before each chunk")                                \
    X(crlf, 0, "1: lines end in CR LF")                                                  \
    X(no_done, 0, "1: the stream ends without [DONE]")                                   \
    X(reasoning, 0, "chunks of reasoning_content before the content")                    \
    X(tool_calls, 0, "1: call the request's first tool instead of speaking")             \
    X(gzip, 0, "1: body in gzip (not for streams)")                                      \
    X(skill, -1,                                                                         \
      "answer the questions of the house, so many percent of them rightly; which ones "  \
      "follows from the model's name")                                                   \
    X(judge, 0,                                                                          \
      "1: judge answers as frugalctl asks judges to: by the reference, else by what an " \
      "expert without gaps would answer")                                                \
    X(judge_errors, 0, "percent of verdicts that are wrong")                             \
    X(judge_first, 0, "percent of pairs of which the first is preferred in any order")   \
    X(judge_prose, 0, "percent of judgements without a verdict, until asked strictly")   \
    X(judge_mute, 0, "percent of judgements without a verdict, however asked")           \
    X(dim, 64, "embeddings: floats in a vector")                                         \
    X(not_finite, 0, "1: embeddings: the first float is 1e999")

enum script_usage {
    SCRIPT_USAGE_TRUE,
    SCRIPT_USAGE_NONE,
    SCRIPT_USAGE_WRONG,
    SCRIPT_USAGE_LATE,
    SCRIPT_USAGE_WITH_CHOICES,
    SCRIPT_USAGE_RUNNING,
    SCRIPT_USAGE_NEGATIVE,
    SCRIPT_USAGE_ABSURD,
    SCRIPT_USAGE_ZERO,
    SCRIPT_USAGE_TEXT,
};

struct script {
#define X(key, preset, text) int key;
    SCRIPT_KEYS(X)
#undef X
};

void script_init(struct script *script); /* every key at its default */

/* Does the name begin with SCRIPT_PREFIX? */
bool script_named(const char *name);

/* NULL, or what is wrong with the name: a text in `error`, which is cut at its size. */
const char *script_parse(const char *name, struct script *ret_script, char *error,
                         size_t error_bytes);

void script_help(FILE *out);

#endif
