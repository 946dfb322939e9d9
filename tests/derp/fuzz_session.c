/*
 * A session's bytes, before and after log-in.
 *
 * Law before: nothing is sent but SERVER_KEY, and the stream is closed exactly when a whole header
 * was wrong or a whole CLIENT_INFO did not open. Law after: it is closed exactly when a header is
 * of a kind or size that may not come; else what is sent back is, byte for byte, what a naive
 * reading of the same bytes says. The first input byte chooses the state and how the rest is cut
 * into writes.
 *
 * 32 times 'S' in the input stands for the client's own key, so that it can write to itself.
 */

#include "harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig *rig;
static struct node_private own;
static struct node_key own_public;

static void set_up(void)
{
    const struct derp_server_options open_relay = {0};

    rig = rig_new(open_relay);
    node_private_generate(&own);
    node_private_public(&own, &own_public);
}

static void write_cut(struct str bytes, uint8_t cut)
{
    size_t piece = (cut & 0x7f) ? (size_t)(cut & 0x7f) : MAX(bytes.len, (size_t)1);

    /* Small inputs in as many rounds as pieces; large ones in few, for speed. */
    piece = MAX(piece, bytes.len / 16);
    for (size_t at = 0; at < bytes.len && rig->raw; at += piece) {
        stream_write(rig->raw, str_sub(bytes, at, piece));
        loop_run_once(rig->loop, 0);
        loop_run_once(rig->loop, 0);
    }
    rig_run(rig);
}

static void put_away(void)
{
    if (rig->raw)
        stream_abort(rig->raw);
    rig_run(rig);
    ASSERT(!rig->raw);
    ASSERT(derp_server_clients(rig->server) == 0);
}

/* ---- Before ---- */

static bool login_is_broken(struct str bytes)
{
    if (bytes.len < DERP_FRAME_HEADER)
        return false;
    size_t len = str_be32(bytes, 1);

    return bytes.ptr[0] != DERP_CLIENT_INFO || len < 32 + 40 || len > 8192 ||
           bytes.len - DERP_FRAME_HEADER >= len;
}

static void before_login(struct str bytes, uint8_t cut)
{
    rig_raw(rig);
    write_cut(bytes, cut);
    ASSERT(rig->raw_got.len == 45);
    ASSERT((rig->raw == NULL) == login_is_broken(bytes));
    put_away();
}

/* ---- After ---- */

/* False: a frame that ends the connection. Otherwise appends the answer to one frame. */
static bool answer(const struct derp_frame *frame, bool is_whole, size_t len, unsigned *not_here,
                   struct buf *want)
{
    struct node_key dst;
    struct str packet;

    switch (frame->type) {
    case DERP_CLIENT_INFO:
    case DERP_FORWARD_PACKET:
    case DERP_WATCH_CONNS:
    case DERP_CLOSE_PEER:
        return false;
    case DERP_SEND_PACKET:
        if (len < 32 || len > 32 + 65536)
            return false;
        if (!is_whole || !derp_packet_decode(frame->payload, &dst, &packet))
            return true;
        if (node_key_eq(&dst, &own_public))
            derp_put_packet(want, DERP_RECV_PACKET, &own_public, packet);
        else if (derp_is_disco(packet) && (*not_here)++ < 3)
            derp_put_peer_gone(want, &dst, DERP_GONE_NOT_HERE);
        return true;
    case DERP_NOTE_PREFERRED:
        return len == 1;
    case DERP_PING:
        if (len < 8 || len > 1000)
            return false;
        if (is_whole)
            derp_put_frame(want, DERP_PONG, str_sub(frame->payload, 0, 8));
        return true;
    default:
        return len <= 1 << 20;
    }
}

static bool read_naively(struct str bytes, struct buf *want)
{
    unsigned not_here = 0;

    while (bytes.len >= DERP_FRAME_HEADER) {
        size_t len = str_be32(bytes, 1);
        bool is_whole = bytes.len - DERP_FRAME_HEADER >= len;
        const struct derp_frame frame = {(uint8_t)bytes.ptr[0],
                                         str_sub(bytes, DERP_FRAME_HEADER, len)};

        if (!answer(&frame, is_whole, len, &not_here, want))
            return false;
        bytes = is_whole ? str_from_index(bytes, DERP_FRAME_HEADER + len) : STR_NONE;
    }
    return true;
}

static void after_login(struct str bytes, uint8_t cut)
{
    struct buf info = BUF(0), want = BUF(0);
    struct derp_frame frame;
    size_t used = 0;

    rig_raw(rig);
    rig_put_info(rig, &own, &info);
    write_cut(buf_str(&info), 0);
    ASSERT(rig->raw && derp_server_clients(rig->server) == 1);
    buf_drop(&rig->raw_got, 45);
    ASSERT(derp_frame_decode(buf_str(&rig->raw_got), 200, &frame, &used) == DERP_DECODE_OK);
    ASSERT(frame.type == DERP_SERVER_INFO && used == rig->raw_got.len);
    buf_clear(&rig->raw_got);

    write_cut(bytes, cut);
    bool is_fine = read_naively(bytes, &want);

    ASSERT((rig->raw != NULL) == is_fine);
    if (is_fine)
        ASSERT(str_eq(buf_str(&rig->raw_got), buf_str(&want)));
    buf_fini(&info);
    buf_fini(&want);
    put_away();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!rig)
        set_up();
    if (size < 1 || size > 65536)
        return 0;
    struct str self = STR("SSSSSSSSSSSSSSSSSSSSSSSSSSSSSSSS");
    char *bytes = mem_dup(data + 1, size - 1);
    struct str in = str_bytes(bytes, size - 1);

    for (size_t i = 0; i + self.len <= in.len; i++)
        if (str_eq(str_sub(in, i, self.len), self))
            memcpy(bytes + i, own_public.b, self.len);
    if (data[0] & 0x80)
        after_login(in, data[0]);
    else
        before_login(in, data[0]);
    mem_free(bytes);
    return 0;
}
