/*
 * Law: at most one kind of key reads a text; a kind that reads it writes it back, in lower case and
 * with its own prefix; what it wrote reads as the same key. A kind that does not leaves its output
 * alone. A token's parts make the token again.
 */

#include "crypto/keys.h"
#include "crypto/secret.h"

/* `digits` of `text` in lower case behind `prefix`. */
static bool is_written_form(struct str written, struct str prefix, struct str text)
{
    ptrdiff_t colon = str_find_char(text, ':');

    return str_starts(written, prefix) && colon >= 0 &&
           str_eq_nocase(str_from_index(written, prefix.len),
                         str_from_index(text, (size_t)colon + 1));
}

#define TRY(kind, prefix)                                              \
    static bool try_##kind(struct str text)                            \
    {                                                                  \
        struct kind key, again;                                        \
        struct buf written = BUF(256);                                 \
        memset(&key, 0x5a, sizeof(key));                               \
        again = key;                                                   \
        if (!kind##_parse(text, &key)) {                               \
            ASSERT(memcmp(&key, &again, sizeof(key)) == 0);            \
            return false;                                              \
        }                                                              \
        kind##_put(&written, &key);                                    \
        ASSERT(is_written_form(buf_str(&written), STR(prefix), text)); \
        for (size_t i = 0; i < written.len; i++)                       \
            ASSERT(written.ptr[i]<'A' || written.ptr[i]> 'Z');         \
        ASSERT(kind##_parse(buf_str(&written), &again));               \
        ASSERT(memcmp(&key, &again, sizeof(key)) == 0);                \
        buf_fini(&written);                                            \
        return true;                                                   \
    }

TRY(node_key, "nodekey:")
TRY(machine_key, "mkey:")
TRY(disco_key, "discokey:")
TRY(nl_key, "nlpub:")
TRY(challenge_key, "chalpub:")
TRY(machine_private, "privkey:")

static void try_token(struct str text)
{
    static const struct str kind = STR_INIT("hskey-auth-");
    struct str id, secret;
    struct buf whole = BUF(256);

    if (!secret_token_split(text, kind, &id, &secret))
        return;
    buf_printf(&whole, "%.*s%.*s-%.*s", STR_ARG(kind), STR_ARG(id), STR_ARG(secret));
    ASSERT(str_eq(buf_str(&whole), text));
    buf_fini(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_bytes(data, size);

    int kinds = try_node_key(text) + try_machine_key(text) + try_disco_key(text) +
                try_nl_key(text) + try_challenge_key(text) + try_machine_private(text);
    ASSERT(kinds <= 1);
    try_token(text);
    (void)secret_is_bcrypt(text);
    return 0;
}
