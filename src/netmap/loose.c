/*
 * What is loose: what happened to a node is heard of by many classes, but no two classes need have
 * heard the same of a whole span. So the bodies of classes are put together of frames that they
 * share:
 *
 *   {"UserProfiles":[ | bundle | bundle | ],"PeersChanged":[ | bundle | bundle | ],"PeersCh…
 *    the class's own    shared              the class's own     shared
 *
 * The nodes of a span are put in an order in which those that the same classes see are neighbours,
 * and cut into runs of NETMAP_BUNDLE places. What a class hears of a run is a bundle: written and
 * compressed for the first that wants it, with what is in it for its name. Where many see the same
 * there are few bundles; where nobody does there are as many as bodies, and no worse than those
 * would be by themselves. Who hears of all of several runs gets them as one, which has fewer bytes.
 */

#include <string.h>

#include "core/mem.h"
#include "netmap/netmap_internal.h"
#include "wire/response.h"

#define SHORT_GUESS 200 /* about the bytes of a profile or a patch */

void netmap_loose_free(struct netmap_loose *l)
{
    while (l) {
        struct netmap_loose *next = l->next;

        netmap_variant_fini(&l->variant);
        mem_free(l);
        l = next;
    }
}

static struct netmap_loose *add(struct netmap_subject *s, struct netmap_loose l)
{
    struct netmap_loose *kept = NEW(struct netmap_loose);

    *kept = l;
    kept->next = s->loose;
    kept->place = s->place;
    kept->node = s->now;
    return s->loose = kept;
}

/* Of a node whose routes are the same to all there are two cards at most. */
static struct netmap_loose *plain_card(const struct netmap_way *w, const struct netmap_subject *s,
                                       const struct netmap_eye *eye)
{
    bool hides = s->hides_v4 || policy_class_hides_ipv4(w->after, eye->cls);

    if (s->is_guest || s->routes_vary)
        return NULL;
    for (struct netmap_loose *l = s->loose; l; l = l->next)
        if (l->kind == NETMAP_LOOSE_CARD && l->variant.hides_v4 == hides)
            return l;
    return NULL;
}

struct netmap_loose *netmap_loose_card(struct netmap_way *w, struct netmap_subject *s,
                                       const struct netmap_eye *eye)
{
    struct netmap_loose *plain = plain_card(w, s, eye);
    struct netmap_variant v;

    if (plain)
        return plain;
    netmap_variant_of(w->after, eye, s->now, &v);
    for (struct netmap_loose *l = s->loose; l; l = l->next) {
        if (l->kind == NETMAP_LOOSE_CARD && netmap_variant_eq(&l->variant, &v)) {
            netmap_variant_fini(&v);
            return l;
        }
    }
    return add(s, (struct netmap_loose){.kind = NETMAP_LOOSE_CARD, .variant = v});
}

struct netmap_loose *netmap_loose_patch(struct netmap_subject *s, unsigned patch, struct str caps)
{
    for (struct netmap_loose *l = s->loose; l; l = l->next)
        if (l->kind == NETMAP_LOOSE_PATCH && l->patch == patch && str_eq(l->caps, caps))
            return l;
    return add(s, (struct netmap_loose){.kind = NETMAP_LOOSE_PATCH, .patch = patch, .caps = caps});
}

struct netmap_loose *netmap_loose_profile(struct netmap_subject *s)
{
    for (struct netmap_loose *l = s->loose; l; l = l->next)
        if (l->kind == NETMAP_LOOSE_PROFILE)
            return l;
    return add(s, (struct netmap_loose){.kind = NETMAP_LOOSE_PROFILE});
}

/* ---- Bundles ---- */

static void put_one(const struct netmap_way *w, struct buf *out, const struct netmap_loose *l)
{
    switch (l->kind) {
    case NETMAP_LOOSE_PROFILE:
        (void)netmap_put_profile_of(out, w->now, l->node->user);
        break;
    case NETMAP_LOOSE_CARD:
        netmap_put_card(out, l->node, &l->variant);
        break;
    case NETMAP_LOOSE_PATCH:
        netmap_put_patch(out, l->node, l->patch, l->caps);
        break;
    }
}

static void put_some(const struct netmap_way *w, struct buf *out, struct netmap_loose *const *loose,
                     size_t n, bool is_first)
{
    for (size_t i = 0; i < n; i++) {
        if (i || !is_first)
            buf_put_char(out, ',');
        put_one(w, out, loose[i]);
    }
}

static struct blob *bundle_new(struct netmap_way *w, struct netmap_loose *const *loose, size_t n,
                               bool is_first)
{
    struct buf text = BUF(NETMAP_MESSAGE_MAX);
    struct blob *frame = NULL;
    bool are_cards = loose[0]->kind == NETMAP_LOOSE_CARD;

    IGNORE(buf_reserve(&text, n * (are_cards ? NETMAP_CARD_GUESS : SHORT_GUESS)));
    put_some(w, &text, loose, n, is_first);
    if (!buf_is_full(&text))
        frame = netmap_part(buf_str(&text), true);
    buf_fini(&text);
    return frame;
}

/* Borrowed. NULL: too large. */
static struct blob *bundle(struct netmap_way *w, struct netmap_loose *const *loose, size_t n,
                           bool is_first)
{
    const void *name[NETMAP_BUNDLE_MAX + 1];
    struct str key;
    struct blob *frame;

    ASSERT(n <= NETMAP_BUNDLE_MAX);
    memcpy(name, loose, n * sizeof *name);
    name[n] = is_first ? w : NULL;
    key = str_bytes(name, (n + 1) * sizeof *name);
    if (!w->bundles)
        w->bundles = map_new();
    frame = map_find(w->bundles, key);
    if (frame)
        return frame;
    frame = bundle_new(w, loose, n, is_first);
    if (frame)
        (void)map_put(w->bundles, key, frame);
    w->bytes += key.len + blob_str(frame).len;
    return frame;
}

void netmap_bundles_free(struct map *bundles)
{
    struct str key;
    void *frame;

    if (!bundles)
        return;
    for (size_t at = 0; map_next(bundles, &at, &key, &frame);)
        blob_unref(frame);
    map_free(bundles);
}

/*
 * How many from here on go into one frame: a large aligned run where all of it is heard of, as most
 * are who hear of its first; else what is heard of the small run.
 */
static size_t run_length(const struct netmap_gap *gap, size_t from)
{
    struct netmap_loose *const *loose = gap->loose + from;
    size_t left = gap->n - from, place = loose[0]->place, n = 1;

    for (size_t run = NETMAP_BUNDLE_MAX; run > NETMAP_BUNDLE; run /= 2)
        if (place % run == 0 && left >= run && loose[run - 1]->place == place + run - 1)
            return run;
    while (n < left && loose[n]->place / NETMAP_BUNDLE == place / NETMAP_BUNDLE)
        n++;
    return n;
}

static bool put_gap(struct netmap_way *w, const struct netmap_gap *gap, struct buf *out)
{
    for (size_t from = 0, n; from < gap->n; from += n) {
        struct blob *frame;

        n = run_length(gap, from);
        frame = bundle(w, gap->loose + from, n, gap->is_first && from == 0);
        if (!frame)
            return false;
        buf_put(out, blob_str(frame));
    }
    return true;
}

/* ---- Bodies ---- */

static bool put_frames(struct netmap_way *w, const struct netmap_body *b, char before,
                       struct buf *out)
{
    struct str json = blob_str(b->json);
    struct buf text = BUF(NETMAP_MESSAGE_MAX);
    bool is_first = before == '{', fits = true;
    size_t at = 0;

    buf_put_char(&text, before);
    for (int kind = 0; fits && kind < NETMAP_LOOSE_KINDS; kind++) {
        const struct netmap_gap *gap = &b->gaps[kind];

        if (gap->n == 0)
            continue;
        buf_put(&text, str_sub(json, at, gap->at - at));
        fits = !buf_is_full(&text) && netmap_compress(buf_str(&text), is_first, out) &&
               put_gap(w, gap, out);
        buf_clear(&text);
        is_first = false;
        at = gap->at;
    }
    buf_put(&text, str_from_index(json, at));
    buf_put_char(&text, '}');
    fits = fits && !buf_is_full(&text) && netmap_compress(buf_str(&text), false, out) &&
           !buf_is_full(out);
    buf_fini(&text);
    return fits;
}

static void put_plain(const struct netmap_way *w, const struct netmap_body *b, char before,
                      struct buf *out)
{
    struct str json = blob_str(b->json);
    size_t at = 0;

    buf_put_char(out, before);
    for (int kind = 0; kind < NETMAP_LOOSE_KINDS; kind++) {
        const struct netmap_gap *gap = &b->gaps[kind];

        if (gap->n == 0)
            continue;
        buf_put(out, str_sub(json, at, gap->at - at));
        put_some(w, out, gap->loose, gap->n, gap->is_first);
        at = gap->at;
    }
    buf_put(out, str_from_index(json, at));
    buf_put_char(out, '}');
}

static struct blob *counted(struct netmap_way *w, struct blob *b)
{
    w->last_len = blob_str(b).len;
    w->bytes += w->last_len;
    return b;
}

struct blob *netmap_body_whole(struct netmap_way *w, const struct netmap_body *b, bool zstd)
{
    struct buf out = BUF(NETMAP_MESSAGE_MAX);
    struct blob *whole = NULL;

    if (!zstd || !b->is_loose) {
        put_plain(w, b, '{', &out);
        whole = buf_is_full(&out) ? NULL : netmap_whole(buf_str(&out), zstd);
    } else {
        IGNORE(buf_reserve(&out, w->last_len));
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

    if (!zstd || !b->is_loose) {
        put_plain(w, b, ',', &out);
        rest = buf_is_full(&out) ? NULL : netmap_part(buf_str(&out), zstd);
    } else {
        IGNORE(buf_reserve(&out, w->last_len));
        if (put_frames(w, b, ',', &out))
            rest = blob_new(buf_str(&out));
    }
    buf_fini(&out);
    return counted(w, rest);
}
