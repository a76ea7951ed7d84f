/* bundle_file.h - how a bundle lies in its file.
 *
 *   0   "FRUGALBU"                     magic: another file is FOREIGN
 *   8   u32 version, u32 n_sections    another version is VERSION
 *   16  u64 checksum                   XXH3 of everything from 24 to the first section
 *   24  u64 bytes of the whole file    a shorter file is TRUNCATED
 *   32  n_sections x struct wire_section
 *       ... the sections, one after the other, without gaps; all numbers little-endian
 *
 *   META  settings, counts, names      IDS_  row ids, one after the other, each ended by 0
 *   DOMN  domains and which has which  CELL  quality, input, output, latency
 *   SURF  surface@1                    LEXI  lexical@1 or @2, as META says
 *   VECS  one per embedder             TABL  the leave-one-out tables; in version 3 loo.plain behind them
 *   PROB  probe texts                  HEAD  the head's state, where it has one
 *   APRX  two per embedder where the search is approximate: among all rows at 2e, among
 *         those of the tables at 2e + 1
 *   MEAS  recall and time of each embedder's index, no part of the bundle's id
 *   TUNE  tuned settings, where there are some
 *   ORIG  who made it, where that is said: a JSON text
 *   TEXT  what belongs to the rule of the routing texts, where there is such: then the version is 4
 *
 * bundle_write.c writes it, bundle_read.c reads it.
 */
#ifndef FUSER_BUNDLE_FILE_H
#define FUSER_BUNDLE_FILE_H

#include "fuser/wire.h"

#define BUNDLE_MAGIC "FRUGALBU" /* 8 bytes, without the 0 */
#define BUNDLE_VERSION                                                                   \
    4 /* the newest; a bundle has the lowest that its reader must know */
/* 3: what loo.plain matters to. 2: what programs read that know of neither. */
#define BUNDLE_VERSION_PLAIN  3
#define BUNDLE_VERSION_OLDEST 2
#define BUNDLE_PREFIX         32 /* bytes before the table of contents */
#define BUNDLE_CHECKSUM_AT    16
#define BUNDLE_HASHED_FROM    24

#define BUNDLE_META           WIRE_TAG('M', 'E', 'T', 'A')
#define BUNDLE_IDS            WIRE_TAG('I', 'D', 'S', '_')
#define BUNDLE_DOMN           WIRE_TAG('D', 'O', 'M', 'N')
#define BUNDLE_CELL           WIRE_TAG('C', 'E', 'L', 'L')
#define BUNDLE_SURF           WIRE_TAG('S', 'U', 'R', 'F')
#define BUNDLE_LEXI           WIRE_TAG('L', 'E', 'X', 'I')
#define BUNDLE_VECS           WIRE_TAG('V', 'E', 'C', 'S')
#define BUNDLE_TABL           WIRE_TAG('T', 'A', 'B', 'L')
#define BUNDLE_PROB           WIRE_TAG('P', 'R', 'O', 'B')
#define BUNDLE_HEAD           WIRE_TAG('H', 'E', 'A', 'D')
#define BUNDLE_APRX           WIRE_TAG('A', 'P', 'R', 'X')
#define BUNDLE_MEAS           WIRE_TAG('M', 'E', 'A', 'S')
#define BUNDLE_TUNE           WIRE_TAG('T', 'U', 'N', 'E')
#define BUNDLE_ORIG           WIRE_TAG('O', 'R', 'I', 'G')
#define BUNDLE_TEXT           WIRE_TAG('T', 'E', 'X', 'T')

_Static_assert(sizeof(struct wire_section) == 32, "the table of contents has no padding");

#endif
