/* Answers as JSON, YAML or tables. */

#include <unistd.h>

#include "cli/cli_internal.h"
#include "core/clock.h"

#define OUTPUT_MAX ((size_t)1 << 30)

bool cli_is_human(const struct cli *cli)
{
    return cli->format == CLI_HUMAN;
}

/* ---- YAML ---- */

static void yaml_value(struct buf *out, const struct json_value *v, int depth, bool after_dash);

static void yaml_scalar(struct buf *out, const struct json_value *v)
{
    struct json_writer w = JSON_WRITER(out);

    /* A JSON scalar is a YAML scalar: quoted strings need no guessing by the reader. */
    json_value_write(&w, v);
    buf_put_char(out, '\n');
}

static void yaml_indent(struct buf *out, int depth)
{
    for (int i = 0; i < depth; i++)
        buf_put(out, STR("  "));
}

static void yaml_list(struct buf *out, const struct json_value *v, int depth)
{
    JSON_EACH(item, v) {
        yaml_indent(out, depth);
        buf_put(out, STR("- "));
        yaml_value(out, item, depth + 1, true);
    }
}

static void yaml_object(struct buf *out, const struct json_value *v, int depth, bool after_dash)
{
    bool first = after_dash;

    JSON_EACH(member, v) {
        bool nested = json_len(member) > 0;

        if (!first)
            yaml_indent(out, depth);
        first = false;
        for (size_t i = 0; i < member->key.len; i++) {
            char c = member->key.ptr[i];

            buf_put_char(out, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
        }
        buf_put(out, nested ? STR(":\n") : STR(": "));
        yaml_value(out, member, depth + (json_is(member, JSON_OBJECT) ? 1 : 0), false);
    }
}

static void yaml_value(struct buf *out, const struct json_value *v, int depth, bool after_dash)
{
    if (json_len(v) == 0)
        yaml_scalar(out, v);
    else if (json_is(v, JSON_ARRAY))
        yaml_list(out, v, depth);
    else
        yaml_object(out, v, depth, after_dash);
}

/* ---- Any answer ---- */

int cli_show(struct cli *cli, const struct json_value *value, const char *human)
{
    struct buf out = BUF(OUTPUT_MAX);
    struct json_writer w = cli->format == CLI_JSON ? JSON_WRITER_PRETTY(&out) : JSON_WRITER(&out);

    if (cli->format == CLI_HUMAN) {
        puts(human);
        return 0;
    }
    if (cli->format == CLI_YAML) {
        yaml_value(&out, value, 0, false);
    } else {
        json_value_write(&w, value);
        buf_put_char(&out, '\n');
    }
    (void)fwrite(out.ptr, 1, out.len, stdout);
    buf_fini(&out);
    return 0;
}

int cli_result(struct cli *cli, const char *text)
{
    struct buf json = BUF(8192);
    struct json_writer w = JSON_WRITER(&json);
    struct json_value *v = NULL;

    json_begin_object(&w);
    json_field_str(&w, STR("Result"), str_from(text));
    json_end_object(&w);
    struct str copy = arena_copy(cli->arena, buf_str(&json));
    buf_fini(&json);
    ASSERT(json_parse(cli->arena, copy, NULL, &v, NULL));
    return cli_show(cli, v, text);
}

/* ---- Tables ---- */

struct table_line {
    struct str *cells;
    struct table_line *next;
};

struct table {
    struct cli *cli;
    const char *const *columns;
    size_t n_columns;
    struct table_line *first, **tail, *row;
    size_t at; /* next cell of the row */
};

struct table *table_new(struct cli *cli, const char *const *columns)
{
    struct table *t = arena_alloc(cli->arena, sizeof(*t));

    t->cli = cli;
    t->columns = columns;
    while (columns[t->n_columns])
        t->n_columns++;
    t->tail = &t->first;
    return t;
}

void table_row(struct table *t)
{
    t->row = arena_alloc(t->cli->arena, sizeof(*t->row));
    t->row->cells = arena_alloc(t->cli->arena, t->n_columns * sizeof(*t->row->cells));
    *t->tail = t->row;
    t->tail = &t->row->next;
    t->at = 0;
}

void table_cell(struct table *t, struct str text)
{
    ASSERT(t->at < t->n_columns);
    t->row->cells[t->at++] = text;
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
    struct str s = arena_copy(t->cli->arena, str_sub(buf_str(&text), 0, 19));
    char *writable = arena_alloc(t->cli->arena, s.len + 1);

    memcpy(writable, s.ptr, s.len);
    if (s.len > 10)
        writable[10] = ' ';
    buf_fini(&text);
    table_cell(t, str_bytes(writable, s.len));
}

void table_cell_list(struct table *t, const struct json_value *list)
{
    struct str text = STR_NONE;

    JSON_EACH(item, list) {
        text = arena_printf(t->cli->arena, "%.*s%s%.*s", STR_ARG(text), text.len ? "\n" : "",
                            STR_ARG(json_as_str(item, STR_NONE)));
    }
    table_cell(t, text);
}

/* Characters, not bytes, so that names in any script line up (wide ones aside). */
static size_t width_of(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

static size_t cell_width(struct str cell)
{
    size_t widest = 0;
    struct str line;

    while (str_next(&cell, '\n', &line))
        widest = MAX(widest, width_of(line));
    return widest;
}

/* Names come from machines: what would steer a terminal is shown as a dot. */
static void put_padded(struct str s, size_t width, bool last)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        (void)putchar(c < 0x20 || c == 0x7f ? '.' : c);
    }
    for (size_t i = width_of(s); i < width && !last; i++)
        (void)putchar(' ');
}

/* Prints the k-th line of every cell; false when no cell has one. */
static bool print_line(const struct table *t, const struct str *cells, const size_t *widths,
                       size_t k, const char *before, const char *after)
{
    struct str *parts = arena_alloc(t->cli->arena, t->n_columns * sizeof(*parts));
    bool any = k == 0;

    for (size_t c = 0; c < t->n_columns; c++) {
        struct str rest = cells[c], line = STR_NONE;

        for (size_t i = 0; i <= k; i++) {
            if (!str_next(&rest, '\n', &line)) {
                line = STR_NONE;
                break;
            }
            any = any || i == k;
        }
        parts[c] = line;
    }
    if (!any)
        return false;
    (void)fputs(before, stdout);
    for (size_t c = 0; c < t->n_columns; c++) {
        if (c > 0)
            (void)fputs(" | ", stdout);
        put_padded(parts[c], widths[c], c + 1 == t->n_columns);
    }
    (void)fputs(after, stdout);
    (void)putchar('\n');
    return true;
}

void table_print(struct table *t)
{
    size_t *widths = arena_alloc(t->cli->arena, t->n_columns * sizeof(*widths));
    struct str *heads = arena_alloc(t->cli->arena, t->n_columns * sizeof(*heads));
    bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");

    for (size_t c = 0; c < t->n_columns; c++) {
        heads[c] = str_from(t->columns[c]);
        widths[c] = cell_width(heads[c]);
        for (const struct table_line *row = t->first; row; row = row->next)
            widths[c] = MAX(widths[c], cell_width(row->cells[c]));
    }
    (void)print_line(t, heads, widths, 0, colour ? "\x1b[36m" : "", colour ? "\x1b[0m" : "");
    for (const struct table_line *row = t->first; row; row = row->next)
        for (size_t k = 0; print_line(t, row->cells, widths, k, "", ""); k++)
            ;
}
