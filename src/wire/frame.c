/*
 * Frames of the map stream and their compression (protocol.md 6.2).
 *
 * zstd's contexts are large and dear to make, so each thread keeps one of each kind until it ends.
 */

#include "wire/response.h"

#include <pthread.h>
#include <zstd.h>

#include "core/mem.h"

#define HEADER 4
#define WINDOW_LOG_MAX 23 /* 8 MiB: what a decoder will set aside because a stranger says so */

struct contexts {
    ZSTD_CCtx *c;
    ZSTD_DCtx *d;
};

static _Thread_local struct contexts *own;
static pthread_key_t own_key;
static pthread_once_t own_once = PTHREAD_ONCE_INIT;

static void contexts_free(void *p)
{
    struct contexts *ctx = p;

    ZSTD_freeCCtx(ctx->c);
    ZSTD_freeDCtx(ctx->d);
    mem_free(ctx);
}

static void own_key_new(void)
{
    ASSERT(pthread_key_create(&own_key, contexts_free) == 0);
}

static struct contexts *contexts_get(void)
{
    if (own)
        return own;
    ASSERT(pthread_once(&own_once, own_key_new) == 0);
    own = NEW(struct contexts);
    own->c = ZSTD_createCCtx();
    own->d = ZSTD_createDCtx();
    ASSERT(own->c && own->d);
    ASSERT(!ZSTD_isError(ZSTD_DCtx_setParameter(own->d, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)));
    ASSERT(pthread_setspecific(own_key, own) == 0);
    return own;
}

/*
 * In pieces, so that `out` needs room for what comes out and not for the worst case of it. All
 * input is there at the first call, so the frame says how large its content is.
 */
static int compress(struct str json, int level, bool sized, struct buf *out, struct err *err)
{
    ZSTD_CCtx *c = contexts_get()->c;
    ZSTD_inBuffer in = {.src = json.ptr, .size = json.len};
    size_t before = out->len, bound = ZSTD_compressBound(json.len), n;

    ZSTD_CCtx_reset(c, ZSTD_reset_session_only);
    n = ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, level);
    if (!ZSTD_isError(n))
        n = ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, sized);
    while (!ZSTD_isError(n)) {
        size_t chunk = MIN(bound, ZSTD_CStreamOutSize());
        char *at = buf_reserve(out, chunk);
        ZSTD_outBuffer piece = {.dst = at, .size = chunk};

        if (!at) {
            buf_cut(out, before);
            return err_set(err, ERR_LIMIT, "compressed text does not fit");
        }
        n = ZSTD_compressStream2(c, &piece, &in, ZSTD_e_end);
        if (ZSTD_isError(n))
            break;
        buf_added(out, piece.pos);
        if (n == 0)
            return 0;
    }
    buf_cut(out, before);
    return err_set(err, ERR_INTERNAL, "compressing: %s", ZSTD_getErrorName(n));
}

int wire_compress(struct str json, int level, struct buf *out, struct err *err)
{
    return compress(json, level, true, out, err);
}

int wire_compress_part(struct str json, int level, struct buf *out, struct err *err)
{
    return compress(json, level, false, out, err);
}

static void put_le16(struct buf *out, size_t v)
{
    buf_put_char(out, (char)(unsigned char)v);
    buf_put_char(out, (char)(unsigned char)(v >> 8));
}

/* RFC 8878, 3.1.1: header, one raw block that is the last. A window is 1 KiB at least. */
void wire_store(struct str json, bool sized, struct buf *out)
{
    bool one_byte = json.len < 256;

    ASSERT(json.len <= WIRE_STORE_MAX);
    buf_put_le32(out, ZSTD_MAGICNUMBER);
    if (!sized) {
        buf_put(out, STR("\0\0")); /* no size; the least window */
    } else if (one_byte) {
        buf_put_char(out, 0x20); /* no window: the size says it */
        buf_put_char(out, (char)json.len);
    } else {
        buf_put_char(out, 0x60);
        put_le16(out, json.len - 256);
    }
    put_le16(out, json.len << 3 | 1);
    buf_put_char(out, (char)(json.len >> 13));
    buf_put(out, json);
}

/* One call of zstd's; false when the limit, *out's ceiling or bad data ends it. */
static int decompress_some(ZSTD_DCtx *d, ZSTD_inBuffer *in, size_t *left, struct buf *out,
                           size_t *rest, struct err *err)
{
    size_t chunk = MIN(ZSTD_DStreamOutSize(), *left + 1);
    char *at = buf_reserve(out, chunk);
    ZSTD_outBuffer piece = {.dst = at, .size = chunk};

    if (!at)
        return err_set(err, ERR_LIMIT, "decompressed text does not fit");
    *rest = ZSTD_decompressStream(d, &piece, in);
    if (ZSTD_isError(*rest))
        return err_set(err, ERR_INVALID, "not zstd: %s", ZSTD_getErrorName(*rest));
    if (piece.pos > *left)
        return err_set(err, ERR_LIMIT, "decompressed text is too long");
    *left -= piece.pos;
    buf_added(out, piece.pos);
    return 0;
}

int wire_decompress(struct str payload, size_t limit, struct buf *out, struct err *err)
{
    ZSTD_DCtx *d = contexts_get()->d;
    ZSTD_inBuffer in = {.src = payload.ptr, .size = payload.len};
    size_t left = limit, rest = 1, before = out->len;

    ZSTD_DCtx_reset(d, ZSTD_reset_session_only);
    for (;;) {
        size_t at = in.pos, had = out->len;
        int rc = decompress_some(d, &in, &left, out, &rest, err);

        if (rc < 0) {
            buf_cut(out, before);
            return rc;
        }
        if (rest == 0 && in.pos == in.size)
            return 0;
        if (in.pos == at && out->len == had && in.pos == in.size)
            break;
    }
    buf_cut(out, before);
    return err_set(err, ERR_INVALID, "not zstd: cut short");
}

size_t wire_zstd_frame_len(struct str in)
{
    size_t n = ZSTD_findFrameCompressedSize(in.ptr, in.len);

    return ZSTD_isError(n) ? 0 : n;
}

void wire_frame_put_ready(struct buf *out, struct str payload)
{
    ASSERT(payload.len <= UINT32_MAX);
    if (!buf_reserve(out, HEADER + payload.len))
        return;
    buf_put_le32(out, (uint32_t)payload.len);
    buf_put(out, payload);
}

void wire_frame_put(struct buf *out, struct str json, bool zstd)
{
    size_t start = out->len, len;

    if (!zstd) {
        wire_frame_put_ready(out, json);
        return;
    }
    buf_put_le32(out, 0);
    if (buf_is_full(out) || wire_compress(json, 1, out, NULL) < 0) {
        buf_cut(out, start);
        out->full = true;
        return;
    }
    len = out->len - start - HEADER;
    ASSERT(len <= UINT32_MAX);
    buf_set_le32(out, start, (uint32_t)len);
}

enum wire_frame wire_frame_decode(struct str in, size_t limit, struct str *payload, size_t *used)
{
    uint32_t len;

    if (in.len < HEADER)
        return WIRE_FRAME_MORE;
    len = str_le32(in, 0);
    if (len > limit)
        return WIRE_FRAME_TOO_LONG;
    if (in.len - HEADER < len)
        return WIRE_FRAME_MORE;
    *payload = str_sub(in, HEADER, len);
    *used = HEADER + (size_t)len;
    return WIRE_FRAME_OK;
}
