/* Messages put together of parts: every part is a zstd frame of its own, or plain text. */

#include "core/mem.h"
#include "netmap/netmap_internal.h"
#include "wire/response.h"

void netmap_key(struct json_writer *w, struct str key)
{
    json_key(w, key);
    json_value_follows(w);
}

bool netmap_compress(struct str text, bool is_first, struct buf *out)
{
    if (text.len > NETMAP_STORE_MAX)
        return (is_first ? wire_compress : wire_compress_part)(text, NETMAP_PART_LEVEL, out,
                                                               NULL) == 0;
    wire_store(text, is_first, out);
    return true;
}

struct blob *netmap_part(struct str text, bool zstd)
{
    struct buf out = BUF(NETMAP_MESSAGE_MAX);
    struct blob *b = NULL;

    if (!zstd)
        return blob_new(text);
    if (wire_compress_part(text, NETMAP_PART_LEVEL, &out, NULL) == 0)
        b = blob_new(buf_str(&out));
    buf_fini(&out);
    return b;
}

struct blob *netmap_whole(struct str text, bool zstd)
{
    struct buf out = BUF(NETMAP_MESSAGE_MAX);
    struct blob *b = NULL;

    wire_frame_put(&out, text, zstd);
    if (!buf_is_full(&out))
        b = blob_new(buf_str(&out));
    buf_fini(&out);
    return b;
}

bool netmap_send(struct netmap_parcel *out, struct str head, bool zstd, struct netmap_parcel *rest)
{
    struct buf first = BUF(NETMAP_MESSAGE_MAX);
    size_t total;
    bool fits;

    buf_put_le32(&first, 0);
    if (!zstd)
        buf_put(&first, head);
    fits = (!zstd || netmap_compress(head, true, &first)) && !buf_is_full(&first);
    total = first.len - 4 + netmap_parcel_bytes(rest);
    fits = fits && total <= NETMAP_MESSAGE_MAX;
    if (fits) {
        buf_set_le32(&first, 0, (uint32_t)total);
        netmap_parcel_add_take(out, blob_new(buf_str(&first)), 0);
        netmap_parcel_join(out, rest);
    }
    netmap_parcel_fini(rest);
    buf_fini(&first);
    return fits;
}
