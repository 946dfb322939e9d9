#pragma once

/* What the pool, its reader and its views share; see netmap_pool.h. */

#include "client/netmap_pool.h"
#include "core/arena.h"
#include "core/map.h"
#include "json/value.h"

#define POOL_MESSAGE_MAX ((size_t)256 << 20)
#define POOL_SMALL ((size_t)64 << 10)
#define POOL_MESSAGES 8192 /* kept; a power of two */
#define POOL_BLOCKS_MAX 65536
#define POOL_MADE_MAX ((size_t)1 << 20)

struct pool_hash {
    uint64_t a, b;
};

enum text_kind { TEXT_PLAIN, TEXT_CARD, TEXT_PROFILE, TEXT_PATCH, TEXT_BROKEN };

struct text {
    struct str text; /* owned */
    uint64_t hash;
    enum text_kind kind;
    struct netmap_card *card; /* owned */
    uint64_t patched;         /* of a patch: the node's id */
};

/* Of a card, what applying looks at: kept apart, because it is read for each peer of each view. */
struct brief {
    uint32_t slot;    /* 0: not a card */
    uint32_t profile; /* the user's; also of a profile */
};

struct block {
    struct pool_hash hash;
    size_t len;
    bool comma_before;
    bool comma_behind;
    bool is_used; /* since the last sweep */
    size_t n;
    text_ix *texts; /* owned */
};

struct netmap_pool {
    size_t expected;
    struct text *texts;
    struct brief *briefs; /* parallel */
    uint32_t n_texts, cap_texts;
    uint32_t *table; /* by hash, open addressing, 0: free */
    size_t table_cap;
    struct map *slots;    /* node id to slot */
    struct map *profiles; /* user id to its number, from 1 */
    uint64_t *ids;        /* by slot */
    size_t n_slots, cap_slots;
    size_t n_profiles;
    struct map *blocks; /* hash.a to struct block */
    struct netmap_message **messages;
    struct map *same;    /* pairs of nodes found to say the same */
    struct map *made[2]; /* what whole nodes and patches make of texts: a pair to a text */
    uint64_t keys[4];    /* of pool_hash */
    uint32_t watched;
    bool has_watched_key;
    struct node_key watched_key;
    struct buf scratch, rest;
    struct netmap_pool_figures figures;
};

enum op_kind { OP_REMOVE, OP_PUT, OP_PATCH };

/* A change of one peer. What it makes of a text is found once: most views held the same. */
struct op {
    enum op_kind kind;
    uint32_t slot;
    text_ix what; /* the whole node, or the patch */
    text_ix from, to;
    bool has_memo;
};

struct texts {
    text_ix *ix;
    size_t n, max;
};

struct netmap_message {
    struct pool_hash hash;
    size_t len; /* compressed */
    bool is_keep_alive;
    text_ix self;
    struct texts peers; /* not empty: all of them */
    struct op *ops;
    size_t n_ops, max_ops;
    uint32_t *profiles;
    size_t n_profiles, max_profiles;
    text_ix kept[NETMAP_KEPT_COUNT]; /* of the named filters: what is to be applied */
    text_ix filters_from, filters_to;
    bool has_filters_memo;
};

/* What whole objects a message's blocks stand for. */
struct netmap_assembly {
    struct buf text; /* its JSON, each block replaced by its number */
    struct texts of_blocks;
    size_t *ends; /* by block, in of_blocks */
    size_t n_blocks, max_blocks;
    size_t bytes;
};

struct pool_hash pool_hash(const struct netmap_pool *p, struct str bytes);
text_ix pool_text(struct netmap_pool *p, struct str text);
/* Reads a text as a node; false: it is none (said why). Once for each text. */
bool pool_read_card(struct netmap_pool *p, text_ix ix, const char **why);
bool pool_read_profile(struct netmap_pool *p, text_ix ix);
/* `id`: whose it is. */
bool pool_read_patch(struct netmap_pool *p, text_ix ix, uint64_t *id);
uint32_t pool_slot_for(struct netmap_pool *p, uint64_t id);
uint32_t pool_profile_for(struct netmap_pool *p, uint64_t user);
void texts_add(struct texts *t, text_ix ix);

/* What becomes of a held node; 0 from 0 for a patch. */
text_ix pool_changed(struct netmap_pool *p, struct op *op, text_ix from);
text_ix pool_filters(struct netmap_pool *p, struct netmap_message *m, text_ix from);

/* Appends the frame to the assembly: its number if it is a block, else its text. */
MUST_USE int pool_take_frame(struct netmap_pool *p, struct str frame, struct netmap_assembly *a,
                             struct err *err);
void pool_block_free(struct block *b);

MUST_USE int pool_parse(struct netmap_pool *p, struct netmap_assembly *a, struct netmap_message *m,
                        struct err *err);
void pool_message_fini(struct netmap_message *m);
