/* Tables: columns joined by " | " and padded, cells of several lines, one empty line at the end. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_internal.h"
#include "core/clock.h"

struct cell {
    struct str text;
    bool has_lines; /* '\n' in it begins another line; else it is a character like any */
    char colour;    /* '1' to '6', on terminals; 0: none */
};

struct table_line {
    struct cell *cells;
    struct table_line *next;
};

struct table {
    struct cli *cli;
    const char *const *columns;
    size_t n_columns;
    struct table_line *first, **tail, *row;
    size_t at; /* next cell of the row */
    bool coloured;
};

static struct table_line *new_line(struct table *t)
{
    struct table_line *line = arena_alloc(t->cli->arena, sizeof(*line));

    line->cells = arena_alloc(t->cli->arena, t->n_columns * sizeof(*line->cells));
    return line;
}

struct table *table_new(struct cli *cli, const char *const *columns)
{
    struct table *t = arena_alloc(cli->arena, sizeof(*t));

    t->cli = cli;
    t->columns = columns;
    while (columns[t->n_columns])
        t->n_columns++;
    t->tail = &t->first;
    t->coloured = cli->out == stdout && isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    return t;
}

void table_row(struct table *t)
{
    t->row = new_line(t);
    *t->tail = t->row;
    t->tail = &t->row->next;
    t->at = 0;
}

static void add(struct table *t, struct cell cell)
{
    ASSERT(t->at < t->n_columns);
    t->row->cells[t->at++] = cell;
}

void table_cell(struct table *t, struct str text)
{
    add(t, (struct cell){.text = text});
}

void table_cell_lines(struct table *t, struct str text)
{
    add(t, (struct cell){.text = text, .has_lines = true});
}

void table_cell_colour(struct table *t, struct str text, char colour)
{
    add(t, (struct cell){.text = text, .colour = colour});
}

void table_cell_id(struct table *t, const struct json_value *obj, const char *name)
{
    table_cell(t, json_get_str(obj, name));
}

void table_cell_time(struct table *t, const struct json_value *obj, const char *name,
                     const char *none)
{
    int64_t ms = 0;
    struct buf text = BUF(64);

    if (!clock_parse_rfc3339(json_get_str(obj, name), &ms) || ms == CLOCK_ZERO) {
        table_cell(t, str_from(none));
        return;
    }
    clock_put_rfc3339(&text, ms - ms % 1000);
    struct str day = str_sub(buf_str(&text), 0, 10), hour = str_sub(buf_str(&text), 11, 8);
    struct str cell = arena_printf(t->cli->arena, "%.*s %.*s", STR_ARG(day), STR_ARG(hour));

    buf_fini(&text);
    table_cell(t, cell);
}

void table_cell_list(struct table *t, const struct json_value *list)
{
    struct buf out = BUF(BUF_LIMIT_DEFAULT);

    JSON_EACH(item, list) {
        struct str s = json_as_str(item, STR_NONE);

        if (out.len > 0)
            buf_put_char(&out, '\n');
        for (size_t i = 0; i < s.len; i++)
            buf_put_char(&out, s.ptr[i] == '\n' ? '.' : s.ptr[i]);
    }
    table_cell_lines(t, arena_copy(t->cli->arena, buf_str(&out)));
    buf_fini(&out);
}

/* ---- Printing ---- */

/* Takes the next line off a cell; an empty one when there is no more. */
static struct str next_line(struct cell *cell)
{
    struct str line = cell->text;

    if (!cell->has_lines || !str_next(&cell->text, '\n', &line))
        cell->text = STR_NONE;
    return line;
}

static size_t cell_width(struct cell cell)
{
    size_t widest = cli_width(next_line(&cell));

    while (cell.text.len > 0)
        widest = MAX(widest, cli_width(next_line(&cell)));
    return widest;
}

static void put_padded(const struct table *t, struct str s, size_t width, char colour)
{
    FILE *out = t->cli->out;
    bool coloured = colour && t->coloured && s.len > 0;

    if (coloured)
        (void)fprintf(out, "\x1b[3%cm", colour);
    cli_put_word(out, s);
    if (coloured)
        (void)fputs("\x1b[0m", out);
    for (size_t i = cli_width(s); i < width; i++)
        (void)fputc(' ', out);
}

/* Prints every line of the row's cells, and uses the cells up. */
static void print_row(const struct table *t, struct cell *cells, const size_t *widths)
{
    bool more = true;

    while (more) {
        more = false;
        for (size_t c = 0; c < t->n_columns; c++) {
            if (c > 0)
                (void)fputs(" | ", t->cli->out);
            put_padded(t, next_line(&cells[c]), widths[c], cells[c].colour);
            more = more || cells[c].text.len > 0;
        }
        (void)fputc('\n', t->cli->out);
    }
}

void table_print(struct table *t)
{
    size_t *widths = arena_alloc(t->cli->arena, t->n_columns * sizeof(*widths));
    struct table_line *head = new_line(t);

    for (size_t c = 0; c < t->n_columns; c++) {
        head->cells[c] = (struct cell){.text = str_from(t->columns[c]), .colour = '6'};
        widths[c] = cell_width(head->cells[c]);
        for (const struct table_line *row = t->first; row; row = row->next)
            widths[c] = MAX(widths[c], cell_width(row->cells[c]));
    }
    print_row(t, head->cells, widths);
    for (struct table_line *row = t->first; row; row = row->next)
        print_row(t, row->cells, widths);
    (void)fputc('\n', t->cli->out);
}

int table_show(struct cli *cli, const char *const *columns, const struct json_value *list,
               void (*put)(struct cli *cli, struct table *t, const struct json_value *item))
{
    struct table *t;

    if (!list)
        return 1;
    if (!cli_is_human(cli))
        return cli_show(cli, list, "");
    t = table_new(cli, columns);
    JSON_EACH(item, list) {
        table_row(t);
        put(cli, t, item);
    }
    table_print(t);
    return 0;
}
