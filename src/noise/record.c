/*
 * Records: header | ciphertext | tag, sealed straight into the output and opened straight out of
 * the input.
 *
 * Invariants
 *   1. `sealed` and `opened` are the counters of the next record; UINT64_MAX is never used as one.
 *   2. Nothing lands in a caller's buffer but whole sealed records and plain text whose tag was
 *      right: room is reserved first and only counted as added afterwards.
 *   3. Once `broken`, a session opens nothing more: what follows a bad record cannot be trusted to
 *      follow the good ones.
 *
 * Cost: one pass of the cipher over the bytes, and one buf_drop per call.
 */

#include "noise/record.h"

#include "core/mem.h"

/* The tag alone: the least that a record can hold. */
#define CIPHERTEXT_MIN AEAD_TAG_BYTES
#define CIPHERTEXT_MAX (NOISE_RECORD_MAX - NOISE_RECORD_HEADER)

void noise_session_init(struct noise_session *s, const uint8_t seal_key[AEAD_KEY_BYTES],
                        const uint8_t open_key[AEAD_KEY_BYTES])
{
    *s = (struct noise_session){0};
    aead_key_init(&s->seal, AEAD_SEAL, seal_key);
    aead_key_init(&s->open, AEAD_OPEN, open_key);
}

void noise_session_fini(struct noise_session *s)
{
    if (!s)
        return;
    aead_key_fini(&s->seal);
    aead_key_fini(&s->open);
    mem_wipe(s, sizeof(*s));
}

static void nonce_of(uint64_t counter, uint8_t nonce[AEAD_NONCE_BYTES])
{
    memset(nonce, 0, AEAD_NONCE_BYTES);
    for (size_t i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(counter >> (56 - 8 * i));
}

static size_t records_for(size_t plain_len)
{
    return plain_len / NOISE_RECORD_PLAIN_MAX + (plain_len % NOISE_RECORD_PLAIN_MAX != 0);
}

size_t noise_sealed_len(size_t plain_len)
{
    return plain_len + records_for(plain_len) * (NOISE_RECORD_HEADER + AEAD_TAG_BYTES);
}

static void seal_one(struct noise_session *s, struct str plain, uint8_t *to)
{
    size_t len = plain.len + AEAD_TAG_BYTES;
    uint8_t nonce[AEAD_NONCE_BYTES];

    to[0] = NOISE_RECORD_TYPE;
    to[1] = (uint8_t)(len >> 8);
    to[2] = (uint8_t)len;
    nonce_of(s->sealed, nonce);
    aead_seal(&s->seal, nonce, STR_NONE, plain, to + NOISE_RECORD_HEADER);
    s->sealed++;
}

int noise_seal(struct noise_session *s, struct str plain, struct buf *out, struct err *err)
{
    if (plain.len == 0)
        return 0;
    if (records_for(plain.len) > UINT64_MAX - s->sealed)
        return err_set(err, ERR_LIMIT, "the channel has sent all the records it can");
    if (plain.len > BUF_LIMIT_DEFAULT)
        return err_set(err, ERR_LIMIT, "more than a channel takes at once");
    size_t len = noise_sealed_len(plain.len);
    char *to = buf_reserve(out, len);
    if (!to)
        return err_set(err, ERR_LIMIT, "no room for what the channel must send");

    while (plain.len > 0) {
        struct str piece = str_sub(plain, 0, NOISE_RECORD_PLAIN_MAX);

        seal_one(s, piece, (uint8_t *)to);
        to += NOISE_RECORD_HEADER + piece.len + AEAD_TAG_BYTES;
        plain = str_from_index(plain, piece.len);
    }
    buf_added(out, len);
    return 0;
}

enum front { FRONT_RECORD, FRONT_MORE, FRONT_BAD };

/* Looks for one record at the front of `in`; a bad header shows with its first bad byte. */
static enum front record_at_front(struct str in, struct str *ciphertext)
{
    if (in.len > 0 && (uint8_t)in.ptr[0] != NOISE_RECORD_TYPE)
        return FRONT_BAD;
    if (in.len < NOISE_RECORD_HEADER)
        return FRONT_MORE;
    size_t len = str_be16(in, 1);
    if (len < CIPHERTEXT_MIN || len > CIPHERTEXT_MAX)
        return FRONT_BAD;
    if (in.len - NOISE_RECORD_HEADER < len)
        return FRONT_MORE;
    *ciphertext = str_sub(in, NOISE_RECORD_HEADER, len);
    return FRONT_RECORD;
}

static int open_one(struct noise_session *s, struct str ciphertext, struct buf *plain,
                    struct err *err)
{
    size_t len = ciphertext.len - AEAD_TAG_BYTES;
    uint8_t nonce[AEAD_NONCE_BYTES];

    if (s->opened == UINT64_MAX)
        return err_set(err, ERR_LIMIT, "the peer has sent all the records it may");
    char *to = buf_reserve(plain, len);
    if (!to)
        return err_set(err, ERR_LIMIT, "no room for what the peer sent");
    nonce_of(s->opened, nonce);
    if (!aead_open(&s->open, nonce, STR_NONE, ciphertext, to))
        return err_set(err, ERR_INVALID, "a record is not authentic");
    buf_added(plain, len);
    s->opened++;
    return 0;
}

int noise_open(struct noise_session *s, struct buf *in, struct buf *plain, struct err *err)
{
    struct str rest = buf_str(in), ciphertext;
    enum front front;
    int status = 0;

    if (s->broken)
        return err_set(err, ERR_INVALID, "the channel is broken");
    while (status == 0 && (front = record_at_front(rest, &ciphertext)) != FRONT_MORE) {
        if (front == FRONT_BAD)
            status = err_set(err, ERR_INVALID, "not a record");
        else
            status = open_one(s, ciphertext, plain, err);
        if (status == 0)
            rest = str_from_index(rest, NOISE_RECORD_HEADER + ciphertext.len);
    }
    s->broken = status < 0;
    buf_drop(in, in->len - rest.len);
    return status;
}

/* ---- The early payload ---- */

static const struct str early_magic = STR_INIT("\xff\xff\xff\x54\x53");
#define EARLY_HEADER 9

void noise_early_payload_put(struct buf *plain, const struct challenge_key *challenge)
{
    static const struct str before = STR_INIT("{\"nodeKeyChallenge\":\"");
    static const struct str after = STR_INIT("\"}");
    struct buf key = BUF(128);

    challenge_key_put(&key, challenge);
    buf_put(plain, early_magic);
    buf_put_be32(plain, (uint32_t)(before.len + key.len + after.len));
    buf_put(plain, before);
    buf_put(plain, buf_str(&key));
    buf_put(plain, after);
    buf_fini(&key);
}

enum noise_early noise_early_payload_decode(struct str plain, struct str *json, size_t *used)
{
    size_t seen = MIN(plain.len, early_magic.len);

    if (!str_eq(str_sub(plain, 0, seen), str_sub(early_magic, 0, seen)))
        return NOISE_EARLY_NONE;
    if (plain.len < EARLY_HEADER)
        return NOISE_EARLY_MORE;
    size_t len = str_be32(plain, early_magic.len);
    if (len > NOISE_EARLY_MAX)
        return NOISE_EARLY_TOO_LONG;
    if (plain.len - EARLY_HEADER < len)
        return NOISE_EARLY_MORE;
    *json = str_sub(plain, EARLY_HEADER, len);
    *used = EARLY_HEADER + len;
    return NOISE_EARLY_OK;
}
