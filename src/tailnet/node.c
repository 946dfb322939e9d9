/* Nodes and facts as objects: made, copied, counted, freed. What happens to them is in nodes.c. */

#include "tailnet/node.h"

#include <stdatomic.h>

struct node_facts *node_facts_new(void)
{
    struct node_facts *f = NEW(struct node_facts);

    ref_init(&f->ref);
    f->hostinfo = str_copy(STR("{}"));
    f->hostinfo_peer = str_copy(STR("{}"));
    return f;
}

struct node_facts *node_facts_ref(struct node_facts *f)
{
    ref_take(&f->ref);
    return f;
}

void node_facts_unref(struct node_facts *f)
{
    if (!f || !ref_drop(&f->ref))
        return;
    str_free(&f->hostinfo);
    str_free(&f->hostinfo_peer);
    str_free(&f->hostname);
    str_free(&f->os);
    str_free(&f->ipn_version);
    mem_free(f->routes);
    str_list_free(&f->request_tags);
    mem_free(f);
}

/* Counting does not change what the node says, so it goes through const. */
static struct node *mutable_node(const struct node *n)
{
    union {
        const struct node *in;
        struct node *out;
    } u = {.in = n};

    return u.out;
}

struct node *node_ref(const struct node *n)
{
    struct node *m = mutable_node(n);

    ref_take(&m->ref);
    return m;
}

void node_unref(const struct node *n)
{
    struct node *m = mutable_node(n);

    if (!m || !ref_drop(&m->ref))
        return;
    str_free(&m->stable_id);
    str_list_free(&m->tags);
    str_free(&m->given_name);
    str_free(&m->fqdn);
    node_facts_unref(m->facts);
    mem_free(m->endpoints);
    mem_free(m->endpoint_types);
    mem_free(m->approved);
    mem_free(m->serving);
    node_attributes_free(m->attributes, m->n_attributes);
    abroad_unref(m->abroad);
    for (size_t i = 0; i < ARRAY_LEN(m->slots); i++)
        blob_unref(atomic_load_explicit(&m->slots[i], memory_order_relaxed));
    mem_free(m);
}

static void *dup_array(const void *items, size_t n, size_t size)
{
    return n > 0 ? mem_dup(items, n * size) : NULL;
}

struct node *node_clone(const struct node *n)
{
    struct node *c = NEW(struct node);

    /* Slot by slot below: what another thread may be filling is not read here. */
    ref_copy(c, n, offsetof(struct node, slots));
    c->stable_id = str_copy(n->stable_id);
    str_list_copy(&c->tags, &n->tags);
    c->given_name = str_copy(n->given_name);
    c->fqdn = str_copy(n->fqdn);
    c->facts = node_facts_ref(n->facts);
    c->abroad = abroad_ref(n->abroad);
    c->endpoints = dup_array(n->endpoints, n->n_endpoints, sizeof(*n->endpoints));
    c->endpoint_types = dup_array(n->endpoint_types, n->n_endpoints, sizeof(*n->endpoint_types));
    c->approved = dup_array(n->approved, n->n_approved, sizeof(*n->approved));
    c->attributes = node_attributes_copy(n->attributes, n->n_attributes);
    c->serving = dup_array(n->serving, n->n_serving, sizeof(*n->serving));
    return c;
}

struct blob *node_slot_get(const struct node *n, size_t slot)
{
    ASSERT(slot < ARRAY_LEN(n->slots));
    return atomic_load_explicit(&mutable_node(n)->slots[slot], memory_order_acquire);
}

struct blob *node_slot_fill(const struct node *n, size_t slot, struct blob *b)
{
    struct blob *was = NULL;

    ASSERT(slot < ARRAY_LEN(n->slots) && b);
    if (atomic_compare_exchange_strong_explicit(&mutable_node(n)->slots[slot], &was, b,
                                                memory_order_acq_rel, memory_order_acquire))
        return b;
    blob_unref(b);
    return was;
}

bool node_has_access(const struct node *n)
{
    return n->holds == 0;
}

bool node_is_tagged(const struct node *n)
{
    return n->tags.len > 0;
}

struct str node_dns_name(const struct node *n)
{
    return str_ends(n->fqdn, STR(".")) ? str_sub(n->fqdn, 0, n->fqdn.len - 1) : n->fqdn;
}
