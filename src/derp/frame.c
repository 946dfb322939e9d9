#include "derp/frame.h"

#include <string.h>

#define DISCO_LEN_MIN (6 + KEY_BYTES + 24) /* magic, key, nonce */

/* ---- Splitting ---- */

bool derp_frame_peek(struct str in, uint8_t *type, size_t *payload_len)
{
    if (in.len < DERP_FRAME_HEADER)
        return false;
    *type = (uint8_t)in.ptr[0];
    *payload_len = str_be32(in, 1);
    return true;
}

enum derp_decode derp_frame_decode(struct str in, size_t limit, struct derp_frame *frame,
                                   size_t *used)
{
    uint8_t type = 0;
    size_t len = 0;

    if (!derp_frame_peek(in, &type, &len))
        return DERP_DECODE_MORE;
    if (len > limit)
        return DERP_DECODE_TOO_LONG;
    if (in.len - DERP_FRAME_HEADER < len)
        return DERP_DECODE_MORE;
    *frame = (struct derp_frame){.type = type, .payload = str_sub(in, DERP_FRAME_HEADER, len)};
    *used = DERP_FRAME_HEADER + len;
    return DERP_DECODE_OK;
}

/* ---- Payloads ---- */

static struct node_key key_at(struct str s, size_t at)
{
    struct node_key key;

    memcpy(key.b, s.ptr + at, KEY_BYTES);
    return key;
}

bool derp_packet_decode(struct str payload, struct node_key *key, struct str *packet)
{
    if (payload.len < KEY_BYTES || payload.len > KEY_BYTES + DERP_PACKET_MAX)
        return false;
    *key = key_at(payload, 0);
    *packet = str_from_index(payload, KEY_BYTES);
    return true;
}

bool derp_forward_decode(struct str payload, struct node_key *src, struct node_key *dst,
                         struct str *packet)
{
    if (payload.len < 2 * KEY_BYTES || payload.len > 2 * KEY_BYTES + DERP_PACKET_MAX)
        return false;
    *src = key_at(payload, 0);
    *dst = key_at(payload, KEY_BYTES);
    *packet = str_from_index(payload, (size_t)2 * KEY_BYTES);
    return true;
}

bool derp_peer_gone_decode(struct str payload, struct node_key *key, uint8_t *reason)
{
    if (payload.len < KEY_BYTES)
        return false;
    *key = key_at(payload, 0);
    *reason = payload.len > KEY_BYTES ? (uint8_t)payload.ptr[KEY_BYTES] : DERP_GONE_DISCONNECTED;
    return true;
}

bool derp_restarting_decode(struct str payload, uint32_t *reconnect_in_ms, uint32_t *try_for_ms)
{
    if (payload.len < 8)
        return false;
    *reconnect_in_ms = str_be32(payload, 0);
    *try_for_ms = str_be32(payload, 4);
    return true;
}

#define PRESENT_LEN (KEY_BYTES + 16 + 2 + 1)

bool derp_peer_present_decode(struct str payload, struct derp_peer_present *out)
{
    struct ip_addr addr = {0};

    if (payload.len < KEY_BYTES)
        return false;
    *out = (struct derp_peer_present){.key = key_at(payload, 0), .flags = DERP_PRESENT_REGULAR};
    if (payload.len < PRESENT_LEN)
        return true;
    IGNORE(ip_addr_from_bytes(str_sub(payload, KEY_BYTES, 16), &addr));
    if (!ip_addr_is_unspecified(addr))
        out->from = (struct ip_addrport){ip_addr_unmap(addr), str_be16(payload, KEY_BYTES + 16)};
    out->flags = (uint8_t)payload.ptr[PRESENT_LEN - 1];
    return true;
}

bool derp_is_disco(struct str packet)
{
    return packet.len >= DISCO_LEN_MIN && memcmp(packet.ptr, "TS\xf0\x9f\x92\xac", 6) == 0;
}

/* ---- Writing ---- */

void derp_put_header(struct buf *out, uint8_t type, size_t payload_len)
{
    ASSERT(payload_len <= UINT32_MAX);
    buf_put_char(out, (char)type);
    buf_put_be32(out, (uint32_t)payload_len);
}

void derp_put_frame(struct buf *out, uint8_t type, struct str payload)
{
    derp_put_header(out, type, payload.len);
    buf_put(out, payload);
}

void derp_put_packet(struct buf *out, uint8_t type, const struct node_key *key, struct str packet)
{
    derp_put_header(out, type, KEY_BYTES + packet.len);
    buf_put(out, node_key_str(key));
    buf_put(out, packet);
}

void derp_put_forward(struct buf *out, const struct node_key *src, const struct node_key *dst,
                      struct str packet)
{
    derp_put_header(out, DERP_FORWARD_PACKET, (size_t)2 * KEY_BYTES + packet.len);
    buf_put(out, node_key_str(src));
    buf_put(out, node_key_str(dst));
    buf_put(out, packet);
}

void derp_put_note_preferred(struct buf *out, bool preferred)
{
    derp_put_frame(out, DERP_NOTE_PREFERRED, preferred ? STR("\x01") : STR("\0"));
}

void derp_put_peer_gone(struct buf *out, const struct node_key *key, uint8_t reason)
{
    derp_put_header(out, DERP_PEER_GONE, KEY_BYTES + 1);
    buf_put(out, node_key_str(key));
    buf_put_char(out, (char)reason);
}

void derp_put_peer_present(struct buf *out, const struct derp_peer_present *present)
{
    const struct ip_addr *addr = &present->from.addr;

    derp_put_header(out, DERP_PEER_PRESENT, PRESENT_LEN);
    buf_put(out, node_key_str(&present->key));
    if (addr->family == IP_V4)
        buf_put(out, STR("\0\0\0\0\0\0\0\0\0\0\xff\xff"));
    else if (addr->family == IP_NONE)
        buf_put(out, STR("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
    buf_put(out, ip_addr_bytes(addr));
    buf_put_be16(out, present->from.port);
    buf_put_char(out, (char)present->flags);
}

void derp_put_restarting(struct buf *out, uint32_t reconnect_in_ms, uint32_t try_for_ms)
{
    derp_put_header(out, DERP_RESTARTING, 8);
    buf_put_be32(out, reconnect_in_ms);
    buf_put_be32(out, try_for_ms);
}
