/* scan_parts.h - what the files of the scan share: scan.c reads the grammar, scan_keys.c
 * knows the keys. For them alone.
 *
 *     begin_string   scan_key_matters()     only such keys are kept, the others cost nothing
 *     in_string      scan_key_add()         a piece of it, unescaped
 *     end_string     scan_key_end()         whose value comes now
 */
#ifndef GATEWAY_DOMAIN_SCAN_PARTS_H
#define GATEWAY_DOMAIN_SCAN_PARTS_H

#include "gateway/domain/scan.h"

#define MESSAGE_LEVEL 2
#define IMAGES_LEVEL  4
#define PART_LEVEL    5

/* Where the key stands that begins now, it may be one of ours. */
bool scan_key_matters(const struct scan *scan);
void scan_key_add(struct scan *scan, const char *p, size_t n);
/* end: of the key, its last quote. False: one of ours came before. */
bool scan_key_end(struct scan *scan, size_t end);

/* The same of a string that is a value. */
bool scan_value_matters(const struct scan *scan);
void scan_value_end(struct scan *scan);

#endif
