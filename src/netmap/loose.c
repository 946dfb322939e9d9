/*
 * Loose cards: what happened to a node is seen by many classes, but no two classes need have seen
 * the same of a whole span. So the cards of its nodes are frames of their own, compressed once
 * each, and the bodies of classes are put together of them:
 *
 *   {"UserProfiles":[…],"PeersChanged":[ | card | ,card | ,card | ],"PeersChangedPatch":[…]}
 *    written for the class                 the same for all          written for the class
 *
 * That takes three times the bytes of cards that are compressed together (a card shares little with
 * itself) and a tenth of the time: for tailnets of many classes only.
 */

#include "core/mem.h"
#include "netmap/netmap_internal.h"
#include "wire/response.h"

void netmap_loose_free(struct netmap_loose *l)
{
    while (l) {
        struct netmap_loose *next = l->next;

        netmap_variant_fini(&l->variant);
        blob_unref(l->frame[0]);
        blob_unref(l->frame[1]);
        mem_free(l);
        l = next;
    }
}

struct netmap_loose *netmap_loose_card(struct netmap_way *w, struct netmap_subject *s,
                                       const struct netmap_eye *eye)
{
    struct netmap_variant v;
    struct netmap_loose *l;

    netmap_variant_of(w->after, eye, s->now, &v);
    for (l = s->loose; l; l = l->next) {
        if (netmap_variant_eq(&l->variant, &v)) {
            netmap_variant_fini(&v);
            return l;
        }
    }
    l = NEW(struct netmap_loose);
    *l = (struct netmap_loose){.next = s->loose, .node = s->now, .variant = v};
    s->loose = l;
    return l;
}

static void put_text(struct buf *out, const struct netmap_loose *l, bool is_first)
{
    if (!is_first)
        buf_put_char(out, ',');
    netmap_put_card(out, l->node, &l->variant);
}

/* Borrowed. NULL: too large. */
static struct blob *frame_of(struct netmap_way *w, struct netmap_loose *l, bool is_first)
{
    struct blob **frame = &l->frame[!is_first];
    struct buf text = BUF(NETMAP_MESSAGE_MAX);

    if (!*frame) {
        put_text(&text, l, is_first);
        *frame = buf_is_full(&text) ? NULL : netmap_part(buf_str(&text), true);
        w->bytes += blob_str(*frame).len;
    }
    buf_fini(&text);
    return *frame;
}

static bool put_frames(struct netmap_way *w, const struct netmap_body *b, char before,
                       struct buf *out)
{
    struct str json = blob_str(b->json);
    struct buf text = BUF(NETMAP_MESSAGE_MAX);
    bool fits;

    buf_put_char(&text, before);
    buf_put(&text, str_sub(json, 0, b->at));
    fits = !buf_is_full(&text) && netmap_compress(buf_str(&text), before == '{', out);
    for (size_t i = 0; fits && i < b->n_loose; i++) {
        struct blob *frame = frame_of(w, b->loose[i], i == 0);

        fits = frame != NULL;
        buf_put(out, blob_str(frame));
    }
    buf_clear(&text);
    buf_put(&text, str_from_index(json, b->at));
    buf_put_char(&text, '}');
    fits = fits && !buf_is_full(&text) && netmap_compress(buf_str(&text), false, out) &&
           !buf_is_full(out);
    buf_fini(&text);
    return fits;
}

static void put_plain(const struct netmap_body *b, char before, struct buf *out)
{
    struct str json = blob_str(b->json);

    buf_put_char(out, before);
    buf_put(out, str_sub(json, 0, b->at));
    for (size_t i = 0; i < b->n_loose; i++)
        put_text(out, b->loose[i], i == 0);
    buf_put(out, str_from_index(json, b->at));
    buf_put_char(out, '}');
}

static struct blob *counted(struct netmap_way *w, struct blob *b)
{
    w->bytes += blob_str(b).len;
    return b;
}

struct blob *netmap_body_whole(struct netmap_way *w, const struct netmap_body *b, bool zstd)
{
    struct buf out = BUF(NETMAP_MESSAGE_MAX);
    struct blob *whole = NULL;

    if (!zstd || b->n_loose == 0) {
        put_plain(b, '{', &out);
        whole = buf_is_full(&out) ? NULL : netmap_whole(buf_str(&out), zstd);
    } else {
        buf_put_le32(&out, 0);
        if (put_frames(w, b, '{', &out)) {
            buf_set_le32(&out, 0, (uint32_t)(out.len - 4));
            whole = blob_new(buf_str(&out));
        }
    }
    buf_fini(&out);
    return counted(w, whole);
}

struct blob *netmap_body_rest(struct netmap_way *w, const struct netmap_body *b, bool zstd)
{
    struct buf out = BUF(NETMAP_MESSAGE_MAX);
    struct blob *rest = NULL;

    if (!zstd || b->n_loose == 0) {
        put_plain(b, ',', &out);
        rest = buf_is_full(&out) ? NULL : netmap_part(buf_str(&out), zstd);
    } else if (put_frames(w, b, ',', &out)) {
        rest = blob_new(buf_str(&out));
    }
    buf_fini(&out);
    return counted(w, rest);
}
