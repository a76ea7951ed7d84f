/* vectors.h - the body of an embeddings answer, as floats or base64; see play.h. */
#ifndef TOOLS_EXPERTS_VECTORS_H
#define TOOLS_EXPERTS_VECTORS_H

#include "gateway/base/buf.h"
#include "tools/experts/play.h"
#include "tools/experts/request.h"

enum play_step vectors_body(const struct request *request, struct buf *out);

#endif
