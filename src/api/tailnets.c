/*
 * /api/v1/tailnet: tailnets made, seen, changed, suspended, exported, deleted. Whoever has a key of
 * one tailnet sees that one; of it he may change who joins and how long keys last, as far as he may
 * write settings. All else is the operator's.
 */

#include "api/api_internal.h"

#include "store/regions.h"
#include "store/store.h"

#define EXPORT_MAX ((size_t)1 << 30)
#define RELAYS_MAX ((size_t)64 << 10) /* bytes of an answer's relay regions */

/* ---- Shown ---- */

static void put_prefixes(struct json_writer *w, const struct tailnet_info *i)
{
    const struct ip_prefix both[] = {i->prefix_v4, i->prefix_v6};

    json_field_array(w, STR("prefixes"));
    for (size_t k = 0; k < ARRAY_LEN(both); k++) {
        if (!ip_prefix_is_set(both[k]))
            continue;
        json_begin_plain(w);
        ip_prefix_put(w->out, both[k]);
        json_end_plain(w);
    }
    json_end_array(w);
}

static void put_tailnet(struct json_writer *w, const struct tailnet_view *view)
{
    const struct tailnet_info *info = view_info(view);
    const struct tailnet_settings *s = &info->settings;
    size_t users = 0;

    (void)view_users(view, &users);
    json_begin_object(w);
    api_field_id(w, STR("id"), info->id);
    json_field_str(w, STR("name"), info->name);
    json_field_str(w, STR("baseDomain"), info->base_domain);
    json_field_time(w, STR("createdAt"), info->created_ms);
    json_field_u64(w, STR("users"), users);
    json_field_u64(w, STR("nodes"), view_node_count(view));
    json_field_bool(w, STR("suspended"), info->suspended);
    put_prefixes(w, info);
    json_field_bool(w, STR("mayOverlap"), (s->set & SETTING_ADDRESSES_APART) != 0);
    json_field_u64(w, STR("maxNodes"), s->max[QUOTA_NODES]);
    json_field_u64(w, STR("maxUsers"), s->max[QUOTA_USERS]);
    json_field_u64(w, STR("maxKeys"), s->max[QUOTA_KEYS]);
    json_field_i64(w, STR("keyExpirySeconds"), info->node_expiry_ms / 1000);
    json_field_array(w, STR("relays"));
    regions_put(w, s->relays, s->n_relays, REGIONS_API);
    json_end_array(w);
    api_put_joining(w, s);
    json_end_object(w);
}

void api_tailnets_list(struct api_call *c)
{
    struct buf body = BUF(API_ANSWER_MAX);
    struct json_writer w = JSON_WRITER(&body);
    const struct tailnet_view *view;

    json_begin_object(&w);
    json_field_array(&w, STR("tailnets"));
    for (size_t at = 0; (view = api_next_view(c, &at));)
        put_tailnet(&w, view);
    json_end_array(&w);
    json_end_object(&w);
    api_respond(c, &body);
}

static void respond_tailnet(struct api_call *c, const struct tailnet_view *view)
{
    struct buf body = BUF(((size_t)64 << 10) + TAILNET_RELAYS_MAX * RELAYS_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_begin_object(&w);
    json_key(&w, STR("tailnet"));
    put_tailnet(&w, view);
    json_end_object(&w);
    api_respond(c, &body);
}

void api_tailnets_get(struct api_call *c)
{
    respond_tailnet(c, c->view);
}

/* ---- Read ---- */

/* False: answered. */
static bool is_operator(struct api_call *c)
{
    if (c->caller.tailnet == 0)
        return true;
    api_problem(c, 403, "not permitted", "the key is one tailnet's, not the server's");
    return false;
}

static bool refuse(struct api_call *c, const char *why)
{
    api_problem(c, 400, why, NULL);
    return false;
}

static bool read_quotas(struct api_call *c, struct tailnet_settings *s)
{
    static const char *const names[QUOTAS] = {
        [QUOTA_NODES] = "maxNodes", [QUOTA_USERS] = "maxUsers", [QUOTA_KEYS] = "maxKeys"};

    for (unsigned i = 0; i < QUOTAS; i++) {
        uint64_t max = json_as_u64(api_member(c, names[i]), UINT64_MAX);

        if (!api_member(c, names[i]))
            continue;
        if (max > UINT32_MAX)
            return refuse(c,
                          arena_printf(api_arena(c), "%s is a number; 0: no quota", names[i]).ptr);
        s->set |= (unsigned)SETTING_MAX_NODES << i;
        s->max[i] = (uint32_t)max;
    }
    return true;
}

static bool read_expiry(struct api_call *c, struct tailnet_settings *s)
{
    uint64_t seconds = json_as_u64(api_member(c, "keyExpirySeconds"), UINT64_MAX);

    if (!api_member(c, "keyExpirySeconds"))
        return true;
    if (seconds > (uint64_t)KEY_DURATION_DAYS_MAX * 24 * 3600)
        return refuse(c, "keyExpirySeconds is 0 (never) to 36500 days");
    s->set |= SETTING_KEY_DURATION;
    s->key_duration_ms = (int64_t)seconds * 1000;
    return true;
}

/* Borrows from the body. */
static bool read_relay_node(const struct json_value *v, struct derp_node *n)
{
    int64_t stun = json_get_i64(v, "stunPort", 0), derp = json_get_i64(v, "derpPort", 0);

    *n = (struct derp_node){.name = json_get_str(v, "name"),
                            .host_name = json_get_str(v, "hostName"),
                            .cert_name = json_get_str(v, "certName"),
                            .ipv4 = json_get_str(v, "ipv4"),
                            .ipv6 = json_get_str(v, "ipv6"),
                            .stun_port = (int)stun,
                            .stun_only = json_as_bool(json_get(v, "stunOnly"), false),
                            .derp_port = (int)derp,
                            .can_port80 = json_as_bool(json_get(v, "canPort80"), false)};
    return stun >= -1 && stun <= 65535 && derp >= 0 && derp <= 65535;
}

static bool read_relay(struct api_call *c, const struct json_value *v, struct derp_region *r)
{
    const struct json_value *nodes = json_get_array(v, "nodes");
    uint64_t id = json_as_u64(json_get(v, "id"), 0);

    *r = (struct derp_region){.id = (uint32_t)id,
                              .code = json_get_str(v, "code"),
                              .name = json_get_str(v, "name"),
                              .avoid = json_as_bool(json_get(v, "avoid"), false)};
    if (id == 0 || id > UINT32_MAX || json_len(nodes) > TAILNET_RELAYS_MAX)
        return refuse(c, "a relay region has a number above 0 and at most 64 nodes");
    r->nodes = arena_alloc(api_arena(c), (json_len(nodes) + 1) * sizeof(*r->nodes));
    JSON_EACH(node, nodes) {
        if (!read_relay_node(node, &r->nodes[r->n_nodes++]))
            return refuse(c, "a port of a relay is 0 to 65535");
    }
    return true;
}

static bool read_relays(struct api_call *c, struct tailnet_settings *s)
{
    const struct json_value *list = api_member(c, "relays");

    if (!list)
        return true;
    if (!json_is(list, JSON_ARRAY) || json_len(list) > TAILNET_RELAYS_MAX)
        return refuse(c, "relays is a list of at most 64 regions");
    s->set |= SETTING_RELAYS;
    s->relays = arena_alloc(api_arena(c), (json_len(list) + 1) * sizeof(*s->relays));
    JSON_EACH(region, list) {
        if (!read_relay(c, region, &s->relays[s->n_relays++]))
            return false;
    }
    return true;
}

/* In the call's arena; NULL: answered. */
static struct tailnet_settings *read_settings(struct api_call *c)
{
    struct tailnet_settings *s = arena_alloc(api_arena(c), sizeof(*s));

    *s = (struct tailnet_settings){0};
    return read_quotas(c, s) && read_expiry(c, s) && read_relays(c, s) && api_read_joining(c, s)
               ? s
               : NULL;
}

/* False: answered. */
static bool read_prefixes(struct api_call *c, struct command *command)
{
    struct str_list texts = api_texts(c, "prefixes");
    struct ip_prefix *ranges = arena_alloc(api_arena(c), (texts.len + 1) * sizeof(*ranges));

    for (size_t i = 0; i < texts.len; i++)
        if (!ip_prefix_parse(texts.items[i], &ranges[i]))
            return refuse(c, "prefixes are ranges like 10.7.0.0/16");
    command->routes = ranges;
    command->n_routes = texts.len;
    return true;
}

/* ---- Changed ---- */

static void done_tailnet(struct registrar_call *call)
{
    struct api_call *c = api_call_of(call);

    if (!api_refused(c))
        respond_tailnet(c, call->result.view);
}

void api_tailnets_create(struct api_call *c)
{
    struct tailnet_settings *settings = is_operator(c) ? read_settings(c) : NULL;
    struct command *command;

    if (!settings)
        return;
    command = api_command(c, COMMAND_TAILNET_CREATE);
    if (!read_prefixes(c, command))
        return;
    if (json_as_bool(api_member(c, "mayOverlap"), false))
        settings->set |= SETTING_ADDRESSES_APART;
    command->name = api_text(c, "name");
    command->text = api_text(c, "baseDomain");
    command->settings = settings;
    api_submit(c, done_tailnet);
}

/* Back to what the server has: what of it. False: answered. */
static bool read_reset(struct api_call *c, struct command *command)
{
    struct str_list names = api_texts(c, "reset");

    for (size_t i = 0; i < names.len; i++) {
        if (str_eq(names.items[i], STR("keyExpirySeconds")))
            command->unset |= SETTING_KEY_DURATION;
        else if (str_eq(names.items[i], STR("relays")))
            command->unset |= SETTING_RELAYS;
        else if (str_eq(names.items[i], STR("joining")))
            command->unset |= SETTING_JOINING;
        else
            return refuse(c, "what can be reset: keyExpirySeconds, relays, joining");
    }
    return true;
}

/* Whether a change is of what only the operator may set. */
static bool is_for_operator(const struct api_call *c, const struct command *command,
                            const struct tailnet_settings *s)
{
    static const unsigned of_tailnet =
        SETTING_JOINING | SETTING_USER_APPROVAL | SETTING_DEVICE_APPROVAL | SETTING_KEY_DURATION;

    return ((s->set | command->unset) & ~of_tailnet) != 0 || api_member(c, "name") ||
           api_member(c, "baseDomain");
}

void api_tailnets_set(struct api_call *c)
{
    struct tailnet_settings *settings = read_settings(c);
    struct command *command;

    if (!settings)
        return;
    command = api_command(c, COMMAND_TAILNET_SET);
    if (!read_reset(c, command))
        return;
    if (is_for_operator(c, command, settings) && !caller_may_write(&c->caller, AREA_SERVER)) {
        api_problem(c, 403, "not permitted",
                    "only the operator sets name, base domain, quotas and relays");
        return;
    }
    command->name = api_text(c, "name");
    command->text = api_text(c, "baseDomain");
    command->settings = settings;
    api_submit(c, done_tailnet);
}

static void command_it(struct api_call *c, enum command_type type,
                       void (*done)(struct registrar_call *call))
{
    if (!is_operator(c))
        return;
    (void)api_command(c, type);
    api_submit(c, done);
}

void api_tailnets_suspend(struct api_call *c)
{
    command_it(c, COMMAND_TAILNET_SUSPEND, done_tailnet);
}

void api_tailnets_resume(struct api_call *c)
{
    command_it(c, COMMAND_TAILNET_RESUME, done_tailnet);
}

void api_tailnets_delete(struct api_call *c)
{
    command_it(c, COMMAND_TAILNET_DELETE, api_done_empty);
}

/* ---- Exported ---- */

struct export
{
    struct store_query query;
    struct api_call *call;
    tailnet_id tailnet;
    struct buf out;
    struct err err;
    int status;
};

static void export_run(struct store_query *query, struct store *s)
{
    struct export *e = CONTAINER_OF(query, struct export, query);

    e->status = store_export_tailnet(s, e->tailnet, &e->out, &e->err);
}

static void export_done(struct store_query *query)
{
    struct export *e = CONTAINER_OF(query, struct export, query);

    if (query->cancelled)
        e->status = err_set(&e->err, ERR_IO, "the server is shutting down");
    if (e->status < 0)
        api_respond_err(e->call, &e->err);
    else
        api_respond(e->call, &e->out);
    buf_fini(&e->out);
    mem_free(e);
}

void api_tailnets_export(struct api_call *c)
{
    struct export *e;

    if (!is_operator(c))
        return;
    e = NEW(struct export);
    e->query = (struct store_query){.run = export_run, .done = export_done, .loop = c->a->loop};
    e->call = c;
    e->tailnet = c->tailnet;
    e->out = BUF(EXPORT_MAX);
    registrar_ask_store(control_registrar(c->api->control), &e->query);
}
