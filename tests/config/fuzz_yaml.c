/*
 * Any text loads or is refused, and:
 *   - refused means an error was remarked, loaded means none was;
 *   - a place lies within the text (one past the end of a line at most);
 *   - the same text gives the same configuration and the same remarks.
 */

#include "config/leaks.h"
#include "config/options.h"

#define FILE_NAME "/fuzz.yaml"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_place(struct str text, const struct config_remark *r)
{
    struct str rest = text, line = STR_NONE;
    size_t chars = 0;

    if (r->line == 0) {
        ASSERT(r->col == 0);
        return;
    }
    for (unsigned i = 0; i < r->line; i++) {
        /* The text may end with a line break; what follows it is a line, too. */
        if (!str_split(rest, '\n', &line, &rest))
            ASSERT(i + 1 == r->line);
    }
    for (size_t i = 0; i < line.len; i++)
        chars += ((unsigned char)line.ptr[i] & 0xc0) != 0x80;
    ASSERT(r->col >= 1 && r->col <= chars + 1);
}

static void load(struct str text, struct buf *said)
{
    static const char *const environ[] = {"HOME=/h", NULL};
    struct config_request req = {.data_dir = STR("/d"), .environ = environ};
    struct config_remarks remarks = {0};
    struct config *c = NULL;
    struct err err = {0};
    bool bad = false;
    int status = config_load_text(&req, STR(FILE_NAME), text, &c, &remarks, &err);

    for (size_t i = 0; i < remarks.len; i++) {
        bad |= remarks.items[i].is_error;
        if (str_eq(remarks.items[i].file, STR(FILE_NAME)))
            check_place(str_starts(text, STR("\xef\xbb\xbf")) ? str_from_index(text, 3) : text,
                        &remarks.items[i]);
        ASSERT(str_is_utf8(remarks.items[i].text) || remarks.items[i].text.len >= 500);
        config_remark_put(said, &remarks.items[i]);
        buf_put_char(said, '\n');
    }
    ASSERT((status == 0) == !bad && (status == 0) == (c != NULL));
    if (c)
        config_put(said, c);
    config_free(c);
    config_remarks_fini(&remarks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_bytes(data, size);
    struct buf once = BUF(0), again = BUF(0);

    /* Paths of the text are opened (derp.paths): not what a fuzzer should choose. */
    if (str_find(text, STR("paths")) >= 0 || size > 65536)
        return 0;
    load(text, &once);
    load(text, &again);
    ASSERT(str_eq(buf_str(&once), buf_str(&again)));
    buf_fini(&once);
    buf_fini(&again);
    return 0;
}
