/*
 * Queries, forms, cookies and texts for pages, from anybody. Laws: what is encoded and decoded is
 * what it was; a field that is found is found again among others and not at all when it is there
 * twice; an escaped text has nothing of markup and is UTF-8; a subject's identity tells it from
 * another's.
 */

#include "auth/browser.h"
#include "auth/pages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_query(struct arena *arena, struct str in)
{
    struct str value, again;
    struct buf more = BUF(0);

    if (form_get(arena, in, STR("code"), &value)) {
        ASSERT(value.len <= in.len);
        buf_put(&more, STR("other=1&"));
        buf_put(&more, in);
        ASSERT(form_get(arena, buf_str(&more), STR("code"), &again) && str_eq(again, value));
        buf_put(&more, STR("&code=x"));
        ASSERT(!form_get(arena, buf_str(&more), STR("code"), &again));
    }
    buf_clear(&more);
    buf_put(&more, STR("code="));
    oidc_put_encoded(&more, in);
    ASSERT(form_get(arena, buf_str(&more), STR("code"), &again) && str_eq(again, in));
    buf_fini(&more);
}

static void as_cookies(struct str in)
{
    struct str value;

    if (cookie_get(in, STR("state_abc"), &value))
        ASSERT(value.len + 10 <= in.len && str_find_char(value, ';') < 0);
}

static void as_text(struct str in)
{
    struct buf out = BUF(0);

    page_put_escaped(&out, in);
    ASSERT(str_is_utf8(buf_str(&out)));
    for (size_t i = 0; i < out.len; i++)
        ASSERT(!strchr("<>\"'", out.ptr[i]) && (unsigned char)out.ptr[i] >= 0x20);
    buf_fini(&out);
}

/* The halves as two subjects. */
static void as_subjects(struct str in)
{
    struct str a = str_sub(in, 0, in.len / 2), b = str_from_index(in, in.len / 2);
    struct buf x = BUF(0), y = BUF(0);

    oidc_identity_put(&x, STR("https://idp"), a);
    oidc_identity_put(&y, STR("https://idp/"), b);
    ASSERT(str_eq(a, b) == str_eq(buf_str(&x), buf_str(&y)));
    buf_fini(&x);
    buf_fini(&y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 16384)
        return 0;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct str in = str_bytes(data, size);

    as_query(arena, in);
    as_cookies(in);
    as_text(in);
    as_subjects(in);
    return 0;
}
