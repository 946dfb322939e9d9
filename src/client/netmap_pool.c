/*
 * Texts, nodes among them, and blocks; see netmap_pool.h.
 *
 * Invariants
 *   1. A text's number and bytes stay as long as the pool; what was read of it is kept beside it.
 *   2. briefs[ix].slot is set for texts that were read as nodes, and for no other.
 */

#include "client/netmap_pool_internal.h"

#include "client/node_text.h"
#include "client/skim.h"
#include "core/mem.h"
#include "core/rand.h"
#include "ip/prefix.h"
#include "wire/response.h"

/* ---- Hashing ---- */

static uint64_t fold(uint64_t x, uint64_t y)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)x * y;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Two chains of multiplications under keys nobody knows. */
struct pool_hash pool_hash(const struct netmap_pool *p, struct str s)
{
    const uint64_t *k = p->keys;
    uint64_t a = k[0] ^ s.len, b = k[1] + s.len, x, y;
    size_t at = 0;

    for (; s.len - at > 16; at += 16) {
        memcpy(&x, s.ptr + at, 8);
        memcpy(&y, s.ptr + at + 8, 8);
        a = fold(x ^ k[2], y ^ a);
        b = fold(y ^ k[3], x ^ b) + x;
    }
    unsigned char last[16] = {0};

    if (s.len > at)
        memcpy(last, s.ptr + at, s.len - at);
    memcpy(&x, last, 8);
    memcpy(&y, last + 8, 8);
    a = fold(x ^ k[2], y ^ a);
    b = fold(y ^ k[3], x ^ b) + x;
    return (struct pool_hash){fold(a ^ k[3], k[1]), fold(b ^ k[2], k[0])};
}

/* ---- Life ---- */

struct netmap_pool *netmap_pool_new(size_t expected)
{
    struct netmap_pool *p = NEW(struct netmap_pool);

    p->expected = expected;
    p->slots = map_new();
    p->profiles = map_new();
    p->blocks = map_new();
    p->same = map_new();
    for (size_t i = 0; i < ARRAY_LEN(p->made); i++)
        p->made[i] = map_new();
    p->n_slots = 1;
    p->messages = mem_alloc_array(POOL_MESSAGES, sizeof(*p->messages));
    p->scratch = BUF(POOL_MESSAGE_MAX);
    p->rest = BUF(POOL_MESSAGE_MAX);
    rand_bytes(p->keys, sizeof(p->keys));
    for (size_t i = 0; i < ARRAY_LEN(p->keys); i++)
        p->keys[i] |= 1;
    IGNORE(pool_text(p, STR_NONE)); /* number 0 */
    return p;
}

void pool_block_free(struct block *b)
{
    mem_free(b->texts);
    mem_free(b);
}

void netmap_pool_free(struct netmap_pool *p)
{
    struct str key;
    void *value;

    if (!p)
        return;
    for (uint32_t i = 0; i < p->n_texts; i++) {
        str_free(&p->texts[i].text);
        mem_free(p->texts[i].card);
    }
    for (size_t at = 0; map_next(p->blocks, &at, &key, &value);)
        pool_block_free(value);
    for (size_t i = 0; i < POOL_MESSAGES; i++) {
        if (p->messages[i])
            pool_message_fini(p->messages[i]);
        mem_free(p->messages[i]);
    }
    mem_free(p->messages);
    mem_free(p->texts);
    mem_free(p->briefs);
    mem_free(p->table);
    mem_free(p->ids);
    map_free(p->slots);
    map_free(p->profiles);
    map_free(p->blocks);
    map_free(p->same);
    for (size_t i = 0; i < ARRAY_LEN(p->made); i++)
        map_free(p->made[i]);
    buf_fini(&p->scratch);
    buf_fini(&p->rest);
    mem_free(p);
}

struct netmap_pool_figures netmap_pool_figures(const struct netmap_pool *p)
{
    struct netmap_pool_figures f = p->figures;

    f.texts = p->n_texts;
    f.blocks = map_len(p->blocks);
    return f;
}

/* ---- Texts ---- */

void texts_add(struct texts *t, text_ix ix)
{
    t->ix = mem_room(t->ix, t->n, &t->max, 16, sizeof(*t->ix));
    t->ix[t->n++] = ix;
}

static void table_grow(struct netmap_pool *p)
{
    p->table_cap = p->table_cap ? p->table_cap * 2 : 4096;
    mem_free(p->table);
    p->table = mem_alloc_array(p->table_cap, sizeof(*p->table));
    for (uint32_t i = 1; i < p->n_texts; i++) {
        size_t at = p->texts[i].hash & (p->table_cap - 1);

        while (p->table[at])
            at = (at + 1) & (p->table_cap - 1);
        p->table[at] = i;
    }
}

static text_ix text_new(struct netmap_pool *p, struct str text, uint64_t hash)
{
    if (p->n_texts == p->cap_texts) {
        p->cap_texts = p->cap_texts ? p->cap_texts * 2 : 1024;
        p->texts = mem_realloc_array(p->texts, p->cap_texts, sizeof(*p->texts));
        p->briefs = mem_realloc_array(p->briefs, p->cap_texts, sizeof(*p->briefs));
    }
    p->texts[p->n_texts] = (struct text){.text = str_copy(text), .hash = hash};
    p->briefs[p->n_texts] = (struct brief){0};
    p->figures.text_bytes += text.len;
    return p->n_texts++;
}

text_ix pool_text(struct netmap_pool *p, struct str text)
{
    uint64_t hash = pool_hash(p, text).a;
    size_t at;

    if (text.len == 0 && p->n_texts > 0)
        return 0;
    if (2 * (size_t)p->n_texts >= p->table_cap)
        table_grow(p);
    for (at = hash & (p->table_cap - 1); p->table[at]; at = (at + 1) & (p->table_cap - 1)) {
        const struct text *t = &p->texts[p->table[at]];

        if (t->hash == hash && str_eq(t->text, text))
            return p->table[at];
    }
    p->table[at] = text_new(p, text, hash);
    return p->table[at];
}

struct str netmap_pool_text(const struct netmap_pool *p, text_ix ix)
{
    ASSERT(ix < p->n_texts);
    return p->texts[ix].text;
}

/* ---- Slots ---- */

static uint32_t number_for(struct map *m, uint64_t id)
{
    uintptr_t number = (uintptr_t)map_find_u64(m, id);

    if (number == 0) {
        number = map_len(m) + 1;
        (void)map_put_u64(m, id, (void *)number);
    }
    return (uint32_t)number;
}

uint32_t pool_slot_for(struct netmap_pool *p, uint64_t id)
{
    uint32_t slot = number_for(p->slots, id);

    if (slot >= p->cap_slots) {
        p->cap_slots = MAX(p->cap_slots * 2, (size_t)1024);
        p->ids = mem_realloc_array(p->ids, p->cap_slots, sizeof(*p->ids));
    }
    if (slot >= p->n_slots) {
        p->n_slots = slot + (size_t)1;
        p->ids[slot] = id;
    }
    return slot;
}

uint32_t pool_profile_for(struct netmap_pool *p, uint64_t user)
{
    return number_for(p->profiles, user);
}

size_t netmap_pool_slots(const struct netmap_pool *p)
{
    return p->n_slots;
}

uint32_t netmap_pool_slot(const struct netmap_pool *p, uint64_t id)
{
    return (uint32_t)(uintptr_t)map_find_u64(p->slots, id);
}

void netmap_pool_watch(struct netmap_pool *p, uint32_t slot, const struct node_key *key)
{
    p->watched = slot;
    p->has_watched_key = key != NULL;
    if (key)
        p->watched_key = *key;
}

/* ---- Nodes ---- */

static const char *read_key(const struct json_value *node, struct netmap_card *c)
{
    const struct json_value *key = json_get(node, "Key"), *disco = json_get(node, "DiscoKey");

    if (key && !json_is(key, JSON_NULL) && !node_key_parse(json_as_str(key, STR_NONE), &c->key))
        return "a node's key is none";
    if (disco && !json_is(disco, JSON_NULL) &&
        !disco_key_parse(json_as_str(disco, STR_NONE), &c->disco))
        return "a node's disco key is none";
    return NULL;
}

static const char *read_places(const struct json_value *node, struct netmap_card *c)
{
    JSON_EACH(item, json_get_array(node, "Addresses")) {
        struct ip_prefix prefix;

        if (!ip_prefix_parse(json_as_str(item, STR_NONE), &prefix))
            return "an address of a node is none";
        *(prefix.addr.family == IP_V4 ? &c->v4 : &c->v6) = prefix.addr;
    }
    JSON_EACH(item, json_get_array(node, "Endpoints")) {
        struct ip_addrport at;

        if (!ip_addrport_parse(json_as_str(item, STR_NONE), &at))
            return "an endpoint of a node is none";
        if (c->endpoint.addr.family == 0)
            c->endpoint = at;
    }
    return NULL;
}

static const char *read_card(struct netmap_pool *p, const struct json_value *node,
                             struct netmap_card *c)
{
    const char *why;

    c->id = json_get_u64(node, "ID", 0);
    if (c->id == 0)
        return "a node has no id";
    c->slot = pool_slot_for(p, c->id);
    c->name = pool_text(p, json_get_str(node, "Name"));
    c->online = json_get_bool(node, "Online", false);
    c->expired = json_get_bool(node, "Expired", false);
    c->home_derp = (uint32_t)json_get_u64(node, "HomeDERP", 0);
    why = read_key(node, c);
    return why ? why : read_places(node, c);
}

static const char *make_card(struct netmap_pool *p, text_ix ix)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *node = NULL;
    struct netmap_card *c = NEW(struct netmap_card);
    const char *why = "a node is not JSON";

    if (json_parse(arena, p->texts[ix].text, NULL, &node, NULL) && json_is(node, JSON_OBJECT))
        why = read_card(p, node, c);
    if (why) {
        mem_free(c);
        return why;
    }
    p->texts[ix].card = c;
    p->briefs[ix] = (struct brief){.slot = c->slot,
                                   .profile = pool_profile_for(p, json_get_u64(node, "User", 0))};
    if (p->has_watched_key && p->watched == 0 && node_key_eq(&c->key, &p->watched_key))
        p->watched = c->slot;
    return NULL;
}

bool pool_read_card(struct netmap_pool *p, text_ix ix, const char **why)
{
    enum text_kind kind = p->texts[ix].kind;

    *why = "a node that is none";
    if (kind == TEXT_PLAIN) {
        *why = make_card(p, ix);
        kind = p->texts[ix].kind = *why ? TEXT_BROKEN : TEXT_CARD;
    }
    return kind == TEXT_CARD;
}

bool pool_read_profile(struct netmap_pool *p, text_ix ix)
{
    AUTO(arena_free) struct arena *arena = NULL;
    struct json_value *v = NULL;

    if (p->texts[ix].kind != TEXT_PLAIN)
        return p->texts[ix].kind == TEXT_PROFILE;
    arena = arena_new();
    p->texts[ix].kind = TEXT_BROKEN;
    if (!json_parse(arena, p->texts[ix].text, NULL, &v, NULL) || !json_is(v, JSON_OBJECT))
        return false;
    p->texts[ix].kind = TEXT_PROFILE;
    p->briefs[ix].profile = pool_profile_for(p, json_get_u64(v, "ID", 0));
    return true;
}

bool pool_read_patch(struct netmap_pool *p, text_ix ix, uint64_t *id)
{
    struct text *t = &p->texts[ix];
    AUTO(arena_free) struct arena *arena = NULL;
    struct json_value *v = NULL;

    if (t->kind == TEXT_PLAIN) {
        arena = arena_new();
        t->kind = TEXT_BROKEN;
        if (json_parse(arena, t->text, NULL, &v, NULL) && json_is(v, JSON_OBJECT)) {
            t->kind = TEXT_PATCH;
            t->patched = json_get_u64(v, "NodeID", 0);
        }
    }
    *id = t->patched;
    return t->kind == TEXT_PATCH;
}

struct netmap_card *netmap_pool_card(struct netmap_pool *p, text_ix ix)
{
    ASSERT(ix < p->n_texts && p->texts[ix].card);
    return p->texts[ix].card;
}

/* ---- What becomes of a node ---- */

static text_ix whole_after(struct netmap_pool *p, text_ix was, text_ix now)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *v = NULL;
    struct buf out = BUF((size_t)1 << 20);
    text_ix result = now;

    if (was && was != now && json_parse(arena, p->texts[now].text, NULL, &v, NULL) &&
        node_text_loses(p->texts[was].text, v)) {
        node_text_put_changed(&out, p->texts[was].text, v);
        result = pool_text(p, buf_str(&out));
    }
    buf_fini(&out);
    return result;
}

static text_ix patch_after(struct netmap_pool *p, text_ix was, text_ix patch)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *v = NULL;
    struct buf out = BUF((size_t)1 << 20);

    if (json_parse(arena, p->texts[patch].text, NULL, &v, NULL))
        node_text_put_patched(&out, p->texts[was].text, v);
    text_ix result = pool_text(p, buf_str(&out));

    buf_fini(&out);
    return result;
}

/*
 * The same change comes in many messages, as classes of viewers are told different things beside
 * it: what it makes of a text is remembered for all of them.
 */
static text_ix made_of(struct netmap_pool *p, const struct op *op, text_ix from)
{
    struct map **made = &p->made[op->kind == OP_PATCH];
    uint64_t pair = (uint64_t)from << 32 | op->what;
    const char *why;
    text_ix to = (text_ix)(uintptr_t)map_find_u64(*made, pair);

    if (to != 0)
        return to;
    to = op->kind == OP_PUT ? whole_after(p, from, op->what) : patch_after(p, from, op->what);
    if (!pool_read_card(p, to, &why))
        return 0;
    if (map_len(*made) >= POOL_MADE_MAX) {
        map_free(*made);
        *made = map_new();
    }
    (void)map_put_u64(*made, pair, (void *)(uintptr_t)to);
    return to;
}

text_ix pool_changed(struct netmap_pool *p, struct op *op, text_ix from)
{
    if (op->has_memo && op->from == from)
        return op->to;
    if (op->kind == OP_REMOVE || (op->kind == OP_PATCH && from == 0))
        return 0;
    op->to = made_of(p, op, from);
    op->from = from;
    op->has_memo = true;
    return op->to;
}

/* ---- Blocks ---- */

static void sweep_blocks(struct netmap_pool *p)
{
    struct map *kept = map_new();
    struct str key;
    void *value;

    for (size_t at = 0; map_next(p->blocks, &at, &key, &value);) {
        struct block *b = value;

        if (b->is_used && map_len(kept) < POOL_BLOCKS_MAX / 2) {
            b->is_used = false;
            (void)map_put_u64(kept, b->hash.a, b);
        } else {
            pool_block_free(b);
        }
    }
    map_free(p->blocks);
    p->blocks = kept;
}

/* The block that `text` is, or NULL. */
static struct block *block_read(struct netmap_pool *p, struct str text)
{
    struct texts found = {0};
    struct str object, trimmed = str_trim(text);
    size_t at = 0;
    enum skim_piece piece;

    while ((piece = skim_objects(text, &at, &object)) == SKIM_OBJECT)
        texts_add(&found, pool_text(p, object));
    if (piece == SKIM_OTHER || found.n == 0) {
        mem_free(found.ix);
        return NULL;
    }
    struct block *b = NEW(struct block);

    b->comma_before = trimmed.ptr[0] == ',';
    b->comma_behind = trimmed.ptr[trimmed.len - 1] == ',';
    b->n = found.n;
    b->texts = found.ix;
    return b;
}

/* What p->scratch holds, if it is one. */
static struct block *block_make(struct netmap_pool *p, struct str frame, struct pool_hash hash)
{
    struct block *b = block_read(p, buf_str(&p->scratch));

    if (!b)
        return NULL;
    b->hash = hash;
    b->len = frame.len;
    if (map_len(p->blocks) >= POOL_BLOCKS_MAX)
        sweep_blocks(p);
    struct block *other = map_put_u64(p->blocks, hash.a, b);

    if (other)
        pool_block_free(other);
    return b;
}

static void assembly_add(struct netmap_assembly *a, const struct block *b)
{
    a->ends = mem_room(a->ends, a->n_blocks, &a->max_blocks, 64, sizeof(*a->ends));
    if (b->comma_before)
        buf_put_char(&a->text, ',');
    buf_put_u64(&a->text, a->n_blocks);
    if (b->comma_behind)
        buf_put_char(&a->text, ',');
    for (size_t i = 0; i < b->n; i++)
        texts_add(&a->of_blocks, b->texts[i]);
    a->ends[a->n_blocks++] = a->of_blocks.n;
}

int pool_take_frame(struct netmap_pool *p, struct str frame, struct netmap_assembly *a,
                    struct err *err)
{
    struct pool_hash hash = pool_hash(p, frame);
    struct block *b = map_find_u64(p->blocks, hash.a);

    if (b && b->hash.b == hash.b && b->len == frame.len) {
        p->figures.block_hits++;
    } else {
        p->figures.block_misses++;
        buf_clear(&p->scratch);
        if (wire_decompress(frame, POOL_MESSAGE_MAX - a->text.len, &p->scratch, err) < 0)
            return -(int)err->code;
        b = block_make(p, frame, hash);
    }
    if (!b) {
        buf_put(&a->text, buf_str(&p->scratch));
        return buf_is_full(&a->text) ? err_set(err, ERR_LIMIT, "a map message is too long") : 0;
    }
    b->is_used = true;
    assembly_add(a, b);
    return 0;
}
