/*
 * Laws. Bytes go into stored text and come back the same, and what is stored is UTF-8 without NUL.
 * A text is either refused, with a place in it or a row, and the database is as it was; or it is
 * taken, and what goes out of it then goes in again and out as the same text.
 */

#include "store/store_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void escape_law(struct str in)
{
    struct buf there = BUF(0), back = BUF(0);

    if (text_needs_escape(in)) {
        text_escape(&there, in);
        ASSERT(str_is_utf8(buf_str(&there)) && str_find_char(buf_str(&there), '\0') < 0);
        ASSERT(text_is_escaped(buf_str(&there)));
        text_unescape(&back, buf_str(&there));
        ASSERT(str_eq(buf_str(&back), in));
    } else {
        ASSERT(!text_is_escaped(in) && str_is_utf8(in) && str_find_char(in, '\0') < 0);
    }
    buf_fini(&there);
    buf_fini(&back);
}

static struct db *open_empty(void)
{
    struct db *db = NULL;
    struct err err = {0};

    ASSERT(db_sqlite_open(&(struct store_options){.sqlite_path = STR(":memory:")}, &db, &err) == 0);
    return db;
}

static struct str export_of(struct db *db)
{
    struct buf out = BUF(EXPORT_MAX);
    struct err err = {0};

    ASSERT(db_export(db, &out, &err) == 0);
    return buf_take(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_bytes(data, size);
    struct db *db = open_empty(), *other;
    struct err err = {0};
    int version = -1;

    escape_law(in);
    if (db_restore(db, in, &err) < 0) {
        ASSERT(err.code != 0 && err.text[0] != '\0');
        ASSERT(db->ops->version(db, &version, &err) == 0 && version == 0);
        db->ops->close(db);
        return 0;
    }
    struct str first = export_of(db);
    other = open_empty();
    ASSERT(db_restore(other, first, &err) == 0);
    struct str second = export_of(other);
    ASSERT(str_eq(first, second));
    str_free(&first);
    str_free(&second);
    db->ops->close(db);
    other->ops->close(other);
    return 0;
}
