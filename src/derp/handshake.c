#include "derp/handshake.h"

#include <string.h>

#include "core/mem.h"
#include "derp/frame.h"
#include "json/value.h"

static const struct str magic = STR_INIT("DERP\xf0\x9f\x94\x91");

/* ---- SERVER_KEY ---- */

void derp_put_server_key(struct buf *out, const struct node_key *key)
{
    derp_put_header(out, DERP_SERVER_KEY, magic.len + KEY_BYTES);
    buf_put(out, magic);
    buf_put(out, node_key_str(key));
}

bool derp_server_key_decode(struct str payload, struct node_key *key)
{
    if (payload.len < magic.len + KEY_BYTES || payload.len > DERP_SERVER_KEY_MAX ||
        !str_starts(payload, magic))
        return false;
    memcpy(key->b, payload.ptr + magic.len, KEY_BYTES);
    return true;
}

/* ---- JSON in a box ---- */

/* Small objects only: what the other side may say has a dozen members at most. */
static const struct json_options small = {.max_nodes = 256, .max_bytes = DERP_CLIENT_INFO_MAX};

/* The plain text may hold a mesh key, so it is wiped. */
static void plain_fini(struct buf *plain)
{
    if (plain->ptr)
        mem_wipe(plain->ptr, plain->cap);
    buf_fini(plain);
}

static int parse_object(struct arena *arena, struct str text, struct json_value **out,
                        struct err *err)
{
    struct json_error wrong = {0};
    struct json_value *v = NULL;

    if (!json_parse(arena, text, &small, &v, &wrong))
        return err_set(err, ERR_INVALID, "JSON, column %u: %s", wrong.col, wrong.text);
    if (!json_is(v, JSON_OBJECT))
        return err_set(err, ERR_INVALID, "%s instead of an object", json_type_name(v));
    *out = v;
    return 0;
}

/* ---- CLIENT_INFO ---- */

void derp_client_info_fini(struct derp_client_info *info)
{
    if (info)
        mem_wipe(info, sizeof(*info));
}

void derp_proof_fini(struct derp_proof *proof)
{
    if (!proof)
        return;
    box_key_fini(&proof->box);
    derp_client_info_fini(&proof->info);
}

/* Go's decoder matches names without regard to case, so a client may spell them as it likes. */
static int read_client_info(const struct json_value *v, struct derp_client_info *out,
                            struct err *err)
{
    struct str mesh = json_as_str(json_get_nocase(v, "meshKey"), STR_NONE);

    out->version = json_as_u64(json_get_nocase(v, "version"), 0);
    out->can_ack_pings = json_as_bool(json_get_nocase(v, "CanAckPings"), false);
    out->is_prober = json_as_bool(json_get_nocase(v, "IsProber"), false);
    if (mesh.len == 0)
        return 0;
    if (!hex_decode(mesh, out->mesh_key, sizeof(out->mesh_key)))
        return err_set(err, ERR_INVALID, "the mesh key is not 64 hexadecimal digits");
    out->has_mesh_key = true;
    return 0;
}

static int open_client_info(struct str sealed, struct derp_proof *proof, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO_FINI(plain_fini) struct buf plain = BUF(DERP_CLIENT_INFO_MAX);
    struct json_value *v = NULL;

    if (!box_open(&proof->box, sealed, &plain))
        return err_set(err, ERR_DENIED, "the box was not sealed by that key");
    if (parse_object(arena, buf_str(&plain), &v, err) < 0)
        return -(int)err->code;
    return read_client_info(v, &proof->info, err);
}

int derp_client_info_open(struct str payload, const struct node_private *own,
                          struct derp_proof *out, struct err *err)
{
    AUTO_FINI(derp_proof_fini) struct derp_proof proof = {0};

    if (payload.len < KEY_BYTES + BOX_OVERHEAD || payload.len > DERP_CLIENT_INFO_MAX)
        return err_set(err, ERR_INVALID, "client info of %zu bytes", payload.len);
    memcpy(proof.peer.b, payload.ptr, KEY_BYTES);
    if (node_key_is_zero(&proof.peer) || !box_key_init(&proof.box, own, &proof.peer))
        return err_set(err, ERR_INVALID, "no key");
    if (open_client_info(str_from_index(payload, KEY_BYTES), &proof, err) < 0)
        return err_wrap(err, "client info");
    *out = proof;
    return 0;
}

void derp_put_client_info(struct buf *out, const struct box_key *box, const struct node_key *own,
                          const struct derp_client_info *info)
{
    AUTO_FINI(plain_fini) struct buf plain = BUF(1024);
    struct json_writer w = JSON_WRITER(&plain);

    json_begin_object(&w);
    json_field_u64(&w, STR("version"), info->version);
    if (info->has_mesh_key)
        json_field_hex(&w, STR("meshKey"), STR_NONE,
                       str_bytes(info->mesh_key, sizeof(info->mesh_key)));
    json_opt_bool(&w, STR("CanAckPings"), info->can_ack_pings);
    json_opt_bool(&w, STR("IsProber"), info->is_prober);
    json_end_object(&w);
    derp_put_header(out, DERP_CLIENT_INFO, KEY_BYTES + BOX_OVERHEAD + plain.len);
    buf_put(out, node_key_str(own));
    box_seal(box, buf_str(&plain), out);
}

/* ---- SERVER_INFO ---- */

void derp_put_server_info(struct buf *out, const struct box_key *box,
                          const struct derp_server_info *info)
{
    struct buf plain = BUF(256);
    struct json_writer w = JSON_WRITER(&plain);

    json_begin_object(&w);
    json_field_u64(&w, STR("version"), info->version);
    json_opt_u64(&w, STR("TokenBucketBytesPerSecond"), info->bytes_per_second);
    json_opt_u64(&w, STR("TokenBucketBytesBurst"), info->burst_bytes);
    json_end_object(&w);
    derp_put_header(out, DERP_SERVER_INFO, BOX_OVERHEAD + plain.len);
    box_seal(box, buf_str(&plain), out);
    buf_fini(&plain);
}

int derp_server_info_open(struct str payload, const struct box_key *box,
                          struct derp_server_info *out, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO_FINI(plain_fini) struct buf plain = BUF(DERP_CLIENT_INFO_MAX);
    struct json_value *v = NULL;

    if (!box_open(box, payload, &plain))
        return err_set(err, ERR_DENIED, "server info was not sealed by the relay");
    if (parse_object(arena, buf_str(&plain), &v, err) < 0)
        return err_wrap(err, "server info");
    *out = (struct derp_server_info){
        .version = json_as_u64(json_get_nocase(v, "version"), 0),
        .bytes_per_second = json_as_u64(json_get_nocase(v, "TokenBucketBytesPerSecond"), 0),
        .burst_bytes = json_as_u64(json_get_nocase(v, "TokenBucketBytesBurst"), 0)};
    return 0;
}
