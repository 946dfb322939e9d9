/*
 * Feeds of one loop, and what publications do to the sessions of theirs. See hub.h.
 */

#include "control/hub_internal.h"
#include "core/mem.h"

struct hub *hub_new(struct loop *loop, struct registrar *registrar)
{
    struct hub *h = NEW(struct hub);

    h->loop = loop;
    h->registrar = registrar;
    h->limits = HUB_LIMITS_DEFAULT;
    h->by_id = map_new();
    h->by_name = map_new();
    list_init(&h->tailnets);
    hub_turns_init(h);
    h->json = BUF(NETMAP_MESSAGE_MAX);
    return h;
}

void hub_set_registrar(struct hub *h, struct registrar *registrar)
{
    h->registrar = registrar;
}

void hub_set_limits(struct hub *h, const struct hub_limits *limits)
{
    h->limits = *limits;
}

void hub_tailnet_free(struct hub_tailnet *t)
{
    tailnet_turns_fini(t);
    list_remove(&t->tailnets_link);
    netmap_feed_free(t->feed);
    map_free(t->by_node);
    mem_free(t);
}

void hub_free(struct hub *h)
{
    if (!h)
        return;
    LIST_FOR_EACH(t, &h->tailnets, struct hub_tailnet, tailnets_link)
        hub_tailnet_free(t);
    hub_turns_fini(h);
    map_free(h->by_id);
    map_free(h->by_name);
    mem_free(h->order);
    mem_free(h->scratch);
    buf_fini(&h->json);
    mem_free(h);
}

static const struct hub_tailnet *tailnet_of(const struct hub *h, tailnet_id id)
{
    if (id != 0)
        return map_find_u64(h->by_id, id);
    return h->n_tailnets > 0 ? h->order[0] : NULL;
}

const struct tailnet_view *hub_view(const struct hub *h, tailnet_id id)
{
    const struct hub_tailnet *t = tailnet_of(h, id);

    return t ? netmap_feed_view(t->feed) : NULL;
}

const struct tailnet_view *hub_view_by_name(const struct hub *h, struct str name)
{
    const struct hub_tailnet *t = map_find(h->by_name, name);

    return t ? netmap_feed_view(t->feed) : NULL;
}

const struct tailnet_view *hub_view_at(const struct hub *h, size_t i)
{
    return i < h->n_tailnets ? netmap_feed_view(h->order[i]->feed) : NULL;
}

const struct policy *hub_policy(const struct hub *h, tailnet_id id)
{
    const struct hub_tailnet *t = tailnet_of(h, id);

    return t ? netmap_feed_policy(t->feed) : NULL;
}

void hub_state(const struct hub *h, struct hub_state *out)
{
    *out = (struct hub_state){.sessions = h->n_sessions,
                              .waiting = h->n_waiting,
                              .sending = h->n_sending,
                              .slow = h->n_slow,
                              .flushes = h->flushes,
                              .stalled = h->stalled};
    LIST_FOR_EACH(t, &h->flushing, struct hub_tailnet, flushing_link)
        out->flushing++;
}

void hub_each_feed(const struct hub *h,
                   void (*each)(void *user, const struct netmap_feed *feed, size_t sessions),
                   void *user)
{
    LIST_FOR_EACH(t, &h->tailnets, struct hub_tailnet, tailnets_link)
        each(user, t->feed, t->n_sessions);
}

/* ---- Publications ---- */

static void order_add(struct hub *h, struct hub_tailnet *t)
{
    size_t at = h->n_tailnets;

    if (h->n_tailnets == h->cap_tailnets) {
        h->cap_tailnets = h->cap_tailnets ? h->cap_tailnets * 2 : 4;
        h->order = mem_realloc_array(h->order, h->cap_tailnets, sizeof(struct hub_tailnet *));
    }
    for (; at > 0 && h->order[at - 1]->id > t->id; at--)
        h->order[at] = h->order[at - 1];
    h->order[at] = t;
    h->n_tailnets++;
}

static struct str name_of(const struct hub_tailnet *t)
{
    return view_info(netmap_feed_view(t->feed))->name;
}

/* Before its view changes. What took its name meanwhile keeps it. */
static void forget_name(struct hub_tailnet *t)
{
    if (map_find(t->hub->by_name, name_of(t)) == t)
        (void)map_remove(t->hub->by_name, name_of(t));
}

/* It is nobody's any more, and goes with its last session. */
static void tailnet_orphan(struct hub_tailnet *t)
{
    struct hub *h = t->hub;
    size_t at = 0;

    (void)map_remove_u64(h->by_id, t->id);
    forget_name(t);
    list_remove(&t->tailnets_link);
    while (h->order[at] != t)
        at++;
    h->n_tailnets--;
    memmove(&h->order[at], &h->order[at + 1], (h->n_tailnets - at) * sizeof(struct hub_tailnet *));
    tailnet_turns_stop(t);
    t->is_orphan = true;
}

static struct hub_tailnet *tailnet_add(struct hub *h, const struct publication *p)
{
    struct hub_tailnet *t = NEW(struct hub_tailnet);

    t->id = view_info(p->view)->id;
    t->hub = h;
    t->feed = netmap_feed_new(p->view);
    netmap_feed_lend(t->feed, &h->json);
    netmap_feed_set_policy(t->feed, p->policy);
    t->by_node = map_new();
    list_init(&t->sessions);
    tailnet_turns_init(t);
    list_push_back(&h->tailnets, &t->tailnets_link);
    (void)map_put_u64(h->by_id, t->id, t);
    (void)map_put(h->by_name, name_of(t), t);
    order_add(h, t);
    return t;
}

/* Everything told so far may be wrong: a new feed, and clients start over on new streams. */
static void tailnet_reset(struct hub_tailnet *t, const struct publication *p)
{
    tailnet_orphan(t);
    (void)tailnet_add(t->hub, p);
    if (t->n_sessions == 0) {
        hub_tailnet_free(t);
        return;
    }
    LIST_FOR_EACH(s, &t->sessions, struct map_session, sessions_link)
        session_end(s);
}

static void end_stream(struct hub_tailnet *t, node_id node, uint64_t generation)
{
    for (struct map_session *s = session_of_node(t, node); s; s = s->same_node)
        if (s->options.generation == generation && s->options.stream)
            session_end(s);
}

/* The node was removed: its client is told that it has to log in, before its stream ends. */
static void say_farewell(struct hub_tailnet *t, node_id id)
{
    const struct node *last = view_node_find(netmap_feed_view(t->feed), id);

    for (struct map_session *s = session_of_node(t, id); last && s; s = s->same_node)
        session_farewell(s, last);
}

/* No machine of it has access any more: each is told so, and its stream ends with that. */
static void say_farewell_to_all(struct hub_tailnet *t)
{
    LIST_FOR_EACH(s, &t->sessions, struct map_session, sessions_link) {
        const struct node *last = view_node_find(netmap_feed_view(t->feed), s->options.node);

        if (last)
            session_farewell(s, last);
        else
            session_end(s);
    }
}

static void tailnet_removed(struct hub_tailnet *t)
{
    tailnet_orphan(t);
    say_farewell_to_all(t);
    if (t->n_sessions == 0)
        hub_tailnet_free(t);
}

static bool is_removed(const struct publication *p)
{
    for (size_t i = 0; i < p->n_changes; i++)
        if (p->changes[i].kind == CHANGE_TAILNET_REMOVED)
            return true;
    return false;
}

/* Nodes that come online: each asks for a whole map. */
static size_t newcomers_in(const struct publication *p)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n_changes; i++) {
        const struct change *c = &p->changes[i];

        if (c->kind == CHANGE_NODE && (c->mask & NODE_ONLINE)) {
            const struct node *node = view_node_find(p->view, c->id);

            n += node && node->online;
        }
    }
    return n;
}

/* Machines have registered, and nothing else happened that a client is told of. */
static enum flush_when flush_when(const struct publication *p)
{
    bool arrival = false;

    for (size_t i = 0; i < p->n_changes; i++) {
        const struct change *c = &p->changes[i];

        if (c->kind == CHANGE_AUTH_KEY)
            continue;
        if (c->kind != CHANGE_NODE || !(c->mask & NODE_NEW))
            return FLUSH_SOON;
        arrival = true;
    }
    return arrival ? FLUSH_ARRIVAL : FLUSH_SOON;
}

void hub_publish(struct hub *h, const struct publication *p)
{
    struct hub_tailnet *t = map_find_u64(h->by_id, view_info(p->view)->id);

    if (is_removed(p)) {
        if (t)
            tailnet_removed(t);
        return;
    }
    if (!t) {
        (void)tailnet_add(h, p);
        return;
    }
    if (p->reset) {
        tailnet_reset(t, p);
        return;
    }
    /* While the feed still has the view before. */
    for (size_t i = 0; i < p->n_changes; i++)
        if (p->changes[i].kind == CHANGE_NODE_REMOVED)
            say_farewell(t, p->changes[i].id);
    if (view_info(p->view)->suspended && !view_info(netmap_feed_view(t->feed))->suspended)
        say_farewell_to_all(t);
    if (!str_eq(name_of(t), view_info(p->view)->name)) {
        forget_name(t);
        (void)map_put(h->by_name, view_info(p->view)->name, t);
    }
    netmap_feed_publish(t->feed, p->view, p->changes, p->n_changes);
    if (netmap_feed_policy(t->feed) != p->policy)
        netmap_feed_set_policy(t->feed, p->policy);
    for (size_t i = 0; i < p->n_changes; i++)
        if (p->changes[i].kind == CHANGE_STREAM_END)
            end_stream(t, p->changes[i].id, p->changes[i].arg);
    tailnet_note_newcomers(t, newcomers_in(p));
    tailnet_schedule_flush(t, flush_when(p));
}
