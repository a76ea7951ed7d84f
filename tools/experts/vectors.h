/* vectors.h - the body of an embeddings answer, as floats or base64; see play.h. */
#ifndef TOOLS_EXPERTS_VECTORS_H
#define TOOLS_EXPERTS_VECTORS_H

#include "gateway/base/buf.h"
#include "tools/experts/order.h"
#include "tools/experts/play.h"

enum play_step vectors_body(const struct order *order, struct buf *out);

#endif
