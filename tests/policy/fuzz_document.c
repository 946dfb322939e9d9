/*
 * A policy text is either refused with a place inside it and words, or gives a document
 *   1. whose own stored text is the text, and gives an equal document again;
 *   2. that a comment in front moves by a line and changes in nothing else;
 *   3. whose selectors are distinct, each found again from what was written;
 *   4. whose memory is bounded by the text's length.
 */

#include "core/err.h"
#include "document_dump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DUMP_MAX ((size_t)64 << 20)
/* A selector struct for two bytes ("1,") and some for the document itself. */
#define BYTES_PER_BYTE 400

static void check_complaint(struct str text, const struct policy_complaint *c)
{
    uint32_t lines = 1;

    for (size_t i = 0; i < text.len; i++)
        lines += text.ptr[i] == '\n';
    ASSERT(c->text[0]);
    ASSERT(str_is_utf8(str_from(c->text)) && str_is_utf8(str_from(c->hint)));
    ASSERT(c->pos.line <= lines);
}

static void check_selectors(const struct policy_document *d)
{
    for (size_t i = 0; i < d->n_selectors; i++) {
        AUTO_FINI(buf_fini) struct buf x = BUF(DUMP_MAX), y = BUF(DUMP_MAX);
        struct policy_selector again = {0};
        struct policy_complaint c = {0};

        ASSERT(d->selectors[i]->index == i);
        ASSERT(policy_selector_parse(d, d->selectors[i]->text, &again, &c));
        dump_selector(d->selectors[i], &x);
        dump_selector(&again, &y);
        ASSERT(str_eq(buf_str(&x), buf_str(&y)));
        /* The neighbours will do: a fuzzer has many tries. */
        if (i > 0) {
            buf_clear(&y);
            dump_selector(d->selectors[i - 1], &y);
            ASSERT(!str_eq(buf_str(&x), buf_str(&y)));
        }
    }
}

static void check_again(const struct policy_document *d, struct str text, bool positions)
{
    AUTO(policy_document_unref) const struct policy_document *again = NULL;
    AUTO_FINI(buf_fini) struct buf x = BUF(DUMP_MAX), y = BUF(DUMP_MAX);
    struct policy_complaint c = {0};

    ASSERT(policy_document_parse(text, NULL, &again, &c) == 0);
    dump_document(d, positions, &x);
    dump_document(again, positions, &y);
    ASSERT(str_eq(buf_str(&x), buf_str(&y)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_bytes(size ? (const char *)data : "", size);
    AUTO(policy_document_unref) const struct policy_document *d = NULL;
    AUTO_FINI(buf_fini) struct buf later = BUF(POLICY_TEXT_MAX);
    struct policy_complaint c = {0};
    int status = policy_document_parse(text, NULL, &d, &c);

    if (status < 0) {
        ASSERT(status == -ERR_INVALID && !d);
        check_complaint(text, &c);
        return 0;
    }
    ASSERT(str_eq(d->text, text));
    ASSERT(arena_bytes(d->arena) <= 4096 + BYTES_PER_BYTE * size);
    check_selectors(d);
    check_again(d, d->text, true);
    buf_put(&later, STR("// c\n"));
    buf_put(&later, text);
    if (!buf_is_full(&later))
        check_again(d, buf_str(&later), false);
    return 0;
}
