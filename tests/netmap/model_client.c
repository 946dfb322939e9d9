#include "netmap/model_client.h"

#include "core/clock.h"
#include "core/mem.h"

#define COMPLAIN(m, ...)                                                       \
    do {                                                                       \
        if (!(m)->complaint[0])                                                \
            (void)snprintf((m)->complaint, sizeof(m)->complaint, __VA_ARGS__); \
    } while (0)

static void record_fini(struct model_record *r)
{
    for (size_t i = 0; i < r->n_fields; i++) {
        str_free(&r->fields[i].name);
        str_free(&r->fields[i].value);
    }
    *r = (struct model_record){0};
}

void model_client_fini(struct model_client *m)
{
    record_fini(&m->self);
    record_fini(&m->rest);
    for (size_t i = 0; i < m->n_peers; i++)
        record_fini(&m->peers[i]);
    for (size_t i = 0; i < m->n_profiles; i++)
        record_fini(&m->profiles[i]);
    mem_free(m->peers);
    mem_free(m->profiles);
    *m = (struct model_client){0};
}

static struct str field_get(const struct model_record *r, const char *name)
{
    for (size_t i = 0; i < r->n_fields; i++)
        if (str_eq(r->fields[i].name, str_from(name)))
            return r->fields[i].value;
    return STR_NONE;
}

/* An empty value takes the field away. */
static void field_set(struct model_record *r, struct str name, struct str value)
{
    size_t i = 0;

    while (i < r->n_fields && !str_eq(r->fields[i].name, name))
        i++;
    if (value.len == 0) {
        if (i == r->n_fields)
            return;
        str_free(&r->fields[i].name);
        str_free(&r->fields[i].value);
        r->fields[i] = r->fields[--r->n_fields];
        return;
    }
    if (i == r->n_fields) {
        ASSERT(r->n_fields < MODEL_FIELDS_MAX);
        r->fields[r->n_fields++].name = str_copy(name);
    } else {
        str_free(&r->fields[i].value);
    }
    r->fields[i].value = str_copy(value);
}

static void field_set_json(struct model_record *r, struct str name, const struct json_value *v)
{
    struct buf text = BUF(0);
    struct json_writer w = JSON_WRITER(&text);

    json_value_write(&w, v);
    field_set(r, name, buf_str(&text));
    buf_fini(&text);
}

static bool is_zero_time(struct str json)
{
    return str_eq(json, STR("\"0001-01-01T00:00:00Z\""));
}

/* Go's zero values are the same as absence; the two spellings of the relay become one. */
static void record_normalise(struct model_client *m, struct model_record *r)
{
    struct str derp = field_get(r, "DERP"), home = field_get(r, "HomeDERP");
    struct str zero[] = {STR("null"), STR("0"), STR("\"\""), STR("false")};

    if (derp.len) {
        struct str number = str_sub(derp, 12, derp.len - 13);

        if (!str_starts(derp, STR("\"127.3.3.40:")) || !str_eq(number, home))
            COMPLAIN(m, "node %llu: DERP %.*s is not HomeDERP %.*s", (unsigned long long)r->id,
                     STR_ARG(derp), STR_ARG(home));
        field_set(r, STR("DERP"), STR_NONE);
    }
    for (size_t i = r->n_fields; i-- > 0;) {
        struct str name = r->fields[i].name;

        if (is_zero_time(r->fields[i].value) ||
            (str_eq(name, STR("CapMap")) && str_eq(r->fields[i].value, STR("{}")))) {
            field_set(r, name, STR_NONE);
            continue;
        }
        /* Whether Online is said at all is the point. */
        if (str_eq(name, STR("Online")))
            continue;
        for (size_t k = 0; k < ARRAY_LEN(zero); k++)
            if (str_eq(r->fields[i].value, zero[k])) {
                field_set(r, name, STR_NONE);
                break;
            }
    }
}

static void record_read(struct model_client *m, struct model_record *r, const struct json_value *v,
                        const char *id)
{
    *r = (struct model_record){.id = json_get_u64(v, id, 0)};
    if (r->id == 0)
        COMPLAIN(m, "a record without %s", id);
    JSON_EACH(member, v)
        field_set_json(r, member->key, member);
    record_normalise(m, r);
}

static size_t find(const struct model_record *list, size_t n, uint64_t id)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (list[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct model_record *held(struct model_record *list, size_t n, uint64_t id)
{
    size_t at = find(list, n, id);

    return at < n && list[at].id == id ? &list[at] : NULL;
}

/* Takes `r`. */
static void put(struct model_record **list, size_t *n, struct model_record *r)
{
    size_t at = find(*list, *n, r->id);

    if (at < *n && (*list)[at].id == r->id) {
        record_fini(&(*list)[at]);
    } else {
        *list = mem_realloc_array(*list, *n + 1, sizeof **list);
        memmove(*list + at + 1, *list + at, (*n - at) * sizeof **list);
        (*n)++;
    }
    (*list)[at] = *r;
    *r = (struct model_record){0};
}

static void peer_remove(struct model_client *m, uint64_t id)
{
    struct model_record *p = held(m->peers, m->n_peers, id);
    size_t at;

    if (!p) {
        /* Of itself it may be told what all of its kind are: it has no such peer. */
        if (id != m->self.id)
            COMPLAIN(m, "removes peer %llu, which is not held", (unsigned long long)id);
        return;
    }
    at = (size_t)(p - m->peers);
    record_fini(p);
    memmove(p, p + 1, (m->n_peers - at - 1) * sizeof *p);
    m->n_peers--;
}

static const char *const node_fields[] = {"ID",
                                          "StableID",
                                          "Name",
                                          "User",
                                          "Key",
                                          "KeyExpiry",
                                          "Machine",
                                          "DiscoKey",
                                          "Addresses",
                                          "AllowedIPs",
                                          "Endpoints",
                                          "DERP",
                                          "HomeDERP",
                                          "Hostinfo",
                                          "Created",
                                          "Cap",
                                          "Tags",
                                          "PrimaryRoutes",
                                          "LastSeen",
                                          "Online",
                                          "MachineAuthorized",
                                          "Expired",
                                          "CapMap",
                                          "Sharer",
                                          "IsJailed",
                                          "SelfNodeV4MasqAddrForThisPeer",
                                          "SelfNodeV6MasqAddrForThisPeer"};
static const char *const patch_fields[] = {"NodeID",    "DERPRegion", "Endpoints", "Online",
                                           "LastSeen",  "Cap",        "Key",       "DiscoKey",
                                           "KeyExpiry", "CapMap"};
static const char *const profile_fields[] = {"ID", "LoginName", "DisplayName", "ProfilePicURL"};
static const char *const message_fields[] = {"KeepAlive",
                                             "Node",
                                             "DERPMap",
                                             "Peers",
                                             "PeersChanged",
                                             "PeersRemoved",
                                             "PeersChangedPatch",
                                             "DNSConfig",
                                             "Domain",
                                             "CollectServices",
                                             "PacketFilter",
                                             "PacketFilters",
                                             "UserProfiles",
                                             "Health",
                                             "SSHPolicy",
                                             "ControlTime",
                                             "Debug",
                                             "DefaultAutoUpdate"};

static void check_members(struct model_client *m, const struct json_value *v,
                          const char *const *names, size_t n, const char *what)
{
    size_t known = 0;

    if (!json_is(v, JSON_OBJECT))
        COMPLAIN(m, "%s is %s", what, json_type_name(v));
    for (size_t i = 0; i < n; i++)
        known += json_get(v, names[i]) != NULL;
    if (known != json_len(v))
        COMPLAIN(m, "%s has a member twice or one that no client knows: %.*s", what,
                 STR_ARG(v->raw));
}

static void read_node(struct model_client *m, struct model_record *r, const struct json_value *v)
{
    check_members(m, v, node_fields, ARRAY_LEN(node_fields), "a node");
    record_read(m, r, v, "ID");
    if (!json_is(json_get(v, "Online"), JSON_BOOL) ||
        !json_is(json_get(v, "Endpoints"), JSON_ARRAY))
        COMPLAIN(m, "node %llu lacks Online or Endpoints", (unsigned long long)r->id);
}

/*
 * What the client makes of a whole node it holds already: the changed fields if patches can say
 * them, with what gets lost on the way left out. False: replace it.
 */
static bool patchify(const struct model_record *was, const struct model_record *now,
                     struct model_record *changes)
{
    static const char *const patchable[] = {"Online", "LastSeen", "Endpoints", "HomeDERP",
                                            "Cap",    "Key",      "DiscoKey",  "KeyExpiry"};
    const struct model_record *both[] = {was, now};

    *changes = (struct model_record){.id = now->id};
    for (size_t b = 0; b < 2; b++) {
        for (size_t i = 0; i < both[b]->n_fields; i++) {
            struct str name = both[b]->fields[i].name;
            char text[32];
            size_t k = 0;

            (void)snprintf(text, sizeof text, "%.*s", STR_ARG(name));
            struct str old = field_get(was, text), new = field_get(now, text);
            if (str_eq(old, new))
                continue;
            while (k < ARRAY_LEN(patchable) && !str_eq(name, str_from(patchable[k])))
                k++;
            if (k == ARRAY_LEN(patchable))
                return false;
            /* Online, LastSeen: from a value to a value. Endpoints, HomeDERP, Cap: to a value. */
            if ((k < 2 && (old.len == 0 || new.len == 0)) || (k < 5 && new.len == 0))
                continue;
            field_set(changes, name, new.len ? new : STR("null"));
        }
    }
    return true;
}

static void apply_changes(struct model_client *m, const struct model_record *changes)
{
    struct model_record *p = held(m->peers, m->n_peers, changes->id);

    if (!p)
        return;
    for (size_t i = 0; i < changes->n_fields; i++)
        field_set(p, changes->fields[i].name, changes->fields[i].value);
    record_normalise(m, p);
}

static int64_t time_of(struct str json)
{
    int64_t ms = 0;

    return json.len > 2 && clock_parse_rfc3339(str_sub(json, 1, json.len - 2), &ms) ? ms : 0;
}

static void apply_patch(struct model_client *m, const struct json_value *v)
{
    struct model_record changes;
    struct model_record *p;

    check_members(m, v, patch_fields, ARRAY_LEN(patch_fields), "a patch");
    record_read(m, &changes, v, "NodeID");
    m->patches++;
    p = held(m->peers, m->n_peers, changes.id);
    if (!p && (changes.id != m->self.id || json_len(v) != 2 || !json_get(v, "CapMap")))
        COMPLAIN(m, "patches peer %llu, which is not held", (unsigned long long)changes.id);
    /* The newest clients take such a patch for one that is out of date. */
    if (p && json_get(v, "DiscoKey") && str_eq(field_get(&changes, "Online"), STR("false")) &&
        time_of(field_get(&changes, "LastSeen")) <= time_of(field_get(p, "LastSeen"))) {
        record_fini(&changes);
        return;
    }
    if (json_get(v, "CapMap") && !field_get(&changes, "CapMap").len)
        field_set(&changes, STR("CapMap"), STR("null"));
    /* Said, if only to take it away, where records leave zero values out. */
    if (json_get(v, "KeyExpiry") && !field_get(&changes, "KeyExpiry").len)
        field_set(&changes, STR("KeyExpiry"), STR("null"));
    field_set(&changes, STR("HomeDERP"), field_get(&changes, "DERPRegion"));
    field_set(&changes, STR("DERPRegion"), STR_NONE);
    field_set(&changes, STR("NodeID"), STR_NONE);
    apply_changes(m, &changes);
    record_fini(&changes);
}

/* In any order, but each once. */
static void apply_full_peers(struct model_client *m, const struct json_value *list)
{
    for (size_t i = 0; i < m->n_peers; i++)
        record_fini(&m->peers[i]);
    m->n_peers = 0;
    JSON_EACH(v, list) {
        struct model_record r;

        read_node(m, &r, v);
        if (held(m->peers, m->n_peers, r.id))
            COMPLAIN(m, "peer %llu is listed twice", (unsigned long long)r.id);
        put(&m->peers, &m->n_peers, &r);
    }
}

static void apply_changed_peers(struct model_client *m, const struct json_value *list,
                                struct model_record *converted, size_t *n_converted)
{
    JSON_EACH(v, list) {
        struct model_record r;
        struct model_record *was;

        read_node(m, &r, v);
        m->cards++;
        was = held(m->peers, m->n_peers, r.id);
        if (was && patchify(was, &r, &converted[*n_converted])) {
            (*n_converted)++;
            record_fini(&r);
            continue;
        }
        if (was)
            record_fini(&converted[*n_converted]);
        put(&m->peers, &m->n_peers, &r);
    }
}

static void apply_peers(struct model_client *m, const struct json_value *msg)
{
    const struct json_value *changed = json_get_array(msg, "PeersChanged");
    struct model_record *converted;
    size_t n = 0;

    if (json_len(json_get(msg, "Peers"))) {
        apply_full_peers(m, json_get(msg, "Peers"));
        return;
    }
    if (json_get(msg, "Peers"))
        COMPLAIN(m, "an empty list of peers");
    converted = mem_alloc_array(json_len(changed) + 1, sizeof *converted);
    JSON_EACH(v, json_get_array(msg, "PeersRemoved"))
        peer_remove(m, json_as_u64(v, 0));
    apply_changed_peers(m, changed, converted, &n);
    JSON_EACH(v, json_get_array(msg, "PeersChangedPatch"))
        apply_patch(m, v);
    for (size_t i = 0; i < n; i++) {
        apply_changes(m, &converted[i]);
        record_fini(&converted[i]);
    }
    mem_free(converted);
}

#define NAMED "filter "

/* Named rules: null under "*" clears them first, null under a name takes that one away. */
static void apply_named_filters(struct model_client *m, const struct json_value *filters)
{
    const struct json_value *all = json_get(filters, "*");

    for (size_t i = m->rest.n_fields; json_is(all, JSON_NULL) && i-- > 0;)
        if (str_starts(m->rest.fields[i].name, STR(NAMED)))
            field_set(&m->rest, m->rest.fields[i].name, STR_NONE);
    JSON_EACH(v, filters) {
        struct str name = str_printf(NAMED "%.*s", STR_ARG(v->key));

        if (json_is(v, JSON_NULL) && v != all && !field_get(&m->rest, name.ptr).len)
            COMPLAIN(m, "%.*s was not there and is taken away", STR_ARG(name));
        if (json_is(v, JSON_NULL))
            field_set(&m->rest, name, STR_NONE);
        else
            field_set_json(&m->rest, name, v);
        str_free(&name);
    }
}

static void apply_rest(struct model_client *m, const struct json_value *msg)
{
    static const char *const names[] = {"DERPMap",      "DNSConfig", "Domain", "CollectServices",
                                        "PacketFilter", "SSHPolicy", "Health"};
    static const char *const first[] = {"Node",         "DERPMap",      "DNSConfig",
                                        "Domain",       "PacketFilter", "SSHPolicy",
                                        "UserProfiles", "ControlTime",  "CollectServices"};
    const struct json_value *node = json_get(msg, "Node");

    for (size_t i = 0; !m->started && i < ARRAY_LEN(first); i++)
        if (!json_get(msg, first[i]) &&
            !(str_eq(str_from(first[i]), STR("PacketFilter")) && json_get(msg, "PacketFilters")))
            COMPLAIN(m, "the first message lacks %s", first[i]);
    m->started = true;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (json_get(msg, names[i]) && !json_is(json_get(msg, names[i]), JSON_NULL))
            field_set_json(&m->rest, str_from(names[i]), json_get(msg, names[i]));
    apply_named_filters(m, json_get(msg, "PacketFilters"));
    if (node) {
        record_fini(&m->self);
        read_node(m, &m->self, node);
    }
    JSON_EACH(v, json_get_array(msg, "UserProfiles")) {
        struct model_record r;

        check_members(m, v, profile_fields, ARRAY_LEN(profile_fields), "a profile");
        record_read(m, &r, v, "ID");
        put(&m->profiles, &m->n_profiles, &r);
    }
}

static void check_whole(struct model_client *m)
{
    if (held(m->peers, m->n_peers, m->self.id))
        COMPLAIN(m, "it is its own peer");
    for (size_t i = 0; i < m->n_peers + 1; i++) {
        const struct model_record *r = i < m->n_peers ? &m->peers[i] : &m->self;
        uint64_t user = 0;

        if (!str_parse_u64(field_get(r, "User"), &user) || !held(m->profiles, m->n_profiles, user))
            COMPLAIN(m, "node %llu has no profile of user %llu", (unsigned long long)r->id,
                     (unsigned long long)user);
    }
}

void model_client_apply(struct model_client *m, struct str json)
{
    AUTO(arena_free) struct arena *a = arena_new();
    struct json_error error = {0};
    struct json_value *msg = NULL;

    if (!json_parse(a, json, NULL, &msg, &error)) {
        COMPLAIN(m, "not JSON at %u: %s", error.col, error.text);
        return;
    }
    m->messages++;
    check_members(m, msg, message_fields, ARRAY_LEN(message_fields), "a message");
    if (json_get_bool(msg, "KeepAlive", false))
        return;
    apply_rest(m, msg);
    apply_peers(m, msg);
    check_whole(m);
}

static bool is_among(struct str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(name, str_from(names[i])))
            return true;
    return false;
}

static bool record_same(const struct model_record *a, const struct model_record *b,
                        const char *const *ignored, size_t n_ignored, const char *what, char *why,
                        size_t why_len)
{
    const struct model_record *both[] = {a, b};

    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < both[k]->n_fields; i++) {
            struct str name = both[k]->fields[i].name;
            char text[32];

            (void)snprintf(text, sizeof text, "%.*s", STR_ARG(name));
            if (is_among(name, ignored, n_ignored) ||
                str_eq(field_get(a, text), field_get(b, text)))
                continue;
            (void)snprintf(why, why_len, "%s %llu: %s is %.*s, should be %.*s", what,
                           (unsigned long long)b->id, text, STR_ARG(field_get(a, text)),
                           STR_ARG(field_get(b, text)));
            return false;
        }
    }
    return true;
}

bool model_client_same(const struct model_client *m, const struct model_client *fresh, char *why,
                       size_t why_len)
{
    static const char *const own[] = {"Endpoints", "HomeDERP", "Online",  "LastSeen",
                                      "DiscoKey",  "Cap",      "Hostinfo"};
    static const char *const seen[] = {"LastSeen"};

    if (!record_same(&m->self, &fresh->self, own, ARRAY_LEN(own), "self", why, why_len) ||
        !record_same(&m->rest, &fresh->rest, NULL, 0, "tailnet", why, why_len))
        return false;
    for (size_t i = 0; i < MAX(m->n_peers, fresh->n_peers); i++) {
        const struct model_record *b = i < fresh->n_peers ? &fresh->peers[i] : NULL;
        bool is_online;

        if (i >= m->n_peers || !b || m->peers[i].id != b->id) {
            (void)snprintf(why, why_len, "peer %zu is %llu of %zu, should be %llu of %zu", i,
                           i < m->n_peers ? (unsigned long long)m->peers[i].id : 0, m->n_peers,
                           b ? (unsigned long long)b->id : 0, fresh->n_peers);
            return false;
        }
        is_online = str_eq(field_get(b, "Online"), STR("true"));
        if (!record_same(&m->peers[i], b, seen, is_online ? 1 : 0, "peer", why, why_len))
            return false;
    }
    for (size_t i = 0; i < fresh->n_profiles; i++) {
        const struct model_record *b = &fresh->profiles[i];
        const struct model_record *a = held(m->profiles, m->n_profiles, b->id);

        if (!a || !record_same(a, b, NULL, 0, "profile", why, why_len)) {
            if (!a)
                (void)snprintf(why, why_len, "no profile %llu", (unsigned long long)b->id);
            return false;
        }
    }
    return true;
}
