/* The parts put together: hubs, registrar, inner router. */

#include "control/control_internal.h"

/* Keys that the view before still had and that are no node's any more. */
static void tell_gone_keys(struct control *c, struct hub *hub, const struct publication *p)
{
    const struct tailnet_view *before = hub_view(hub, view_info(p->view)->id);

    for (size_t i = 0; before && i < p->n_changes; i++) {
        const struct change *change = &p->changes[i];
        const struct node *old = view_node_find(before, change->id);
        bool is_gone = change->kind == CHANGE_NODE_REMOVED ||
                       (change->kind == CHANGE_NODE && (change->mask & NODE_KEY));

        if (is_gone && old)
            c->options.on_key_gone(c->options.user, &old->key);
    }
}

static void on_publish(void *user, struct loop *loop, const struct publication *p)
{
    struct control *c = user;
    struct hub *hub = control_hub(c, loop);

    /* Once for all loops: the relay drops a key from whichever thread it hears of it. */
    if (c->options.on_key_gone && loop == c->loops[0])
        tell_gone_keys(c, hub, p);
    hub_publish(hub, p);
    if (loop == c->loops[0])
        ssh_desk_publish(c->ssh, p);
}

struct hub *control_hub(struct control *c, const struct loop *loop)
{
    for (size_t i = 0; i < c->n_loops; i++)
        if (c->loops[i] == loop)
            return c->hubs[i];
    ASSERT(false && "a request on a loop that is not ours");
    return NULL;
}

/* ---- API keys ---- */

static void on_api_keys(void *user, struct loop *loop, const struct api_key_set *keys,
                        const struct change *changes, size_t n_changes, bool reset)
{
    struct control *c = user;

    auth_set_keys(c->auth, loop, keys, changes, n_changes, reset);
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

struct ssh_desk *control_ssh_desk(struct control *c)
{
    return c->ssh;
}

static int open_login(struct control *c, const struct control_options *options, struct err *err)
{
    const struct login_desk_options login = {.loop = c->loops[0],
                                             .hub = c->hubs[0],
                                             .ssh = c->ssh,
                                             .server_url = c->server_url,
                                             .providers = options->providers,
                                             .n_providers = options->n_providers,
                                             .metas = options->provider_metas};

    return options->n_providers > 0 ? login_desk_new(&login, &c->login, err) : 0;
}

int control_new(const struct control_options *options, struct control **out, struct err *err)
{
    struct control *c = NEW(struct control);
    const struct registrar_options registrar_options = {.domain = options->domain,
                                                        .store = options->store,
                                                        .policy_file = options->policy_file,
                                                        .loops = options->loops,
                                                        .n_loops = options->n_loops,
                                                        .on_publish = on_publish,
                                                        .on_api_keys = on_api_keys,
                                                        .user = c};

    c->options = *options;
    c->options.policy_file = NULL;
    c->options.provider_metas = NULL;
    c->n_loops = options->n_loops;
    c->loops = mem_dup(options->loops, options->n_loops * sizeof(*options->loops));
    c->hubs = mem_alloc_array(options->n_loops, sizeof(*c->hubs));
    c->noise_key = *options->noise_key;
    machine_private_public(&c->noise_key, &c->noise_public);
    c->server_url = str_copy(options->server_url);
    c->inner = inner_server_new(c);
    for (size_t i = 0; i < c->n_loops; i++)
        c->hubs[i] = hub_new(c->loops[i], NULL);
    c->ssh = ssh_desk_new(&(struct ssh_desk_options){.loop = c->loops[0],
                                                     .hub = c->hubs[0],
                                                     .server_url = c->server_url,
                                                     .has_login = options->n_providers > 0});
    if (open_login(c, options, err) < 0) {
        control_free(c);
        return -(int)err->code;
    }
    const struct auth_options auth_options = {
        .loops = options->loops, .n_loops = options->n_loops, .on_seen = on_key_seen, .user = c};
    if (auth_new(&auth_options, &c->auth, err) < 0 ||
        registrar_new(&registrar_options, &c->registrar, err) < 0) {
        control_free(c);
        return -(int)err->code;
    }
    for (size_t i = 0; i < c->n_loops; i++)
        hub_set_registrar(c->hubs[i], c->registrar);
    if (c->login)
        login_desk_set_registrar(c->login, c->registrar);
    *out = c;
    return 0;
}

void control_stop(struct control *c)
{
    if (!c)
        return;
    login_desk_stop(c->login);
    ssh_desk_stop(c->ssh);
    registrar_free(c->registrar);
    auth_stop(c->auth);
    c->registrar = NULL;
    for (size_t i = 0; i < c->n_loops; i++)
        hub_set_registrar(c->hubs[i], NULL);
}

void control_free(struct control *c)
{
    if (!c)
        return;
    login_desk_free(c->login);
    ssh_desk_free(c->ssh);
    auth_free(c->auth);
    for (size_t i = 0; i < c->n_loops; i++)
        hub_free(c->hubs[i]);
    http_server_free(c->inner);
    str_free(&c->server_url);
    machine_private_fini(&c->noise_key);
    mem_free(c->hubs);
    mem_free(c->loops);
    mem_free(c);
}
