/* The parts put together: hubs, registrar, inner router. */

#include "control/control_internal.h"

/* Whether it had access and has not now. */
static bool is_held_now(const struct publication *p, const struct change *change,
                        const struct node *old)
{
    const struct node *now;

    if (change->kind != CHANGE_NODE || !(change->mask & NODE_ACCESS) || !node_has_access(old))
        return false;
    now = view_node_find(p->view, change->id);
    return now && !node_has_access(now);
}

/* Keys that the view before still let in and that are no node's any more, or that of one which is
 * held back. */
static void tell_gone_keys(struct control *c, struct hub *hub, const struct publication *p)
{
    const struct tailnet_view *before = hub_view(hub, view_info(p->view)->id);
    const struct node *node;

    if (before && view_info(p->view)->suspended && !view_info(before)->suspended)
        for (size_t at = 0; (node = view_node_next(before, &at));)
            c->options.on_key_gone(c->options.user, &node->key);
    for (size_t i = 0; before && i < p->n_changes; i++) {
        const struct change *change = &p->changes[i];
        const struct node *old = view_node_find(before, change->id);
        bool is_gone = change->kind == CHANGE_NODE_REMOVED ||
                       (change->kind == CHANGE_NODE && (change->mask & NODE_KEY));

        if (old && (is_gone || is_held_now(p, change, old)))
            c->options.on_key_gone(c->options.user, &old->key);
    }
}

static size_t loop_number(const struct control *c, const struct loop *loop)
{
    size_t i = 0;

    while (c->loops[i] != loop) {
        i++;
        ASSERT(i < c->n_loops && "a loop that is not ours");
    }
    return i;
}

static size_t nodes_of(const struct hub *hub, tailnet_id id)
{
    const struct tailnet_view *view = hub_view(hub, id);

    return view ? view_node_count(view) : 0;
}

/* Gives it to the loop's hub, and counts nodes by what the hub has before and after. */
static void publish_to_hub(struct control *c, struct loop *loop, const struct publication *p)
{
    size_t i = loop_number(c, loop);
    struct hub *hub = c->hubs[i];
    tailnet_id id = view_info(p->view)->id;
    size_t before = nodes_of(hub, id), after;

    hub_publish(hub, p);
    after = nodes_of(hub, id);
    c->n_nodes[i] = c->n_nodes[i] - before + after;
    if (c->options.on_nodes && before != after)
        c->options.on_nodes(c->options.user, loop, c->n_nodes[i]);
}

static void on_publish(void *user, struct loop *loop, const struct publication *p)
{
    struct control *c = user;

    /* Once for all loops: the relay drops a key from whichever thread it hears of it. */
    if (c->options.on_key_gone && loop == c->loops[0])
        tell_gone_keys(c, c->hubs[0], p);
    publish_to_hub(c, loop, p);
    if (loop == c->loops[0])
        ssh_desk_publish(c->ssh, p);
    if (loop == c->loops[0])
        session_keeper_publish(c->sessions, p);
    if (c->on_publication)
        c->on_publication(c->publication_user, loop, p);
}

struct hub *control_hub(struct control *c, const struct loop *loop)
{
    return c->hubs[loop_number(c, loop)];
}

/* ---- API keys ---- */

static void on_api_keys(void *user, struct loop *loop, const struct api_key_set *keys,
                        const struct change *changes, size_t n_changes, bool reset)
{
    struct control *c = user;

    auth_set_keys(c->auth, loop, keys, changes, n_changes, reset);
    if (loop == c->loops[0])
        session_keeper_set_keys(c->sessions, keys);
}

struct seen_call {
    struct registrar_call call;
};

static void seen_done(struct registrar_call *call)
{
    struct seen_call *s = CONTAINER_OF(call, struct seen_call, call);

    command_result_fini(&call->result);
    mem_free(s);
}

static void on_key_seen(void *user, struct loop *loop, api_key_id id)
{
    struct control *c = user;
    struct seen_call *s = NEW(struct seen_call);

    s->call.command = (struct command){
        .type = COMMAND_API_KEY_SEEN, .origin = ORIGIN_SERVER, .author = STR("server"), .id = id};
    s->call.loop = loop;
    s->call.done = seen_done;
    registrar_submit(c->registrar, &s->call);
}

struct auth *control_auth(struct control *c)
{
    return c->auth;
}

struct registrar *control_registrar(struct control *c)
{
    return c->registrar;
}

void control_set_ha_times(struct control *c, int64_t interval_ms, int64_t timeout_ms)
{
    prober_set_times(c->prober, interval_ms, timeout_ms);
}

void control_on_ping_response(struct control *c, struct http_exchange *x,
                              const struct http_request *req)
{
    struct str id = STR_NONE;

    (void)req;
    if (http_query_get(x, STR("id"), &id) && prober_answered(c->prober, id))
        http_respond(x, 200, NULL, STR_NONE);
    else
        http_respond(x, 404, NULL, STR_NONE);
}

/* ---- What people may ---- */

struct newer_admins {
    struct loop_message message;
    struct admins *admins; /* of the loop it goes to */
    struct admins newer;
};

static void take_admins(struct loop_message *msg)
{
    struct newer_admins *m = CONTAINER_OF(msg, struct newer_admins, message);

    admins_fini(m->admins);
    *m->admins = m->newer;
    mem_free(m);
}

void control_set_admins(struct control *c, const struct oidc_provider *providers, size_t n)
{
    admins_follow(&c->admins[0], providers, n);
    for (size_t i = 1; i < c->n_loops; i++) {
        struct newer_admins *m = NEW(struct newer_admins);

        m->message = (struct loop_message){.run = take_admins};
        m->admins = &c->admins[i];
        m->newer = admins_share(&c->admins[0]);
        loop_post(c->loops[i], &m->message);
    }
    session_keeper_check(c->sessions);
}

static bool role_now(void *user, struct loop *loop, tailnet_id tailnet, user_id id,
                     enum user_role *role)
{
    struct control *c = user;
    size_t i = loop_number(c, loop);

    return session_role(c->hubs[i], &c->admins[i], tailnet, id, role);
}

struct loop *const *control_loops(const struct control *c, size_t *n)
{
    *n = c ? c->n_loops : 0;
    return c ? c->loops : NULL;
}

void control_on_publication(struct control *c,
                            void (*fn)(void *user, struct loop *loop, const struct publication *p),
                            void *user)
{
    if (!c)
        return;
    c->on_publication = fn;
    c->publication_user = user;
}

struct ssh_desk *control_ssh_desk(struct control *c)
{
    return c->ssh;
}

/* ---- Life ---- */

static struct control *make(const struct control_options *options)
{
    struct control *c = NEW(struct control);

    c->options = *options;
    c->options.policy_file = NULL;
    c->options.provider_metas = NULL;
    c->n_loops = options->n_loops;
    c->loops = mem_dup(options->loops, options->n_loops * sizeof(*options->loops));
    c->hubs = mem_alloc_array(options->n_loops, sizeof(*c->hubs));
    c->n_nodes = mem_alloc_array(options->n_loops, sizeof(*c->n_nodes));
    c->noise_key = *options->noise_key;
    machine_private_public(&c->noise_key, &c->noise_public);
    c->server_url = str_copy(options->server_url);
    c->id_token_key = options->id_token_key;
    c->inner = inner_server_new(c);
    for (size_t i = 0; i < c->n_loops; i++)
        c->hubs[i] = hub_new(c->loops[i], NULL);
    c->admins = mem_alloc_array(c->n_loops, sizeof(*c->admins));
    admins_init(&c->admins[0], options->providers, options->n_providers);
    for (size_t i = 1; i < c->n_loops; i++)
        c->admins[i] = admins_share(&c->admins[0]);
    return c;
}

static void make_desks(struct control *c, const struct control_options *options)
{
    c->ssh = ssh_desk_new(&(struct ssh_desk_options){.loop = c->loops[0],
                                                     .hub = c->hubs[0],
                                                     .server_url = c->server_url,
                                                     .has_login = options->n_providers > 0});
    c->prober = prober_new(&(struct prober_options){.loops = c->loops,
                                                    .hubs = c->hubs,
                                                    .n_loops = c->n_loops,
                                                    .server_url = c->server_url,
                                                    .interval_ms = options->ha_interval_ms,
                                                    .timeout_ms = options->ha_timeout_ms});
    c->sessions = session_keeper_new(&(struct session_keeper_options){
        .loop = c->loops[0], .hub = c->hubs[0], .admins = &c->admins[0]});
}

static int open_login(struct control *c, const struct control_options *options, struct err *err)
{
    const struct login_desk_options login = {.loop = c->loops[0],
                                             .hub = c->hubs[0],
                                             .ssh = c->ssh,
                                             .server_url = c->server_url,
                                             .providers = options->providers,
                                             .n_providers = options->n_providers,
                                             .admins = &c->admins[0],
                                             .metas = options->provider_metas};

    return options->n_providers > 0 ? login_desk_new(&login, &c->login, err) : 0;
}

static int open_auth(struct control *c, struct err *err)
{
    const struct auth_options auth = {.loops = c->loops,
                                      .n_loops = c->n_loops,
                                      .on_seen = on_key_seen,
                                      .role = role_now,
                                      .user = c};

    return auth_new(&auth, &c->auth, err);
}

static int open_registrar(struct control *c, const struct control_options *options, struct err *err)
{
    const struct registrar_options registrar = {.domain = options->domain,
                                                .store = options->store,
                                                .policy_file = options->policy_file,
                                                .server_url = options->server_url,
                                                .has_login = options->n_providers > 0,
                                                .webhooks_allow_local =
                                                    options->webhooks_allow_local,
                                                .loops = options->loops,
                                                .n_loops = options->n_loops,
                                                .on_publish = on_publish,
                                                .on_api_keys = on_api_keys,
                                                .user = c};

    return registrar_new(&registrar, &c->registrar, err);
}

static void tell_of_registrar(struct control *c)
{
    for (size_t i = 0; i < c->n_loops; i++)
        hub_set_registrar(c->hubs[i], c->registrar);
    prober_set_registrar(c->prober, c->registrar);
    session_keeper_set_registrar(c->sessions, c->registrar);
    if (c->login)
        login_desk_set_registrar(c->login, c->registrar);
}

int control_new(const struct control_options *options, struct control **out, struct err *err)
{
    struct control *c = make(options);

    make_desks(c, options);
    if (open_login(c, options, err) < 0 || open_auth(c, err) < 0 ||
        open_registrar(c, options, err) < 0) {
        control_free(c);
        return -(int)err->code;
    }
    tell_of_registrar(c);
    *out = c;
    return 0;
}

void control_stop(struct control *c)
{
    if (!c)
        return;
    login_desk_stop(c->login);
    ssh_desk_stop(c->ssh);
    prober_stop(c->prober);
    registrar_free(c->registrar);
    auth_stop(c->auth);
    c->registrar = NULL;
    session_keeper_set_registrar(c->sessions, NULL);
    for (size_t i = 0; i < c->n_loops; i++)
        hub_set_registrar(c->hubs[i], NULL);
}

void control_free(struct control *c)
{
    if (!c)
        return;
    login_desk_free(c->login);
    session_keeper_free(c->sessions);
    for (size_t i = 0; i < c->n_loops; i++)
        admins_fini(&c->admins[i]);
    mem_free(c->admins);
    ssh_desk_free(c->ssh);
    prober_free(c->prober);
    auth_free(c->auth);
    for (size_t i = 0; i < c->n_loops; i++)
        hub_free(c->hubs[i]);
    http_server_free(c->inner);
    str_free(&c->server_url);
    machine_private_fini(&c->noise_key);
    mem_free(c->n_nodes);
    mem_free(c->hubs);
    mem_free(c->loops);
    mem_free(c);
}
