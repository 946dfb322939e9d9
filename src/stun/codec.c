#include "stun/codec.h"

#define HEADER 20
#define COOKIE 0x2112a442u
#define FINGERPRINT_XOR 0x5354554eu
#define FINGERPRINT_BYTES 8 /* the whole attribute */

enum stun_type { STUN_REQUEST = 0x0001, STUN_SUCCESS = 0x0101 };
enum stun_attr {
    STUN_MAPPED_ADDRESS = 0x0001,
    STUN_XOR_MAPPED_ADDRESS = 0x0020,
    STUN_SOFTWARE = 0x8022,
    STUN_FINGERPRINT = 0x8028,
};
enum stun_family { STUN_V4 = 1, STUN_V6 = 2 };

static const struct str software = STR_INIT("tailnode");

/*
 * CRC-32 as Ethernet and zip have it, four bytes at a time: every bit of a word has its share of
 * what the word becomes, and the tables hold the sums of the shares of each byte's bits.
 */
#define CRC_SUM(i, a, b, c, d, e, f, g, h)                                                      \
    (((i)&1 ? a : 0) ^ ((i)&2 ? b : 0) ^ ((i)&4 ? c : 0) ^ ((i)&8 ? d : 0) ^ ((i)&16 ? e : 0) ^ \
     ((i)&32 ? f : 0) ^ ((i)&64 ? g : 0) ^ ((i)&128 ? h : 0))
#define CRC_4(i, ...)                                                                      \
    CRC_SUM(i, __VA_ARGS__), CRC_SUM((i) + 1, __VA_ARGS__), CRC_SUM((i) + 2, __VA_ARGS__), \
        CRC_SUM((i) + 3, __VA_ARGS__)
#define CRC_16(i, ...)                                                               \
    CRC_4(i, __VA_ARGS__), CRC_4((i) + 4, __VA_ARGS__), CRC_4((i) + 8, __VA_ARGS__), \
        CRC_4((i) + 12, __VA_ARGS__)
#define CRC_64(i, ...)                                                                    \
    CRC_16(i, __VA_ARGS__), CRC_16((i) + 16, __VA_ARGS__), CRC_16((i) + 32, __VA_ARGS__), \
        CRC_16((i) + 48, __VA_ARGS__)
#define CRC_256(...)                                                               \
    {                                                                              \
        CRC_64(0, __VA_ARGS__), CRC_64(64, __VA_ARGS__), CRC_64(128, __VA_ARGS__), \
            CRC_64(192, __VA_ARGS__)                                               \
    }

static const uint32_t crc_table[4][256] = {
    CRC_256(0xb8bc6765, 0xaa09c88b, 0x8f629757, 0xc5b428ef, 0x5019579f, 0xa032af3e, 0x9b14583d,
            0xed59b63b),
    CRC_256(0x01c26a37, 0x0384d46e, 0x0709a8dc, 0x0e1351b8, 0x1c26a370, 0x384d46e0, 0x709a8dc0,
            0xe1351b80),
    CRC_256(0x191b3141, 0x32366282, 0x646cc504, 0xc8d98a08, 0x4ac21251, 0x958424a2, 0xf0794f05,
            0x3b83984b),
    CRC_256(0x77073096, 0xee0e612c, 0x076dc419, 0x0edb8832, 0x1db71064, 0x3b6e20c8, 0x76dc4190,
            0xedb88320),
};

static uint32_t crc32_ieee(struct str data)
{
    const uint8_t *at = (const uint8_t *)data.ptr;
    uint32_t crc = ~0u;

    for (; data.len >= 4; at += 4, data.len -= 4)
        crc = crc_table[0][at[0] ^ (crc & 255)] ^ crc_table[1][at[1] ^ (crc >> 8 & 255)] ^
              crc_table[2][at[2] ^ (crc >> 16 & 255)] ^ crc_table[3][at[3] ^ crc >> 24];
    for (; data.len > 0; at++, data.len--)
        crc = crc_table[3][*at ^ (crc & 255)] ^ crc >> 8;
    return ~crc;
}

static uint32_t fingerprint_of(struct str before)
{
    return crc32_ieee(before) ^ FINGERPRINT_XOR;
}

/* Header of that type with its cookie; the attributes and the transaction id come out. */
static bool message_open(struct str packet, enum stun_type type, struct str *attrs,
                         struct stun_txid *txid)
{
    if (packet.len < HEADER || packet.len > STUN_MESSAGE_MAX || str_be16(packet, 0) != type ||
        str_be32(packet, 4) != COOKIE)
        return false;
    size_t len = str_be16(packet, 2);
    if (len % 4 != 0 || len != packet.len - HEADER)
        return false;
    *attrs = str_from_index(packet, HEADER);
    memcpy(txid->b, packet.ptr + 8, sizeof(txid->b));
    return true;
}

/*
 * Takes the next attribute and its padding off `rest`. False at the end and where the bytes make no
 * attribute; then `rest` is left as it was, so a whole message ends with it empty.
 */
static bool attr_next(struct str *rest, uint16_t *type, struct str *value)
{
    if (rest->len < 4)
        return false;
    size_t len = str_be16(*rest, 2), padded = (len + 3) / 4 * 4;
    if (rest->len - 4 < padded)
        return false;
    *type = str_be16(*rest, 0);
    *value = str_sub(*rest, 4, len);
    *rest = str_from_index(*rest, 4 + padded);
    return true;
}

/* ---- Requests ---- */

bool stun_request_decode(struct str packet, struct stun_txid *txid)
{
    struct str attrs, value;
    struct stun_txid id;
    bool named = false;
    uint16_t type = 0;

    if (!message_open(packet, STUN_REQUEST, &attrs, &id))
        return false;
    while (attr_next(&attrs, &type, &value))
        named = named || (type == STUN_SOFTWARE && str_eq(value, software));
    /* `type` and `value` are the last attribute's by now. */
    if (!named || attrs.len > 0 || type != STUN_FINGERPRINT || value.len != 4)
        return false;
    if (str_be32(value, 0) != fingerprint_of(str_sub(packet, 0, packet.len - FINGERPRINT_BYTES)))
        return false;
    *txid = id;
    return true;
}

static void header_put(struct buf *out, enum stun_type type, size_t len,
                       const struct stun_txid *txid)
{
    buf_put_be16(out, (uint16_t)type);
    buf_put_be16(out, (uint16_t)len);
    buf_put_be32(out, COOKIE);
    buf_put(out, str_bytes(txid->b, sizeof(txid->b)));
}

void stun_request_encode(struct buf *out, const struct stun_txid *txid)
{
    size_t from = out->len;

    header_put(out, STUN_REQUEST, STUN_REQUEST_BYTES - HEADER, txid);
    buf_put_be16(out, STUN_SOFTWARE);
    buf_put_be16(out, (uint16_t)software.len);
    buf_put(out, software);
    uint32_t fingerprint = fingerprint_of(str_from_index(buf_str(out), from));
    buf_put_be16(out, STUN_FINGERPRINT);
    buf_put_be16(out, 4);
    buf_put_be32(out, fingerprint);
}

/* ---- Responses ---- */

/* What addresses are xored with: the cookie, then the transaction id. */
static void mask_of(const struct stun_txid *txid, uint8_t mask[16])
{
    static const uint8_t cookie[4] = {0x21, 0x12, 0xa4, 0x42};

    memcpy(mask, cookie, sizeof(cookie));
    memcpy(mask + sizeof(cookie), txid->b, sizeof(txid->b));
}

void stun_response_encode(struct buf *out, const struct stun_txid *txid, struct ip_addrport seen)
{
    struct ip_addr addr = ip_addr_unmap(seen.addr);
    struct str bytes = ip_addr_bytes(&addr);
    uint8_t mask[16];

    ASSERT(bytes.len == 4 || bytes.len == 16);
    mask_of(txid, mask);
    header_put(out, STUN_SUCCESS, 8 + bytes.len, txid);
    buf_put_be16(out, STUN_XOR_MAPPED_ADDRESS);
    buf_put_be16(out, (uint16_t)(4 + bytes.len));
    buf_put_be16(out, bytes.len == 4 ? STUN_V4 : STUN_V6); /* a zero byte, then the family */
    buf_put_be16(out, (uint16_t)(seen.port ^ COOKIE >> 16));
    for (size_t i = 0; i < bytes.len; i++)
        buf_put_char(out, (char)((uint8_t)bytes.ptr[i] ^ mask[i]));
}

/* The value of either address attribute; `mask` is all zero for the plain one. */
static bool address_decode(struct str value, const uint8_t mask[16], struct ip_addrport *out)
{
    struct ip_addr addr;

    if (value.len < 4)
        return false;
    struct str bytes = str_from_index(value, 4);
    if (bytes.len != (value.ptr[1] == STUN_V4   ? 4
                      : value.ptr[1] == STUN_V6 ? 16
                                                : 0) ||
        !ip_addr_from_bytes(bytes, &addr))
        return false;
    for (size_t i = 0; i < bytes.len; i++)
        addr.bytes[i] ^= mask[i];
    uint16_t port_mask = (uint16_t)(mask[0] << 8 | mask[1]);
    *out = (struct ip_addrport){.addr = ip_addr_unmap(addr),
                                .port = (uint16_t)(str_be16(value, 2) ^ port_mask)};
    return true;
}

bool stun_response_decode(struct str packet, struct stun_txid *txid, struct ip_addrport *seen)
{
    static const uint8_t no_mask[16];
    uint8_t mask[16];
    struct str attrs, value;
    struct stun_txid id;
    struct ip_addrport plain, masked;
    bool has_plain = false, has_masked = false;
    uint16_t type;

    if (!message_open(packet, STUN_SUCCESS, &attrs, &id))
        return false;
    mask_of(&id, mask);
    while (attr_next(&attrs, &type, &value)) {
        if (type == STUN_XOR_MAPPED_ADDRESS && !has_masked)
            has_masked = address_decode(value, mask, &masked);
        else if (type == STUN_MAPPED_ADDRESS && !has_plain)
            has_plain = address_decode(value, no_mask, &plain);
    }
    if (attrs.len > 0 || (!has_masked && !has_plain))
        return false;
    *txid = id;
    *seen = has_masked ? masked : plain;
    return true;
}
