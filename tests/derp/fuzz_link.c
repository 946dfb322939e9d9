/*
 * What another relay of the mesh may send to a link.
 *
 * Law: however the bytes are cut, the link ends or stands alike; it ends exactly when a naive
 * reading of the same bytes finds a frame that may not come; and who is reachable through it
 * afterwards is who was told of and not told gone since: a packet for each of the 8 keys that may
 * be named comes out as FORWARD_PACKET exactly then. The first byte says how the rest is cut; the
 * frames come after a proper handshake. 32 times a letter A to H stands for that key in a frame; it
 * is what fuzzers find easily.
 */

#include "harness.h"

#include "derp/link.h"

#define KEYS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t mesh_key[DERP_MESH_KEY_BYTES] = "0123456789abcdef0123456789abcde";

/* The other relay, of the test's own. */
struct far_end {
    struct stream *stream; /* NULL once closed */
    struct node_private key;
    struct buf got;
    bool is_over;
};

static void on_data(void *user, struct str data)
{
    buf_put(&((struct far_end *)user)->got, data);
}

static void on_close(void *user, const struct err *why)
{
    (void)why;
    ((struct far_end *)user)->stream = NULL;
}

static void on_end(void *user, enum derp_link_end why)
{
    (void)why;
    ((struct far_end *)user)->is_over = true;
}

static const struct stream_events events = {.on_data = on_data, .on_close = on_close};
static const struct derp_link_events link_events = {.on_end = on_end};

static struct rig *rig;

/* SERVER_KEY, CLIENT_INFO, SERVER_INFO. */
static void shake_hands(struct far_end *far)
{
    const struct derp_server_info info = {.version = DERP_VERSION};
    struct buf out = BUF(65536);
    struct derp_frame frame = {0};
    struct derp_proof proof;
    struct node_key public_key;
    size_t used = 0;

    node_private_public(&far->key, &public_key);
    derp_put_server_key(&out, &public_key);
    stream_write(far->stream, buf_str(&out));
    rig_run(rig);
    ASSERT(derp_frame_decode(buf_str(&far->got), 65536, &frame, &used) == DERP_DECODE_OK);
    ASSERT(derp_client_info_open(frame.payload, &far->key, &proof, NULL) == 0);
    ASSERT(proof.info.has_mesh_key && memcmp(proof.info.mesh_key, mesh_key, 32) == 0);
    buf_clear(&out);
    derp_put_server_info(&out, &proof.box, &info);
    stream_write(far->stream, buf_str(&out));
    rig_run(rig);
    derp_proof_fini(&proof);
    buf_fini(&out);
}

/* False: it must end. Keeps in `here` which of the keys are told of. */
static bool read_naively(struct str bytes, bool here[KEYS])
{
    while (bytes.len >= DERP_FRAME_HEADER) {
        uint8_t type = (uint8_t)bytes.ptr[0];
        size_t len = str_be32(bytes, 1);
        bool is_whole = bytes.len - DERP_FRAME_HEADER >= len;
        bool is_about_keys = type == DERP_PEER_PRESENT || type == DERP_PEER_GONE;

        if (len > 1 << 20 || (is_about_keys && (len < 32 || len > 1024)) ||
            (type == DERP_PING && (len < 8 || len > 1000)))
            return false;
        if (!is_whole)
            return true;
        struct str payload = str_sub(bytes, DERP_FRAME_HEADER, len);
        struct derp_peer_present present;

        if (type == DERP_PEER_PRESENT && !derp_peer_present_decode(payload, &present))
            return false;
        for (size_t k = 0; is_about_keys && k < KEYS; k++) {
            char want[32];

            memset(want, 'A' + (int)k, sizeof(want));
            if (memcmp(payload.ptr, want, sizeof(want)) == 0)
                here[k] = type == DERP_PEER_PRESENT;
        }
        bytes = str_from_index(bytes, DERP_FRAME_HEADER + len);
    }
    return true;
}

static bool was_forwarded(struct str got, char letter)
{
    struct derp_frame frame;
    size_t used = 0;

    while (derp_frame_decode(got, 1 << 20, &frame, &used) == DERP_DECODE_OK) {
        if (frame.type == DERP_FORWARD_PACKET && frame.payload.ptr[32] == letter)
            return true;
        got = str_from_index(got, used);
    }
    return false;
}

static void check_routes(struct far_end *far, const bool here[KEYS])
{
    struct party *p = rig->parties[0];

    buf_clear(&far->got);
    for (size_t k = 0; k < KEYS; k++) {
        struct node_key key;

        memset(key.b, 'A' + (int)k, sizeof(key.b));
        derp_client_send(p->client, &key, STR("hello"));
    }
    rig_run(rig);
    for (size_t k = 0; k < KEYS; k++)
        ASSERT(was_forwarded(buf_str(&far->got), (char)('A' + k)) ==
               (here[k] && far->stream != NULL));
}

static void set_up(void)
{
    const struct derp_server_options meshed = {.mesh_key = mesh_key};

    rig = rig_new(meshed);
    IGNORE(rig_join(rig));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct far_end far = {.got = BUF((size_t)8 << 20)};
    bool here[KEYS] = {false};
    struct stream *ends[2];

    if (size < 1)
        return 0;
    if (!rig)
        set_up();
    struct str bytes = str_bytes(data + 1, size - 1);
    size_t piece = MAX((size_t)data[0], MAX(bytes.len / 16, (size_t)1));

    node_private_generate(&far.key);
    stream_pair(rig->loop, ends);
    far.stream = ends[1];
    stream_set_events(far.stream, &events, &far);
    derp_link_open(rig->server, ends[0], &link_events, &far);
    shake_hands(&far);
    for (size_t at = 0; at < bytes.len && far.stream; at += piece) {
        stream_write(far.stream, str_sub(bytes, at, piece));
        loop_run_once(rig->loop, 0);
        loop_run_once(rig->loop, 0);
    }
    rig_run(rig);
    bool stands = read_naively(bytes, here);

    ASSERT(far.is_over == !stands);
    ASSERT((far.stream == NULL) == !stands);
    check_routes(&far, here);
    if (far.stream)
        stream_abort(far.stream);
    rig_run(rig);
    ASSERT(far.is_over && !far.stream);
    memset(here, 0, sizeof(here));
    check_routes(&far, here);
    buf_fini(&far.got);
    return 0;
}
