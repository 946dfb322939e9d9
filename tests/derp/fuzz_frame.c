/*
 * Law: cutting a stream never changes what is decoded from it; what is decoded lies within the
 * input; and a payload that decodes as a packet is written back as the same bytes.
 */

#include "derp/frame.h"
#include "derp/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void payload_laws(const struct derp_frame *frame)
{
    struct node_key key, other;
    struct derp_peer_present present;
    struct str packet;
    struct buf out = BUF(0);
    uint8_t reason;

    if (derp_packet_decode(frame->payload, &key, &packet)) {
        derp_put_packet(&out, frame->type, &key, packet);
        ASSERT(str_eq(str_from_index(buf_str(&out), DERP_FRAME_HEADER), frame->payload));
        (void)derp_is_disco(packet);
    }
    buf_clear(&out);
    if (derp_forward_decode(frame->payload, &key, &other, &packet)) {
        derp_put_forward(&out, &key, &other, packet);
        ASSERT(str_eq(str_from_index(buf_str(&out), DERP_FRAME_HEADER), frame->payload));
    }
    buf_clear(&out);
    if (derp_peer_gone_decode(frame->payload, &key, &reason)) {
        derp_put_peer_gone(&out, &key, reason);
        ASSERT(out.len == DERP_FRAME_HEADER + KEY_BYTES + 1);
    }
    buf_clear(&out);
    if (derp_peer_present_decode(frame->payload, &present)) {
        struct derp_peer_present again = {0};

        derp_put_peer_present(&out, &present);
        ASSERT(derp_peer_present_decode(str_from_index(buf_str(&out), DERP_FRAME_HEADER), &again));
        ASSERT(node_key_eq(&present.key, &again.key) && present.flags == again.flags);
        ASSERT(ip_addr_eq(present.from.addr, again.from.addr));
    }
    IGNORE(derp_server_key_decode(frame->payload, &key));
    buf_fini(&out);
}

/* Whole, then cut where the input says. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct str in = {(const char *)data + 1, size - 1};
    struct str cut = str_sub(in, 0, in.len * data[0] / 256);
    struct derp_frame whole, part;
    size_t used = 0, part_used = 0, len = 0;
    uint8_t type = 0;

    enum derp_decode got = derp_frame_decode(in, 1024, &whole, &used);
    enum derp_decode early = derp_frame_decode(cut, 1024, &part, &part_used);

    ASSERT(early == DERP_DECODE_MORE || early == got);
    if (got != DERP_DECODE_OK)
        return 0;
    ASSERT(used <= in.len && whole.payload.len + DERP_FRAME_HEADER == used);
    ASSERT(derp_frame_peek(in, &type, &len) && type == whole.type && len == whole.payload.len);
    if (early == DERP_DECODE_OK)
        ASSERT(part_used == used && str_eq(part.payload, whole.payload));
    payload_laws(&whole);
    return 0;
}
