/*
 * Registrations that wait for somebody to approve them.
 *
 *   asked --approved--> gone: the node is known by its key from now on
 *     |----rejected---> told once, then gone
 *     +----15 minutes, or pushed out by newer ones--> gone: asking again gives a new one
 *
 * Strangers make these, so there are at most so many of them, and few per machine key; the
 * oldest goes. Asking again for the same machine and node key gives the same entry, so that a
 * client that repeats itself keeps one URL. Whenever one is decided or goes, CHANGE_PENDING wakes
 * who waits for it.
 */

#include "core/rand.h"
#include "crypto/secret.h"
#include "tailnet/register_internal.h"

struct pending_machine {
    struct list pendings; /* oldest first */
    size_t len;
};

#define AUTH_ID_PREFIX "hskey-authreq-"
#define AUTH_ID_RANDOM 12 /* bytes, as 24 hexadecimal digits */

struct key_pair {
    struct machine_key machine;
    struct node_key key;
};

static struct key_pair pair_of(const struct machine_key *machine, const struct node_key *key)
{
    return (struct key_pair){*machine, *key};
}

void pending_set_init(struct pending_set *set)
{
    list_init(&set->order);
    set->by_id = map_new();
    set->by_keys = map_new();
    set->by_machine = map_new();
}

void pending_set_fini(struct domain *d)
{
    while (!list_is_empty(&d->pending.order))
        pending_remove(d, CONTAINER_OF(list_first(&d->pending.order), struct pending, order_link));
    map_free(d->pending.by_id);
    map_free(d->pending.by_keys);
    map_free(d->pending.by_machine);
}

void domain_set_pending_limits(struct domain *d, struct pending_limits limits)
{
    ASSERT(limits.ms > 0 && limits.max > 0);
    d->pending_limits = limits;
}

struct pending_limits domain_pending_limits(const struct domain *d)
{
    return d->pending_limits;
}

struct pending *pending_find(const struct domain *d, struct str auth_id)
{
    return map_find(d->pending.by_id, auth_id);
}

void pending_decided(struct domain *d, struct tailnet *t, const struct pending *p)
{
    struct change c = {.kind = CHANGE_PENDING};

    memcpy(c.text, p->auth_id, sizeof(c.text));
    domain_emit(d, t ? t : domain_tailnet(d, 0), c);
}

void pending_remove(struct domain *d, struct pending *p)
{
    struct pending_set *set = &d->pending;
    struct key_pair pair = pair_of(&p->machine, &p->key);
    struct str machine = machine_key_str(&p->machine);

    schedule_clear(&d->schedule, &p->deadline);
    list_remove(&p->order_link);
    list_remove(&p->machine_link);
    set->len--;
    (void)map_remove(set->by_id, str_from(p->auth_id));
    (void)map_remove(set->by_keys, str_bytes(&pair, sizeof(pair)));
    if (--p->of_machine->len == 0) {
        (void)map_remove(set->by_machine, machine);
        mem_free(p->of_machine);
    }
    node_facts_unref(p->facts);
    mem_free(p);
}

static void push_out(struct domain *d, struct pending *p)
{
    pending_decided(d, NULL, p);
    pending_remove(d, p);
}

static void make_room(struct domain *d, const struct machine_key *machine)
{
    struct pending_machine *m = map_find(d->pending.by_machine, machine_key_str(machine));

    struct list_node *oldest =
        m && m->len >= PENDING_PER_MACHINE_MAX ? list_first(&m->pendings) : NULL;

    if (oldest)
        push_out(d, CONTAINER_OF(oldest, struct pending, machine_link));
    oldest = d->pending.len >= d->pending_limits.max ? list_first(&d->pending.order) : NULL;
    if (oldest)
        push_out(d, CONTAINER_OF(oldest, struct pending, order_link));
}

static void make_auth_id(char out[64])
{
    struct buf text = BUF(64);

    buf_put(&text, STR(AUTH_ID_PREFIX));
    secret_put_hex(&text, AUTH_ID_RANDOM);
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    buf_fini(&text);
}

static struct pending *pending_new(struct domain *d, const struct register_request *reg,
                                   const char *auth_id)
{
    struct pending_set *set = &d->pending;
    struct pending *p = NEW(struct pending);
    struct key_pair pair = pair_of(&reg->machine, &reg->key);

    make_room(d, &reg->machine);
    struct pending_machine *m = map_find(set->by_machine, machine_key_str(&reg->machine));
    if (!m) {
        m = NEW(struct pending_machine);
        list_init(&m->pendings);
        (void)map_put(set->by_machine, machine_key_str(&reg->machine), m);
    }
    if (auth_id)
        (void)snprintf(p->auth_id, sizeof(p->auth_id), "%s", auth_id);
    else
        make_auth_id(p->auth_id);
    p->machine = reg->machine;
    p->key = reg->key;
    p->of_machine = m;
    p->deadline.kind = DEADLINE_PENDING;
    m->len++;
    list_push_back(&m->pendings, &p->machine_link);
    list_push_back(&set->order, &p->order_link);
    set->len++;
    (void)map_put(set->by_id, str_from(p->auth_id), p);
    (void)map_put(set->by_keys, str_bytes(&pair, sizeof(pair)), p);
    return p;
}

struct pending *pending_of_keys(const struct domain *d, const struct machine_key *machine,
                                const struct node_key *key)
{
    struct key_pair pair = pair_of(machine, key);

    return map_find(d->pending.by_keys, str_bytes(&pair, sizeof(pair)));
}

struct pending *pending_ask(struct domain *d, const struct register_request *reg,
                            const char *auth_id)
{
    struct pending *p = pending_of_keys(d, &reg->machine, &reg->key);

    if (p && p->is_rejected) {
        pending_remove(d, p);
        p = NULL;
    }
    if (!p)
        p = pending_new(d, reg, auth_id);
    p->old_key = reg->old_key;
    p->nl = reg->nl;
    p->capver = reg->capver;
    p->has_expiry = reg->has_expiry;
    p->expiry_ms = reg->expiry_ms;
    p->ephemeral = reg->ephemeral;
    struct node_facts *old = p->facts;
    p->facts = reg->facts ? node_facts_ref(reg->facts) : node_facts_new();
    node_facts_unref(old);
    schedule_set(&d->schedule, &p->deadline, d->now_ms + d->pending_limits.ms);
    return p;
}

/* ---- For debugging ---- */

static bool is_auth_id(struct str id)
{
    size_t prefix = sizeof(AUTH_ID_PREFIX) - 1;

    if (!str_starts(id, STR(AUTH_ID_PREFIX)) || id.len != prefix + 2 * (size_t)AUTH_ID_RANDOM)
        return false;
    for (size_t i = prefix; i < id.len; i++)
        if (!((id.ptr[i] >= '0' && id.ptr[i] <= '9') || (id.ptr[i] >= 'a' && id.ptr[i] <= 'z') ||
              (id.ptr[i] >= 'A' && id.ptr[i] <= 'Z') || id.ptr[i] == '-' || id.ptr[i] == '_'))
            return false;
    return true;
}

/* What approving it would make, as far as that is known; of no tailnet's table. */
static struct node *fabricated(const struct domain *d, const struct pending *p,
                               const struct user *owner)
{
    struct node *n = NEW(struct node);

    ref_init(&n->ref);
    n->tailnet = owner->tailnet;
    n->user = owner->id;
    n->machine = p->machine;
    n->key = p->key;
    n->facts = node_facts_ref(p->facts);
    n->created_ms = d->now_ms;
    n->method = REGISTER_CLI;

    struct buf name = BUF(256);
    name_from_hostname(p->facts->hostname, &name);
    n->given_name = buf_take(&name);
    return n;
}

int register_fabricate(struct domain *d, const struct command *c, struct command_result *r,
                       struct err *err)
{
    struct tailnet *t = NULL;
    struct user_state *owner = NULL;
    struct register_request reg = {.facts = c->facts};
    char auth_id[64];

    if (domain_tailnet_get(d, c->tailnet, &t, err) < 0 ||
        user_get(d, t, c->user, c->user_name, &owner, err) < 0)
        return -(int)err->code;
    if (!is_auth_id(c->name))
        return err_set(err, ERR_INVALID, "invalid auth_id");
    if (pending_find(d, c->name))
        return err_set(err, ERR_CONFLICT, "a registration with this auth_id waits already");
    if (c->facts && facts_check(c->facts, err) < 0)
        return -(int)err->code;

    rand_bytes(&reg.machine, sizeof(reg.machine));
    rand_bytes(&reg.key, sizeof(reg.key));
    (void)snprintf(auth_id, sizeof(auth_id), "%.*s", STR_ARG(c->name));
    struct pending *p = pending_ask(d, &reg, auth_id);
    memcpy(r->auth_id, p->auth_id, sizeof(r->auth_id));
    r->outcome = REGISTER_PENDING;
    r->user = user_ref(owner->user);
    r->node = fabricated(d, p, owner->user);
    d->of = t;
    return 0;
}

/* The machine's node of the key it shows or of the one it had before. */
static const struct node *node_of(const struct domain *d, const struct pending *p)
{
    const struct node_state *s = node_state_by_key(d, &p->key);

    if (!s && !node_key_is_zero(&p->old_key))
        s = node_state_by_key(d, &p->old_key);
    return s && machine_key_eq(&s->node->machine, &p->machine) ? s->node : NULL;
}

bool domain_pending_find(const struct domain *d, struct str auth_id, struct pending_info *out)
{
    const struct pending *p = pending_find(d, auth_id);

    if (!p || p->is_rejected)
        return false;
    const struct node *node = node_of(d, p);
    *out = (struct pending_info){.hostname = p->facts->hostname,
                                 .os = p->facts->os,
                                 .machine = p->machine,
                                 .tailnet = node ? node->tailnet : 0,
                                 .user = node ? node->user : 0};
    return true;
}
