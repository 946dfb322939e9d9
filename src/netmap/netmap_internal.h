#pragma once

/*
 * Between a feed, its streams and those who write their messages.
 *
 *   stream --> moment (view and policy that some streams were last told of)
 *                 |
 *                 +--> way: from there to the feed's aim, whoever walks it
 *                        |
 *                        +--> body: what of it is the same for all of a class
 *   feed  --> book: the present as blocks of cards, for full maps
 */

#include "core/list.h"
#include "core/map.h"
#include "netmap/encode.h"
#include "netmap/stats.h"
#include "netmap/stream.h"
#include "policy/policy.h"

/* Text of bodies that a way keeps because other streams will want the same: those that a flush has
 * yet to come to do soon (netmap_stream_cmp), others are few. */
#define NETMAP_BODIES_MAX ((size_t)16 << 20)

enum { NETMAP_PLAIN, NETMAP_ZSTD, NETMAP_FORMS };

/* Of struct netmap_limits. */
#define NETMAP_BLOCK_CARDS 64
#define NETMAP_CARD_GUESS 800 /* about the bytes of a card: room to begin with */
#define NETMAP_DELTA_CARDS 128
#define NETMAP_LOOSE_CLASSES 16
#define NETMAP_LOOSE_LEAST 8
#define NETMAP_BUNCH_LEAST 16

static inline enum policy_form netmap_form(uint32_t capver)
{
    return capver >= POLICY_CAPVER_COMPACT ? POLICY_COMPACT : POLICY_CANONICAL;
}

/* With no `self`. */
struct netmap_eye netmap_eye_of(const struct policy *p, node_id viewer);

/* What classes see of each other, as far as it was asked. */
struct netmap_sights {
    uint64_t of;    /* policy_sights */
    size_t side;    /* classes below it are remembered */
    uint8_t *known; /* rows of two bits a class: 0 unknown, else enum policy_sight and one */
    uint16_t *fame; /* `side` of netmap_fame and one; 0: unknown */
    size_t famed;   /* how many classes there were then */
};
/* Under the policy that is followed, and under the one before while some are told what differs. */
struct netmap_seen {
    struct netmap_sights now, before;
    bool is_told; /* a flush began since: the next one forgets */
};
void netmap_seen_fini(struct netmap_seen *s);
/* Makes room for that policy's classes; if it answers otherwise, what was `now` is `before`. */
void netmap_seen_follow(struct netmap_seen *s, const struct policy *p);
/* A flush begins; who is told of that policy in the one after it has been slow. */
void netmap_seen_aim(struct netmap_seen *s);
/* policy_class_sight; any policy may be asked about, those two are answered quickly. */
enum policy_sight netmap_sight(struct netmap_seen *s, const struct policy *p, uint32_t a,
                               uint32_t b);
/*
 * By how many of some classes nodes of that one are seen, about: a measure to bring together what
 * many see, and nothing more. 0 for a policy that is not followed.
 */
unsigned netmap_fame(struct netmap_seen *s, const struct policy *p, uint32_t cls);

/* ---- Texts ---- */

/* A writer of members, without the braces around them. */
#define MEMBERS_WRITER(buf_ptr) ((struct json_writer){.out = (buf_ptr), .depth = 1})
void netmap_key(struct json_writer *w, struct str key); /* the value is put into w->out */
/* Parts live for one message or for some hundreds: not worth more than the fastest level. */
#define NETMAP_PART_LEVEL 1
/* A shorter text that few are sent goes as it is: to compress it takes longer than to send it. */
#define NETMAP_STORE_MAX 400
/* Adds the text of few as a frame: the first of its message, or one behind others. */
MUST_USE bool netmap_compress(struct str text, bool is_first, struct buf *out);
/* The text as it travels behind others in one message; counted. NULL: too large. */
MUST_USE struct blob *netmap_part(struct str text, bool zstd);
/* A message of one piece: the frame's length, then the text. NULL: too large. */
MUST_USE struct blob *netmap_whole(struct str text, bool zstd);
/*
 * Adds a message that begins with `head` and goes on with `rest` (taken, made by netmap_part).
 * False: too large, nothing is added.
 */
MUST_USE bool netmap_send(struct netmap_parcel *out, struct str head, bool zstd,
                          struct netmap_parcel *rest);

/* ---- Journal ---- */

/* One change that maps may tell of. */
struct netmap_record {
    uint64_t revision;
    uint64_t id;
    enum change_kind kind; /* CHANGE_NODE, _NODE_REMOVED, _USER, _USER_REMOVED, _INFO; of guests */
    unsigned mask;
};

/* All that happened to one object between two revisions; sorted by id. */
struct netmap_touched {
    uint64_t id;
    unsigned mask;
};

/* Everything between two revisions, each object once; guests and their users, too. */
struct netmap_span {
    struct netmap_touched *nodes;
    size_t n_nodes;
    uint64_t *users; /* sorted, unique */
    size_t n_users;
};
/* ids.c: sorts them and drops repeats: how many are left. */
size_t netmap_ids_sort(uint64_t *ids, size_t len);
/* Of ids so sorted. */
bool netmap_ids_have(const uint64_t *ids, size_t n, uint64_t id);
/* Collapses the journal behind `revision`, as far as `until`. */
void netmap_feed_span(const struct netmap_feed *f, uint64_t revision, uint64_t until,
                      struct netmap_span *out);
void netmap_span_fini(struct netmap_span *s);
const struct netmap_touched *netmap_span_find(const struct netmap_span *s, node_id id);

/* ---- From a moment to the present ---- */

/* Nodes that nothing happened to and that were of one class and are of one. */
struct netmap_shift {
    uint32_t old, now;
    size_t from, len; /* in `shifted` */
    struct str caps;  /* to be patched where it is held; empty: not */
    bool hid, hides;  /* IPv4 addresses from everybody */
};

/* What bodies have lists of, in the order they are written. */
enum netmap_loose_kind { NETMAP_LOOSE_PROFILE, NETMAP_LOOSE_CARD, NETMAP_LOOSE_PATCH };
#define NETMAP_LOOSE_KINDS 3

/* What some classes are told of a node in the span, the same for all of them. */
struct netmap_loose {
    struct netmap_loose *next; /* else that is told of it */
    enum netmap_loose_kind kind;
    uint32_t place;                /* the subject's */
    const struct node *node;       /* borrowed from the way's view */
    struct netmap_variant variant; /* of a card */
    unsigned patch;                /* as verdicts have them */
    struct str caps;
};
/* Neighbours in the order of places that go together into one frame, whoever hears of which of
 * them; and so many, where somebody hears of all. Powers of two. */
#define NETMAP_BUNDLE 16
#define NETMAP_BUNDLE_MAX 128

/* Both ends of a node, as judging it for any class wants them. */
struct netmap_subject {
    node_id id;
    const struct node *old, *now; /* NULL: was not there, is not */
    uint32_t old_cls, now_cls;
    user_id old_user, now_user; /* of policy_sight_user */
    bool routes_vary;           /* by viewer, at either end */
    bool hides_v4;              /* now, whoever the viewer is */
    bool is_guest;
    uint32_t place; /* among the way's: those that the same viewers hear of are neighbours */
    struct netmap_loose *loose;
};

/* In a body's text a place where something loose goes, at the end of a list. */
struct netmap_gap {
    size_t at;
    bool is_first; /* nothing is in that list before */
    struct netmap_loose **loose;
    size_t n;
};

/* Part of a delta: the same for all viewers of a class, but for those it is about. */
struct netmap_body {
    struct netmap_body *next;
    struct blob *json; /* members without braces and what goes in gaps; NULL: nothing to tell */
    struct netmap_gap gaps[NETMAP_LOOSE_KINDS];
    bool is_loose;                    /* something is in the gaps */
    struct blob *whole[NETMAP_FORMS]; /* a message of its own; made when first wanted */
    struct blob *rest[NETMAP_FORMS];  /* behind other members, to the closing brace */
    node_id *own; /* sorted: who must not be sent it, because it is told of itself */
    size_t n_own;
    bool is_too_much; /* a full map is cheaper, or says what no delta can */
};

/* From what a viewer was and is to what it is told; several may lead to one body. */
struct netmap_slot {
    struct netmap_eye old, now;
    struct netmap_body *body; /* NULL: empty */
    /* By form: whether their filters and shells stay, where classes are those they were. */
    enum netmap_rules { NETMAP_RULES_UNKNOWN, NETMAP_RULES_STAY, NETMAP_RULES_DIFFER } rules[2];
    bool has_step[2]; /* likewise: asked for */
    struct policy_filter_step *step[2];
};

struct netmap_owned {
    user_id user;
    node_id node;
};

struct netmap_way {
    struct netmap_feed *feed;
    const struct tailnet_view *old, *now; /* borrowed from the moment and the aim */
    const struct policy *before, *after;  /* likewise */
    struct netmap_span span;              /* with who serves routes, where that moved */
    struct netmap_subject *subjects;      /* of the span's nodes, in their order */
    bool is_quiet;                        /* nobody who was not touched has news of its own */
    bool is_calm;               /* nor, if its rules stay, has anyone who was not touched */
    bool one_lineage;           /* of both policies: classes are the same */
    bool nodes_differ;          /* everyone has another Node of its own */
    bool dns_is_own;            /* and its own DNSConfig, which may differ */
    bool has_guests;            /* at either end */
    bool guests_differ;         /* in what they add to relay map and DNS of who sees them */
    bool moves_twice;           /* a node has another home and other endpoints */
    struct buf tailnet;         /* members that are news to all */
    struct buf common;          /* and to all who have nothing to do with guests */
    struct netmap_owned *owned; /* nodes in the span, where owners matter; by user */
    size_t n_owned;
    struct netmap_owned *renamed; /* nodes of users that changed */
    size_t n_renamed;
    struct netmap_shift *shifts; /* made when first wanted */
    size_t n_shifts;
    bool has_shifts;
    const struct node **shifted;
    node_id *varying; /* made with them: nodes whose routes vary by viewer */
    size_t n_varying;
    struct netmap_slot *last;  /* that was asked for; most who come are like who came before */
    struct netmap_slot *slots; /* of a hash table; `cap` is a power of two, or 0 */
    size_t n_slots, cap;
    struct netmap_body *bodies;   /* all of them */
    struct map *bundles;          /* frames, by what is in them; NULL: none yet */
    struct netmap_loose **places; /* scratch for sorting: all NULL; NULL: none yet */
    size_t bytes;                 /* of their texts and frames */
    size_t last_len;              /* of the newest: a guess at the next */
};
struct netmap_subject netmap_way_subject(const struct netmap_way *w, node_id id);
void netmap_way_drop_bodies(struct netmap_way *w);
void netmap_way_free(struct netmap_way *w); /* NULL is fine */
/* Whose nodes, in both views or by policy, changed between: a viewer of that user may hear of them.
 */
bool netmap_way_owns(const struct netmap_way *w, user_id user);
void netmap_way_shifts(struct netmap_way *w);
/* A CapMap that is another now, as a patch says it; empty: the same. */
struct str netmap_caps_patch(struct str was, struct str is);

/* A viewer on its way. */
struct netmap_walker {
    node_id viewer;
    struct netmap_eye old, now;
    uint32_t capver;
    const struct netmap_touched *touched;   /* NULL: nothing happened to it */
    const struct node *self_old, *self_now; /* only when own members are asked for */
    struct netmap_slot *slot;               /* likewise */
};
/* Where it is led, made when first wanted; borrowed until the next call. */
struct netmap_slot *netmap_way_slot(struct netmap_way *w, const struct netmap_walker *v);
/*
 * Whether the viewer's filter and shells are the same on both ends. In one lineage that holds for
 * all of its class and owner to whom nothing happened: asked once for them.
 */
bool netmap_rules_stay(const struct netmap_way *w, struct netmap_slot *slot,
                       const struct netmap_walker *v);
/* Whether the viewer must be sent a body of its own: this one without itself, with its profile. */
bool netmap_body_is_cut(const struct netmap_way *w, const struct netmap_body *b,
                        const struct netmap_walker *v);
/*
 * The body's members behind `before` (a brace or a comma), to the closing brace: as a message of
 * its own, or as what follows other members. NULL: too large.
 */
MUST_USE struct blob *netmap_body_whole(struct netmap_way *w, const struct netmap_body *b,
                                        bool zstd);
MUST_USE struct blob *netmap_body_rest(struct netmap_way *w, const struct netmap_body *b,
                                       bool zstd);
/* The subject's card as that class sees it; borrowed from the way, as are the others. */
struct netmap_loose *netmap_loose_card(struct netmap_way *w, struct netmap_subject *s,
                                       const struct netmap_eye *eye);
struct netmap_loose *netmap_loose_patch(struct netmap_subject *s, unsigned patch, struct str caps);
/* Its owner's, who must be in the view. */
struct netmap_loose *netmap_loose_profile(struct netmap_subject *s);
void netmap_loose_free(struct netmap_loose *l); /* and those behind it */
void netmap_bundles_free(struct map *bundles);  /* NULL is fine */
/* Writes that. */
void netmap_put_cut_body(struct json_writer *out, struct netmap_way *w,
                         const struct netmap_walker *v);
/* What is for the viewer alone: its Node, filter, shells, DNS. */
void netmap_put_own(struct json_writer *out, const struct netmap_way *w,
                    const struct netmap_walker *v);
/*
 * The member that brings the viewer's filter from one policy (NULL: from whatever it was) to
 * another, as its version reads it.
 */
void netmap_put_filter(struct json_writer *w, const struct policy *before, const struct policy *p,
                       node_id viewer, uint32_t capver);

/* A view under a policy, as long as some stream was told of nothing newer. */
struct netmap_moment {
    struct list_node moments;
    uint64_t number; /* rises with age */
    uint64_t revision;
    const struct tailnet_view *view; /* NULL: fallen, the window has passed it by */
    const struct policy *policy;
    size_t streams;         /* and one more if it is the feed's aim */
    struct netmap_way *way; /* to the aim; NULL: nobody asked */
};

/* ---- The present, as blocks ---- */

/* Cards of a block as some viewers see them. Each begins with a comma, but for a map's first. */
struct netmap_print {
    uint32_t key;    /* for whom, and whether it is the first: as book.c has it */
    uint8_t sum[32]; /* of the text, where routes vary */
    struct blob *form[NETMAP_FORMS];
};
/*
 * Nodes of the tailnet (guests are written for each viewer that sees them) that every viewer sees
 * whole or not at all, by rising id. Viewers share prints: where a
 * policy shows other routes to other classes there is one for each class (equal ones are one in
 * memory), else one for those shown IPv4 addresses and one for the others.
 */
struct netmap_block {
    const struct node **nodes; /* borrowed from the book's view */
    size_t n;
    size_t cap;
    struct netmap_print *prints;
    size_t n_prints;
    struct blob *profiles[NETMAP_FORMS]; /* of the owners; each begins with a comma */
    struct netmap_bunch *bunch;          /* borrowed; NULL: in none */
};
/* A few small blocks that most viewers see together: their texts as one; bunch.c. */
struct netmap_bunched {
    struct netmap_block *block;
    uint32_t sight;
};
struct netmap_bunch {
    struct netmap_bunched *blocks;
    size_t n;
    /* By whether it is the first of its map, and whether IPv4 addresses are hidden. */
    struct blob *cards[2][2][NETMAP_FORMS];
    struct blob *profiles[NETMAP_FORMS];
    uint64_t taken; /* by the book's map of that number */
};
/* All nodes of one sight; those whose routes vary by viewer apart. */
struct netmap_group {
    uint32_t sight;
    bool varies;
    struct netmap_block **blocks;
    size_t n;
    size_t cap;
};
struct netmap_book {
    struct netmap_feed *feed;
    const struct tailnet_view *view; /* counted; NULL: to be laid out anew */
    const struct policy *policy;     /* counted */
    struct netmap_group **groups;
    size_t n_groups;
    struct map *by_key; /* sight and varies -> group */
    struct netmap_bunch **bunches;
    size_t n_bunches, cap_bunches;
    uint64_t maps;                          /* so many were made of it */
    const struct tailnet_info *info;        /* counted: what `common` says */
    const struct policy_document *document; /* likewise */
    struct blob *common[2][NETMAP_FORMS];   /* [1]: without relay map and DNS */
    struct blob *end[NETMAP_FORMS];
};
void netmap_book_init(struct netmap_book *b, struct netmap_feed *f);
void netmap_book_fini(struct netmap_book *b);
/* Brings it up to the feed's view and policy. */
void netmap_book_update(struct netmap_book *b);
/* For whom and as what cards are wanted. */
struct netmap_want {
    uint32_t viewer; /* its class */
    bool zstd;
    bool is_first; /* nothing is in the list of peers before: without a comma */
};
/* The cards as such viewers see them; made when first wanted; borrowed. */
struct blob *netmap_block_cards(struct netmap_book *b, const struct netmap_group *g,
                                struct netmap_block *x, struct netmap_want want);
struct blob *netmap_block_profiles(struct netmap_book *b, struct netmap_block *x, bool zstd);
/* Adds cards, each behind a comma unless it is the first. */
void netmap_block_put_cards(struct buf *out, const struct policy *p, const struct netmap_block *x,
                            struct netmap_want want);
/* Adds profiles, each behind a comma, of those of `owners` that there are; sorts them. */
void netmap_put_owners(struct buf *out, const struct tailnet_view *view, user_id *owners, size_t n);
/* Small blocks of one group that are neighbours become one. There are no bunches. */
void netmap_book_merge(struct netmap_book *b);
/* Puts small blocks into bunches, when there are many that are in none. */
void netmap_bunches_update(struct netmap_book *b);
void netmap_bunches_free(struct netmap_book *b);
void netmap_bunch_dissolve(struct netmap_book *b, struct netmap_bunch *x); /* NULL is fine */
void netmap_bunch_drop_cards(struct netmap_bunch *x);                      /* NULL is fine */
void netmap_bunch_drop_profiles(struct netmap_bunch *x);                   /* NULL is fine */
/* Whether viewers of that class see all of it; its texts, borrowed. */
bool netmap_bunch_is_seen(const struct netmap_book *b, const struct netmap_bunch *x,
                          uint32_t viewer);
struct blob *netmap_bunch_cards(struct netmap_book *b, struct netmap_bunch *x,
                                struct netmap_want want);
struct blob *netmap_bunch_profiles(struct netmap_book *b, struct netmap_bunch *x, bool zstd);
/* The block that has the node; NULL: none. */
struct netmap_block *netmap_group_find(const struct netmap_group *g, node_id id, size_t *at);
/* The group of a node of the view. */
const struct netmap_group *netmap_book_group(const struct netmap_book *b, const struct node *n);
/* The brackets that close a map behind blocks. */
struct blob *netmap_book_end(struct netmap_book *b, bool zstd);
/* What is the same for all viewers: a text that begins behind their profiles. Those with `own`
 * relay map and DNS get the rest. */
struct blob *netmap_book_common(struct netmap_book *b, bool own, bool zstd);

/* Fills `out` with a complete MapResponse. False: too large. */
struct netmap_full {
    node_id viewer; /* must be in the view */
    uint32_t capver;
    bool zstd;
    bool omit_peers;
    struct str health;
    int64_t now_ms;
};
MUST_USE bool netmap_full(struct netmap_feed *f, const struct netmap_full *full,
                          struct netmap_parcel *out, size_t *n_peers);

struct netmap_feed {
    const struct tailnet_view *view;
    const struct policy *policy;
    struct netmap_record *ring; /* the oldest at `head` */
    size_t head;
    size_t len;
    size_t cap;
    uint64_t floor; /* streams below this revision have fallen off */
    struct netmap_limits limits;
    struct list moments;          /* the furthest behind first */
    struct netmap_moment *newest; /* of the present; NULL: no stream is there yet */
    struct netmap_moment *aim;    /* where deltas lead; NULL: to the present */
    uint64_t moments_made;
    struct netmap_book book;
    struct netmap_seen sights;
    uint64_t counts[NETMAP_COUNTS];
    struct buf *json; /* scratch of one pull; own_json, or lent */
    struct buf own_json;
    struct blob *keep_alive[NETMAP_FORMS]; /* framed; made when first wanted */
};
/* The moment of the feed's present, counting one more stream. */
struct netmap_moment *netmap_feed_arrive(struct netmap_feed *f);
/* One stream less; the last takes the moment with it. */
void netmap_feed_leave(struct netmap_feed *f, struct netmap_moment *m);
/* The same of the feed's aim, or of the present if it has none. */
struct netmap_moment *netmap_feed_arrive_aim(struct netmap_feed *f);
/* From the moment, which has not fallen, to the aim; borrowed until either changes. */
struct netmap_way *netmap_feed_way(struct netmap_feed *f, struct netmap_moment *m);

struct netmap_stream {
    struct netmap_feed *feed;
    struct netmap_moment *moment; /* what the client was told; NULL before the first message */
    struct netmap_eye eye;        /* under the moment's policy */
    node_id viewer;
    uint32_t capver;
    bool zstd;
    bool omit_peers;
    bool done; /* nothing will ever follow */
    struct str health;
};
