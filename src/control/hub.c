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
    list_init(&h->tailnets);
    hub_turns_init(h);
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
    mem_free(h->scratch);
    mem_free(h);
}

static const struct hub_tailnet *tailnet_of(const struct hub *h, tailnet_id id)
{
    if (id != 0)
        return map_find_u64(h->by_id, id);
    if (list_is_empty(&h->tailnets))
        return NULL;
    return CONTAINER_OF(list_first(&h->tailnets), struct hub_tailnet, tailnets_link);
}

const struct tailnet_view *hub_view(const struct hub *h, tailnet_id id)
{
    const struct hub_tailnet *t = tailnet_of(h, id);

    return t ? netmap_feed_view(t->feed) : NULL;
}

const struct tailnet_view *hub_view_by_name(const struct hub *h, struct str name)
{
    LIST_FOR_EACH(t, &h->tailnets, struct hub_tailnet, tailnets_link) {
        const struct tailnet_view *view = netmap_feed_view(t->feed);

        if (str_eq(view_info(view)->name, name))
            return view;
    }
    return NULL;
}

const struct tailnet_view *hub_view_at(const struct hub *h, size_t i)
{
    LIST_FOR_EACH(t, &h->tailnets, struct hub_tailnet, tailnets_link) {
        if (i-- == 0)
            return netmap_feed_view(t->feed);
    }
    return NULL;
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

static struct hub_tailnet *tailnet_add(struct hub *h, const struct publication *p)
{
    struct hub_tailnet *t = NEW(struct hub_tailnet);

    t->id = view_info(p->view)->id;
    t->hub = h;
    t->feed = netmap_feed_new(p->view);
    netmap_feed_set_policy(t->feed, p->policy);
    t->by_node = map_new();
    list_init(&t->sessions);
    tailnet_turns_init(t);
    list_push_back(&h->tailnets, &t->tailnets_link);
    (void)map_put_u64(h->by_id, t->id, t);
    return t;
}

/* Everything told so far may be wrong: a new feed, and clients start over on new streams. */
static void tailnet_reset(struct hub_tailnet *t, const struct publication *p)
{
    struct hub *h = t->hub;

    (void)map_remove_u64(h->by_id, t->id);
    list_remove(&t->tailnets_link);
    tailnet_turns_stop(t);
    t->is_orphan = true;
    (void)tailnet_add(h, p);
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

void hub_publish(struct hub *h, const struct publication *p)
{
    struct hub_tailnet *t = map_find_u64(h->by_id, view_info(p->view)->id);

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
    netmap_feed_publish(t->feed, p->view, p->changes, p->n_changes);
    if (netmap_feed_policy(t->feed) != p->policy)
        netmap_feed_set_policy(t->feed, p->policy);
    for (size_t i = 0; i < p->n_changes; i++)
        if (p->changes[i].kind == CHANGE_STREAM_END)
            end_stream(t, p->changes[i].id, p->changes[i].arg);
    tailnet_schedule_flush(t);
}
