/*
 * The Authorization header, taken apart: `Bearer <token>` and `Basic <base64 of name:password>`
 * (RFC 6750 2.1, RFC 7617 2). The words exactly so, one space behind them, as headscale wants it.
 */

#include "auth/caller.h"
#include "core/buf.h"
#include "core/mem.h"

static void set(char to[AUTH_HEADER_MAX], size_t *len, struct str from)
{
    *len = from.len;
    if (from.len > 0)
        memcpy(to, from.ptr, from.len);
}

/* Printable ASCII without spaces: what a token may be made of. */
static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f)
            return false;
    return s.len > 0;
}

static bool parse_basic(struct str base64, struct auth_credentials *out)
{
    struct buf text = BUF(AUTH_HEADER_MAX);
    struct str name, password;
    bool good = base64_decode(base64, &text) && str_split(buf_str(&text), ':', &name, &password) &&
                is_token(name);

    if (good) {
        out->is_basic = true;
        set(out->name, &out->name_len, name);
        set(out->password, &out->password_len, password);
    }
    if (text.ptr)
        mem_wipe(text.ptr, text.cap);
    buf_fini(&text);
    return good;
}

bool auth_credentials_parse(struct str header, struct auth_credentials *out)
{
    *out = (struct auth_credentials){0};
    if (header.len > AUTH_HEADER_MAX)
        return false;
    if (str_starts(header, STR("Basic ")))
        return parse_basic(str_from_index(header, sizeof("Basic ") - 1), out);
    if (!str_starts(header, STR("Bearer ")))
        return false;

    struct str token = str_from_index(header, sizeof("Bearer ") - 1);
    if (!is_token(token))
        return false;
    set(out->name, &out->name_len, token);
    return true;
}

void auth_credentials_fini(struct auth_credentials *c)
{
    mem_wipe(c, sizeof(*c));
}
