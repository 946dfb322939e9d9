#include "netmap/follower.h"

#include "netmap/flatten.h"
#include "netmap/naive_map.h"
#include "wire/response.h"

#define MESSAGE_MAX ((size_t)1 << 26)

const uint32_t follower_capvers[3] = {75, 106, 142};

static struct netmap_stream *stream_for(const struct follower *f, struct netmap_feed *feed)
{
    return netmap_stream_new(feed, &(struct netmap_stream_options){
                                       .viewer = f->id, .capver = f->capver, .zstd = f->zstd});
}

void follower_begin(struct follower *f, struct netmap_feed *feed, node_id id, uint32_t capver,
                    bool zstd)
{
    *f = (struct follower){.id = id, .capver = capver, .zstd = zstd};
    f->stream = stream_for(f, feed);
}

void follower_end(struct follower *f)
{
    netmap_stream_free(f->stream);
    model_client_fini(&f->model);
    f->stream = NULL;
}

/* The one message of the parcel, as JSON. */
static void message_of(struct netmap_parcel *parcel, bool zstd, struct buf *json)
{
    struct buf frame = BUF(0);
    struct str payload;
    size_t used = 0;

    parcel_flatten(parcel, &frame);
    assert_int_equal(wire_frame_decode(buf_str(&frame), MESSAGE_MAX, &payload, &used),
                     WIRE_FRAME_OK);
    assert_int_equal(used, frame.len);
    if (zstd)
        assert_int_equal(wire_decompress(payload, MESSAGE_MAX, json, NULL), 0);
    else
        buf_put(json, payload);
    buf_fini(&frame);
}

static bool has_peers(struct netmap_feed *feed, node_id viewer)
{
    struct view_any_at at = {0};
    const struct node *n;

    while ((n = view_any_next(netmap_feed_view(feed), &at)))
        if (policy_sees(netmap_feed_policy(feed), viewer, n->id))
            return true;
    return false;
}

enum netmap_pull follower_pull(struct follower *f, struct netmap_feed *feed, int64_t now_ms,
                               const char *story)
{
    struct netmap_parcel parcel = {0};
    struct buf json = BUF(0);
    bool behind = netmap_stream_is_behind(f->stream);
    enum netmap_pull did = netmap_stream_pull(f->stream, now_ms, &parcel);

    if (did == NETMAP_PULL_SENT) {
        assert_true(behind);
        message_of(&parcel, f->zstd, &json);
        model_client_apply(&f->model, buf_str(&json));
        if (f->model.complaint[0])
            fail_msg("%s: node %llu, capver %u: %s: %.*s", story, (unsigned long long)f->id,
                     f->capver, f->model.complaint, STR_ARG(buf_str(&json)));
    } else {
        assert_true(netmap_parcel_is_empty(&parcel));
    }
    netmap_parcel_fini(&parcel);
    buf_fini(&json);
    if (did == NETMAP_PULL_GONE) {
        /* Or it has fallen and should hold no peers: only a new stream can say so. */
        if (view_node_find(netmap_feed_view(feed), f->id) && has_peers(feed, f->id))
            fail_msg("%s: node %llu, capver %u: is sent away", story, (unsigned long long)f->id,
                     f->capver);
        follower_end(f);
    } else {
        assert_false(netmap_stream_is_behind(f->stream));
    }
    return did;
}

void followers_check(const struct follower *const *f, size_t n, struct netmap_feed *feed,
                     int64_t now_ms, const char *story)
{
    struct follower fresh = *f[0];
    struct netmap_parcel parcel = {0};
    struct buf json = BUF(0);
    char why[1024];
    const struct naive_map naive = {.view = netmap_feed_view(feed),
                                    .policy = netmap_feed_policy(feed),
                                    .viewer = fresh.id,
                                    .capver = fresh.capver};

    fresh.model = (struct model_client){0};
    fresh.stream = stream_for(&fresh, feed);
    assert_int_equal(netmap_stream_pull(fresh.stream, now_ms, &parcel), NETMAP_PULL_SENT);
    message_of(&parcel, fresh.zstd, &json);
    model_client_apply(&fresh.model, buf_str(&json));
    if (fresh.model.complaint[0])
        fail_msg("%s: node %llu, fresh: %s", story, (unsigned long long)fresh.id,
                 fresh.model.complaint);
    if (!naive_map_same(&naive, buf_str(&json), why, sizeof why))
        fail_msg("%s: node %llu, capver %u, full map: %s", story, (unsigned long long)fresh.id,
                 fresh.capver, why);
    for (size_t i = 0; i < n; i++)
        if (!model_client_same(&f[i]->model, &fresh.model, why, sizeof why))
            fail_msg("%s: node %llu, capver %u, %s: %s", story, (unsigned long long)f[i]->id,
                     f[i]->capver, f[i]->zstd ? "zstd" : "plain", why);
    buf_fini(&json);
    netmap_parcel_fini(&parcel);
    follower_end(&fresh);
}

void follower_check(const struct follower *f, struct netmap_feed *feed, int64_t now_ms,
                    const char *story)
{
    followers_check(&f, 1, feed, now_ms, story);
}
