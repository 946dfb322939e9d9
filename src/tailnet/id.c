/*
 * Numbers for new things.
 *
 * Those of the first tailnet, and of the server itself, count up from 1 as headscale's do, and
 * count nothing else. A further tailnet's are drawn: what its people see of them tells neither how
 * many things the server or another tailnet has nor how many come. Both halves of the range have
 * one kind, so they never meet:
 *
 *   1 .. 2^52 - 1      counted; a counter never goes back, so none is used twice
 *   2^52 .. 2^53 - 1   drawn, and drawn again if something has it; that one of what is gone comes
 * back has the odds of one in 2^52 for each thing there ever was
 *
 * The audit log's numbers rise with time, which its entries tell anyway: milliseconds, and within
 * one a step by chance.
 */

#include "core/num.h"
#include "core/rand.h"
#include "tailnet/domain_internal.h"

#define ID_DRAWN ((uint64_t)1 << 52)
/* Room for entries of one millisecond; good until the year 2109. */
#define AUDIT_BITS 11
#define AUDIT_STEP 32

static uint64_t *counter_of(struct domain *d, enum id_kind kind)
{
    switch (kind) {
    case ID_TAILNET:
        return &d->next.tailnet;
    case ID_USER:
        return &d->next.user;
    case ID_AUTH_KEY:
        return &d->next.auth_key;
    case ID_NODE:
        return &d->next.node;
    case ID_API_KEY:
        return &d->next.api_key;
    case ID_WEBHOOK:
        return &d->next.webhook;
    case ID_SHARE:
        return &d->next.share;
    case ID_SHARE_INVITE:
        return &d->next.share_invite;
    case ID_USER_INVITE:
        return &d->next.user_invite;
    }
    ASSERT(false && "a kind without a counter");
    return NULL;
}

static bool is_used(const struct domain *d, enum id_kind kind, uint64_t id)
{
    switch (kind) {
    case ID_TAILNET:
        return map_find_u64(d->tailnet_by_id, id);
    case ID_USER:
        return map_find_u64(d->user_by_id, id);
    case ID_AUTH_KEY:
        return map_find_u64(d->key_by_id, id);
    case ID_NODE:
        return map_find_u64(d->node_by_id, id);
    case ID_API_KEY:
        return table_find(&d->api_keys, id);
    case ID_SHARE:
        return map_find_u64(d->share_by_id, id);
    case ID_SHARE_INVITE:
        return map_find_u64(d->share_invites.by_id, id);
    case ID_USER_INVITE:
        return map_find_u64(d->user_invites.by_id, id);
    case ID_WEBHOOK:
        break;
    }
    LIST_FOR_EACH(t, &d->tailnets, struct tailnet, tailnets_link) {
        if (table_find(&t->webhooks, id))
            return true;
    }
    return false;
}

uint64_t id_next(struct domain *d, const struct tailnet *t, enum id_kind kind)
{
    uint64_t *next = counter_of(d, kind), id;
    bool is_drawn =
        kind == ID_TAILNET ? !list_is_empty(&d->tailnets) : t && t != domain_tailnet(d, 0);

    if (is_drawn) {
        do
            id = ID_DRAWN + rand_below(ID_DRAWN);
        while (is_used(d, kind, id));
        return id;
    }
    if (kind == ID_USER && *next == USER_TAGGED_DEVICES)
        ++*next;
    return *next;
}

void id_used(struct domain *d, enum id_kind kind, uint64_t id)
{
    uint64_t *next = counter_of(d, kind);

    if (id < ID_DRAWN)
        *next = MAX(*next, id + 1);
}

void ids_restore(struct domain *d, const struct domain_counters *from)
{
    struct domain_counters next = *from;
    const uint64_t counted[] = {[ID_TAILNET] = next.tailnet,
                                [ID_USER] = next.user,
                                [ID_AUTH_KEY] = next.auth_key,
                                [ID_NODE] = next.node,
                                [ID_API_KEY] = next.api_key,
                                [ID_WEBHOOK] = next.webhook,
                                [ID_SHARE] = next.share,
                                [ID_SHARE_INVITE] = next.share_invite,
                                [ID_USER_INVITE] = next.user_invite};

    for (size_t kind = 0; kind < ARRAY_LEN(counted); kind++) {
        if (counted[kind] > 1)
            id_used(d, (enum id_kind)kind, counted[kind] - 1);
    }
    d->next.audit = MAX(d->next.audit, next.audit);
    d->next.event = MAX(d->next.event, next.event);
}

uint64_t domain_take_audit_id(struct domain *d)
{
    uint64_t now = (uint64_t)MAX(d->now_ms, (int64_t)0) << AUDIT_BITS;
    uint64_t id = d->next.audit + rand_below(AUDIT_STEP);

    if (now > d->next.audit && now < NUM_JSON_MAX)
        id = now + rand_below((uint64_t)1 << (AUDIT_BITS - 1));
    d->next.audit = id + 1;
    return id;
}
