/* gzip.h - wraps bytes as a gzip file without compressing them (stored blocks, RFC 1951
 * 3.2.4): enough for a client that must cope with Content-Encoding. */
#ifndef TOOLS_EXPERTS_GZIP_H
#define TOOLS_EXPERTS_GZIP_H

#include "gateway/base/buf.h"

void gzip_put(struct buf *out, struct str bytes);

#endif
