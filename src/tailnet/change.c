/* Change lists, and what a command's result owns. */

#include "tailnet/change.h"

#include "core/mem.h"
#include "tailnet/command.h"

void change_list_add(struct change_list *l, struct change c)
{
    l->items = mem_room(l->items, l->len, &l->cap, 8, sizeof(c));
    l->items[l->len++] = c;
}

void change_list_clear(struct change_list *l)
{
    l->len = 0;
}

void change_list_fini(struct change_list *l)
{
    mem_free(l->items);
    *l = (struct change_list){0};
}

bool change_is_durable(const struct change *c)
{
    switch (c->kind) {
    case CHANGE_NODE:
        return (c->mask & NODE_DURABLE) != 0;
    case CHANGE_API_KEY:
        return c->mask != API_KEY_SEEN;
    case CHANGE_GUEST:
    case CHANGE_GUEST_REMOVED:
    case CHANGE_GUEST_USER:
    case CHANGE_STREAM_END:
    case CHANGE_NODE_EXPIRING:
    case CHANGE_PENDING:
        return false;
    case CHANGE_NODE_REMOVED:
    case CHANGE_USER:
    case CHANGE_USER_REMOVED:
    case CHANGE_AUTH_KEY:
    case CHANGE_AUTH_KEY_REMOVED:
    case CHANGE_API_KEY_REMOVED:
    case CHANGE_WEBHOOK:
    case CHANGE_WEBHOOK_REMOVED:
    case CHANGE_SHARE:
    case CHANGE_SHARE_REMOVED:
    case CHANGE_SHARE_INVITE:
    case CHANGE_SHARE_INVITE_REMOVED:
    case CHANGE_USER_INVITE:
    case CHANGE_USER_INVITE_REMOVED:
    case CHANGE_INFO:
    case CHANGE_TAILNET_REMOVED:
        return true;
    }
    return true;
}

void command_result_fini(struct command_result *r)
{
    union {
        const char *in;
        char *out;
    } secret = {.in = r->secret.ptr};

    if (secret.out)
        mem_wipe(secret.out, r->secret.len);
    str_free(&r->secret);
    node_unref(r->node);
    user_unref(r->user);
    auth_key_unref(r->auth_key);
    api_key_unref(r->api_key);
    webhook_unref(r->webhook);
    share_unref(r->share);
    share_invite_unref(r->invite);
    user_invite_unref(r->user_invite);
    for (size_t i = 0; i < r->n_choices; i++)
        str_free(&r->choices[i].name);
    mem_free(r->choices);
    for (size_t i = 0; i < r->n_ended; i++) {
        share_unref(r->ended[i].share);
        view_unref(r->ended[i].owner);
        view_unref(r->ended[i].guest);
    }
    mem_free(r->ended);
    str_list_free(&r->lines);
    view_unref(r->view);
    *r = (struct command_result){0};
}
