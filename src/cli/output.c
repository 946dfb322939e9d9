/* Answers as JSON or YAML, and the small objects that commands make themselves. */

#include "cli/cli_internal.h"

#define OUTPUT_MAX ((size_t)1 << 30)

bool cli_is_human(const struct cli *cli)
{
    return cli->format == CLI_HUMAN;
}

/* ---- YAML ---- */

static void yaml_value(struct buf *out, const struct json_value *v, int depth, bool after_dash);

/* Characters that JSON lets through and YAML does not: DEL and C1 but for NEL, byte order marks. */
static size_t escaped_len(struct str s, char escape[7])
{
    unsigned char a = (unsigned char)s.ptr[0], b = s.len > 1 ? (unsigned char)s.ptr[1] : 0;

    if (a == 0x7f || (a == 0xc2 && b >= 0x80 && b < 0xa0)) {
        (void)snprintf(escape, 7, "\\u%04x", a == 0x7f ? a : b);
        return a == 0x7f ? 1 : 2;
    }
    if (!str_starts(s, STR("\xef\xbb\xbf")))
        return 0;
    (void)snprintf(escape, 7, "\\ufeff");
    return 3;
}

/* A JSON scalar is a YAML scalar: quoted strings need no guessing by the reader. */
static void yaml_scalar(struct buf *out, const struct json_value *v)
{
    struct buf json = BUF(OUTPUT_MAX);
    struct json_writer w = JSON_WRITER(&json);

    json_value_write(&w, v);
    for (struct str rest = buf_str(&json); rest.len > 0;) {
        char escape[7];
        size_t n = escaped_len(rest, escape);

        buf_put(out, n > 0 ? str_from(escape) : str_sub(rest, 0, 1));
        rest = str_from_index(rest, MAX(n, (size_t)1));
    }
    buf_put_char(out, '\n');
    buf_fini(&json);
}

/* Lower case, as headscale's; quoted unless it is a plain word. */
static void yaml_key(struct buf *out, struct str key)
{
    bool plain = key.len > 0;

    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];

        plain = plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                          (i > 0 && c >= '0' && c <= '9'));
    }
    if (!plain) {
        struct json_value v = {.type = JSON_STRING, .str = key};

        yaml_scalar(out, &v);
        buf_cut(out, out->len - 1);
        return;
    }
    buf_put_lower(out, key);
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
        yaml_key(out, member->key);
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
        cli_put_text(cli->out, str_from(human));
        (void)fputc('\n', cli->out);
        return 0;
    }
    if (cli->format != CLI_YAML && cli_wants_old_json(cli))
        value = cli_old_json(cli, value);
    if (cli->format == CLI_YAML) {
        yaml_value(&out, value, 0, false);
    } else {
        json_value_write(&w, value);
        buf_put_char(&out, '\n');
    }
    (void)fwrite(out.ptr, 1, out.len, cli->out);
    buf_fini(&out);
    return 0;
}

int cli_show_str(struct cli *cli, struct str text)
{
    struct json_value v = {.type = JSON_STRING, .str = text};

    return cli_show(cli, &v, arena_copy(cli->arena, text).ptr);
}

int cli_show_member(struct cli *cli, const struct json_value *object, const char *member)
{
    return cli_show(cli, object, arena_copy(cli->arena, json_get_str(object, member)).ptr);
}

const struct json_value *cli_object(struct cli *cli, const char *const *members)
{
    struct json_value *object = arena_alloc(cli->arena, sizeof(*object));
    struct json_value **tail = &object->list.first;

    object->type = JSON_OBJECT;
    for (; members[0]; members += 2) {
        struct json_value *v = arena_alloc(cli->arena, sizeof(*v));

        v->type = JSON_STRING;
        v->key = str_from(members[0]);
        v->str = str_from(members[1]);
        *tail = v;
        tail = &v->next;
        object->list.len++;
    }
    return object;
}

int cli_result(struct cli *cli, const char *text)
{
    const char *members[] = {"Result", text, NULL};

    return cli_show(cli, cli_object(cli, members), text);
}
