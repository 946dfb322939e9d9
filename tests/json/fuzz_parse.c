/*
 * What is read, written and read again is the same tree, compact or pretty; what is JSON is HuJSON
 * with the same tree; every value's raw span reads as that value.
 */

#include "json/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rewritten(struct arena *a, const struct json_value *v, bool pretty)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(0);
    struct json_writer w = pretty ? JSON_WRITER_PRETTY(&out) : JSON_WRITER(&out);
    struct json_value *again = NULL;

    json_value_write(&w, v);
    ASSERT(!buf_is_full(&out) && w.depth == 0);
    ASSERT(json_parse(a, buf_str(&out), NULL, &again, NULL));
    ASSERT(json_eq(v, again));
}

static void check_spans(struct arena *a, struct str text, const struct json_value *v)
{
    const struct json_options options = {.hujson = true};
    struct json_value *alone = NULL;

    ASSERT(v->raw.ptr >= text.ptr && v->raw.ptr + v->raw.len <= text.ptr + text.len);
    ASSERT(v->line > 0 && v->col > 0);
    ASSERT(json_parse(a, v->raw, &options, &alone, NULL));
    ASSERT(json_eq(v, alone));
    JSON_EACH(item, v)
        check_spans(a, text, item);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena_free) struct arena *a = arena_new();
    const struct json_options options = {.hujson = true};
    struct str text = str_bytes(size ? (const char *)data : "", size);
    struct json_value *strict = NULL, *loose = NULL;
    struct json_error error = {0};
    bool is_json = json_parse(a, text, NULL, &strict, NULL);
    bool is_hujson = json_parse(a, text, &options, &loose, &error);

    ASSERT(is_hujson || !is_json);
    if (is_json)
        ASSERT(json_eq(strict, loose));
    if (!is_hujson) {
        ASSERT(error.line > 0 && error.col > 0 && error.text[0]);
        return 0;
    }
    check_rewritten(a, loose, false);
    check_rewritten(a, loose, true);
    if (size < 2000)
        check_spans(a, text, loose);
    return 0;
}
