/*
 * Law: what was sealed opens to the same bytes whatever the pieces it comes in; what was sealed and
 * altered in one bit does not open; bytes of a stranger's do not either, and no content lies
 * outside of the record it came in.
 */

#include <string.h>

#include "core/mem.h"
#include "net/record_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct record *record_with(uint8_t secret, unsigned suite, uint64_t records_per_key)
{
    struct record_options o = {.suite = suite, .records_per_key = records_per_key};
    struct record *r = NULL;

    o.secret_len = suite == RECORD_AES_256_GCM_SHA384 ? 48 : 32;
    memset(o.in_secret, secret, sizeof o.in_secret);
    memset(o.out_secret, secret, sizeof o.out_secret);
    ASSERT(record_new(&o, &r, NULL) == 0);
    return r;
}

/* Opens what is there; the data goes to `plain`. False: broken. */
static bool open_all(struct record *r, struct str in, struct buf *plain)
{
    static char room[RECORD_PLAIN_MAX + 256];

    for (;;) {
        struct record_content got = {0};
        bool answer = false;
        uint8_t alert = 0;

        switch (record_open(r, in, room, sizeof room, &got, &alert)) {
        case RECORD_OK:
            break;
        case RECORD_MORE:
            return in.len < record_wants(in);
        case RECORD_FULL:
        case RECORD_BROKEN:
            return false;
        }
        ASSERT(got.used <= in.len && got.len + RECORD_HEADER < got.used);
        if (got.type == RECORD_DATA)
            buf_put(plain, str_bytes(room, got.len));
        else if (got.type == RECORD_HANDSHAKE &&
                 record_on_handshake(r, str_bytes(room, got.len), false, &answer, &alert) < 0)
            return false;
        in = str_from_index(in, got.used);
    }
}

/* The first byte chooses the cipher, the second how often keys change, the third what is altered.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned suites[] = {RECORD_AES_128_GCM_SHA256, RECORD_AES_256_GCM_SHA384,
                                      RECORD_CHACHA20_POLY1305_SHA256};

    if (size < 3)
        return 0;
    unsigned suite = suites[data[0] % ARRAY_LEN(suites)];
    struct str in = {(const char *)data + 3, size - 3};
    struct record *stranger = record_with(1, suite, 0), *from = record_with(2, suite, 1 + data[1]),
                  *to = record_with(2, suite, 0), *other = record_with(2, suite, 0);
    struct buf sealed = BUF(0), plain = BUF(0);

    (void)open_all(stranger, in, &plain);
    ASSERT(plain.len == 0);

    /* Halves, so that keys change in between. */
    ASSERT(record_seal(from, RECORD_DATA, str_sub(in, 0, in.len / 2), &sealed, NULL) == 0);
    ASSERT(record_seal(from, RECORD_DATA, str_from_index(in, in.len / 2), &sealed, NULL) == 0);
    ASSERT(open_all(to, buf_str(&sealed), &plain));
    ASSERT(str_eq(buf_str(&plain), in));

    buf_clear(&plain);
    if (sealed.len > RECORD_HEADER) {
        size_t at = RECORD_HEADER + data[2] % (sealed.len - RECORD_HEADER);

        sealed.ptr[at] = (char)(sealed.ptr[at] ^ 1);
        (void)open_all(other, buf_str(&sealed), &plain);
        ASSERT(plain.len < in.len);
    }
    buf_fini(&sealed);
    buf_fini(&plain);
    record_free(stranger);
    record_free(from);
    record_free(to);
    record_free(other);
    return 0;
}
