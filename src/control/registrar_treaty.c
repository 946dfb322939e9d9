/*
 * When treaties are looked at anew: after a publication in which a policy, or who shares what,
 * changed. What comes out goes to the domain and out with the next round.
 */

#include "control/registrar_internal.h"
#include "control/treaty.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metric.h"

static struct metric looks = METRIC_COUNTER(
    "hatsize_treaty_looks_total", "Times that what policies say of shared machines was looked at.");

static bool has_shares(const struct tailnet_view *view)
{
    size_t at = 0;

    return view_share_next(view, &at) != NULL;
}

static bool is_of_shares(const struct change_list *changes)
{
    for (size_t i = 0; i < changes->len; i++)
        if (changes->items[i].kind == CHANGE_SHARE ||
            changes->items[i].kind == CHANGE_SHARE_REMOVED)
            return true;
    return false;
}

/* A tailnet with shares. */
struct treaty_entry {
    tailnet_id id;
    const struct policy *policy; /* counted: the one that was noted last */
    bool is_due;
};

static struct treaty_entry *entry(struct registrar *r, tailnet_id id)
{
    struct treaty_entry *e = map_find_u64(r->treaties, id);

    if (!e) {
        e = NEW(struct treaty_entry);
        e->id = id;
        (void)map_put_u64(r->treaties, id, e);
    }
    return e;
}

static void entry_free(struct treaty_entry *e)
{
    if (e)
        policy_unref(e->policy);
    mem_free(e);
}

void registrar_treaty_note(struct registrar *r, const struct tailnet_view *view,
                           const struct policy *policy, const struct change_list *changes)
{
    tailnet_id id = view_info(view)->id;
    struct treaty_entry *e;

    if (!policy || !has_shares(view)) {
        entry_free(map_remove_u64(r->treaties, id));
        return;
    }
    e = entry(r, id);
    if (e->policy == policy && !is_of_shares(changes))
        return;
    policy_unref(e->policy);
    e->policy = policy_ref(policy);
    e->is_due = true;
    r->treaty_is_due = true;
}

static struct treaty_side side(void *user, tailnet_id id)
{
    const struct registrar *r = user;

    return (struct treaty_side){.view = map_find_u64(r->told_views, id),
                                .policy = policies_told(r->policies, id)};
}

static void give(void *user, const struct node *n, const struct abroad *wanted)
{
    struct registrar *r = user;
    struct change_list changes = {0};
    struct command_result result = {0};
    struct err err = {0};
    struct command c = {.type = COMMAND_NODE_ABROAD,
                        .origin = ORIGIN_SERVER,
                        .author = STR("server"),
                        .tailnet = n->tailnet,
                        .now_ms = clock_unix_ms(),
                        .id = n->id,
                        .abroad = wanted};

    /* The node may be gone since it was told of. */
    if (domain_apply(r->domain, &c, &changes, &result, &err) < 0 && err.code != ERR_NOT_FOUND)
        log_event(LOG_ERROR, "what a machine may use of another tailnet was refused",
                  LOG_ERR(&err));
    command_result_fini(&result);
    if (changes.len > 0)
        round_add_changes(r, &changes);
    change_list_fini(&changes);
}

struct ids {
    tailnet_id *items;
    size_t len;
    size_t cap;
};

static void ids_add(struct ids *ids, tailnet_id id)
{
    for (size_t i = 0; i < ids->len; i++)
        if (ids->items[i] == id)
            return;
    ids->items = mem_room(ids->items, ids->len, &ids->cap, 16, sizeof *ids->items);
    ids->items[ids->len++] = id;
}

/* A partner's machines are looked at, too: they ask the policy that changed. */
static void add_due(struct registrar *r, struct ids *ids, struct treaty_entry *e)
{
    const struct tailnet_view *view = map_find_u64(r->told_views, e->id);
    tailnet_id *partners;
    size_t n;

    e->is_due = false;
    if (!view)
        return;
    registrar_tell_relays(r, e->id, policy_document(e->policy));
    ids_add(ids, e->id);
    partners = treaty_partners(view, &n);
    for (size_t i = 0; i < n; i++)
        ids_add(ids, partners[i]);
    mem_free(partners);
}

void registrar_treaty_settle(struct registrar *r)
{
    struct ids ids = {0};
    struct str key;
    void *value;

    if (!r->treaty_is_due)
        return;
    r->treaty_is_due = false;
    for (size_t at = 0; map_next(r->treaties, &at, &key, &value);)
        if (((struct treaty_entry *)value)->is_due)
            add_due(r, &ids, value);
    for (size_t i = 0; i < ids.len; i++) {
        struct treaty_terms terms = {
            .of = side(r, ids.items[i]), .side = side, .each = give, .user = r};

        metric_add(&looks, 1);
        treaty_look(&terms);
    }
    mem_free(ids.items);
}

void registrar_treaty_fini(struct registrar *r)
{
    struct str key;
    void *value;

    for (size_t at = 0; map_next(r->treaties, &at, &key, &value);)
        entry_free(value);
    map_free(r->treaties);
}
