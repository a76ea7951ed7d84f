/* csv.h - one row of a CSV file at a time, split into fields.
 *
 * RFC 4180: fields are separated by commas, a field in double quotes may hold commas and line
 * breaks (which become line feeds), two quotes inside stand for one. A row has at most CSV_ROW_BYTES.
 * After FAULT_INPUT the next row may be asked for; of a quote that is never closed all that follows
 * was read, up to that many bytes.
 */
#ifndef TOOLS_CTL_CSV_H
#define TOOLS_CTL_CSV_H

#include <stddef.h>

#include "tools/ctl/fault.h"
#include "tools/ctl/lines.h"

#define CSV_ROW_BYTES (16u << 20)

struct csv; /* owned by one thread */

NODISCARD enum fault_err csv_open(const char *path, struct csv **ret_csv,
                                  struct fault *fault);
void csv_close(struct csv *csv); /* takes NULL */

/* The next row that is not empty; *ret_fields is NULL at the end. Fields are 0-terminated
 * and borrowed until the next call. */
NODISCARD enum fault_err csv_next(struct csv *csv, const char *const **ret_fields,
                                  size_t *ret_count, struct fault *fault);
const char *csv_path(const struct csv *csv);
size_t csv_line(const struct csv *csv); /* where the row begins */
double csv_done(const struct csv *csv); /* 0..1 */

#endif
