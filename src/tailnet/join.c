/*
 * Which node a joining machine becomes, and what of it changes. Facts: headscale.md 4.3 and 4.4.
 *
 * A machine that comes back keeps its node (id, addresses, name, approved routes). It is found by
 * its machine key, never by the node key alone: first the node with the presented or the former
 * node key, then one whose owner fits. Another user's node stays that user's; the machine then gets
 * a second one.
 */

#include "core/rand.h"
#include "crypto/secret.h"
#include "tailnet/register_internal.h"

/* How well a node of the machine fits; 0: not at all. */
static int fit(const struct join *j, const struct node *n)
{
    int owner = 0;

    if (node_is_tagged(n))
        owner = j->tags.len > 0 ? 4 : 2;
    else if (n->user == j->user)
        owner = j->tags.len > 0 ? 2 : 4;
    else if (j->user == 0)
        owner = 1;
    if (owner == 0)
        return 0;
    bool is_same = node_key_eq(&n->key, &j->key) ||
                   (!node_key_is_zero(&j->old_key) && node_key_eq(&n->key, &j->old_key));
    return owner + (is_same ? 8 : 0);
}

static bool is_older(const struct node *a, const struct node *b)
{
    return a->created_ms < b->created_ms || (a->created_ms == b->created_ms && a->id < b->id);
}

struct node_state *join_find(const struct domain *d, const struct join *j)
{
    struct node_state *s = map_find(d->node_by_machine, machine_key_str(&j->machine));
    struct node_state *best = NULL;
    int best_fit = 0;
    size_t strangers = 0;

    for (; s; s = s->machine_next) {
        int f = s->tailnet == j->tailnet ? fit(j, s->node) : 0;

        strangers += f == 1;
        if (f > best_fit || (f == best_fit && best && is_older(s->node, best->node))) {
            best = s;
            best_fit = f;
        }
    }
    /* A key that only tags own takes over the machine's node; which, must be beyond doubt. */
    return best_fit == 1 && strangers > 1 ? NULL : best;
}

int join_check(const struct domain *d, const struct join *j, struct join_plan *plan,
               struct err *err)
{
    const struct node_state *holder = node_state_by_key(d, &j->key);

    *plan = (struct join_plan){.existing = join_find(d, j)};
    if (node_key_is_zero(&j->key))
        return err_set(err, ERR_INVALID, "node key is missing");
    if (holder && !machine_key_eq(&holder->node->machine, &j->machine))
        return err_set(err, ERR_CONFLICT, "node key already in use by another machine");
    if (plan->existing)
        return 0;
    if (j->tailnet->nodes.count >= TAILNET_NODES_MAX)
        return err_set(err, ERR_LIMIT, "a tailnet has at most %d nodes", TAILNET_NODES_MAX);
    if (quota_check(j->tailnet, QUOTA_NODES, j->tailnet->nodes.count, err) < 0)
        return -(int)err->code;
    return addresses_find(d, j->tailnet, &plan->v4, &plan->v6, err);
}

static struct str stable_id_new(void)
{
    struct buf text = BUF(64);

    buf_put_char(&text, 'n');
    secret_put_hex(&text, 8);
    return buf_take(&text);
}

static struct node_state *add_new(struct domain *d, const struct join *j,
                                  const struct join_plan *plan)
{
    struct node *n = NEW(struct node);

    ref_init(&n->ref);
    n->id = id_next(d, j->tailnet, ID_NODE);
    n->tailnet = j->tailnet->id;
    n->stable_id = stable_id_new();
    n->machine = j->machine;
    n->key = j->key;
    n->v4 = plan->v4;
    n->v6 = plan->v6;
    n->created_ms = d->now_ms;
    n->facts = node_facts_ref(j->facts);
    n->name_is_auto = true;
    n->holds = is_approval_asked(j->tailnet) && !j->is_approved ? HOLD_DEVICE : 0;
    struct node_state *s = node_add(d, j->tailnet, n);
    name_give_auto(d, s);
    routes_update_node(d, s);
    return s;
}

/*
 * The presented key was that of another node of this machine, which has expired (its owner is
 * somebody else). Node keys are unique: that node gets one that nobody has the other half of, until
 * it logs in again.
 */
static void retire_key(struct domain *d, struct node_state *holder)
{
    struct node_key dead;

    rand_bytes(dead.b, sizeof(dead.b));
    stream_end(d, holder);
    node_set_key(d, holder, &dead);
    node_set_expiry(d, holder,
                    MIN(d->now_ms, holder->node->expiry_ms ? holder->node->expiry_ms : d->now_ms));
}

static void set_owner(struct domain *d, struct node_state *s, const struct join *j)
{
    const struct node *n = node_now(s);

    if (node_is_tagged(n) && j->keeps_tags)
        return;
    node_set_owner(d, s, j->tags.len > 0 ? 0 : j->user, &j->tags);
}

static void set_expiry(struct domain *d, struct node_state *s, const struct join *j)
{
    int64_t limit = s->tailnet->info->node_expiry_ms, expiry = j->expiry_ms;

    if (node_is_tagged(node_now(s))) {
        node_set_expiry(d, s, 0);
        return;
    }
    if (limit != 0 && !j->is_fixed)
        expiry = expiry != 0 ? MIN(expiry, d->now_ms + limit) : d->now_ms + limit;
    node_set_expiry(d, s, expiry);
}

static void set_rest(struct domain *d, struct node_state *s, const struct join *j)
{
    const struct node *n = node_now(s);

    if (j->capver != 0 && n->capver != j->capver)
        node_edit(d, s, NODE_CAPVER)->capver = j->capver;
    if (!nl_key_eq(&n->nl, &j->nl))
        node_edit(d, s, NODE_PRIVATE)->nl = j->nl;
    if (n->method != j->method)
        node_edit(d, s, NODE_PRIVATE)->method = j->method;
    if (n->ephemeral != j->ephemeral)
        node_edit(d, s, NODE_PRIVATE)->ephemeral = j->ephemeral;
    node_set_auth_key(d, s, j->auth_key);
    ephemeral_schedule(d, s, d->now_ms);
}

void join_apply(struct domain *d, const struct join *j, const struct join_plan *plan)
{
    struct node_state *s = plan->existing, *holder = node_state_by_key(d, &j->key);
    struct pending *asked = pending_of_keys(d, &j->machine, &j->key);

    if (holder && holder != s)
        retire_key(d, holder);
    if (s) {
        node_set_key(d, s, &j->key);
        node_set_facts(d, s, j->facts);
        if (j->is_approved)
            node_set_holds(d, s, node_now(s)->holds & ~(unsigned)HOLD_DEVICE);
    } else {
        s = add_new(d, j, plan);
    }
    set_owner(d, s, j);
    routes_auto_approve(d, s);
    set_expiry(d, s, j);
    set_rest(d, s, j);
    if (asked) {
        pending_decided(d, j->tailnet, asked);
        pending_remove(d, asked);
    }
    d->subject = s;
}
