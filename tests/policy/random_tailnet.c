/*
 * Things happen by the domain's commands, so that the change lists are what the server itself would
 * see. For what no command does (a user's role) the domain is loaded anew with that one difference,
 * and the changes are what differs between the two views.
 */

#include "random_tailnet.h"

#include <stdio.h>

const char *const random_tags[] = {"a", "b", "c", "d", "e"};
const size_t random_n_tags = ARRAY_LEN(random_tags);
const char *const random_routes[] = {"10.0.0.0/8",    "10.1.0.0/16",    "10.1.2.0/24",
                                     "10.33.0.0/16",  "192.168.1.0/24", "192.168.0.0/16",
                                     "172.16.0.0/12", "fd00:1::/64",    "fd00:1::/32",
                                     "fd00:2:3::/48", "10.1.2.3/32"};
const size_t random_n_routes = ARRAY_LEN(random_routes);
const struct random_user random_users[] = {
    {"alice", "alice@example.com"},
    {"bob", "bob@example.com"},
    {"carol", "carol@example.org"},
    {"dave", ""},
    {"root", "root@example.com"},
    {"erin", "erin@example.com"},
    {"frank", ""},
};
const size_t random_n_users = ARRAY_LEN(random_users);

uint64_t random_below(struct rand_seeded *r, uint64_t n)
{
    return rand_seeded_below(r, n);
}

bool random_chance(struct rand_seeded *r, uint64_t percent)
{
    return rand_seeded_below(r, 100) < percent;
}

uint64_t random_choice(struct str *choices, struct rand_seeded *r, uint64_t n)
{
    uint64_t v = 0;

    if (choices->len == 0)
        return rand_seeded_below(r, n);
    for (uint64_t room = n; room > 1 && choices->len > 0; room >>= 8) {
        v = v << 8 | (uint8_t)choices->ptr[0];
        *choices = str_from_index(*choices, 1);
    }
    return v % n;
}

static uint64_t below(struct random_tailnet *t, uint64_t n)
{
    return random_choice(&t->choices, &t->rand, n);
}

static bool chance(struct random_tailnet *t, uint64_t percent)
{
    return below(t, 100) < percent;
}

const struct node *random_node(struct random_tailnet *t)
{
    size_t n = view_node_count(t->view), at = 0;
    const struct node *node = NULL;

    if (n == 0)
        return NULL;
    for (uint64_t skip = below(t, n) + 1; skip > 0; skip--)
        node = view_node_next(t->view, &at);
    return node;
}

static const struct user *some_user(struct random_tailnet *t)
{
    size_t n = 0;
    const struct user *const *users = view_users(t->view, &n);

    return n ? users[below(t, n)] : NULL;
}

/* ---- What nodes are like ---- */

static struct ip_prefix prefix_of(const char *text)
{
    struct ip_prefix p;

    ASSERT(ip_prefix_parse(str_from(text), &p));
    return p;
}

/* Some subnets, and the exit routes with it if chance has it; each of `of` (n) only when given. */
static size_t some_routes(struct random_tailnet *t, uint64_t percent, struct ip_prefix out[16])
{
    size_t n = 0;

    for (size_t i = 0; i < random_n_routes; i++)
        if (chance(t, percent))
            out[n++] = prefix_of(random_routes[i]);
    if (chance(t, 40)) {
        out[n++] = prefix_of("0.0.0.0/0");
        out[n++] = prefix_of("::/0");
    }
    return ip_prefix_sort_unique(out, n);
}

static struct node_facts *some_facts(struct random_tailnet *t)
{
    static const char *const systems[] = {"linux", "macOS", "windows", "iOS"};
    static const char *const versions[] = {"1.38.4", "1.76.6-t1234-g5678", "1.83.10", "2.0.1"};
    struct node_facts *f = node_facts_new();
    const char *os = systems[below(t, ARRAY_LEN(systems))];
    const char *version = versions[below(t, ARRAY_LEN(versions))];
    struct ip_prefix routes[16];

    str_free(&f->hostinfo);
    str_free(&f->hostinfo_peer);
    f->hostname = str_printf("host%u", (unsigned)below(t, 9));
    f->os = str_copy(str_from(os));
    f->ipn_version = str_copy(str_from(version));
    f->hostinfo = str_printf("{\"OS\":\"%s\",\"OSVersion\":\"%u.%u\",\"IPNVersion\":\"%s\"}", os,
                             (unsigned)below(t, 15), (unsigned)below(t, 3), version);
    f->hostinfo_peer = str_printf("{\"OS\":\"%s\"}", os);
    f->n_routes = chance(t, 45) ? some_routes(t, 25, routes) : 0;
    f->routes = f->n_routes ? mem_dup(routes, f->n_routes * sizeof(*routes)) : NULL;
    return f;
}

static void some_tags(struct random_tailnet *t, struct str_list *out)
{
    do {
        for (size_t i = 0; i < random_n_tags; i++) {
            struct str tag = str_printf("tag:%s", random_tags[i]);

            if (chance(t, 30))
                str_list_add(out, tag);
            str_free(&tag);
        }
    } while (out->len == 0);
    str_list_sort_unique(out);
}

static struct machine_key machine_of(uint64_t n)
{
    struct machine_key k = {{0x11}};

    memcpy(k.b + 4, &n, sizeof(n));
    return k;
}

static struct node_key key_of(uint64_t n)
{
    struct node_key k = {{0x22}};

    memcpy(k.b + 4, &n, sizeof(n));
    return k;
}

/* ---- The beginning ---- */

static struct domain *begin_domain(const struct random_tailnet *t, uint64_t revision)
{
    struct domain *d = domain_new();
    struct tailnet_info *info = tailnet_info_new();
    struct err err;

    info->id = 1;
    info->name = str_copy(STR("default"));
    info->base_domain = str_copy(STR("example.net"));
    info->ephemeral_timeout_ms = 60000;
    if (t->holds)
        info->settings =
            (struct tailnet_settings){.set = SETTING_DEVICE_APPROVAL, .device_approval = true};
    if (t->v4)
        info->prefix_v4 = prefix_of("100.64.0.0/10");
    if (t->v6)
        info->prefix_v6 = prefix_of("fd7a:115c:a1e0::/48");
    if (domain_load_tailnet(d, info, revision, &err) < 0)
        ASSERT(false && "a tailnet to begin with");
    return d;
}

static void load_users(struct random_tailnet *t)
{
    struct err err;

    for (size_t i = 0; i < random_n_users; i++) {
        struct user *u;

        if (chance(t, 25))
            continue;
        u = user_new();
        u->id = 1 + i;
        u->tailnet = 1;
        u->name = str_copy(str_from(random_users[i].name));
        u->email = str_copy(str_from(random_users[i].email));
        u->role = (enum user_role)below(t, ROLE_AUDITOR + 1);
        if (domain_load_user(t->d, u, &err) < 0)
            ASSERT(false && "a user");
    }
}

static struct node *some_node(struct random_tailnet *t)
{
    struct node *n = NEW(struct node);
    const struct user *owner = chance(t, 60) ? some_user(t) : NULL;
    struct ip_prefix routes[16];
    uint64_t id = ++t->serial;

    ref_init(&n->ref);
    n->id = id;
    n->tailnet = 1;
    n->stable_id = str_printf("n%lluCNTRL", (unsigned long long)id);
    n->given_name = str_printf("n%llu", (unsigned long long)id);
    n->machine = machine_of(id);
    n->key = key_of(id);
    n->facts = some_facts(t);
    n->user = owner ? owner->id : 0;
    if (!owner)
        some_tags(t, &n->tags);
    if (t->v4)
        n->v4 = IP_ADDR_V4(100, 64, (uint8_t)(id >> 8), (uint8_t)id);
    if (t->v6 && ip_addr_parse(STR("fd7a:115c:a1e0::"), &n->v6))
        n->v6.bytes[15] = (uint8_t)id;
    n->created_ms = t->now_ms - (int64_t)below(t, 1000000) * 1000;
    n->n_approved = some_routes(t, 60, routes);
    n->approved = n->n_approved ? mem_dup(routes, n->n_approved * sizeof(*routes)) : NULL;
    n->holds = t->holds && chance(t, 15) ? HOLD_DEVICE : 0;
    return n;
}

static void look(struct random_tailnet *t)
{
    view_unref(t->view);
    t->view = domain_view(t->d, 1);
}

/* False: refused, nothing happened. */
static bool apply(struct random_tailnet *t, struct command c, struct command_result *r)
{
    struct err err;

    *r = (struct command_result){0};
    c.now_ms = t->now_ms;
    if (domain_apply(t->d, &c, &t->changes, r, &err) < 0) {
        buf_printf(&t->story, "  (refused: %s)\n", err.text);
        return false;
    }
    look(t);
    return true;
}

static void apply_plain(struct random_tailnet *t, struct command c)
{
    struct command_result r;

    if (apply(t, c, &r))
        command_result_fini(&r);
}

static void open_stream(struct random_tailnet *t, const struct node *n)
{
    const struct command c = {.type = COMMAND_STREAM_OPEN, .machine = n->machine, .key = n->key};
    uint64_t *generation = &t->generations[n->id % RANDOM_NODES_MAX];
    struct command_result r;

    if (!apply(t, c, &r)) /* and the view it was found in is gone */
        return;
    *generation = r.generation;
    command_result_fini(&r);
}

/* And lets time pass until it counts as offline. */
static void close_stream(struct random_tailnet *t, const struct node *n)
{
    const struct command c = {.type = COMMAND_STREAM_CLOSE,
                              .machine = n->machine,
                              .key = n->key,
                              .generation = t->generations[n->id % RANDOM_NODES_MAX]};

    apply_plain(t, c);
    t->now_ms += OFFLINE_GRACE_MS + 1;
    apply_plain(t, (struct command){.type = COMMAND_TICK});
}

void random_tailnet_init(struct random_tailnet *t, struct random_tailnet_options o)
{
    struct err err;

    *t = (struct random_tailnet){.seed = o.seed,
                                 .now_ms = 1700000000000,
                                 .story = BUF(0),
                                 .holds = o.holds,
                                 .choices = o.choices};
    rand_seed(&t->rand, o.seed);
    t->v4 = !chance(t, 5);
    t->v6 = !t->v4 || !chance(t, 5);
    t->d = begin_domain(t, 1);
    load_users(t);
    look(t);
    for (uint64_t n = 1 + below(t, o.max_nodes); n > 0; n--)
        if (domain_load_node(t->d, some_node(t), &err) < 0)
            ASSERT(false && "a node");
    domain_load_counters(
        t->d, &(struct domain_counters){.tailnet = 2, .user = 100, .auth_key = 100, .node = 200});
    domain_load_done(t->d, t->now_ms);
    look(t);
    for (node_id id = 1; id <= t->serial; id++)
        if (chance(t, 85))
            open_stream(t, view_node_find(t->view, id));
    change_list_clear(&t->changes);
}

void random_tailnet_fini(struct random_tailnet *t)
{
    view_unref(t->view);
    change_list_fini(&t->changes);
    buf_fini(&t->story);
    domain_free(t->d);
    *t = (struct random_tailnet){0};
}

/* ---- A domain loaded anew, with a difference ---- */

static bool same_prefixes(const struct ip_prefix *a, size_t n_a, const struct ip_prefix *b,
                          size_t n_b)
{
    if (n_a != n_b)
        return false;
    for (size_t i = 0; i < n_a; i++)
        if (!ip_prefix_eq(a[i], b[i]))
            return false;
    return true;
}

static void note_differences(struct random_tailnet *t, const struct tailnet_view *before)
{
    const struct node *n;

    for (size_t at = 0; (n = view_node_next(t->view, &at));) {
        const struct node *was = view_node_find(before, n->id);

        if (!same_prefixes(was->serving, was->n_serving, n->serving, n->n_serving))
            change_list_add(&t->changes, (struct change){.kind = CHANGE_NODE,
                                                         .tailnet = 1,
                                                         .id = n->id,
                                                         .mask = NODE_CARD,
                                                         .revision = view_revision(t->view)});
    }
}

static void change_role(struct random_tailnet *t)
{
    const struct user *who = some_user(t);
    const struct tailnet_view *before = view_ref(t->view);
    struct domain_counters counters = domain_counters(t->d);
    size_t n_users = 0, n_before = t->changes.len;
    const struct user *const *users = view_users(before, &n_users);
    struct domain *old = t->d;
    const struct node *n;
    struct err err;

    if (!who) {
        view_unref(before);
        return;
    }
    t->d = begin_domain(t, view_revision(before) + 1);
    for (size_t i = 0; i < n_users; i++) {
        struct user *u = user_clone(users[i]);

        if (u->id == who->id)
            u->role = (enum user_role)below(t, ROLE_AUDITOR + 1);
        if (u->id == who->id)
            buf_printf(&t->story, "user %.*s gets role %d\n", STR_ARG(u->name), (int)u->role);
        if (domain_load_user(t->d, u, &err) < 0)
            ASSERT(false && "a user again");
    }
    for (size_t at = 0; (n = view_node_next(before, &at));)
        if (domain_load_node(t->d, node_clone(n), &err) < 0)
            ASSERT(false && "a node again");
    domain_load_counters(t->d, &counters);
    domain_load_done(t->d, t->now_ms);
    look(t);
    for (size_t at = 0; (n = view_node_next(before, &at));)
        if (n->online)
            open_stream(t, n);
    t->changes.len = n_before;
    change_list_add(&t->changes, (struct change){.kind = CHANGE_USER,
                                                 .tailnet = 1,
                                                 .id = who->id,
                                                 .revision = view_revision(t->view)});
    note_differences(t, before);
    view_unref(before);
    domain_free(old);
}

/* ---- Things that happen ---- */

static void join(struct random_tailnet *t)
{
    const struct user *owner = chance(t, 60) ? some_user(t) : NULL;
    struct command c = {.type = COMMAND_AUTH_KEY_CREATE, .user = owner ? owner->id : 0};
    struct register_request reg = {.capver = 120};
    struct command_result key, r;

    if (!owner)
        some_tags(t, &c.tags);
    bool has_key = apply(t, c, &key);
    str_list_free(&c.tags);
    if (!has_key)
        return;
    reg.machine = machine_of(++t->serial);
    reg.key = key_of(t->serial);
    reg.auth_key = key.secret;
    reg.facts = some_facts(t);
    if (apply(t, (struct command){.type = COMMAND_REGISTER, .reg = &reg}, &r)) {
        if (r.outcome == REGISTER_DONE)
            buf_printf(&t->story, "node %llu joins\n", (unsigned long long)r.node->id);
        if (r.outcome == REGISTER_DONE && chance(t, 80))
            open_stream(t, r.node);
        command_result_fini(&r);
    }
    command_result_fini(&key);
    node_facts_unref(reg.facts);
}

static bool is_email_taken(const struct random_tailnet *t, const char *email)
{
    size_t n = 0;
    const struct user *const *users = view_users(t->view, &n);

    for (size_t i = 0; i < n; i++)
        if (users[i]->email.len > 0 && str_eq(users[i]->email, str_from(email)))
            return true;
    return false;
}

static void change_users(struct random_tailnet *t)
{
    const struct random_user *wanted = &random_users[below(t, random_n_users)];
    const struct user *u = some_user(t);

    switch (below(t, 3)) {
    case 0:
        if (is_email_taken(t, wanted->email))
            return; /* whom the address would mean is nothing to test */
        buf_printf(&t->story, "user %s is made\n", wanted->name);
        apply_plain(t, (struct command){.type = COMMAND_USER_CREATE,
                                        .name = str_from(wanted->name),
                                        .email = str_from(wanted->email)});
        return;
    case 1:
        if (!u)
            return;
        buf_printf(&t->story, "user %.*s is now called %s\n", STR_ARG(u->name), wanted->name);
        apply_plain(t, (struct command){.type = COMMAND_USER_RENAME,
                                        .id = u->id,
                                        .name = str_from(wanted->name)});
        return;
    default:
        if (!u)
            return;
        buf_printf(&t->story, "user %.*s goes\n", STR_ARG(u->name));
        apply_plain(t, (struct command){.type = COMMAND_USER_DELETE, .id = u->id});
    }
}

static void approve(struct random_tailnet *t, const struct node *n)
{
    struct ip_prefix routes[16];
    struct command c = {.type = COMMAND_NODE_APPROVE_ROUTES, .id = n->id, .routes = routes};

    c.n_routes = some_routes(t, 50, routes);
    buf_printf(&t->story, "node %llu gets %zu routes approved\n", (unsigned long long)n->id,
               c.n_routes);
    apply_plain(t, c);
}

static void say_more(struct random_tailnet *t, const struct node *n)
{
    struct node_facts *facts = some_facts(t);

    buf_printf(&t->story, "node %llu tells new facts\n", (unsigned long long)n->id);
    apply_plain(
        t, (struct command){
               .type = COMMAND_NODE_UPDATE, .machine = n->machine, .key = n->key, .facts = facts});
    node_facts_unref(facts);
}

static void retag(struct random_tailnet *t, const struct node *n)
{
    struct command c = {.type = COMMAND_NODE_TAG, .id = n->id};

    some_tags(t, &c.tags);
    buf_printf(&t->story, "node %llu is tagged anew\n", (unsigned long long)n->id);
    apply_plain(t, c);
    str_list_free(&c.tags);
}

/* A machine is held back or let go, or all of a user's. */
static void change_hold(struct random_tailnet *t, const struct node *n)
{
    const struct user *u = chance(t, 25) ? some_user(t) : NULL;
    struct command c = {.type = COMMAND_NODE_APPROVE, .id = n->id, .revokes = n->holds == 0};

    if (u)
        c = (struct command){.type = u->status == USER_ACTIVE ? COMMAND_USER_SUSPEND
                                                              : COMMAND_USER_RESTORE,
                             .id = u->id};
    buf_printf(&t->story, "%s %llu %s\n", u ? "user" : "node", (unsigned long long)c.id,
               c.revokes || c.type == COMMAND_USER_SUSPEND ? "loses access" : "gets access");
    apply_plain(t, c);
}

/* Nothing a policy reads. */
static void do_nothing_much(struct random_tailnet *t, const struct node *n)
{
    struct str name = str_printf("name%llu", (unsigned long long)++t->serial);

    buf_printf(&t->story, "node %llu is renamed\n", (unsigned long long)n->id);
    apply_plain(t, (struct command){.type = COMMAND_NODE_RENAME, .id = n->id, .name = name});
    str_free(&name);
}

static void come_or_go(struct random_tailnet *t, const struct node *n)
{
    if (!n->online) {
        buf_printf(&t->story, "node %llu comes\n", (unsigned long long)n->id);
        open_stream(t, n);
        return;
    }
    if (chance(t, 60)) {
        buf_printf(&t->story, "node %llu goes offline\n", (unsigned long long)n->id);
        close_stream(t, n);
        return;
    }
    if (n->expired) {
        buf_printf(&t->story, "node %llu is valid again\n", (unsigned long long)n->id);
        apply_plain(t, (struct command){.type = COMMAND_NODE_EXPIRE, .id = n->id});
        return;
    }
    buf_printf(&t->story, "node %llu expires\n", (unsigned long long)n->id);
    apply_plain(t,
                (struct command){.type = COMMAND_NODE_EXPIRE, .id = n->id, .expiry_ms = t->now_ms});
}

void random_tailnet_step(struct random_tailnet *t)
{
    const struct node *n = random_node(t);
    uint64_t what = below(t, 100);

    t->now_ms += 1000;
    if (t->holds && n && chance(t, 15))
        change_hold(t, n);
    else if (what < 15 || !n)
        join(t);
    else if (what < 25)
        change_users(t);
    else if (what < 33)
        change_role(t);
    else if (what < 48)
        approve(t, n);
    else if (what < 63)
        say_more(t, n);
    else if (what < 75)
        retag(t, n);
    else if (what < 83)
        come_or_go(t, n);
    else if (what < 87)
        do_nothing_much(t, n);
    else {
        buf_printf(&t->story, "node %llu is deleted\n", (unsigned long long)n->id);
        apply_plain(t, (struct command){.type = COMMAND_NODE_DELETE, .id = n->id});
    }
}

/* ---- For complaints ---- */

static void put_routes(struct buf *out, const char *what, const struct ip_prefix *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, i == 0 ? " %s " : ",", what);
        ip_prefix_put(out, p[i]);
    }
}

void random_tailnet_put(const struct random_tailnet *t, struct buf *out)
{
    size_t n_users = 0;
    const struct user *const *users = view_users(t->view, &n_users);
    const struct node *n;

    for (size_t i = 0; i < n_users; i++)
        buf_printf(out, "user %llu %.*s <%.*s> role %d\n", (unsigned long long)users[i]->id,
                   STR_ARG(users[i]->name), STR_ARG(users[i]->email), (int)users[i]->role);
    for (size_t at = 0; (n = view_node_next(t->view, &at));) {
        buf_printf(out, "node %llu ", (unsigned long long)n->id);
        ip_addr_put(out, n->v4);
        buf_put_char(out, ' ');
        ip_addr_put(out, n->v6);
        if (n->user)
            buf_printf(out, " user %llu", (unsigned long long)n->user);
        for (size_t i = 0; i < n->tags.len; i++)
            buf_printf(out, " %.*s", STR_ARG(n->tags.items[i]));
        put_routes(out, "announces", n->facts->routes, n->facts->n_routes);
        put_routes(out, "approved", n->approved, n->n_approved);
        put_routes(out, "serves", n->serving, n->n_serving);
        buf_printf(out, " made %lld %.*s%s%s\n", (long long)n->created_ms,
                   STR_ARG(n->facts->hostinfo), n->online ? "" : " offline",
                   n->holds ? " held" : "");
    }
}
