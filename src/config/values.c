/* Values of single keys, and complaints about them. */

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "config/config_internal.h"

#define REMARKS_MAX 500 /* of one load; what is over is left out */

/* ---- remarks ---- */

void config_remarks_fini(struct config_remarks *r)
{
    for (size_t i = 0; i < r->len; i++) {
        str_free(&r->items[i].file);
        str_free(&r->items[i].text);
    }
    mem_free(r->items);
    *r = (struct config_remarks){0};
}

void config_remark_put(struct buf *out, const struct config_remark *r)
{
    if (r->file.len > 0) {
        buf_put(out, r->file);
        if (r->line > 0)
            buf_printf(out, ":%u:%u", r->line, r->col);
        buf_put(out, STR(": "));
    }
    buf_put(out, r->text);
}

PRINTF_LIKE(4, 0)
static void remark_va(struct loader *l, bool is_error, struct place place, const char *fmt,
                      va_list args)
{
    struct config_remarks *r = l->remarks;
    char text[512];

    l->errors += is_error;
    if (r->len - l->first_remark >= REMARKS_MAX)
        return;
    if (vsnprintf(text, sizeof(text), fmt, args) < 0)
        text[0] = '\0';
    r->items = mem_room(r->items, r->len, &r->cap, 8, sizeof(*r->items));
    r->items[r->len++] = (struct config_remark){
        .is_error = is_error,
        .file = str_copy(place.file),
        .line = place.line,
        .col = place.col,
        .text = str_copy(str_from(text)),
    };
}

void remark(struct loader *l, bool is_error, struct place place, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    remark_va(l, is_error, place, fmt, args);
    va_end(args);
}

static struct place place_of(const struct loader *l, const struct yaml_node *at, bool of_key)
{
    if (!at)
        return (struct place){.file = l->file};
    if (at->name)
        return (struct place){.file = STR("environment")};
    if (of_key && at->key_line > 0)
        return (struct place){l->file, at->key_line, at->key_col};
    return (struct place){l->file, at->line, at->col};
}

void error_at(struct loader *l, const struct yaml_node *at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    remark_va(l, true, place_of(l, at, false), fmt, args);
    va_end(args);
}

void notice_at(struct loader *l, const struct yaml_node *at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    remark_va(l, false, place_of(l, at, false), fmt, args);
    va_end(args);
}

void notice_at_key(struct loader *l, const struct yaml_node *at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    remark_va(l, false, place_of(l, at, true), fmt, args);
    va_end(args);
}

/* By file (in order of appearance), then place; stable. */
static bool comes_before(const struct loader *l, const struct config_remark *a,
                         const struct config_remark *b)
{
    if (!str_eq(a->file, b->file)) {
        for (size_t i = l->first_remark; i < l->remarks->len; i++) {
            if (str_eq(l->remarks->items[i].file, a->file))
                return true;
            if (str_eq(l->remarks->items[i].file, b->file))
                return false;
        }
        return false;
    }
    return a->line < b->line || (a->line == b->line && a->col < b->col);
}

void remarks_sort(struct loader *l)
{
    struct config_remark *items = l->remarks->items;

    for (size_t i = l->first_remark + 1; i < l->remarks->len; i++)
        for (size_t k = i; k > l->first_remark && comes_before(l, &items[k], &items[k - 1]); k--) {
            struct config_remark moved = items[k];

            items[k] = items[k - 1];
            items[k - 1] = moved;
        }
}

struct str shown(struct loader *l, struct str text)
{
    struct buf out = BUF(512);
    struct str copy;
    size_t end = 0;

    while (end < text.len && end < 60) {
        size_t n = str_utf8_len(str_from_index(text, end));
        unsigned char c = (unsigned char)text.ptr[end];

        if (n == 0 || c < ' ' || c == 0x7f)
            buf_put_char(&out, '?');
        else
            buf_put(&out, str_sub(text, end, n));
        end += MAX(n, (size_t)1);
    }
    if (end < text.len)
        buf_put(&out, STR("..."));
    copy = arena_copy(l->arena, buf_str(&out));
    buf_fini(&out);
    return copy;
}

/* ---- scalars ---- */

/* "HATSIZE_LOG_LEVEL" for a variable, the path in quotes for a file. */
static struct str named(struct loader *l, const struct yaml_node *n, struct str what)
{
    return n->name ? arena_printf(l->arena, "%s", n->name)
                   : arena_printf(l->arena, "\"%.*s\"", STR_ARG(what));
}

bool node_text(struct loader *l, const struct yaml_node *n, struct str what, struct str *out)
{
    if (n->type != YAML_SCALAR) {
        error_at(l, n, "%.*s wants one value, not a %s", STR_ARG(named(l, n, what)),
                 n->type == YAML_LIST ? "list" : "section");
        return false;
    }
    for (size_t i = 0; i < n->text.len; i++)
        if ((unsigned char)n->text.ptr[i] < ' ' || n->text.ptr[i] == 0x7f) {
            error_at(l, n, "%.*s holds a control character: remove it", STR_ARG(named(l, n, what)));
            return false;
        }
    if (!str_is_utf8(n->text)) {
        error_at(l, n, "%.*s is not UTF-8 text", STR_ARG(named(l, n, what)));
        return false;
    }
    *out = str_trim(n->text);
    return true;
}

bool value_text(struct loader *l, enum config_key key, struct str *out)
{
    const struct yaml_node *n = l->values[key];
    struct str text;

    if (!n || !node_text(l, n, key_path(key), &text) || text.len == 0)
        return false;
    *out = text;
    return true;
}

bool node_bool(struct loader *l, const struct yaml_node *n, struct str what, bool *out)
{
    static const struct str yes[] = {STR_INIT("true"), STR_INIT("t"), STR_INIT("1"),
                                     STR_INIT("yes"), STR_INIT("on")};
    static const struct str no[] = {STR_INIT("false"), STR_INIT("f"), STR_INIT("0"), STR_INIT("no"),
                                    STR_INIT("off")};
    struct str text;

    if (!node_text(l, n, what, &text) || text.len == 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (str_eq_nocase(text, yes[i]) || str_eq_nocase(text, no[i])) {
            *out = str_eq_nocase(text, yes[i]);
            return true;
        }
    error_at(l, n, "%.*s is \"%.*s\": write true or false", STR_ARG(named(l, n, what)),
             STR_ARG(shown(l, text)));
    return false;
}

bool value_bool(struct loader *l, enum config_key key, bool *out)
{
    return l->values[key] && node_bool(l, l->values[key], key_path(key), out);
}

bool value_int(struct loader *l, enum config_key key, int64_t lo, int64_t hi, int64_t *out)
{
    struct str text;
    int64_t v;

    if (!value_text(l, key, &text))
        return false;
    if (!str_parse_i64(text, &v) || v < lo || v > hi) {
        error_at(l, l->values[key], "%.*s is \"%.*s\": write a whole number from %lld to %lld",
                 STR_ARG(named(l, l->values[key], key_path(key))), STR_ARG(shown(l, text)),
                 (long long)lo, (long long)hi);
        return false;
    }
    *out = v;
    return true;
}

bool value_duration(struct loader *l, enum config_key key, int64_t *ms)
{
    struct str text;
    int64_t v;

    if (!value_text(l, key, &text))
        return false;
    if (str_eq(text, STR("0"))) {
        *ms = 0;
        return true;
    }
    if (!clock_parse_duration(text, &v) || v < 0) {
        error_at(l, l->values[key],
                 "%.*s is \"%.*s\": write a duration with its unit, like 30m, 12h or 180d",
                 STR_ARG(named(l, l->values[key], key_path(key))), STR_ARG(shown(l, text)));
        return false;
    }
    *ms = v;
    return true;
}

/* ---- addresses to listen on ---- */

static bool parse_port(struct str text, uint16_t *port)
{
    uint64_t v;

    if (str_eq(text, STR("http")))
        v = 80;
    else if (str_eq(text, STR("https")))
        v = 443;
    else if (!str_parse_u64(text, &v) || v > UINT16_MAX)
        return false;
    *port = (uint16_t)v;
    return true;
}

/* "1.2.3.4:80", "[::1]:80", ":80" and "*:80" (every address), "localhost:80". */
static bool parse_listen(struct str text, struct ip_addrport *out)
{
    ptrdiff_t colon = str_rfind_char(text, ':');
    struct ip_addrport ap = {.addr = {.family = IP_V6}};
    struct str host;

    if (colon < 0 || !parse_port(str_from_index(text, (size_t)colon + 1), &ap.port))
        return false;
    host = str_sub(text, 0, (size_t)colon);
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        if (!ip_addr_parse(str_sub(host, 1, host.len - 2), &ap.addr) || ap.addr.family != IP_V6)
            return false;
    } else if (str_eq_nocase(host, STR("localhost"))) {
        ap.addr = IP_ADDR_V4(127, 0, 0, 1);
    } else if (host.len > 0 && !str_eq(host, STR("*"))) {
        if (!ip_addr_parse(host, &ap.addr) || ap.addr.family != IP_V4)
            return false;
    }
    *out = ap;
    return true;
}

bool value_listen(struct loader *l, enum config_key key, struct ip_addrport *out)
{
    struct str text;

    if (!value_text(l, key, &text))
        return false;
    if (parse_listen(text, out))
        return true;
    error_at(l, l->values[key],
             "%.*s is \"%.*s\": write an IP address and a port, like 0.0.0.0:8080 or [::]:8080",
             STR_ARG(named(l, l->values[key], key_path(key))), STR_ARG(shown(l, text)));
    return false;
}

/* ---- lists ---- */

const struct yaml_node *value_list(struct loader *l, enum config_key key)
{
    const struct yaml_node *n = l->values[key];
    struct yaml_node *list;

    if (!n || n->type == YAML_LIST)
        return n;
    if (n->type == YAML_MAP) {
        error_at(l, n, "\"%.*s\" is a list: write one \"- value\" a line", STR_ARG(key_path(key)));
        return NULL;
    }
    if (n->text.len == 0)
        return NULL;
    list = arena_alloc(l->arena, sizeof(*list));
    *list = *n;
    list->type = YAML_LIST;
    list->first = arena_alloc(l->arena, sizeof(*list));
    *list->first = *n;
    list->first->next = NULL;
    list->len = 1;
    return list;
}

/* ---- paths ---- */

struct str path_cwd(struct arena *arena)
{
    char cwd[PATH_MAX];

    return getcwd(cwd, sizeof(cwd)) ? arena_copy(arena, str_from(cwd)) : STR("/");
}

struct str path_absolute(struct arena *arena, struct str base_dir, struct str path)
{
    while (str_starts(path, STR("./")))
        path = str_from_index(path, 2);
    if (path.len > 0 && path.ptr[0] == '/')
        return arena_copy(arena, path);
    if (path.len == 0 || str_eq(path, STR(".")))
        return arena_copy(arena, base_dir);
    return str_ends(base_dir, STR("/"))
               ? arena_printf(arena, "%.*s%.*s", STR_ARG(base_dir), STR_ARG(path))
               : arena_printf(arena, "%.*s/%.*s", STR_ARG(base_dir), STR_ARG(path));
}

struct str path_dir(struct arena *arena, struct str path)
{
    ptrdiff_t slash = str_rfind_char(path, '/');

    return slash <= 0 ? STR("/") : arena_copy(arena, str_sub(path, 0, (size_t)slash));
}

bool value_path(struct loader *l, enum config_key key, struct str *out)
{
    struct str text;

    if (!value_text(l, key, &text))
        return false;
    if (str_starts(text, STR("~/")))
        notice_at(l, l->values[key], "\"~\" is not the home directory here: write the whole path");
    *out = path_absolute(l->arena, l->values[key]->name ? path_cwd(l->arena) : l->base_dir, text);
    return true;
}
