/* table.c - columns as wide as their widest cell. */
#include "tools/ctl/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

#include "tools/ctl/memory.h"

struct table {
    size_t n_columns, n_cells;
    struct table_column *columns;
    char **cells; /* row after row */
};

struct table *table_new(const struct table_column *columns, size_t n_columns)
{
    struct table *table = memory_new(1, sizeof(*table));

    table->n_columns = n_columns;
    table->columns = memory_new(n_columns, sizeof(*columns));
    for (size_t i = 0; i < n_columns; i++)
        table->columns[i] = columns[i];
    return table;
}

void table_free(struct table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->n_cells; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table->columns);
    free(table);
}

void table_cell(struct table *table, const char *format, ...)
{
    va_list arguments;
    char text[512];

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    table->cells = memory_resize(table->cells, table->n_cells + 1, sizeof(char *));
    table->cells[table->n_cells++] = memory_text(text);
}

size_t table_width(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static void table_pad(size_t n, FILE *out)
{
    for (size_t i = 0; i < n; i++)
        (void)fputc(' ', out);
}

static void table_line(const struct table *table, const size_t *widths,
                       const char *const *cells, FILE *out)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        size_t gap = widths[i] - table_width(cells[i]);
        (void)fputs("  ", out);
        if (table->columns[i].side == TABLE_RIGHT)
            table_pad(gap, out);
        (void)fputs(cells[i], out);
        if (table->columns[i].side == TABLE_LEFT && i + 1 < table->n_columns)
            table_pad(gap, out);
    }
    (void)fputc('\n', out);
}

void table_print(const struct table *table, FILE *out)
{
    size_t n = table->n_columns;
    size_t *widths = memory_new(n, sizeof(*widths));
    const char **heads = memory_new(n, sizeof(*heads));

    assert(table->n_cells % n == 0);
    for (size_t i = 0; i < n; i++) {
        heads[i] = table->columns[i].head;
        widths[i] = table_width(heads[i]);
    }
    for (size_t i = 0; i < table->n_cells; i++) {
        size_t width = table_width(table->cells[i]);
        if (width > widths[i % n])
            widths[i % n] = width;
    }
    table_line(table, widths, heads, out);
    for (size_t i = 0; i < table->n_cells; i += n)
        table_line(table, widths, (const char *const *)&table->cells[i], out);
    free(heads);
    free(widths);
}
