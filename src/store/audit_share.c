/*
 * Shares in the audit log. Each of the two tailnets has an entry of its own, and in it its half:
 * the other tailnet by its name, of the other's people only who lent or for whom.
 */

#include "store/audit_internal.h"

#include "json/writer.h"

static void put_login(struct json_writer *w, struct str key, const struct tailnet_view *v,
                      user_id id)
{
    AUTO_FINI(buf_fini) struct buf name = BUF(4096);

    json_field_str(w, key, audit_login_of(v, id, &name));
}

static void put_time(struct json_writer *w, struct str key, int64_t ms)
{
    if (ms != 0)
        json_field_time(w, key, ms);
    else
        json_field_null(w, key);
}

static void put_terms(struct json_writer *w, const struct share_terms *t)
{
    AUTO_FINI(buf_fini) struct buf text = BUF(64);

    json_field_bool(w, STR("exitNode"), t->exit_node);
    json_field_bool(w, STR("allRoutes"), t->all_routes);
    json_field_bool(w, STR("twoWay"), t->two_way);
    json_field_array(w, STR("routes"));
    for (size_t i = 0; i < t->n_routes; i++) {
        buf_clear(&text);
        ip_prefix_put(&text, t->routes[i]);
        json_str(w, buf_str(&text));
    }
    json_end_array(w);
    json_field_array(w, STR("ports"));
    for (size_t i = 0; i < t->n_ports; i++) {
        buf_clear(&text);
        buf_put_u64(&text, t->ports[i].first);
        if (t->ports[i].last != t->ports[i].first) {
            buf_put_char(&text, '-');
            buf_put_u64(&text, t->ports[i].last);
        }
        json_str(w, buf_str(&text));
    }
    json_end_array(w);
}

static struct str name_of(const struct node *n, bool is_owner)
{
    return !n ? STR_NONE : is_owner ? n->given_name : node_dns_name(n);
}

struct str audit_share_name(struct domain *d, const struct share *s, bool is_owner)
{
    return name_of(s ? domain_node_by_id(d, s->node) : NULL, is_owner);
}

/* With both its tailnets as they stand, or stood. */
static struct str share_json(const struct share *s, const struct tailnet_view *owner,
                             const struct tailnet_view *guest, bool is_owner)
{
    const struct tailnet_view *other = is_owner ? guest : owner;
    struct buf out = BUF(AUDIT_OBJECT_MAX);
    struct json_writer w = JSON_WRITER(&out);

    json_begin_object(&w);
    json_field_str(&w, STR("node"),
                   name_of(owner ? view_node_find(owner, s->node) : NULL, is_owner));
    json_field_str(&w, STR("tailnet"), other ? view_info(other)->name : STR_NONE);
    put_login(&w, STR("sharer"), owner, s->sharer);
    put_login(&w, STR("recipient"), guest, s->user);
    put_terms(&w, &s->terms);
    put_time(&w, STR("accepted"), s->accepted_ms);
    put_time(&w, STR("expiry"), s->expiry_ms);
    json_end_object(&w);
    return buf_take(&out);
}

struct str audit_share_json(struct domain *d, const struct share *s, bool is_owner)
{
    AUTO(view_unref) const struct tailnet_view *owner = s ? domain_view(d, s->owner) : NULL;
    AUTO(view_unref) const struct tailnet_view *guest = s ? domain_view(d, s->guest) : NULL;

    return s ? share_json(s, owner, guest, is_owner) : STR_NONE;
}

struct str audit_share_invite_json(struct domain *d, const struct share_invite *i)
{
    struct buf out = BUF(AUDIT_OBJECT_MAX);
    struct json_writer w = JSON_WRITER(&out);
    const struct node *n = i ? domain_node_by_id(d, i->node) : NULL;

    if (!i)
        return STR_NONE;
    AUTO(view_unref) const struct tailnet_view *v = domain_view(d, i->tailnet);
    json_begin_object(&w);
    json_field_str(&w, STR("node"), n ? n->given_name : STR_NONE);
    put_login(&w, STR("sharer"), v, i->sharer);
    json_field_bool(&w, STR("wholeTailnet"), i->whole_tailnet);
    put_terms(&w, &i->terms);
    json_field_u64(&w, STR("usesLeft"), i->uses_left);
    put_time(&w, STR("shareExpiry"), i->share_expiry_ms);
    put_time(&w, STR("expiry"), i->expiry_ms);
    json_end_object(&w);
    return buf_take(&out);
}

/* ---- Shares that end by themselves ---- */

/* Who ended it, as far as that is the tailnet's to know. */
static struct str ended_by(const struct command *c, const struct command_result *r,
                           tailnet_id tailnet)
{
    if (c->origin == ORIGIN_SERVER && c->author.len == 0)
        return str_copy(STR("server"));
    if (c->origin == ORIGIN_SOCKET || c->origin == ORIGIN_SERVER || !r->view ||
        view_info(r->view)->id == tailnet)
        return audit_cut(c->author);
    return str_printf("tailnet:%.*s", STR_ARG(view_info(r->view)->name));
}

static bool add_end(struct store_batch *b, struct domain *d, const struct command *c,
                    const struct command_result *r, const struct share_end *end, bool is_owner)
{
    tailnet_id tailnet = is_owner ? end->share->owner : end->share->guest;
    AUTO(view_unref) const struct tailnet_view *there = domain_view(d, tailnet);
    struct audit_entry *e;

    if (!there)
        return false;
    e = audit_entry_new();
    e->id = domain_take_audit_id(d);
    e->tailnet = tailnet;
    e->created_ms = c->now_ms;
    e->origin = c->origin;
    e->author = ended_by(c, r, tailnet);
    if (r->view && view_info(r->view)->id == tailnet)
        e->from = audit_cut(c->from);
    e->action = str_copy(STR("share.end"));
    e->object = str_copy(STR("share"));
    e->object_id = end->share->id;
    e->object_name = audit_cut(name_of(view_node_find(end->owner, end->share->node), is_owner));
    e->before = share_json(end->share, end->owner, end->guest, is_owner);
    store_batch_add_audit(b, e);
    return true;
}

size_t audit_note_ended(struct store_batch *b, struct domain *d, const struct command *c,
                        const struct command_result *r)
{
    size_t n = 0;

    for (size_t i = 0; c->type != COMMAND_SHARE_REVOKE && i < r->n_ended; i++) {
        n += add_end(b, d, c, r, &r->ended[i], true);
        n += add_end(b, d, c, r, &r->ended[i], false);
    }
    return n;
}
