/*
 * YAML to a tree with positions, over libfyaml's event parser.
 *
 * Positions are counted here, from the byte offsets the library gives, so that a column is a
 * character of the line as an editor shows it, and always lies within the text.
 */

#include <libfyaml.h>

#include "config/config_internal.h"

#define DEPTH_MAX 32
#define NODES_MAX 50000

struct yaml_reader {
    struct arena *arena;
    struct str text;
    size_t *lines; /* where each begins */
    size_t n_lines;
    size_t nodes;
    struct fy_parser *parser;
    struct fy_diag *diag;
    struct yaml_error *error;
    bool failed;
};

bool yaml_is_null(const struct yaml_node *n)
{
    return !n ||
           (n->type == YAML_SCALAR && n->is_plain &&
            (n->text.len == 0 || str_eq(n->text, STR("~")) || str_eq_nocase(n->text, STR("null"))));
}

/* ---- positions ---- */

static void find_lines(struct yaml_reader *r)
{
    size_t n = 1;

    for (size_t i = 0; i < r->text.len; i++)
        n += r->text.ptr[i] == '\n';
    r->lines = arena_alloc(r->arena, n * sizeof(*r->lines));
    for (size_t i = 0; i < r->text.len; i++)
        if (r->text.ptr[i] == '\n')
            r->lines[++r->n_lines] = i + 1;
    r->n_lines = n;
}

static void place_of(const struct yaml_reader *r, size_t at, unsigned *line, unsigned *col)
{
    size_t lo = 0, hi = r->n_lines;

    at = MIN(at, r->text.len);
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;

        if (r->lines[mid] <= at)
            lo = mid;
        else
            hi = mid;
    }
    *line = (unsigned)lo + 1;
    *col = 1;
    for (size_t i = r->lines[lo]; i < at; i++)
        *col += ((unsigned char)r->text.ptr[i] & 0xc0) != 0x80;
}

/* ---- failing ---- */

PRINTF_LIKE(3, 4)
static void fail_at(struct yaml_reader *r, size_t at, const char *fmt, ...)
{
    va_list args;

    if (r->failed)
        return;
    r->failed = true;
    place_of(r, at, &r->error->line, &r->error->col);
    va_start(args, fmt);
    (void)vsnprintf(r->error->text, sizeof(r->error->text), fmt, args);
    va_end(args);
}

/* What the library complains of; its lines and columns are from 1 but not always in the text. */
static void fail_from_library(struct yaml_reader *r)
{
    void *at = NULL;
    struct fy_diag_error *e = fy_diag_errors_iterate(r->diag, &at);
    size_t line, col;

    if (!e) {
        fail_at(r, r->text.len, "this is not YAML");
        return;
    }
    line = e->line > 0 ? MIN((size_t)e->line, r->n_lines) : 1;
    col = e->column > 0 ? (size_t)e->column - 1 : 0;
    fail_at(r, MIN(r->lines[line - 1] + col, line < r->n_lines ? r->lines[line] - 1 : r->text.len),
            "this is not YAML: %s", e->msg ? e->msg : "it cannot be read");
}

/* ---- events to nodes ---- */

static struct fy_event *next_event(struct yaml_reader *r)
{
    struct fy_event *event = r->failed ? NULL : fy_parser_parse(r->parser);

    if (!event)
        fail_from_library(r);
    return event;
}

/* The library starts quoted texts and aliases behind their first character. */
static size_t event_at(const struct yaml_reader *r, struct fy_event *event)
{
    const struct fy_mark *mark = fy_event_start_mark(event);
    size_t at = mark ? MIN(mark->input_pos, r->text.len) : 0;
    bool behind = event->type == FYET_ALIAS || event->type == FYET_SCALAR;

    if (behind && at > 0 && strchr("\"'*", r->text.ptr[at - 1]))
        return at - 1;
    return at;
}

static struct yaml_node *new_node(struct yaml_reader *r, enum yaml_type type, size_t at)
{
    struct yaml_node *n = arena_alloc(r->arena, sizeof(*n));

    n->type = type;
    place_of(r, at, &n->line, &n->col);
    if (++r->nodes > NODES_MAX)
        fail_at(r, at, "this file has more than %d values", NODES_MAX);
    return n;
}

static struct str token_text(struct yaml_reader *r, struct fy_token *token)
{
    size_t len = 0;
    const char *text = token ? fy_token_get_text(token, &len) : NULL;

    return arena_copy(r->arena, text ? str_bytes(text, len) : STR_NONE);
}

static struct yaml_node *read_value(struct yaml_reader *r, struct fy_event *event, unsigned depth);

static struct yaml_node *read_scalar(struct yaml_reader *r, struct fy_event *event)
{
    struct fy_token *token = event->scalar.value;
    struct yaml_node *n = new_node(r, YAML_SCALAR, event_at(r, event));

    n->text = token_text(r, token);
    n->is_plain = !token || fy_token_scalar_style(token) == FYSS_PLAIN;
    return n;
}

static void append(struct yaml_node *parent, struct yaml_node **tail, struct yaml_node *child)
{
    if (*tail)
        (*tail)->next = child;
    else
        parent->first = child;
    *tail = child;
    parent->len++;
}

static struct yaml_node *read_list(struct yaml_reader *r, size_t at, unsigned depth)
{
    struct yaml_node *list = new_node(r, YAML_LIST, at), *tail = NULL;

    while (!r->failed) {
        struct fy_event *event = next_event(r);

        if (!event)
            break;
        if (event->type == FYET_SEQUENCE_END) {
            fy_parser_event_free(r->parser, event);
            break;
        }

        struct yaml_node *item = read_value(r, event, depth + 1);

        if (item)
            append(list, &tail, item);
    }
    return list;
}

/* Linear, so a large map costs its square: maps of this size are in no configuration. */
#define MAP_MAX 2000

static bool has_key(const struct yaml_node *map, struct str key)
{
    YAML_EACH(entry, map)
    {
        if (str_eq_nocase(entry->key, key))
            return true;
    }
    return false;
}

/* A value under its key. */
static void read_entry(struct yaml_reader *r, struct yaml_node *map, struct yaml_node **tail,
                       struct fy_event *key_event, unsigned depth)
{
    size_t at = event_at(r, key_event);
    struct yaml_node *key = read_value(r, key_event, depth + 1);
    struct fy_event *event;
    struct yaml_node *value;

    if (!key || r->failed)
        return;
    if (key->type != YAML_SCALAR) {
        fail_at(r, at, "a key must be a plain text");
        return;
    }
    if (has_key(map, key->text)) {
        fail_at(r, at, "\"%.*s\" is here twice: keep one of them",
                (int)MIN(key->text.len, (size_t)60), key->text.ptr);
        return;
    }
    event = next_event(r);
    value = event ? read_value(r, event, depth + 1) : NULL;
    if (!value)
        return;
    value->key = key->text;
    value->key_line = key->line;
    value->key_col = key->col;
    append(map, tail, value);
    if (map->len > MAP_MAX)
        fail_at(r, at, "a map has more than %d keys", MAP_MAX);
}

static struct yaml_node *read_map(struct yaml_reader *r, size_t at, unsigned depth)
{
    struct yaml_node *map = new_node(r, YAML_MAP, at), *tail = NULL;

    while (!r->failed) {
        struct fy_event *event = next_event(r);

        if (!event)
            break;
        if (event->type == FYET_MAPPING_END) {
            fy_parser_event_free(r->parser, event);
            break;
        }
        read_entry(r, map, &tail, event, depth);
    }
    return map;
}

/* Takes the event. NULL when it failed. */
static struct yaml_node *read_value(struct yaml_reader *r, struct fy_event *event, unsigned depth)
{
    size_t at = event_at(r, event);
    enum fy_event_type type = event->type;
    struct yaml_node *n = NULL;

    if (type == FYET_SCALAR)
        n = read_scalar(r, event);
    fy_parser_event_free(r->parser, event);
    if (depth >= DEPTH_MAX)
        fail_at(r, at, "this is nested more than %d levels deep", DEPTH_MAX);
    else if (type == FYET_SEQUENCE_START)
        n = read_list(r, at, depth);
    else if (type == FYET_MAPPING_START)
        n = read_map(r, at, depth);
    else if (type == FYET_ALIAS)
        fail_at(r, at, "aliases (*name) are not understood: write the value out");
    else if (type != FYET_SCALAR)
        fail_at(r, at, "a value was expected here");
    return r->failed ? NULL : n;
}

static void read_stream(struct yaml_reader *r, struct yaml_node **out)
{
    bool has_document = false;

    for (;;) {
        struct fy_event *event = next_event(r);
        size_t at;
        enum fy_event_type type;

        if (!event)
            return;
        type = event->type;
        at = event_at(r, event);
        switch (type) {
        case FYET_STREAM_START:
        case FYET_DOCUMENT_END:
            break;
        case FYET_DOCUMENT_START:
            if (has_document)
                fail_at(r, at, "only one document is read: remove what follows \"---\"");
            has_document = true;
            break;
        case FYET_STREAM_END:
            fy_parser_event_free(r->parser, event);
            return;
        case FYET_NONE:
        case FYET_MAPPING_START:
        case FYET_MAPPING_END:
        case FYET_SEQUENCE_START:
        case FYET_SEQUENCE_END:
        case FYET_SCALAR:
        case FYET_ALIAS:
            *out = read_value(r, event, 0);
            event = NULL;
            break;
        }
        if (event)
            fy_parser_event_free(r->parser, event);
    }
}

/* What the library need not see. */
static bool check_text(struct yaml_reader *r)
{
    for (size_t i = 0; i < r->text.len;) {
        size_t n = str_utf8_len(str_from_index(r->text, i));
        unsigned char c = (unsigned char)r->text.ptr[i];

        if (n == 0)
            fail_at(r, i, "this byte is not UTF-8 text");
        else if ((c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            fail_at(r, i, "a control character does not belong here");
        if (r->failed)
            return false;
        i += n;
    }
    return true;
}

/* The library must not print: what it finds is collected. */
static bool open_parser(struct yaml_reader *r)
{
    struct fy_diag_cfg diag_cfg;
    struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_DEFAULT_VERSION_AUTO | FYPCF_JSON_NONE};

    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    diag_cfg.colorize = false;
    r->diag = fy_diag_create(&diag_cfg);
    if (!r->diag)
        return false;
    fy_diag_set_collect_errors(r->diag, true);
    cfg.diag = r->diag;
    r->parser = fy_parser_create(&cfg);
    return r->parser && fy_parser_set_string(r->parser, r->text.ptr, r->text.len) == 0;
}

bool yaml_parse(struct arena *arena, struct str text, struct yaml_node **out,
                struct yaml_error *error)
{
    struct yaml_reader r = {.arena = arena, .text = text, .error = error};
    struct yaml_node *root = NULL;

    find_lines(&r);
    if (text.len > CONFIG_FILE_MAX)
        fail_at(&r, CONFIG_FILE_MAX, "this file is longer than %zu bytes", CONFIG_FILE_MAX);
    if (r.failed || !check_text(&r))
        return false;
    if (str_trim(text).len > 0) {
        if (open_parser(&r))
            read_stream(&r, &root);
        else
            fail_at(&r, 0, "the YAML parser cannot be started");
        fy_parser_destroy(r.parser);
        fy_diag_destroy(r.diag);
    }
    if (r.failed)
        return false;
    *out = root;
    return true;
}
