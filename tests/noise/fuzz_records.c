/*
 * Law: cutting a stream of records differently changes neither what is opened nor the verdict; what
 * is opened is always a beginning of what was sealed; of a stream in which a byte was changed, no
 * record from the changed one on is opened; bytes that nobody sealed are never opened.
 *
 * Input: 2 bytes where to change something, 1 byte what to change there (0: nothing), 1 byte how to
 * cut, 1 byte how the text is divided into writes, then the text.
 */

#include "noise/record.h"

#define FRONT 5

struct channel {
    struct noise_session from, to;
};

/* With keys of its own, cheaper than a handshake. */
static struct channel channel_new(void)
{
    uint8_t one[AEAD_KEY_BYTES], two[AEAD_KEY_BYTES];
    struct channel c;

    memset(one, 1, sizeof(one));
    memset(two, 2, sizeof(two));
    noise_session_init(&c.from, one, two);
    noise_session_init(&c.to, two, one);
    return c;
}

static void channel_fini(struct channel *c)
{
    noise_session_fini(&c->from);
    noise_session_fini(&c->to);
}

struct reading {
    struct buf plain;
    size_t left; /* bytes not taken */
    int status;
};

/* Opens `wire`, fed in pieces of 1..step bytes that grow and shrink (0: all at once). */
static struct reading read_all(struct str wire, size_t step)
{
    struct channel c = channel_new();
    struct reading r = {.plain = BUF(1 << 20)};
    struct buf in = BUF(1 << 20);
    size_t n = 1;

    do {
        struct str piece = str_sub(wire, 0, step == 0 ? wire.len : n);

        buf_put(&in, piece);
        wire = str_from_index(wire, piece.len);
        r.status = noise_open(&c.to, &in, &r.plain, NULL);
        n = n % MAX(step, (size_t)1) + 1;
    } while (wire.len > 0 && r.status == 0);
    r.left = in.len + wire.len;
    if (r.status < 0) {
        size_t before = r.plain.len;

        ASSERT(noise_open(&c.to, &in, &r.plain, NULL) < 0 && r.plain.len == before);
    }
    buf_fini(&in);
    channel_fini(&c);
    return r;
}

/* Seals `text` in writes of `chunk` bytes, a record each. Returns how much of the text is in
 * records that end before byte `at` of the stream: what a change there must not touch. */
static size_t seal_all(struct str text, size_t chunk, size_t at, struct buf *wire)
{
    struct channel c = channel_new();
    size_t safe = 0;

    while (text.len > 0) {
        struct str piece = str_sub(text, 0, MIN(chunk, (size_t)NOISE_RECORD_PLAIN_MAX));

        ASSERT(noise_seal(&c.from, piece, wire, NULL) == 0);
        text = str_from_index(text, piece.len);
        if (wire->len <= at)
            safe += piece.len;
    }
    channel_fini(&c);
    return safe;
}

static void same_reading(const struct reading *a, const struct reading *b)
{
    ASSERT(a->status == b->status);
    ASSERT(a->left == b->left);
    ASSERT(str_eq(buf_str(&a->plain), buf_str(&b->plain)));
}

static void raw_bytes(struct str in, size_t step)
{
    struct reading whole = read_all(in, 0), cut = read_all(in, step);

    same_reading(&whole, &cut);
    ASSERT(whole.plain.len == 0);
    buf_fini(&whole.plain);
    buf_fini(&cut.plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < FRONT || size > 65536)
        return 0;
    struct str text = str_bytes(data + FRONT, size - FRONT);
    size_t at = (size_t)data[0] << 8 | data[1], step = (size_t)data[3] + 1;
    struct buf wire = BUF(1 << 22);

    size_t safe = seal_all(text, (size_t)data[4] * 17 + 1, at, &wire);
    bool changed = data[2] != 0 && at < wire.len;
    if (changed)
        wire.ptr[at] = (char)(wire.ptr[at] ^ data[2]);

    struct reading whole = read_all(buf_str(&wire), 0), cut = read_all(buf_str(&wire), step);
    same_reading(&whole, &cut);
    ASSERT(str_starts(text, buf_str(&whole.plain)));
    if (changed)
        ASSERT(whole.plain.len == safe && (whole.status < 0 || whole.left > 0));
    else
        ASSERT(whole.plain.len == text.len && whole.status == 0 && whole.left == 0);
    buf_fini(&whole.plain);
    buf_fini(&cut.plain);
    buf_fini(&wire);
    raw_bytes(text, step);
    return 0;
}
