/* table.h - rows and columns for people.
 *
 *   table = table_new(columns, n);
 *   table_cell(table, "%s", name); table_cell(table, "%.3f", accuracy); ...   row by row
 *   table_print(table, stdout);
 *   table_free(table);
 *
 * A row is complete when it has as many cells as there are columns; a table that ends in
 * the middle of a row is a mistake of the caller (assert). Programs read --json instead:
 * the layout may change.
 */
#ifndef TOOLS_CTL_TABLE_H
#define TOOLS_CTL_TABLE_H

#include <stddef.h>
#include <stdio.h>

enum table_side {
    TABLE_LEFT,
    TABLE_RIGHT,
};

struct table_column {
    const char *head; /* borrowed while the table lives */
    enum table_side side;
};

struct table; /* owned by one thread */

struct table *table_new(const struct table_column *columns, size_t n_columns);
void table_free(struct table *table); /* takes NULL */
void table_cell(struct table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void table_print(const struct table *table, FILE *out);

/* Columns that `text` (UTF-8) takes on a terminal, one per code point. */
size_t table_width(const char *text);

#endif
