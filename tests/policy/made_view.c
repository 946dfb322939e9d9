#include "made_view.h"

DEFINE_TABLE_OF(node)
DEFINE_TABLE_OF(user)
DEFINE_TABLE_OF(tailnet_info)

void made_view_begin(struct made_view *m)
{
    *m = (struct made_view){.nodes = TABLE_OF(node),
                            .users = TABLE_OF(user),
                            .guests = TABLE_OF(node),
                            .guest_users = TABLE_OF(user),
                            .infos = TABLE_OF(tailnet_info)};
}

const struct tailnet_view *made_view_end(struct made_view *m, const struct tailnet_view *like)
{
    const struct table none = TABLE_OF(user);
    const struct tailnet_view *made = view_new(view_info(like), view_revision(like),
                                               &(struct view_tables){.nodes = &m->nodes,
                                                                     .users = &m->users,
                                                                     .auth_keys = &none,
                                                                     .webhooks = &none,
                                                                     .guests = &m->guests,
                                                                     .guest_users = &m->guest_users,
                                                                     .guest_infos = &m->infos,
                                                                     .shares = &none,
                                                                     .share_invites = &none,
                                                                     .user_invites = &none});

    table_fini(&m->nodes);
    table_fini(&m->users);
    table_fini(&m->guests);
    table_fini(&m->guest_users);
    table_fini(&m->infos);
    return made;
}
