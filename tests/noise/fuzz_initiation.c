/*
 * Law: of all inputs that a stranger without keys can send, the server accepts none: the input
 * laid over a genuine initiation (xor) is accepted exactly when it changes nothing, and the input
 * as it is exactly when it is that initiation. A refusal sets no output. The same for the client
 * and the response; and bytes arriving in pieces never turn into an answer that the whole would not
 * give.
 */

#include "pair.h"

static bool server_accepts(const struct pair_keys *k, struct str in)
{
    uint8_t response[NOISE_RESPONSE_BYTES] = {0};
    struct noise_session session = {0};
    struct machine_key client = {0};
    uint16_t version = 0;
    struct err err = {0};

    if (noise_server_handshake(&k->server, in, &k->server_ephemeral, response, &session, &client,
                               &version, &err) < 0) {
        ASSERT(err.code == ERR_INVALID && machine_key_is_zero(&client) && version == 0);
        ASSERT(memcmp(&session.seal, &(struct aead_key){0}, sizeof(struct aead_key)) == 0 &&
               response[0] == 0);
        return false;
    }
    ASSERT(machine_key_eq(&client, &k->client_pub) && version == PAIR_VERSION);
    noise_session_fini(&session);
    return true;
}

static enum noise_finish client_reads(const struct pair_keys *k, struct str in)
{
    struct noise_client c;
    struct noise_session session = {0};
    uint8_t initiation[NOISE_INITIATION_BYTES];
    size_t used = 0;

    ASSERT(noise_client_start(&c, &k->client, &k->server_pub, PAIR_VERSION, &k->client_ephemeral,
                              initiation, NULL) == 0);
    enum noise_finish got = noise_client_finish(&c, in, &used, &session, NULL);
    if (got == NOISE_FINISH_OK)
        noise_session_fini(&session);
    for (size_t len = 0; len < in.len && len < 60; len++) {
        enum noise_finish early =
            noise_client_finish(&c, str_sub(in, 0, len), &used, &session, NULL);
        ASSERT(early == NOISE_FINISH_MORE || early == got);
        if (early == NOISE_FINISH_OK)
            noise_session_fini(&session);
    }
    noise_client_fini(&c);
    return got;
}

/* genuine ^ change; true when that is the genuine one. */
static bool lay_over(const uint8_t *genuine, size_t n, struct str change, uint8_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = genuine[i] ^ (uint8_t)(i < change.len ? change.ptr[i] : 0);
    return memcmp(genuine, out, n) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pair_keys k = pair_keys();
    struct pair p = pair_new();
    struct str in = str_bytes(data, size);
    struct str initiation = str_bytes(p.initiation, sizeof(p.initiation));
    struct str response = str_bytes(p.response, sizeof(p.response));
    uint8_t changed[NOISE_INITIATION_BYTES];

    bool same = lay_over(p.initiation, sizeof(p.initiation), in, changed);
    ASSERT(server_accepts(&k, str_bytes(changed, sizeof(p.initiation))) == same);
    ASSERT(server_accepts(&k, in) == str_eq(in, initiation));

    same = lay_over(p.response, sizeof(p.response), in, changed);
    ASSERT((client_reads(&k, str_bytes(changed, sizeof(p.response))) == NOISE_FINISH_OK) == same);
    ASSERT((client_reads(&k, in) == NOISE_FINISH_OK) == str_starts(in, response));
    pair_fini(&p);
    return 0;
}
