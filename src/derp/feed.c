/*
 * From bytes to frames: judging headers, keeping the one frame that is not whole.
 *
 *   data --in.len == 0--> frames straight from the read buffer --partial--> in
 *     |                                                                     |
 *     +--in.len > 0: what the frame lacks, and no more --> in --> frame <---+
 *
 * A frame is judged by type and length as soon as its header is there, so what is kept of a client
 * is at most one frame that its state allows; a frame that is to be skipped is not kept at all.
 */

#include "derp/server_internal.h"

#define PING_MAX 1000
#define PRESENT_MAX 1024 /* now 51 bytes, with room to grow */

enum verdict { TAKE_IT, SKIP_IT, BREAKS };

static enum verdict within(size_t len, size_t min, size_t max)
{
    return len >= min && len <= max ? TAKE_IT : BREAKS;
}

/* The same where the other end is the relay. */
static enum verdict judge_link(const struct session *c, uint8_t type, size_t len)
{
    bool is_login = c->state == SESSION_LOGIN;

    if (type == DERP_SERVER_KEY && is_login)
        return within(len, KEY_BYTES, DERP_SERVER_KEY_MAX);
    if (type == DERP_SERVER_INFO && is_login)
        return within(len, BOX_OVERHEAD, DERP_SERVER_INFO_MAX);
    if ((type == DERP_PEER_PRESENT || type == DERP_PEER_GONE) && !is_login)
        return within(len, KEY_BYTES, PRESENT_MAX);
    if (type == DERP_PING && !is_login)
        return within(len, 8, PING_MAX);
    return len <= DERP_FRAME_MAX ? SKIP_IT : BREAKS;
}

/* What a frame's header deserves, before its payload is kept. */
static enum verdict judge(const struct session *c, uint8_t type, size_t len)
{
    if (c->link)
        return judge_link(c, type, len);
    if (c->state == SESSION_LOGIN)
        return type == DERP_CLIENT_INFO
                   ? within(len, KEY_BYTES + BOX_OVERHEAD, DERP_CLIENT_INFO_MAX)
                   : BREAKS;
    switch (type) {
    case DERP_SEND_PACKET:
        return within(len, KEY_BYTES, KEY_BYTES + DERP_PACKET_MAX);
    case DERP_NOTE_PREFERRED:
        return within(len, 1, 1);
    case DERP_PING:
        return within(len, 8, PING_MAX);
    case DERP_FORWARD_PACKET:
        return c->is_mesh ? within(len, (size_t)2 * KEY_BYTES, 2 * KEY_BYTES + DERP_PACKET_MAX)
                          : BREAKS;
    case DERP_CLOSE_PEER:
        return c->is_mesh ? within(len, KEY_BYTES, KEY_BYTES) : BREAKS;
    case DERP_WATCH_CONNS:
        return c->is_mesh ? within(len, 0, 0) : BREAKS;
    case DERP_CLIENT_INFO: /* it is logged in */
        return BREAKS;
    default:
        return len <= DERP_FRAME_MAX ? SKIP_IT : BREAKS;
    }
}

enum step { STEP_ON, STEP_MORE, STEP_BROKEN };

/* Does the frame at the front of `cur`, if it is whole; *used bytes are done with then. */
static enum step step(struct session *c, struct str cur, size_t *used)
{
    struct derp_frame frame = {0};
    uint8_t type = 0;
    size_t len = 0;

    if (!derp_frame_peek(cur, &type, &len))
        return STEP_MORE;
    switch (judge(c, type, len)) {
    case BREAKS:
        return STEP_BROKEN;
    case SKIP_IT:
        *used = MIN(cur.len, DERP_FRAME_HEADER + len);
        c->skip = DERP_FRAME_HEADER + len - *used;
        return STEP_ON;
    case TAKE_IT:
        break;
    }
    if (derp_frame_decode(cur, DERP_FRAME_MAX, &frame, used) != DERP_DECODE_OK)
        return STEP_MORE;
    session_on_frame(c, &frame);
    return STEP_ON;
}

/* Moves to `in` what its partial frame lacks: of the header first, then of the payload. */
static struct str complete(struct session *c, struct str *data)
{
    uint8_t type = 0;
    size_t len = 0, want = DERP_FRAME_HEADER;

    if (derp_frame_peek(buf_str(&c->in), &type, &len))
        want += len;
    size_t n = MIN(want - c->in.len, data->len);

    buf_put(&c->in, str_sub(*data, 0, n));
    *data = str_from_index(*data, n);
    return buf_str(&c->in);
}

static bool is_fed(const struct session *c)
{
    return c->state == SESSION_LOGIN || c->state == SESSION_READY;
}

/* Whole frames straight from `data`; what is left of it is kept. */
static void feed_whole(struct session *c, struct str *data)
{
    size_t used = 0;

    switch (step(c, *data, &used)) {
    case STEP_ON:
        *data = str_from_index(*data, used);
        break;
    case STEP_MORE:
        buf_put(&c->in, *data);
        *data = STR_NONE;
        break;
    case STEP_BROKEN:
        session_broken(c, "a frame of a kind or size that may not come now");
        break;
    }
}

/* The frame of which `in` has a part. */
static void feed_part(struct session *c, struct str *data)
{
    struct str cur = complete(c, data);
    struct buf frame = c->in; /* `in` is free for what a change of state leaves */
    size_t used = 0;

    c->in = BUF(IN_MAX);
    enum step did = step(c, cur, &used);

    if (did == STEP_MORE) {
        c->in = frame;
        return;
    }
    if (did == STEP_BROKEN)
        session_broken(c, "a frame of a kind or size that may not come now");
    buf_fini(&frame);
}

void session_feed(struct session *c, struct str data)
{
    while (data.len > 0 && is_fed(c)) {
        if (c->skip > 0) {
            size_t n = MIN(c->skip, data.len);

            c->skip -= n;
            data = str_from_index(data, n);
        } else if (c->in.len > 0) {
            feed_part(c, &data);
        } else {
            feed_whole(c, &data);
        }
    }
    if (c->state != SESSION_ADMITTING)
        return;
    buf_put(&c->in, data);
    if (buf_is_full(&c->in))
        session_broken(c, "too much before it was admitted");
}
