/* See session_keeper.h. Orders may be given twice: the second finds no session. */

#include "control/session_keeper.h"

#include "auth/roles.h"
#include "control/hub.h"
#include "core/log.h"

struct session_keeper {
    struct session_keeper_options options;
    struct registrar *registrar;
    const struct api_key_set *keys; /* counted; NULL before the first */
};

struct session_keeper *session_keeper_new(const struct session_keeper_options *options)
{
    struct session_keeper *k = NEW(struct session_keeper);

    k->options = *options;
    return k;
}

void session_keeper_set_registrar(struct session_keeper *k, struct registrar *registrar)
{
    k->registrar = registrar;
}

void session_keeper_free(struct session_keeper *k)
{
    if (!k)
        return;
    api_key_set_unref(k->keys);
    mem_free(k);
}

/* ---- Ending one ---- */

struct ending {
    struct registrar_call call;
};

static void ended(struct registrar_call *call)
{
    struct ending *e = CONTAINER_OF(call, struct ending, call);

    if (call->status == 0)
        log_event(LOG_INFO, "a session ended: its user may nothing any more",
                  LOG_U64("user", call->result.api_key->user));
    else if (call->err.code != ERR_NOT_FOUND)
        log_event(LOG_WARN, "a session of who may nothing cannot be ended", LOG_ERR(&call->err));
    command_result_fini(&call->result);
    mem_free(e);
}

static void end(struct session_keeper *k, const struct api_key *session)
{
    struct ending *e = NEW(struct ending);

    e->call = (struct registrar_call){.command = {.type = COMMAND_SESSION_DELETE,
                                                  .origin = ORIGIN_SERVER,
                                                  .author = STR("server"),
                                                  .tailnet = session->tailnet,
                                                  .id = session->id},
                                      .loop = k->options.loop,
                                      .done = ended};
    registrar_submit(k->registrar, &e->call);
}

/* ---- Whose may go on ---- */

bool session_role(const struct hub *hub, const struct admins *admins, tailnet_id tailnet,
                  user_id id, enum user_role *role)
{
    const struct tailnet_view *view = hub_view(hub, tailnet);
    const struct user *u = view ? view_user_find(view, id) : NULL;

    return admins_role(admins, u, view && view == hub_view(hub, 0), role);
}

/* A tailnet that is not known yet is waited for; a user who went takes his sessions along. */
static bool may_go_on(const struct session_keeper *k, const struct api_key *session)
{
    const struct tailnet_view *view = hub_view(k->options.hub, session->tailnet);
    enum user_role role;

    return !view || !view_user_find(view, session->user) ||
           (session_role(k->options.hub, k->options.admins, session->tailnet, session->user,
                         &role) &&
            permissions_of_role(role).read != 0);
}

void session_keeper_check(struct session_keeper *k)
{
    const struct api_key *key;

    if (!k->keys || !k->registrar)
        return;
    for (size_t at = 0; (key = api_key_set_next(k->keys, &at));)
        if (key->kind == API_KEY_SESSION && !may_go_on(k, key))
            end(k, key);
}

void session_keeper_publish(struct session_keeper *k, const struct publication *p)
{
    bool is_about_users = p->reset;

    for (size_t i = 0; i < p->n_changes && !is_about_users; i++)
        is_about_users = p->changes[i].kind == CHANGE_USER;
    if (is_about_users)
        session_keeper_check(k);
}

void session_keeper_set_keys(struct session_keeper *k, const struct api_key_set *keys)
{
    api_key_set_unref(k->keys);
    k->keys = api_key_set_ref(keys);
    session_keeper_check(k);
}
