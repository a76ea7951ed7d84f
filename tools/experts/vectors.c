/* vectors.c - see vectors.h. */
#include "tools/experts/vectors.h"

#include <stdint.h>
#include <string.h>

#include "tools/experts/embed.h"

static void put_base64(const void *data, size_t n, struct buf *out)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = data;
    char *room = NULL;
    if (buf_room(out, (n + 2) / 3 * 4, &room) != ERR_OK)
        return;
    size_t used = 0;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t three = (uint32_t)p[i] << 16;
        if (i + 1 < n)
            three |= (uint32_t)p[i + 1] << 8;
        if (i + 2 < n)
            three |= p[i + 2];
        room[used++] = digits[three >> 18];
        room[used++] = digits[three >> 12 & 63];
        room[used++] = i + 1 < n ? digits[three >> 6 & 63] : '=';
        room[used++] = i + 2 < n ? digits[three & 63] : '=';
    }
    buf_commit(out, used);
}

static void put_vector(const struct request *request, const struct buf *text,
                       struct buf *out)
{
    float vector[EMBED_DIM_MAX];
    size_t dim = (size_t)request->script.dim;
    embed_text(text->n > 0 ? text->p : "", text->n, dim, vector);
    if (request->base64) {
        buf_put(out, "\"");
        put_base64(vector, dim * sizeof *vector, out);
        buf_put(out, "\"");
        return;
    }
    for (size_t d = 0; d < dim; d++) {
        buf_put(out, d == 0 ? "[" : ",");
        if (d == 0 && request->script.not_finite != 0)
            buf_put(out, "1e999");
        else
            buf_putf(out, "%.7g", (double)vector[d]);
    }
    buf_put(out, "]");
}

enum play_step vectors_body(const struct request *request, struct buf *out)
{
    const struct script *script = &request->script;
    buf_put(out, "{\"object\":\"list\",\"data\":[");
    if (script->malformed_at >= 0) {
        buf_put(out, "{]");
        return PLAY_END;
    }
    for (size_t t = 0; t < request->n_texts && script->empty == 0; t++) {
        buf_putf(out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":",
                 t > 0 ? "," : "", t);
        put_vector(request, &request->texts[t], out);
        buf_put(out, "}");
    }
    buf_put(out, "],\"model\":");
    buf_put_json(out, str_of(request->model));
    size_t tokens = script->prompt_tokens >= 0 ? (size_t)script->prompt_tokens
                                               : request->prompt_tokens;
    if (script->usage == SCRIPT_USAGE_WRONG)
        tokens *= 10;
    if (script->usage != SCRIPT_USAGE_NONE)
        buf_putf(out, ",\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}", tokens,
                 tokens);
    buf_put(out, "}");
    return script->cut_after >= 0 || out->failed ? PLAY_CUT : PLAY_END;
}
