/*
 * Nodes: rows of headscale's nodes (or machines) to nodes of ours.
 *
 * A node keeps its number, keys, addresses and name, so that its client notices nothing. What two
 * rows both claim goes to the one with the lower number; the other gets something else (a name, a
 * number, an address) and the report says so. Two nodes with one node key cannot both be.
 *
 *   row --read_node--> struct node_row --owner, tags, routes, name, addresses--> struct node -->
 * domain
 */

#include "store/import_internal.h"
#include "tailnet/name.h"
#include "wire/hostinfo.h"
#include "json/value.h"

static const char *nodes_table(const struct import *im)
{
    return im->schema.has_machines ? "machines" : "nodes";
}

/* ---- before the nodes: keys they name, routes of a table of their own ---- */

static const char *const named_columns[] = {"id", "auth_key_id", NULL};

static int named_row(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct import *im = user;
    struct values r = {.names = named_columns, .v = columns, .n = n};
    uint64_t key = values_id(&r, "auth_key_id");
    struct import_key *facts;

    (void)err;
    if (key == 0 || map_find_u64(im->key_facts, key))
        return 0;
    facts = arena_alloc(im->arena, sizeof(*facts));
    facts->is_named = true;
    (void)map_put_u64(im->key_facts, key, facts);
    return 0;
}

int import_named_keys(struct import *im, struct err *err)
{
    return schema_select(&im->schema, nodes_table(im), named_columns, named_row, im, err);
}

static const char *const route_columns[] = {"id",     "node_id", "machine_id",
                                            "prefix", "enabled", NULL};

static void add_route(struct import *im, struct import_routes **list, struct ip_prefix prefix)
{
    struct import_routes *r = arena_alloc(im->arena, sizeof(*r));

    r->prefix = ip_prefix_masked(prefix);
    r->next = *list;
    *list = r;
}

/* Routes of nodes that are gone are no damage: old releases left them behind. */
static int route_row(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct import *im = user;
    struct values r = {.names = route_columns, .v = columns, .n = n};
    uint64_t node = values_id(&r, "node_id"), machine = values_id(&r, "machine_id");
    struct str text = values_text(&r, "prefix", IMPORT_NAME_MAX);
    bool enabled = values_bool(&r, "enabled");
    struct import_routes *list;
    struct ip_prefix prefix;

    (void)err;
    node = node ? node : machine;
    if (!r.trouble[0] && (!enabled || node == 0))
        return 0;
    if (!ip_prefix_parse_or_addr(text, &prefix))
        values_complain(&r, "prefix is none");
    if (r.trouble[0]) {
        import_note(im, IMPORT_DAMAGED, IMPORT_NODE, node, STR_NONE, "a route of it, row %llu: %s",
                    (unsigned long long)values_id(&r, "id"), r.trouble);
        return 0;
    }
    list = map_find_u64(im->routes, node);
    add_route(im, &list, prefix);
    (void)map_put_u64(im->routes, node, list);
    return 0;
}

/* ---- a row, read ---- */

static const char *const node_columns[] = {"id",
                                           "machine_key",
                                           "node_key",
                                           "disco_key",
                                           "endpoints",
                                           "host_info",
                                           "ipv4",
                                           "ipv6",
                                           "ip_addresses",
                                           "ip_address",
                                           "hostname",
                                           "given_name",
                                           "name",
                                           "nickname",
                                           "user_id",
                                           "namespace_id",
                                           "register_method",
                                           "tags",
                                           "forced_tags",
                                           "auth_key_id",
                                           "last_seen",
                                           "expiry",
                                           "approved_routes",
                                           "enabled_routes",
                                           "created_at",
                                           "registered",
                                           NULL};

struct node_row {
    uint64_t id, user, auth_key; /* in the source */
    struct str hostname, given_name, method;
    struct str_list tags, endpoints, approved;
    bool is_registered;
};

/* With its prefix, or bare as up to 0.22. An empty one is none. */
static bool parse_key(struct str text, struct str prefix, uint8_t out[KEY_BYTES])
{
    return key_parse(text, prefix, out) || key_parse(text, STR_NONE, out);
}

static void read_keys(struct values *r, struct node *node)
{
    struct str machine = values_text(r, "machine_key", IMPORT_NAME_MAX);
    struct str key = values_text(r, "node_key", IMPORT_NAME_MAX);
    struct str disco = values_text(r, "disco_key", IMPORT_NAME_MAX);

    if (!parse_key(machine, STR("mkey:"), node->machine.b) || key_is_zero(node->machine.b))
        values_complain(r, "machine_key is no key");
    if (!parse_key(key, STR("nodekey:"), node->key.b) || key_is_zero(node->key.b))
        values_complain(r, "node_key is no key");
    /* The client makes a new one at each start, and says so. */
    if (!parse_key(disco, STR("discokey:"), node->disco.b))
        node->disco = (struct disco_key){0};
}

static void read_address(struct values *r, const char *column, struct str text, struct node *node)
{
    struct ip_addr addr;

    text = str_trim(text);
    if (text.len == 0)
        return;
    if (!ip_addr_parse(text, &addr))
        values_complain(r, "%s has one that is no address", column);
    else if (addr.family == IP_V4)
        node->v4 = addr;
    else
        node->v6 = addr;
}

static void read_addresses(struct values *r, struct node *node)
{
    static const char *const columns[] = {"ip_address", "ip_addresses", "ipv4", "ipv6"};

    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        struct str rest = values_text(r, columns[i], IMPORT_NAME_MAX), piece;

        while (str_next(&rest, ',', &piece))
            read_address(r, columns[i], piece, node);
    }
}

static void add_all(struct arena *arena, struct str_list *to, const struct str_list *more)
{
    struct str *items = arena_alloc(arena, (to->len + more->len) * sizeof(*items));

    for (size_t i = 0; i < to->len; i++)
        items[i] = to->items[i];
    for (size_t i = 0; i < more->len; i++)
        items[to->len + i] = more->items[i];
    to->items = items;
    to->len += more->len;
}

static void read_list(struct import *im, struct values *r, const char *column, struct str_list *to)
{
    struct str_list more = {0};

    values_list(r, column, im->arena, &more);
    if (more.len > 0)
        add_all(im->arena, to, &more);
}

static void read_node(struct import *im, struct values *r, struct node_row *row, struct node *node)
{
    struct str name = values_text(r, "name", IMPORT_NAME_MAX);
    struct str nickname = values_text(r, "nickname", IMPORT_NAME_MAX);

    row->id = values_id(r, "id");
    row->user = im->schema.has_namespaces ? values_id(r, "namespace_id") : values_id(r, "user_id");
    row->auth_key = values_id(r, "auth_key_id");
    row->hostname = values_text(r, "hostname", IMPORT_NAME_MAX);
    row->given_name = values_text(r, "given_name", IMPORT_NAME_MAX);
    if (row->hostname.len == 0)
        row->hostname = name;
    if (row->given_name.len == 0)
        row->given_name = nickname;
    row->method = values_text(r, "register_method", IMPORT_NAME_MAX);
    row->is_registered =
        values_get(r, "registered").type == DB_NULL || values_bool(r, "registered");
    read_list(im, r, "tags", &row->tags);
    read_list(im, r, "forced_tags", &row->tags);
    read_list(im, r, "approved_routes", &row->approved);
    read_list(im, r, "enabled_routes", &row->approved);
    read_keys(r, node);
    read_addresses(r, node);
    node->created_ms = values_ms(r, "created_at");
    node->last_seen_ms = values_ms(r, "last_seen");
    node->expiry_ms = MAX(values_ms(r, "expiry"), (int64_t)0);
    if (row->id == 0)
        values_complain(r, "id is none");
    else if (map_find_u64(im->nodes, row->id))
        values_complain(r, "another row has the same id");
}

/* ---- the parts of a node ---- */

static struct str shown_name(const struct node_row *row)
{
    return row->given_name.len > 0 ? row->given_name : row->hostname;
}

/* Counts a change once for a node; `changed` is kept by the caller. */
#define CHANGED(im, row, changed, ...)                                                           \
    do {                                                                                         \
        import_note((im), IMPORT_CHANGED, IMPORT_NODE, (row)->id, shown_name(row), __VA_ARGS__); \
        if (*(changed))                                                                          \
            (im)->report->counts[IMPORT_NODE][IMPORT_CHANGED]--;                                 \
        *(changed) = true;                                                                       \
    } while (0)

static bool decode_facts(struct import *im, struct str text, struct node_facts *f,
                         uint32_t *home_derp)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *v = NULL;
    struct wire_hostinfo h = {0};

    (void)im;
    if (text.len == 0)
        return true;
    if (text.len > NODE_HOSTINFO_MAX || !json_parse(arena, text, NULL, &v, NULL) ||
        wire_hostinfo_decode(arena, v, &h, NULL) < 0 || h.peer.len > NODE_HOSTINFO_MAX ||
        h.n_routes > NODE_ROUTES_MAX || h.n_request_tags > NODE_TAGS_MAX)
        return false;
    str_free(&f->hostinfo);
    f->hostinfo = str_copy(h.raw);
    str_free(&f->hostinfo_peer);
    f->hostinfo_peer = str_copy(h.peer);
    f->hostname = str_copy(str_sub(h.hostname, 0, IMPORT_NAME_MAX));
    f->os = str_copy(h.os);
    f->ipn_version = str_copy(h.ipn_version);
    f->routes = h.n_routes ? mem_dup(h.routes, h.n_routes * sizeof(*h.routes)) : NULL;
    f->n_routes = h.n_routes;
    for (size_t i = 0; i < h.n_request_tags; i++)
        str_list_add(&f->request_tags, h.request_tags[i]);
    *home_derp = h.preferred_derp;
    return true;
}

/* Host facts and endpoints the client sends again when it connects; nothing is refused for them. */
static void take_facts(struct import *im, struct values *r, const struct node_row *row,
                       struct node *node, bool *changed)
{
    struct db_value v = values_get(r, "host_info");
    struct str text = v.type == DB_TEXT || v.type == DB_BLOB ? v.s : STR_NONE;

    node->facts = node_facts_new();
    if (!decode_facts(im, text, node->facts, &node->home_derp))
        CHANGED(im, row, changed,
                "comes without its host facts, which cannot be read; the client "
                "sends them again");
    if (row->hostname.len > 0) {
        str_free(&node->facts->hostname);
        node->facts->hostname = str_copy(row->hostname);
    }
}

static void take_endpoints(struct import *im, struct values *r, struct node *node)
{
    struct values mine = {.names = r->names, .v = r->v, .n = r->n};
    struct str_list list = {0};

    values_list(&mine, "endpoints", im->arena, &list);
    if (list.len == 0 || mine.trouble[0])
        return;
    node->endpoints = mem_alloc_array(NODE_ENDPOINTS_MAX, sizeof(*node->endpoints));
    node->endpoint_types = mem_alloc_array(NODE_ENDPOINTS_MAX, sizeof(*node->endpoint_types));
    for (size_t i = 0; i < list.len && node->n_endpoints < NODE_ENDPOINTS_MAX; i++)
        node->n_endpoints +=
            ip_addrport_parse(list.items[i], &node->endpoints[node->n_endpoints]) ? 1 : 0;
}

static void take_tags(struct import *im, const struct node_row *row, struct node *node,
                      const struct user *owner, bool *changed)
{
    const struct str_list *asked = &node->facts->request_tags;

    for (size_t i = 0; i < row->tags.len; i++) {
        if (import_tag_is_usable(row->tags.items[i]))
            str_list_add(&node->tags, row->tags.items[i]);
        else
            CHANGED(im, row, changed, "comes without \"%.*s\", which is no tag",
                    STR_ARG(str_sub(row->tags.items[i], 0, 64)));
    }
    /* Up to 0.27 what a client had asked for was in its host facts only. */
    for (size_t i = 0; i < asked->len && !schema_has_column(&im->schema, "nodes", "tags"); i++)
        if (owner && im->options->tag_may_be_requested && import_tag_is_usable(asked->items[i]) &&
            im->options->tag_may_be_requested(im->options->hook, owner, asked->items[i]))
            str_list_add(&node->tags, asked->items[i]);
    str_list_sort_unique(&node->tags);
}

/* The owner, or NULL; out of the auth key when the row names none. */
static const struct user *owner_of(struct import *im, const struct node_row *row,
                                   const struct import_key *key)
{
    uint64_t id = row->user ? row->user : key ? key->user : 0;

    return id ? map_find_u64(im->users, id) : NULL;
}

static void take_routes(struct import *im, const struct node_row *row, struct node *node,
                        bool *changed)
{
    const struct import_routes *more = map_find_u64(im->routes, row->id);
    size_t n = row->approved.len + 2;
    bool is_exit = false;

    for (const struct import_routes *r = more; r; r = r->next)
        n++;
    node->approved = mem_alloc_array(n, sizeof(*node->approved));
    for (size_t i = 0; i < row->approved.len; i++) {
        struct ip_prefix p;

        if (ip_prefix_parse_or_addr(row->approved.items[i], &p))
            node->approved[node->n_approved++] = ip_prefix_masked(p);
        else
            CHANGED(im, row, changed, "comes without the approved route \"%.*s\", which is none",
                    STR_ARG(str_sub(row->approved.items[i], 0, 64)));
    }
    for (const struct import_routes *r = more; r; r = r->next)
        node->approved[node->n_approved++] = r->prefix;
    for (size_t i = 0; i < node->n_approved; i++)
        is_exit |= ip_prefix_is_exit(node->approved[i]);
    if (is_exit) {
        node->approved[node->n_approved++] = (struct ip_prefix){.addr = {.family = IP_V4}};
        node->approved[node->n_approved++] = (struct ip_prefix){.addr = {.family = IP_V6}};
    }
    node->n_approved = ip_prefix_sort_unique(node->approved, node->n_approved);
    if (node->n_approved > NODE_ROUTES_MAX) {
        CHANGED(im, row, changed, "comes with %d approved routes of %zu", NODE_ROUTES_MAX,
                node->n_approved);
        node->n_approved = NODE_ROUTES_MAX;
    }
}

/* ---- names ---- */

static struct str lower(struct arena *arena, struct str s)
{
    char *to = arena_alloc(arena, s.len + 1);

    for (size_t i = 0; i < s.len; i++)
        to[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] - 'A' + 'a') : s.ptr[i];
    return str_bytes(to, s.len);
}

/* Whether headscale would have given that name by itself: the label, with "-1" or, up to 0.28, "-"
 * and eight characters behind it when it was taken. */
static bool is_auto_name(struct str name, struct str label)
{
    struct str rest;
    uint64_t number;

    if (str_eq_nocase(name, label))
        return true;
    rest = str_from_index(name, MIN(label.len, (size_t)54));
    if (!str_starts(name, str_sub(label, 0, 54)) || !str_starts(rest, STR("-")))
        return false;
    rest = str_from_index(rest, 1);
    return rest.len == 8 || (rest.len < 6 && str_parse_u64(rest, &number));
}

/* 0: nobody has that label; else the number to try behind it. */
static uintptr_t next_suffix(const struct import *im, struct str label)
{
    return (uintptr_t)map_find(im->names, label);
}

static void take_name(struct import *im, const struct node_row *row, struct node *node,
                      bool *changed)
{
    AUTO_FINI(buf_fini) struct buf label = BUF(256);
    struct str want = row->given_name, name, taken;

    name_from_hostname(row->hostname, &label);
    node->name_is_auto = want.len == 0 || is_auto_name(want, buf_str(&label));
    if (!name_is_label(want)) {
        AUTO_FINI(buf_fini) struct buf made = BUF(256);

        name_from_hostname(want.len > 0 ? want : row->hostname, &made);
        name = arena_copy(im->arena, buf_str(&made));
        while (!name_is_label(name))
            name = name.len > 1 ? str_sub(name, 0, name.len - 1) : STR("node");
        if (want.len > 0)
            CHANGED(im, row, changed, "is called %.*s now: what it had is no DNS label",
                    STR_ARG(name));
        want = name;
    }
    name = want;
    taken = lower(im->arena, want);
    for (uintptr_t i = next_suffix(im, taken); i > 0; i++) {
        struct str base = str_sub(want, 0, 52);

        while (str_ends(base, STR("-")))
            base = str_sub(base, 0, base.len - 1);
        name = arena_printf(im->arena, "%.*s-%zu", STR_ARG(base), (size_t)i);
        if (next_suffix(im, lower(im->arena, name)) > 0)
            continue;
        /* Where to go on for the next of that name. */
        (void)map_put(im->names, taken, (void *)(i + 1));
        break;
    }
    if (!str_eq(name, want))
        CHANGED(im, row, changed, "is called %.*s now: another node has the name %.*s",
                STR_ARG(name), STR_ARG(want));
    (void)map_put(im->names, lower(im->arena, name), (void *)(uintptr_t)1);
    node->given_name = str_copy(name);
}

/* ---- addresses ---- */

static bool is_taken(const struct import *im, const struct ip_addr *addr)
{
    return ip_addr_is_set(*addr) && map_find(im->addresses, str_bytes(addr, sizeof(*addr)));
}

static void take_address(struct import *im, const struct ip_addr *addr)
{
    if (ip_addr_is_set(*addr))
        (void)map_put(im->addresses, str_bytes(addr, sizeof(*addr)), im);
}

/* ---- into the domain ---- */

static int load(struct import *im, struct node *node, struct err *err)
{
    im->report->n_tagged += node->tags.len > 0;
    im->report->n_routes += node->n_approved;
    import_changed(im, CHANGE_NODE, node->id);
    return domain_load_node(im->domain, node, err);
}

/* Its addresses are somebody's: new ones for it, once everybody else has his own. */
static void put_off(struct import *im, const struct node_row *row, struct node *node)
{
    struct import_late *late = arena_alloc(im->arena, sizeof(*late)), **tail = &im->late;

    *late = (struct import_late){.node = node, .source_id = row->id};
    while (*tail)
        tail = &(*tail)->next;
    *tail = late;
}

static int load_late(struct import *im, struct err *err)
{
    for (struct import_late *late; (late = im->late);) {
        struct node *node = TAKE(late->node);

        im->late = late->next;
        if (domain_load_find_addresses(im->domain, im->tailnet, &node->v4, &node->v6, err) < 0) {
            node_unref(node);
            return err_wrap(err, "node %llu", (unsigned long long)late->source_id);
        }
        if (load(im, node, err) < 0)
            return -(int)err->code;
    }
    return 0;
}

static const char *why_not(struct import *im, const struct node_row *row, const struct node *node,
                           const struct user *owner)
{
    const struct node *other = map_find(im->node_keys, node_key_str(&node->key));

    if (!row->is_registered)
        return "it was never let in";
    if (other && machine_key_eq(&other->machine, &node->machine))
        return "the same machine with the same node key is there already";
    if (other)
        return "another node has its node key";
    return !owner && node->tags.len == 0 ? "it has neither an owner nor tags" : NULL;
}

static enum register_method method_of(struct str text)
{
    if (str_eq_nocase(text, STR("authkey")))
        return REGISTER_AUTH_KEY;
    if (str_eq_nocase(text, STR("cli")))
        return REGISTER_CLI;
    return str_eq_nocase(text, STR("oidc")) ? REGISTER_OIDC : REGISTER_UNSPECIFIED;
}

/* Takes the node. */
static int add_node(struct import *im, const struct node_row *row, struct node *node,
                    const struct user *owner, bool changed, struct err *err)
{
    const struct import_key *key =
        row->auth_key ? map_find_u64(im->key_facts, row->auth_key) : NULL;
    const struct auth_key *kept = row->auth_key ? map_find_u64(im->keys, row->auth_key) : NULL;

    node->id = import_take_id(im, 'n', row->id, &im->next.node);
    node->tailnet = im->tailnet;
    node->stable_id = str_printf("%llu", (unsigned long long)node->id);
    node->user = node->tags.len > 0 ? 0 : owner->id;
    if (node->tags.len > 0)
        node->expiry_ms = 0;
    node->auth_key = kept ? kept->id : 0;
    node->ephemeral = key && key->is_ephemeral;
    node->method = method_of(row->method);
    (void)map_put(im->node_keys, node_key_str(&node->key), node);
    if (node->id != row->id)
        CHANGED(im, row, &changed, "gets the number %llu: another node has %llu",
                (unsigned long long)node->id, (unsigned long long)row->id);
    take_name(im, row, node, &changed);
    take_routes(im, row, node, &changed);

    bool is_late = is_taken(im, &node->v4) || is_taken(im, &node->v6);

    if (is_late)
        CHANGED(im, row, &changed, "gets new addresses: another node has its own");
    else if (!ip_addr_is_set(node->v4) && !ip_addr_is_set(node->v6))
        CHANGED(im, row, &changed, "gets addresses: it had none");
    if (!changed)
        import_note(im, IMPORT_TAKEN, IMPORT_NODE, row->id, STR_NONE, NULL);
    if (is_late || (!ip_addr_is_set(node->v4) && !ip_addr_is_set(node->v6))) {
        put_off(im, row, node);
        return 0;
    }
    take_address(im, &node->v4);
    take_address(im, &node->v6);
    return load(im, node, err);
}

static int node_row(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct import *im = user;
    struct values r = {.names = node_columns, .v = columns, .n = n};
    struct node_row row = {0};
    struct node *node = NEW(struct node);
    const struct import_key *key;
    const struct user *owner;
    const char *why;
    bool changed = false;

    ref_init(&node->ref);
    read_node(im, &r, &row, node);
    if (r.trouble[0]) {
        import_note(im, IMPORT_DAMAGED, IMPORT_NODE, row.id, shown_name(&row), "%s", r.trouble);
        node_unref(node);
        return 0;
    }
    (void)map_put_u64(im->nodes, row.id, im);
    if (map_len(im->nodes) > TAILNET_NODES_MAX) {
        node_unref(node);
        return err_set(err, ERR_LIMIT, "a tailnet has at most %d nodes", TAILNET_NODES_MAX);
    }
    key = row.auth_key ? map_find_u64(im->key_facts, row.auth_key) : NULL;
    owner = owner_of(im, &row, key);
    take_facts(im, &r, &row, node, &changed);
    take_endpoints(im, &r, node);
    take_tags(im, &row, node, owner, &changed);
    why = why_not(im, &row, node, owner);
    if (why) {
        if (changed)
            im->report->counts[IMPORT_NODE][IMPORT_CHANGED]--;
        import_note(im, IMPORT_LEFT, IMPORT_NODE, row.id, shown_name(&row), "%s", why);
        node_unref(node);
        return 0;
    }
    return add_node(im, &row, node, owner, changed, err);
}

int import_nodes(struct import *im, struct err *err)
{
    if (schema_has_column(&im->schema, "routes", "prefix") &&
        schema_select(&im->schema, "routes", route_columns, route_row, im, err) < 0)
        return -(int)err->code;
    if (schema_select(&im->schema, nodes_table(im), node_columns, node_row, im, err) < 0)
        return -(int)err->code;
    return load_late(im, err);
}
