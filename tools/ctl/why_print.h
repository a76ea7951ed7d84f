/* why_print.h - a record for people. */
#ifndef TOOLS_CTL_WHY_PRINT_H
#define TOOLS_CTL_WHY_PRINT_H

#include <jansson.h>

/* record: as GET /v1/decisions/{id} has it; also one that a crash cut short. */
void why_print(const json_t *record);

#endif
