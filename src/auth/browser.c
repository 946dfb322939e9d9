#include "auth/browser.h"

static bool decode(struct arena *arena, struct str text, struct str *out)
{
    char *to = arena_alloc(arena, text.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '%') {
            if (!hex_decode(str_sub(text, i + 1, 2), &c, 1))
                return false;
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        to[n++] = c;
    }
    *out = str_bytes(to, n);
    return true;
}

bool form_get(struct arena *arena, struct str text, struct str name, struct str *value)
{
    struct str pair, found = STR_NONE;
    bool is_there = false;

    while (str_next(&text, '&', &pair)) {
        struct str key, rest, plain;

        (void)str_split(pair, '=', &key, &rest);
        if (key.len > 3 * name.len || !decode(arena, key, &plain) || !str_eq(plain, name))
            continue;
        if (is_there || !decode(arena, rest, &found))
            return false;
        is_there = true;
    }
    if (is_there)
        *value = found;
    return is_there;
}

bool cookie_get(struct str header, struct str name, struct str *value)
{
    struct str pair;

    while (str_next(&header, ';', &pair)) {
        struct str key, rest;

        if (!str_split(str_trim(pair), '=', &key, &rest) || !str_eq(key, name))
            continue;
        if (rest.len >= 2 && rest.ptr[0] == '"' && rest.ptr[rest.len - 1] == '"')
            rest = str_sub(rest, 1, rest.len - 2);
        *value = rest;
        return true;
    }
    return false;
}

struct str session_cookie_name(bool is_secure)
{
    return is_secure ? STR("__Host-hatsize_session") : STR("hatsize_session");
}

void cookie_put(struct buf *out, const struct cookie *c)
{
    buf_put(out, c->name);
    buf_put_char(out, '=');
    buf_put(out, c->value);
    buf_printf(out, "; Path=%.*s; Max-Age=%lld; HttpOnly; SameSite=%s%s", STR_ARG(c->path),
               (long long)c->max_age_s, c->is_strict ? "Strict" : "Lax",
               c->is_secure ? "; Secure" : "");
}
