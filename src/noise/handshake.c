/*
 * The transcript is two values: `h`, the hash of all that was said, which every ciphertext is bound
 * to, and `ck`, into which every shared secret is stirred. Both sides take the same steps:
 *
 *   begin                  name, prologue with the version, the server's public key
 *   initiation   e         mix_hash(e)
 *                es        mix_key(DH)
 *                s         client's public key, encrypted
 *                ss        mix_key(DH), then an empty text, encrypted: the initiation's tag
 *   response     e         mix_hash(e)
 *                ee, se    mix_key(DH) twice, then an empty text, encrypted: the response's tag
 *   split                  one key per direction
 *
 * Each key that mix_key yields encrypts one message, so its nonce is always 0.
 *
 * A failure anywhere makes the whole handshake fail, without telling which step it was: the reasons
 * differ only in what an attacker may have tried.
 */

#include "noise/handshake.h"

#include "core/mem.h"

#define PROTOCOL_NAME STR("Noise_IK_25519_ChaChaPoly_BLAKE2s")
#define TYPE_INITIATION 1
#define TYPE_RESPONSE 2
#define TYPE_ERROR 3
#define HEADER 3 /* type and 16-bit length, without the initiation's version */

/* Where things are; lengths in bytes. */
#define INITIATION_EPHEMERAL 5
#define INITIATION_STATIC 37
#define INITIATION_STATIC_LEN (KEY_BYTES + AEAD_TAG_BYTES)
#define INITIATION_TAG 85
#define RESPONSE_EPHEMERAL 3
#define RESPONSE_TAG 35

_Static_assert(INITIATION_TAG + AEAD_TAG_BYTES == NOISE_INITIATION_BYTES, "initiation");
_Static_assert(RESPONSE_TAG + AEAD_TAG_BYTES == NOISE_RESPONSE_BYTES, "response");

static const uint8_t nonce_zero[AEAD_NONCE_BYTES];

struct cipher_key {
    uint8_t b[AEAD_KEY_BYTES];
};

static void cipher_key_fini(struct cipher_key *k)
{
    mem_wipe(k, sizeof(*k));
}

static void transcript_fini(struct noise_transcript *t)
{
    mem_wipe(t, sizeof(*t));
}

/* h = BLAKE2s(h || data) */
static void mix_hash(struct noise_transcript *t, struct str data)
{
    struct blake2s hash;

    blake2s_init(&hash);
    blake2s_feed(&hash, str_bytes(t->h, sizeof(t->h)));
    blake2s_feed(&hash, data);
    blake2s_final(&hash, t->h);
}

/* Stirs DH(key, point) into ck; `k` is for one message. False: there is no such secret. */
static bool mix_key(struct noise_transcript *t, const struct x25519_private *key,
                    const uint8_t point[X25519_BYTES], struct cipher_key *k)
{
    uint8_t shared[X25519_BYTES];

    if (!x25519(key, point, shared))
        return false;
    noise_hkdf(t->ck, str_bytes(shared, sizeof(shared)), t->ck, k->b);
    mem_wipe(shared, sizeof(shared));
    return true;
}

/* Seals `plain` into plain.len + AEAD_TAG_BYTES at `out`. */
static void encrypt_and_hash(struct noise_transcript *t, const struct cipher_key *k,
                             struct str plain, uint8_t *out)
{
    aead_seal_once(k->b, nonce_zero, str_bytes(t->h, sizeof(t->h)), plain, out);
    mix_hash(t, str_bytes(out, plain.len + AEAD_TAG_BYTES));
}

static bool decrypt_and_hash(struct noise_transcript *t, const struct cipher_key *k,
                             struct str sealed, uint8_t *out)
{
    if (!aead_open_once(k->b, nonce_zero, str_bytes(t->h, sizeof(t->h)), sealed, out))
        return false;
    mix_hash(t, sealed);
    return true;
}

static void begin(struct noise_transcript *t, uint16_t version, const uint8_t server[KEY_BYTES])
{
    struct buf prologue = BUF(64);

    blake2s(PROTOCOL_NAME, t->h);
    memcpy(t->ck, t->h, sizeof(t->ck));
    buf_printf(&prologue, "Tailscale Control Protocol v%u", (unsigned)version);
    mix_hash(t, buf_str(&prologue));
    mix_hash(t, str_bytes(server, KEY_BYTES));
    buf_fini(&prologue);
}

/* The last step: the session's keys and its hash. */
static void split(const struct noise_transcript *t, bool is_client, struct noise_session *session)
{
    AUTO_FINI(cipher_key_fini) struct cipher_key to_server;
    AUTO_FINI(cipher_key_fini) struct cipher_key to_client;

    noise_hkdf(t->ck, STR_NONE, to_server.b, to_client.b);
    noise_session_init(session, is_client ? to_server.b : to_client.b,
                       is_client ? to_client.b : to_server.b);
    memcpy(session->hash, t->h, sizeof(session->hash));
}

static void scalar_set(struct x25519_private *to, const uint8_t from[KEY_BYTES])
{
    memcpy(to->b, from, sizeof(to->b));
}

static void ephemeral_set(struct x25519_private *to, const struct x25519_private *given)
{
    if (given)
        *to = *given;
    else
        x25519_generate(to);
}

static void header_put(uint8_t *to, uint8_t type, size_t len)
{
    to[0] = type;
    to[1] = (uint8_t)(len >> 8);
    to[2] = (uint8_t)len;
}

/* ---- Server ---- */

static bool is_initiation(struct str in)
{
    return in.len == NOISE_INITIATION_BYTES && (uint8_t)in.ptr[2] == TYPE_INITIATION &&
           str_be16(in, 3) == NOISE_INITIATION_BYTES - 2 - HEADER;
}

/* The initiation's part of the transcript; learns the client's key. */
static bool read_initiation(struct noise_transcript *t, const struct machine_private *server,
                            struct str in, struct machine_key *client)
{
    AUTO_FINI(x25519_private_fini) struct x25519_private own;
    AUTO_FINI(cipher_key_fini) struct cipher_key k;
    struct str ephemeral = str_sub(in, INITIATION_EPHEMERAL, KEY_BYTES);
    struct machine_key public;
    uint8_t nothing[1];

    scalar_set(&own, server->b);
    machine_private_public(server, &public);
    begin(t, str_be16(in, 0), public.b);
    mix_hash(t, ephemeral);
    return mix_key(t, &own, (const uint8_t *)ephemeral.ptr, &k) &&
           decrypt_and_hash(t, &k, str_sub(in, INITIATION_STATIC, INITIATION_STATIC_LEN),
                            client->b) &&
           mix_key(t, &own, client->b, &k) &&
           decrypt_and_hash(t, &k, str_sub(in, INITIATION_TAG, AEAD_TAG_BYTES), nothing);
}

static bool write_response(struct noise_transcript *t, const struct x25519_private *ephemeral,
                           const uint8_t client_ephemeral[KEY_BYTES],
                           const struct machine_key *client, uint8_t response[NOISE_RESPONSE_BYTES])
{
    AUTO_FINI(cipher_key_fini) struct cipher_key k;

    header_put(response, TYPE_RESPONSE, NOISE_RESPONSE_BYTES - HEADER);
    x25519_public(ephemeral, response + RESPONSE_EPHEMERAL);
    mix_hash(t, str_bytes(response + RESPONSE_EPHEMERAL, KEY_BYTES));
    if (!mix_key(t, ephemeral, client_ephemeral, &k) || !mix_key(t, ephemeral, client->b, &k))
        return false;
    encrypt_and_hash(t, &k, STR_NONE, response + RESPONSE_TAG);
    return true;
}

int noise_server_handshake(const struct machine_private *server, struct str initiation,
                           const struct x25519_private *ephemeral,
                           uint8_t response[NOISE_RESPONSE_BYTES], struct noise_session *session,
                           struct machine_key *client, uint16_t *version, struct err *err)
{
    AUTO_FINI(transcript_fini) struct noise_transcript t;
    AUTO_FINI(x25519_private_fini) struct x25519_private own;
    struct machine_key peer;
    uint8_t answer[NOISE_RESPONSE_BYTES];

    if (!is_initiation(initiation))
        return err_set(err, ERR_INVALID, "not a handshake initiation");
    if (!read_initiation(&t, server, initiation, &peer))
        return err_set(err, ERR_INVALID, "the handshake is not for this server's key");
    ephemeral_set(&own, ephemeral);
    if (!write_response(&t, &own, (const uint8_t *)initiation.ptr + INITIATION_EPHEMERAL, &peer,
                        answer))
        return err_set(err, ERR_INVALID, "the handshake has an unusable key");

    split(&t, false, session);
    memcpy(response, answer, sizeof(answer));
    *client = peer;
    *version = str_be16(initiation, 0);
    return 0;
}

void noise_error_put(struct buf *out, struct str text)
{
    uint8_t header[HEADER];
    struct str cut = str_sub(text, 0, NOISE_ERROR_TEXT_MAX);

    while (cut.len < text.len && cut.len > 0 && !str_is_utf8(cut))
        cut.len--;
    header_put(header, TYPE_ERROR, cut.len);
    buf_put(out, str_bytes(header, sizeof(header)));
    buf_put(out, cut);
}

/* ---- Client ---- */

int noise_client_start(struct noise_client *c, const struct machine_private *machine,
                       const struct machine_key *server, uint16_t version,
                       const struct x25519_private *ephemeral,
                       uint8_t initiation[NOISE_INITIATION_BYTES], struct err *err)
{
    AUTO_FINI(noise_client_fini) struct noise_client made = {0};
    AUTO_FINI(x25519_private_fini) struct x25519_private own;
    AUTO_FINI(cipher_key_fini) struct cipher_key k;
    struct noise_transcript *t = &made.transcript;
    uint8_t message[NOISE_INITIATION_BYTES];
    struct machine_key public;

    made.machine = *machine;
    scalar_set(&own, machine->b);
    machine_private_public(machine, &public);
    ephemeral_set(&made.ephemeral, ephemeral);
    message[0] = (uint8_t)(version >> 8);
    message[1] = (uint8_t)version;
    header_put(message + 2, TYPE_INITIATION, NOISE_INITIATION_BYTES - 2 - HEADER);

    begin(t, version, server->b);
    x25519_public(&made.ephemeral, message + INITIATION_EPHEMERAL);
    mix_hash(t, str_bytes(message + INITIATION_EPHEMERAL, KEY_BYTES));
    if (!mix_key(t, &made.ephemeral, server->b, &k))
        return err_set(err, ERR_INVALID, "the server's key is unusable");
    encrypt_and_hash(t, &k, machine_key_str(&public), message + INITIATION_STATIC);
    if (!mix_key(t, &own, server->b, &k))
        return err_set(err, ERR_INVALID, "the server's key is unusable");
    encrypt_and_hash(t, &k, STR_NONE, message + INITIATION_TAG);

    *c = made;
    memcpy(initiation, message, sizeof(message));
    return 0;
}

/* `err` is filled by now; the caller gets the outcome. */
static enum noise_finish outcome(enum noise_finish what, int status)
{
    ASSERT(status < 0);
    return what;
}

/* The words of an error message; they reach logs and terminals, so only plain text of it. */
static enum noise_finish refused(struct str in, size_t len, struct err *err)
{
    char words[160];
    struct str text = str_sub(in, HEADER, MIN(len, sizeof(words)));

    if (in.len - HEADER < len)
        return NOISE_FINISH_MORE;
    for (size_t i = 0; i < text.len; i++)
        words[i] = text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?';
    return outcome(NOISE_FINISH_REFUSED,
                   err_set(err, ERR_DENIED, "the server refused: %.*s", (int)text.len, words));
}

static bool read_response(const struct noise_client *c, struct noise_transcript *t, struct str in)
{
    AUTO_FINI(x25519_private_fini) struct x25519_private own;
    AUTO_FINI(cipher_key_fini) struct cipher_key k;
    struct str ephemeral = str_sub(in, RESPONSE_EPHEMERAL, KEY_BYTES);
    const uint8_t *point = (const uint8_t *)ephemeral.ptr;
    uint8_t nothing[1];

    scalar_set(&own, c->machine.b);
    mix_hash(t, ephemeral);
    return mix_key(t, &c->ephemeral, point, &k) && mix_key(t, &own, point, &k) &&
           decrypt_and_hash(t, &k, str_sub(in, RESPONSE_TAG, AEAD_TAG_BYTES), nothing);
}

static enum noise_finish finish_broken(struct err *err)
{
    return outcome(NOISE_FINISH_BROKEN,
                   err_set(err, ERR_INVALID, "not a handshake response by that server"));
}

enum noise_finish noise_client_finish(struct noise_client *c, struct str in, size_t *used,
                                      struct noise_session *session, struct err *err)
{
    AUTO_FINI(transcript_fini) struct noise_transcript t = c->transcript;

    if (in.len > 0 && in.ptr[0] != TYPE_RESPONSE && in.ptr[0] != TYPE_ERROR)
        return finish_broken(err);
    if (in.len < HEADER)
        return NOISE_FINISH_MORE;
    size_t len = str_be16(in, 1);
    if (in.ptr[0] == TYPE_ERROR)
        return len <= NOISE_ERROR_TEXT_MAX ? refused(in, len, err) : finish_broken(err);
    if (len != NOISE_RESPONSE_BYTES - HEADER)
        return finish_broken(err);
    if (in.len < NOISE_RESPONSE_BYTES)
        return NOISE_FINISH_MORE;
    if (!read_response(c, &t, in))
        return finish_broken(err);

    split(&t, true, session);
    *used = NOISE_RESPONSE_BYTES;
    return NOISE_FINISH_OK;
}

void noise_client_fini(struct noise_client *c)
{
    if (c)
        mem_wipe(c, sizeof(*c));
}
