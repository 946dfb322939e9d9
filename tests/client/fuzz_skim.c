/*
 * Law: of text that json_parse takes, the pieces are the `raw` of its members and elements, in
 * order; of other text the walk fails or gives a key or a piece that json_parse refuses. A list of
 * whole objects is one in brackets.
 */

#include "client/skim.h"
#include "core/buf.h"
#include "json/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool parses(struct arena *a, struct str text)
{
    struct json_value *v = NULL;

    return json_parse(a, text, NULL, &v, NULL);
}

static bool key_parses(struct arena *a, struct str key)
{
    AUTO_FINI(buf_fini) struct buf quoted = BUF(0);

    buf_put_char(&quoted, '"');
    buf_put(&quoted, key);
    buf_put_char(&quoted, '"');
    return parses(a, arena_copy(a, buf_str(&quoted)));
}

static void check_json(struct str text, const struct json_value *whole)
{
    struct skim s;
    struct str key, value;

    if (!json_is(whole, JSON_OBJECT) && !json_is(whole, JSON_ARRAY)) {
        ASSERT(!skim_begin(&s, text));
        return;
    }
    ASSERT(skim_begin(&s, text) && s.is_object == json_is(whole, JSON_OBJECT));
    JSON_EACH(item, whole) {
        ASSERT(skim_next(&s, &key, &value));
        ASSERT(value.ptr == item->raw.ptr && value.len == item->raw.len);
        ASSERT(str_find(key, STR("\\")) >= 0 || str_eq(key, item->key));
    }
    ASSERT(!skim_next(&s, &key, &value) && skim_ok(&s));
}

/* How many brackets are open at once is bounded for a text, so the whole may be refused for it and
 * its pieces not. */
static bool may_be_deep(struct str text)
{
    size_t open = 0;

    for (size_t i = 0; i < text.len; i++)
        open += text.ptr[i] == '[' || text.ptr[i] == '{';
    return open >= JSON_DEPTH_MAX;
}

static void check_other(struct arena *a, struct str text)
{
    struct skim s;
    struct str key, value;
    bool refused = false;

    if (!skim_begin(&s, text))
        return;
    while (skim_next(&s, &key, &value))
        refused = refused || !parses(a, value) || (s.is_object && !key_parses(a, key));
    ASSERT(refused || !skim_ok(&s) || may_be_deep(text));
}

static void check_list(struct arena *a, struct str text)
{
    AUTO_FINI(buf_fini) struct buf array = BUF(0);
    struct str object;
    size_t at = 0, n = 0;
    bool good = true;
    enum skim_piece got;

    buf_put_char(&array, '[');
    while ((got = skim_objects(text, &at, &object)) == SKIM_OBJECT) {
        if (n++ > 0)
            buf_put_char(&array, ',');
        buf_put(&array, object);
        good = good && parses(a, object);
    }
    buf_put_char(&array, ']');
    if (got != SKIM_END || !good || may_be_deep(text))
        return;
    struct json_value *list = NULL;

    ASSERT(json_parse(a, arena_copy(a, buf_str(&array)), NULL, &list, NULL));
    ASSERT(json_len(list) == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena_free) struct arena *a = arena_new();
    struct str text = str_bytes(size ? (const char *)data : "", size);
    struct json_value *whole = NULL;

    if (json_parse(a, text, NULL, &whole, NULL))
        check_json(text, whole);
    else
        check_other(a, text);
    check_list(a, text);
    return 0;
}
