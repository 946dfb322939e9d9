/*
 * Whatever stands in Authorization: what is found in it is bounded, is in it (as it stands, or as
 * base64), and says the same when it is written anew. A key's text in it comes apart in the same
 * two pieces wherever it stands.
 */

#include "auth/caller.h"
#include "core/buf.h"
#include "tailnet/api_key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(const struct auth_credentials *c, struct buf *out)
{
    AUTO_FINI(buf_fini) struct buf pair = BUF(0);

    if (!c->is_basic) {
        buf_put(out, STR("Bearer "));
        buf_put(out, str_bytes(c->name, c->name_len));
        return;
    }
    buf_put(&pair, str_bytes(c->name, c->name_len));
    buf_put_char(&pair, ':');
    buf_put(&pair, str_bytes(c->password, c->password_len));
    buf_put(out, STR("Basic "));
    buf_put_base64(out, buf_str(&pair));
}

static void check_again(const struct auth_credentials *c)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(0);
    struct auth_credentials again;

    write_again(c, &text);
    /* Padding may make it longer than what was let in. */
    if (text.len > AUTH_HEADER_MAX)
        return;
    ASSERT(auth_credentials_parse(buf_str(&text), &again));
    ASSERT(again.is_basic == c->is_basic && again.name_len == c->name_len &&
           again.password_len == c->password_len);
    ASSERT(memcmp(again.name, c->name, c->name_len) == 0);
    ASSERT(memcmp(again.password, c->password, c->password_len) == 0);
    auth_credentials_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str header = str_bytes(size ? (const char *)data : "", size);
    struct auth_credentials c;
    struct str prefix, secret;

    if (!auth_credentials_parse(header, &c)) {
        ASSERT(c.name_len == 0 && c.password_len == 0);
        return 0;
    }
    ASSERT(c.name_len > 0 && c.name_len < header.len && c.password_len < header.len);
    ASSERT(str_find_char(str_bytes(c.name, c.name_len), ' ') < 0);
    if (!c.is_basic)
        ASSERT(str_ends(header, str_bytes(c.name, c.name_len)));
    check_again(&c);
    if (api_key_split(str_bytes(c.name, c.name_len), &prefix, &secret)) {
        ASSERT(prefix.len > 0 && secret.len > 0);
        ASSERT(prefix.len + secret.len < c.name_len);
        ASSERT(str_ends(str_bytes(c.name, c.name_len), secret));
        ASSERT(str_eq(api_key_prefix_of(str_bytes(c.name, c.name_len)), prefix));
    }
    auth_credentials_fini(&c);
    return 0;
}
