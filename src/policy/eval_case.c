/*
 * Reading a case: its members to users and nodes, and these to a tailnet.
 *
 * The tailnet is made by the domain itself, so what it says about a route's server is what a
 * running server would say: nodes get their ids in the order of creation and all come online at
 * once, and the domain lets the lowest id serve. Machines' names are made up, for a case may call
 * its nodes what no DNS label can hold.
 */

#include "policy/eval_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/num.h"
#include "policy/eval.h"
#include "tailnet/domain.h"

#define TAILNET_NAME_DEFAULT STR("odin@example.com")
#define TAILNET_ID ((tailnet_id)1)

/* ---- Users ---- */

static int read_role(const struct json_value *v, size_t at, enum user_role *role, struct err *err)
{
    struct str name = json_get_str(v, "role");

    if (name.len == 0) {
        *role = ROLE_MEMBER;
        return 0;
    }
    if (user_role_find(name, role))
        return 0;
    return err_set(err, ERR_INVALID, "users[%zu].role is none", at);
}

static int read_user(const struct json_value *v, size_t at, const struct user **out,
                     struct err *err)
{
    enum user_role role = ROLE_MEMBER;
    uint64_t id = json_get_u64(v, "id", 0);

    if (!json_is(v, JSON_OBJECT))
        return err_set(err, ERR_INVALID, "users[%zu] is %s, not an object", at, json_type_name(v));
    if (id == 0 || id >= NUM_JSON_MAX)
        return err_set(err, ERR_INVALID, "users[%zu].id is no positive number", at);
    if (json_get_str(v, "name").len == 0)
        return err_set(err, ERR_INVALID, "users[%zu].name is missing", at);
    if (read_role(v, at, &role, err) < 0)
        return -(int)err->code;

    struct user *u = user_new();
    u->id = id;
    u->tailnet = TAILNET_ID;
    u->name = str_copy(json_get_str(v, "name"));
    u->email = str_copy(json_get_str(v, "email"));
    u->role = role;
    JSON_EACH(group, json_get_array(v, "groups")) {
        if (json_is(group, JSON_STRING) && u->groups.len < USER_GROUPS_MAX)
            str_list_add(&u->groups, group->str);
    }
    *out = u;
    return 0;
}

static int read_users(const struct json_value *list, struct eval_case *c, struct err *err)
{
    size_t n = json_len(list);

    if (n > POLICY_EVAL_USERS_MAX)
        return err_set(err, ERR_INVALID, "over %d users", POLICY_EVAL_USERS_MAX);
    c->users = arena_alloc(c->arena, (n + 1) * sizeof(*c->users));
    JSON_EACH(v, list) {
        if (read_user(v, c->n_users, &c->users[c->n_users], err) < 0)
            return -(int)err->code;
        c->n_users++;
    }
    return 0;
}

static const struct user *user_by_name(const struct eval_case *c, struct str name)
{
    for (size_t i = 0; i < c->n_users; i++)
        if (str_eq(c->users[i]->name, name))
            return c->users[i];
    return NULL;
}

/* ---- Nodes ---- */

/* Where a complaint points: nodes[at].what. */
struct place {
    size_t at;
    const char *what;
};

static int read_addr(const struct json_value *v, struct place p, uint8_t family,
                     struct ip_addr *out, struct err *err)
{
    struct str text = json_get_str(v, p.what);

    if (text.len == 0)
        return 0;
    if (!ip_addr_parse(text, out) || out->family != family)
        return err_set(err, ERR_INVALID, "nodes[%zu].%s is no such address", p.at, p.what);
    return 0;
}

static int read_prefixes(const struct json_value *v, struct place p, struct ip_prefix **out,
                         size_t *n, struct err *err)
{
    const struct json_value *list = json_get_array(v, p.what);

    *n = 0;
    if (json_len(list) == 0)
        return 0;
    if (json_len(list) > NODE_ROUTES_MAX)
        return err_set(err, ERR_INVALID, "nodes[%zu].%s has over %d entries", p.at, p.what,
                       NODE_ROUTES_MAX);
    *out = mem_alloc_array(json_len(list), sizeof(**out));
    JSON_EACH(item, list) {
        if (!ip_prefix_parse_or_addr(json_as_str(item, STR_NONE), &(*out)[*n]))
            return err_set(err, ERR_INVALID, "nodes[%zu].%s[%zu] is no prefix", p.at, p.what, *n);
        (*out)[*n] = ip_prefix_masked((*out)[*n]);
        ++*n;
    }
    *n = ip_prefix_sort_unique(*out, *n);
    return 0;
}

static int read_tags(const struct json_value *v, size_t at, struct node *n, struct err *err)
{
    const struct json_value *list = json_get_array(v, "tags");

    if (json_len(list) > NODE_TAGS_MAX)
        return err_set(err, ERR_INVALID, "nodes[%zu].tags has over %d entries", at, NODE_TAGS_MAX);
    JSON_EACH(item, list) {
        if (json_as_str(item, STR_NONE).len == 0)
            return err_set(err, ERR_INVALID, "nodes[%zu].tags holds %s", at, json_type_name(item));
        str_list_add(&n->tags, item->str);
    }
    str_list_sort_unique(&n->tags);
    return 0;
}

static int read_owner(const struct json_value *v, size_t at, const struct eval_case *c,
                      struct eval_node *en, struct err *err)
{
    struct str name = json_get_str(v, "user");

    if (node_is_tagged(en->node))
        return 0; /* who made it owns it no longer */
    if (name.len == 0)
        return err_set(err, ERR_INVALID, "nodes[%zu] has neither a user nor tags", at);
    en->user = user_by_name(c, name);
    if (!en->user)
        return err_set(err, ERR_INVALID, "nodes[%zu].user is none of users", at);
    en->node->user = en->user->id;
    return 0;
}

static int read_created(const struct json_value *v, size_t at, struct eval_node *en,
                        struct err *err)
{
    en->created = json_get_str(v, "created");
    en->has_created = en->created.len > 0;
    if (en->has_created && !clock_parse_rfc3339(en->created, &en->created_ms))
        return err_set(err, ERR_INVALID, "nodes[%zu].created is no time", at);
    return 0;
}

static int read_node(const struct json_value *v, size_t at, struct eval_case *c, struct err *err)
{
    struct eval_node *en = &c->nodes[at];

    if (!json_is(v, JSON_OBJECT))
        return err_set(err, ERR_INVALID, "nodes[%zu] is %s, not an object", at, json_type_name(v));
    en->name = json_get_str(v, "name");
    if (en->name.len == 0)
        return err_set(err, ERR_INVALID, "nodes[%zu].name is missing", at);

    struct node *n = en->node = NEW(struct node);
    ref_init(&n->ref);
    n->tailnet = TAILNET_ID;
    n->facts = node_facts_new();
    n->facts->os = str_copy(STR("linux"));
    if (read_tags(v, at, n, err) < 0 || read_owner(v, at, c, en, err) < 0 ||
        read_created(v, at, en, err) < 0 ||
        read_addr(v, (struct place){at, "ipv4"}, IP_V4, &n->v4, err) < 0 ||
        read_addr(v, (struct place){at, "ipv6"}, IP_V6, &n->v6, err) < 0 ||
        read_prefixes(v, (struct place){at, "routable_ips"}, &n->facts->routes, &n->facts->n_routes,
                      err) < 0 ||
        read_prefixes(v, (struct place){at, "approved_routes"}, &n->approved, &n->n_approved, err) <
            0)
        return -(int)err->code;
    return 0;
}

/* The digits behind the point, which clock_parse_rfc3339 cuts to three. */
static struct str fraction_of(struct str time)
{
    ptrdiff_t point = str_find_char(time, '.');
    size_t n = 0;

    if (point < 0)
        return STR_NONE;
    struct str rest = str_from_index(time, (size_t)point + 1);
    while (n < rest.len && rest.ptr[n] >= '0' && rest.ptr[n] <= '9')
        n++;
    return str_sub(rest, 0, n);
}

/* By creation; nodes of no known time last, otherwise as the case has them. */
static int by_creation(const void *x, const void *y)
{
    const struct eval_node *a = *(struct eval_node *const *)x, *b = *(struct eval_node *const *)y;
    int order;

    if (a->has_created != b->has_created)
        return a->has_created ? -1 : 1;
    if (a->created_ms != b->created_ms)
        return a->created_ms < b->created_ms ? -1 : 1;
    order = str_cmp(fraction_of(a->created), fraction_of(b->created));
    return order != 0 ? order : (a > b) - (a < b);
}

static void number_nodes(struct eval_case *c)
{
    struct eval_node **order = arena_alloc(c->arena, (c->n_nodes + 1) * sizeof(struct eval_node *));
    int64_t last_ms = 0;

    c->by_age = order;
    for (size_t i = 0; i < c->n_nodes; i++)
        order[i] = &c->nodes[i];
    qsort(order, c->n_nodes, sizeof(*order), by_creation);
    for (size_t i = 0; i < c->n_nodes; i++) {
        struct node *n = order[i]->node;
        uint64_t id = i + 1;

        if (order[i]->has_created)
            last_ms = order[i]->created_ms;
        order[i]->id = n->id = id;
        n->created_ms = last_ms;
        n->stable_id = str_printf("n%" PRIu64, id);
        n->given_name = str_printf("n%" PRIu64, id);
        memcpy(n->key.b, &id, sizeof(id));
        memcpy(n->machine.b, &id, sizeof(id));
    }
}

static int read_nodes(const struct json_value *list, struct eval_case *c, struct err *err)
{
    size_t n = json_len(list);

    if (n > POLICY_EVAL_NODES_MAX)
        return err_set(err, ERR_INVALID, "over %d nodes", POLICY_EVAL_NODES_MAX);
    c->nodes = arena_alloc(c->arena, (n + 1) * sizeof(*c->nodes));
    JSON_EACH(v, list) {
        int status = read_node(v, c->n_nodes, c, err);

        c->n_nodes++; /* what it has so far is freed with the case */
        if (status < 0)
            return status;
    }
    number_nodes(c);
    return 0;
}

/* ---- The rest ---- */

static void read_tailnet(const struct json_value *v, struct eval_case *c)
{
    c->tailnet = json_get_str(v, "name");
    if (c->tailnet.len == 0)
        c->tailnet = TAILNET_NAME_DEFAULT;
    c->dns_name = json_get_str(v, "dns_name");
    c->dns_route = arena_printf(c->arena, "%.*s.", STR_ARG(c->dns_name));
    c->magic_dns = json_get_bool(v, "magic_dns", false);
    c->auto_updates = json_get_bool(v, "devices_auto_updates_on", false);
    JSON_EACH(domain, json_get_array(v, "domains"))
        str_list_add(&c->domains, json_as_str(domain, STR_NONE));
    if (!json_get_array(v, "domains"))
        str_list_add(&c->domains,
                     str_from_index(c->tailnet, (size_t)(str_rfind_char(c->tailnet, '@') + 1)));
}

static int read_case(const struct json_value *v, struct eval_case *c, struct err *err)
{
    const struct json_value *policy = json_get(v, "policy");

    if (!json_is(v, JSON_OBJECT))
        return err_set(err, ERR_INVALID, "it is %s, not an object", json_type_name(v));
    if (!json_get_array(v, "users") || !json_get_array(v, "nodes"))
        return err_set(err, ERR_INVALID, "it has no lists of users and nodes");
    if (!json_is(policy, JSON_STRING) && !json_is(policy, JSON_OBJECT))
        return err_set(err, ERR_INVALID, "it has no policy");
    c->policy = json_is(policy, JSON_STRING) ? policy->str : policy->raw;
    read_tailnet(json_get_object(v, "tailnet"), c);
    if (read_users(json_get_array(v, "users"), c, err) < 0)
        return -(int)err->code;
    return read_nodes(json_get_array(v, "nodes"), c, err);
}

int eval_case_read(struct str json, struct eval_case *c, struct err *err)
{
    const struct json_options options = {.hujson = true, .max_bytes = POLICY_EVAL_CASE_MAX};
    struct json_value *v = NULL;
    struct json_error why = {0};

    *c = (struct eval_case){.arena = arena_new()};
    if (!json_parse(c->arena, arena_copy(c->arena, json), &options, &v, &why))
        return err_set(err, ERR_INVALID, "line %" PRIu32 ", column %" PRIu32 ": %s", why.line,
                       why.col, why.text);
    return read_case(v, c, err);
}

void eval_case_fini(struct eval_case *c)
{
    for (size_t i = 0; i < c->n_nodes; i++)
        node_unref(c->nodes[i].node);
    for (size_t i = 0; i < c->n_users; i++)
        user_unref(c->users[i]);
    str_list_free(&c->domains);
    arena_free(c->arena);
    *c = (struct eval_case){0};
}

/* ---- The tailnet ---- */

static void approve_announced(const struct policy_document *d, const struct eval_node *en)
{
    struct node *n = en->node;

    n->approved = mem_realloc_array(n->approved, n->n_approved + n->facts->n_routes + 1,
                                    sizeof(*n->approved));
    for (size_t i = 0; i < n->facts->n_routes; i++)
        if (policy_approves_route(d, n, en->user, n->facts->routes[i]))
            n->approved[n->n_approved++] = n->facts->routes[i];
    n->n_approved = ip_prefix_sort_unique(n->approved, n->n_approved);
}

static int load_tailnet(struct domain *domain, const struct eval_case *c, struct err *err)
{
    struct tailnet_info *info = tailnet_info_new();

    info->id = TAILNET_ID;
    info->name = str_copy(STR("case"));
    info->base_domain = str_copy(STR("case.invalid"));
    info->domain = str_copy(c->tailnet);
    info->prefix_v4 = (struct ip_prefix){.addr = {.family = IP_V4, .bytes = {100, 64}}, .bits = 10};
    info->prefix_v6 = (struct ip_prefix){
        .addr = {.family = IP_V6, .bytes = {0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0}}, .bits = 48};
    info->magic_dns = c->magic_dns;
    info->auto_update = c->auto_updates;
    if (domain_load_tailnet(domain, info, 1, err) < 0)
        return -(int)err->code;
    for (size_t i = 0; i < c->n_users; i++)
        if (domain_load_user(domain, user_ref(c->users[i]), err) < 0)
            return -(int)err->code;
    return 0;
}

static int bring_online(struct domain *domain, const struct node *n, int64_t now_ms,
                        struct err *err)
{
    const struct command open = {.type = COMMAND_STREAM_OPEN,
                                 .tailnet = TAILNET_ID,
                                 .now_ms = now_ms,
                                 .machine = n->machine,
                                 .key = n->key};
    struct change_list changes = {0};
    struct command_result result = {0};
    int status = domain_apply(domain, &open, &changes, &result, err);

    command_result_fini(&result);
    change_list_fini(&changes);
    return status;
}

static int load_nodes(struct domain *domain, struct eval_case *c, const struct policy_document *d,
                      struct err *err)
{
    int64_t now_ms = 0;

    for (size_t i = 0; i < c->n_nodes; i++) {
        struct eval_node *en = &c->nodes[i];

        approve_announced(d, en);
        now_ms = MAX(now_ms, en->node->created_ms);
        if (domain_load_node(domain, node_ref(en->node), err) < 0)
            return err_wrap(err, "nodes[%zu]", i);
    }
    domain_load_done(domain, now_ms);
    for (size_t i = 0; i < c->n_nodes; i++)
        if (bring_online(domain, c->by_age[i]->node, now_ms, err) < 0)
            return -(int)err->code;
    return 0;
}

int eval_case_view(struct eval_case *c, const struct policy_document *d,
                   const struct tailnet_view **view, struct err *err)
{
    struct domain *domain = domain_new();
    int status = load_tailnet(domain, c, err);

    if (status == 0)
        status = load_nodes(domain, c, d, err);
    if (status == 0)
        *view = domain_view(domain, TAILNET_ID);
    domain_free(domain);
    return status;
}
