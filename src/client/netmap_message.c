/*
 * From the bytes of a map stream to messages; see netmap_pool.h.
 *
 *   u32 length | zstd frame | zstd frame | ...
 *                 head         block: known by its bytes, or read as a list of objects;
 *                              anything else is text, and put behind what came before
 *
 * The first frame is text always: a message that is one frame is one object, too.
 */

#include "client/netmap_pool_internal.h"
#include "client/skim.h"
#include "core/mem.h"
#include "wire/response.h"

static const char *const kept_names[NETMAP_KEPT_COUNT] = {
    "DERPMap",   "DNSConfig",       "Domain", "PacketFilter",
    "SSHPolicy", "CollectServices", "Health", "PacketFilters"};

/* ---- The members that are lists of objects ---- */

struct parsing {
    struct netmap_pool *p;
    struct netmap_assembly *a;
    struct netmap_message *m;
    size_t next_block;
    const char *why;
};

static bool give_up(struct parsing *g, const char *why)
{
    g->why = why;
    return false;
}

/* The objects of an array, blocks included, behind what is in `out`. */
static bool list_objects(struct parsing *g, struct str array, struct texts *out)
{
    struct skim s;
    struct str key, value;

    if (!skim_begin(&s, array) || s.is_object)
        return str_eq(array, STR("null")) || give_up(g, "a list is none");
    while (skim_next(&s, &key, &value)) {
        uint64_t number = 0;

        if (value.ptr[0] == '{') {
            texts_add(out, pool_text(g->p, value));
            continue;
        }
        if (!str_parse_u64(value, &number) || number != g->next_block || number >= g->a->n_blocks)
            return give_up(g, "a list has something else than objects");
        for (size_t i = number ? g->a->ends[number - 1] : 0; i < g->a->ends[number]; i++)
            texts_add(out, g->a->of_blocks.ix[i]);
        g->next_block++;
    }
    return skim_ok(&s) || give_up(g, "a list is not JSON");
}

static bool read_cards(struct parsing *g, const struct texts *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (!pool_read_card(g->p, list->ix[i], &g->why))
            return false;
    return true;
}

static bool take_peers(struct parsing *g, struct str array)
{
    struct netmap_message *m = g->m;

    m->peers.n = 0; /* the last one counts */
    return list_objects(g, array, &m->peers) && read_cards(g, &m->peers);
}

static void add_op(struct netmap_message *m, struct op op)
{
    if (m->n_ops == m->max_ops) {
        m->max_ops = m->max_ops ? m->max_ops * 2 : 4;
        m->ops = mem_realloc_array(m->ops, m->max_ops, sizeof(*m->ops));
    }
    m->ops[m->n_ops++] = op;
}

static bool take_profiles(struct parsing *g, struct str array)
{
    struct netmap_message *m = g->m;
    struct texts list = {0};
    bool good = list_objects(g, array, &list);

    for (size_t i = 0; good && i < list.n; i++) {
        good = pool_read_profile(g->p, list.ix[i]) || give_up(g, "a profile is none");
        if (m->n_profiles == m->max_profiles) {
            m->max_profiles = m->max_profiles ? m->max_profiles * 2 : 4;
            m->profiles = mem_realloc_array(m->profiles, m->max_profiles, sizeof(*m->profiles));
        }
        m->profiles[m->n_profiles++] = g->p->briefs[list.ix[i]].profile;
    }
    mem_free(list.ix);
    return good;
}

/* ---- The rest ---- */

static void take_removed(struct parsing *g, const struct json_value *rest)
{
    JSON_EACH(id, json_get_array(rest, "PeersRemoved"))
        add_op(g->m,
               (struct op){.kind = OP_REMOVE, .slot = netmap_pool_slot(g->p, json_as_u64(id, 0))});
}

static bool take_changed(struct parsing *g, const struct texts *changed)
{
    if (!read_cards(g, changed))
        return false;
    for (size_t i = 0; i < changed->n; i++)
        add_op(g->m, (struct op){.kind = OP_PUT,
                                 .slot = g->p->briefs[changed->ix[i]].slot,
                                 .what = changed->ix[i]});
    return true;
}

static bool take_patches(struct parsing *g, const struct json_value *rest,
                         const struct texts *patches)
{
    JSON_EACH(member, json_get_object(rest, "OnlineChange")) {
        uint64_t id = 0;

        if (str_parse_u64(member->key, &id) && json_is(member, JSON_BOOL))
            add_op(g->m, (struct op){.kind = OP_PATCH,
                                     .slot = netmap_pool_slot(g->p, id),
                                     .what = pool_text(g->p, member->boolean
                                                                 ? STR("{\"Online\":true}")
                                                                 : STR("{\"Online\":false}"))});
    }
    for (size_t i = 0; i < patches->n; i++) {
        uint64_t id = 0;

        if (!pool_read_patch(g->p, patches->ix[i], &id))
            return give_up(g, "a patch is none");
        add_op(g->m, (struct op){.kind = OP_PATCH,
                                 .slot = netmap_pool_slot(g->p, id),
                                 .what = patches->ix[i]});
    }
    return true;
}

static bool take_rest(struct parsing *g, const struct json_value *rest, const struct texts *changed,
                      const struct texts *patches)
{
    const struct json_value *self = json_get_object(rest, "Node");
    struct netmap_message *m = g->m;

    m->is_keep_alive = json_get_bool(rest, "KeepAlive", false);
    if (self) {
        m->self = pool_text(g->p, self->raw);
        if (!pool_read_card(g->p, m->self, &g->why))
            return false;
    }
    for (size_t i = 0; i < NETMAP_KEPT_COUNT; i++) {
        const struct json_value *v = json_get(rest, kept_names[i]);

        if (v && !json_is(v, JSON_NULL))
            m->kept[i] = pool_text(g->p, v->raw);
    }
    if (m->peers.n > 0)
        return true; /* nothing else that is said of peers is looked at */
    take_removed(g, rest);
    return take_changed(g, changed) && take_patches(g, rest, patches);
}

/* Lists of objects are taken off; what is left goes to p->rest. */
static bool take_lists(struct parsing *g, struct texts *changed, struct texts *patches)
{
    struct buf *rest = &g->p->rest;
    struct skim s;
    struct str key, value;

    buf_clear(rest);
    buf_put_char(rest, '{');
    if (!skim_begin(&s, buf_str(&g->a->text)) || !s.is_object)
        return give_up(g, "a message is no object");
    while (skim_next(&s, &key, &value)) {
        bool good = true;

        if (str_eq(key, STR("Peers"))) {
            good = take_peers(g, value);
        } else if (str_eq(key, STR("PeersChanged"))) {
            changed->n = 0;
            good = list_objects(g, value, changed);
        } else if (str_eq(key, STR("PeersChangedPatch"))) {
            patches->n = 0;
            good = list_objects(g, value, patches);
        } else if (str_eq(key, STR("UserProfiles"))) {
            good = take_profiles(g, value);
        } else {
            buf_put(rest, rest->len > 1 ? STR(",\"") : STR("\""));
            buf_put(rest, key);
            buf_put(rest, STR("\":"));
            buf_put(rest, value);
        }
        if (!good)
            return false;
    }
    buf_put_char(rest, '}');
    if (g->next_block != g->a->n_blocks)
        return give_up(g, "a block is not in a list");
    return skim_ok(&s) || give_up(g, "a message is not JSON");
}

int pool_parse(struct netmap_pool *p, struct netmap_assembly *a, struct netmap_message *m,
               struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct json_options options = {.max_nodes = (size_t)1 << 24,
                                         .max_bytes = POOL_MESSAGE_MAX};
    struct parsing g = {.p = p, .a = a, .m = m};
    struct json_value *rest = NULL;
    struct texts changed = {0}, patches = {0};
    bool good = take_lists(&g, &changed, &patches);

    if (good)
        good = json_parse(arena, buf_str(&p->rest), &options, &rest, NULL) ||
               give_up(&g, "a message is not JSON");
    if (good)
        good = take_rest(&g, rest, &changed, &patches);
    mem_free(changed.ix);
    mem_free(patches.ix);
    return good ? 0 : err_set(err, ERR_INVALID, "%s", g.why ? g.why : "not a map message");
}

void pool_message_fini(struct netmap_message *m)
{
    mem_free(m->peers.ix);
    mem_free(m->ops);
    mem_free(m->profiles);
}

/* ---- The named filters put together: members by name ---- */

static int by_key(const void *a, const void *b)
{
    const struct json_value *const *x = a, *const *y = b;

    return str_cmp((*x)->key, (*y)->key);
}

static bool has_key(const struct json_value *object, struct str key)
{
    JSON_EACH(member, object)
        if (str_eq(member->key, key))
            return true;
    return false;
}

static bool clears(const struct json_value *delta)
{
    JSON_EACH(member, delta)
        if (str_eq(member->key, STR("*")) && json_is(member, JSON_NULL))
            return true;
    return false;
}

static text_ix merge(struct netmap_pool *p, text_ix from, text_ix delta)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *was = NULL, *now = NULL;
    const struct json_options options = {.max_nodes = (size_t)1 << 24,
                                         .max_bytes = POOL_MESSAGE_MAX};
    struct buf out = BUF(POOL_MESSAGE_MAX);
    struct json_writer w = JSON_WRITER(&out);

    if (!json_parse(arena, p->texts[delta].text, &options, &now, NULL) ||
        (from && !json_parse(arena, p->texts[from].text, &options, &was, NULL)))
        return from;
    const struct json_value **all =
        mem_alloc_array(json_len(was) + json_len(now) + 1, sizeof(const struct json_value *));
    size_t n = 0;

    if (was && !clears(now))
        JSON_EACH(member, was)
            if (!has_key(now, member->key))
                all[n++] = member;
    JSON_EACH(member, now)
        if (!json_is(member, JSON_NULL))
            all[n++] = member;
    qsort(all, n, sizeof(*all), by_key);
    json_begin_object(&w);
    for (size_t i = 0; i < n; i++)
        json_field_raw(&w, all[i]->key, all[i]->raw);
    json_end_object(&w);
    mem_free(all);
    text_ix result = pool_text(p, buf_str(&out));

    buf_fini(&out);
    return result;
}

text_ix pool_filters(struct netmap_pool *p, struct netmap_message *m, text_ix from)
{
    if (!m->has_filters_memo || m->filters_from != from) {
        m->filters_from = from;
        m->filters_to = merge(p, from, m->kept[NETMAP_FILTERS]);
        m->has_filters_memo = true;
    }
    return m->filters_to;
}

/* ---- The reader ---- */

void netmap_reader_init(struct netmap_reader *r, struct netmap_pool *p, bool zstd)
{
    *r = (struct netmap_reader){
        .pool = p, .zstd = zstd, .small = POOL_SMALL, .in = BUF(POOL_MESSAGE_MAX)};
}

static void assembly_free(struct netmap_assembly *a)
{
    if (!a)
        return;
    buf_fini(&a->text);
    mem_free(a->of_blocks.ix);
    mem_free(a->ends);
    mem_free(a);
}

void netmap_reader_fini(struct netmap_reader *r)
{
    buf_fini(&r->in);
    assembly_free(TAKE(r->assembly));
}

static struct netmap_assembly *assembly_of(struct netmap_reader *r)
{
    if (!r->assembly) {
        r->assembly = NEW(struct netmap_assembly);
        r->assembly->text = BUF(POOL_MESSAGE_MAX);
    }
    return r->assembly;
}

static int take_text(struct netmap_reader *r, struct str bytes, struct err *err)
{
    struct netmap_assembly *a = assembly_of(r);

    a->bytes += bytes.len;
    if (r->zstd)
        return wire_decompress(bytes, POOL_MESSAGE_MAX, &a->text, err);
    buf_put(&a->text, bytes);
    return buf_is_full(&a->text) ? err_set(err, ERR_LIMIT, "a map message is too long") : 0;
}

static int take_frame(struct netmap_reader *r, struct str frame, struct err *err)
{
    struct netmap_assembly *a = r->assembly;

    if (!a)
        return take_text(r, frame, err);
    a->bytes += frame.len;
    return pool_take_frame(r->pool, frame, a, err);
}

/* Of a message that is there whole: other messages may have had the same frames. */
static int take_frames(struct netmap_reader *r, struct str payload, struct err *err)
{
    size_t len, at = 0;
    int status = 0;

    if (!r->zstd || payload.len == 0)
        return take_text(r, payload, err);
    for (; status == 0 && at < payload.len; at += len) {
        struct str rest = str_from_index(payload, at);

        len = wire_zstd_frame_len(rest);
        if (len == 0)
            return err_set(err, ERR_INVALID, "a map message is not zstd");
        status = take_frame(r, str_sub(rest, 0, len), err);
    }
    return status;
}

/* How much of `rest` can be taken now: a whole frame, or 0. */
static size_t next_frame(const struct netmap_reader *r, struct str rest)
{
    struct str mine = str_sub(rest, 0, r->left);

    if (r->zstd)
        return wire_zstd_frame_len(mine);
    return mine.len == r->left ? mine.len : 0;
}

/* Whole messages that are small are known again. */
static int take_small(struct netmap_reader *r, struct str payload, struct netmap_message **out,
                      struct err *err)
{
    struct netmap_pool *p = r->pool;
    struct pool_hash hash = pool_hash(p, payload);
    struct netmap_message **place = &p->messages[hash.a & (POOL_MESSAGES - 1)], *m = *place;

    if (m && m->hash.a == hash.a && m->hash.b == hash.b && m->len == payload.len) {
        p->figures.message_hits++;
        *out = m;
        return 0;
    }
    struct netmap_message fresh = {.hash = hash, .len = payload.len};
    int status = take_frames(r, payload, err);

    p->figures.message_misses++;
    if (status == 0)
        status = pool_parse(p, r->assembly, &fresh, err);
    assembly_free(TAKE(r->assembly));
    if (status < 0) {
        pool_message_fini(&fresh);
        return status;
    }
    if (m)
        pool_message_fini(m);
    else
        m = *place = NEW(struct netmap_message);
    *m = fresh;
    *out = m;
    return 0;
}

static int finish_large(struct netmap_reader *r, netmap_message_fn *on_message, void *user,
                        struct err *err)
{
    struct netmap_message m = {0};
    struct netmap_assembly *a = TAKE(r->assembly);
    int status = a ? pool_parse(r->pool, a, &m, err) : err_set(err, ERR_INVALID, "empty message");

    r->in_message = false;
    if (status == 0)
        on_message(user, &m, a->bytes + 4);
    pool_message_fini(&m);
    assembly_free(a);
    return status;
}

/* One step; *used says how far it came, 0: more bytes are needed. */
static int step(struct netmap_reader *r, struct str rest, size_t *used,
                netmap_message_fn *on_message, void *user, struct err *err)
{
    struct netmap_message *small = NULL;

    *used = 0;
    if (!r->in_message) {
        if (rest.len < 4)
            return 0;
        r->left = str_le32(rest, 0);
        r->in_message = true;
        *used = 4;
        return r->left > POOL_MESSAGE_MAX ? err_set(err, ERR_LIMIT, "a map message is too long")
                                          : 0;
    }
    if (!r->assembly && r->left <= r->small) {
        if (rest.len < r->left)
            return 0;
        if (take_small(r, str_sub(rest, 0, r->left), &small, err) < 0)
            return -(int)err->code;
        *used = r->left;
        r->in_message = false;
        on_message(user, small, *used + 4);
        return 0;
    }
    *used = next_frame(r, rest);
    if (*used == 0)
        return rest.len >= r->left ? err_set(err, ERR_INVALID, "a map message is not zstd") : 0;
    if (take_frame(r, str_sub(rest, 0, *used), err) < 0)
        return -(int)err->code;
    r->left -= (uint32_t)*used;
    return r->left == 0 ? finish_large(r, on_message, user, err) : 0;
}

int netmap_reader_feed(struct netmap_reader *r, struct str data, netmap_message_fn *on_message,
                       void *user, struct err *err)
{
    bool is_kept = r->in.len > 0;
    size_t used = 0, at = 0;
    int status = 0;

    if (is_kept)
        buf_put(&r->in, data);
    struct str rest = is_kept ? buf_str(&r->in) : data;

    do {
        status = step(r, str_from_index(rest, at), &used, on_message, user, err);
        at += used;
    } while (status == 0 && used > 0);
    if (status < 0)
        return status;
    if (is_kept)
        buf_drop(&r->in, at);
    else
        buf_put(&r->in, str_from_index(data, at));
    if (r->in.len == 0 && r->in.cap > 0) {
        buf_fini(&r->in);
        r->in = BUF(POOL_MESSAGE_MAX);
    }
    return 0;
}
