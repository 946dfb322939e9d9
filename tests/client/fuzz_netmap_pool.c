/*
 * Law: what a map stream comes to does not depend on how it was cut: whole, or in pieces of any
 * length, a reader takes or refuses it alike and calls for the same messages, and two views of one
 * pool then hold the same. Where the plain state takes a message, it counts the same peers.
 *
 * Input: one byte of options, one of the pieces' length, then the stream.
 */

#include "client/netmap_pool.h"
#include "client/netmap_state.h"

#define WITH_ZSTD 1

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct viewer {
    struct netmap_view view;
    size_t messages;
    bool dropped;
};

static void on_message(void *user, struct netmap_message *m, size_t wire_bytes)
{
    struct viewer *v = user;

    ASSERT(wire_bytes > 0);
    v->messages++;
    if (!v->dropped)
        v->dropped = !netmap_view_apply(&v->view, m);
}

static int feed(struct viewer *v, struct netmap_pool *pool, bool zstd, struct str stream,
                size_t piece)
{
    struct netmap_reader reader;
    struct err err = {0};
    int r = 0;

    netmap_reader_init(&reader, pool, zstd);
    netmap_view_init(&v->view, pool);
    for (size_t at = 0; at < stream.len && r == 0; at += piece)
        r = netmap_reader_feed(&reader, str_sub(stream, at, MIN(piece, stream.len - at)),
                               on_message, v, &err);
    netmap_reader_fini(&reader);
    return r;
}

/* The plain state's word, of messages that are not compressed; false: it has none. */
static bool plain(struct str stream, size_t messages, size_t *peers)
{
    struct netmap_state state = {0};
    bool good = true;

    netmap_state_init(&state);
    for (size_t i = 0; i < messages && good; i++) {
        AUTO(arena_free) struct arena *a = arena_new();
        struct json_value *m = NULL;
        const uint8_t *u = (const uint8_t *)stream.ptr;
        uint32_t len = u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;

        good =
            json_parse(a, str_sub(stream, 4, len), NULL, &m, NULL) && netmap_state_apply(&state, m);
        stream = str_from_index(stream, 4 + (size_t)len);
    }
    *peers = netmap_state_peers(&state);
    netmap_state_fini(&state);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    bool zstd = data[0] & WITH_ZSTD;
    struct netmap_pool *pool = netmap_pool_new(16);
    struct str stream = str_bytes((const char *)data + 2, size - 2);
    struct viewer whole = {0}, cut = {0};
    int taken = feed(&whole, pool, zstd, stream, MAX(stream.len, (size_t)1));
    char why[200];
    size_t peers;

    ASSERT(feed(&cut, pool, zstd, stream, (size_t)data[1] + 1) == taken);
    ASSERT(cut.messages == whole.messages && cut.dropped == whole.dropped);
    ASSERT(cut.view.n_peers == whole.view.n_peers);
    ASSERT(!whole.view.self || netmap_view_same(&cut.view, &whole.view, why, sizeof(why)));
    if (!zstd && !whole.dropped && plain(stream, whole.messages, &peers))
        ASSERT(peers == whole.view.n_peers);
    netmap_view_fini(&whole.view);
    netmap_view_fini(&cut.view);
    netmap_pool_free(pool);
    return 0;
}
