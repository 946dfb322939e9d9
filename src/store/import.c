/*
 * The import: the order of it, what the target has already, the report, the commit.
 *
 *   target --store_load--> domain --users, keys, nodes added as at a start--> one batch --> target
 *
 * What is added goes through the same checks as what a server reads at its start, so nothing is
 * committed that a start would refuse.
 */

#include <stdarg.h>
#include <stdio.h>

#include "core/num.h"
#include "store/import_internal.h"

#define TAILNETS_LOOKED_AT 4096
#define MAPS 16 /* of struct import, and the end */

const char *import_what_name(enum import_what what)
{
    static const char *const names[] = {"user",    "node",   "auth key",
                                        "API key", "policy", "OAuth client", "access token"};

    return what < ARRAY_LEN(names) ? names[what] : "";
}

const char *import_fate_name(enum import_fate fate)
{
    static const char *const names[] = {"taken", "changed", "present", "left out", "damaged"};

    return fate < ARRAY_LEN(names) ? names[fate] : "";
}

/* ---- the report ---- */

void import_note(struct import *im, enum import_fate fate, enum import_what what, uint64_t id,
                 struct str name, const char *fmt, ...)
{
    struct import_report *r = im->report;
    char text[512];
    va_list args;

    r->counts[what][fate]++;
    if (!fmt)
        return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (r->n_notes == r->cap_notes) {
        size_t cap = r->cap_notes ? 2 * r->cap_notes : 64;
        struct import_note *more = arena_alloc(im->arena, cap * sizeof(*more));

        if (r->n_notes > 0)
            memcpy(more, r->notes, r->n_notes * sizeof(*more));
        r->notes = more;
        r->cap_notes = cap;
    }
    r->notes[r->n_notes++] = (struct import_note){.fate = fate,
                                                  .what = what,
                                                  .id = id,
                                                  .name = arena_copy(im->arena, name),
                                                  .text = arena_copy(im->arena, str_from(text))};
}

static size_t damaged(const struct import_report *r)
{
    size_t n = 0;

    for (size_t i = 0; i < IMPORT_WHATS; i++)
        n += r->counts[i][IMPORT_DAMAGED];
    return n;
}

/* ---- ids and changes ---- */

static struct str used_name(char text[32], char kind, uint64_t id)
{
    int n = snprintf(text, 32, "%c%llu", kind, (unsigned long long)id);

    return str_bytes(text, (size_t)n);
}

uint64_t import_take_id(struct import *im, char kind, uint64_t id, uint64_t *next)
{
    char text[32];

    while (id == 0 || (kind == 'u' && id == USER_TAGGED_DEVICES) ||
           map_find(im->used, used_name(text, kind, id)))
        id = (*next)++;
    (void)map_put(im->used, used_name(text, kind, id), im);
    *next = MAX(*next, id + 1);
    return id;
}

bool import_is_new_user(const struct import *im, const struct user *u)
{
    char text[32];

    return map_find(im->used, used_name(text, 'u', u->id)) == im;
}

void import_changed(struct import *im, enum change_kind kind, uint64_t id)
{
    change_list_add(&im->changes, (struct change){.kind = kind,
                                                  .tailnet = im->tailnet,
                                                  .id = id,
                                                  .mask = kind == CHANGE_NODE ? NODE_NEW : 0});
}

bool import_tag_is_usable(struct str tag)
{
    if (!str_starts(tag, STR("tag:")) || tag.len < 5 || tag.len > IMPORT_NAME_MAX)
        return false;
    for (size_t i = 0; i < tag.len; i++)
        if ((unsigned char)tag.ptr[i] <= ' ' || tag.ptr[i] == 0x7f ||
            (tag.ptr[i] >= 'A' && tag.ptr[i] <= 'Z'))
            return false;
    return true;
}

/* ---- what the target has ---- */

static void put_used(struct import *im, char kind, uint64_t id)
{
    char text[32];

    (void)map_put(im->used, used_name(text, kind, id), im->domain);
}

static void note_node(struct import *im, const struct node *n, bool is_mine)
{
    char label[64];

    put_used(im, 'n', n->id);
    (void)map_put(im->node_keys, node_key_str(&n->key), (void *)(uintptr_t)n);
    if (ip_addr_is_set(n->v4))
        (void)map_put(im->addresses, str_bytes(&n->v4, sizeof(n->v4)), im);
    if (ip_addr_is_set(n->v6))
        (void)map_put(im->addresses, str_bytes(&n->v6, sizeof(n->v6)), im);
    for (size_t i = 0; is_mine && i < n->given_name.len && i < sizeof(label); i++) {
        char c = n->given_name.ptr[i];

        label[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    if (is_mine)
        (void)map_put(im->names, str_bytes(label, MIN(n->given_name.len, sizeof(label))),
                      (void *)(uintptr_t)1);
}

static void note_view(struct import *im, const struct tailnet_view *view)
{
    bool is_mine = view_info(view)->id == im->tailnet;
    size_t n = 0;
    const struct user *const *users = view_users(view, &n);
    const struct node *node;

    for (size_t i = 0; i < n; i++) {
        void *u = (void *)(uintptr_t)users[i];

        put_used(im, 'u', users[i]->id);
        if (is_mine && users[i]->provider_id.len > 0)
            (void)map_put(im->providers, users[i]->provider_id, u);
        else if (is_mine)
            (void)map_put(im->local, users[i]->name, u);
    }

    const struct auth_key *const *keys = view_auth_keys(view, &n);

    for (size_t i = 0; i < n; i++) {
        put_used(im, 'k', keys[i]->id);
        import_note_auth_key(im, keys[i]);
    }
    for (size_t at = 0; (node = view_node_next(view, &at));)
        note_node(im, node, is_mine);
}

static int note_target(struct import *im, struct err *err)
{
    tailnet_id *ids = arena_alloc(im->arena, TAILNETS_LOOKED_AT * sizeof(*ids));
    size_t n = domain_tailnet_ids(im->domain, ids, TAILNETS_LOOKED_AT);

    if (n == TAILNETS_LOOKED_AT)
        return err_set(err, ERR_LIMIT, "the target has too many tailnets");
    for (size_t i = 0; i < n; i++) {
        const struct tailnet_view *view = domain_view(im->domain, ids[i]);

        note_view(im, view);
        view_unref(view);
    }

    const struct api_key_set *keys = domain_api_keys(im->domain);
    const struct api_key *k;

    for (size_t at = 0; (k = api_key_set_next(keys, &at));) {
        put_used(im, 'a', k->id);
        (void)map_put(im->api_prefixes, k->prefix, (void *)(uintptr_t)k);
    }
    api_key_set_unref(keys);
    im->next = domain_counters(im->domain);
    return 0;
}

/* The tailnet that takes it all: the first one, made when there is none. */
static int find_tailnet(struct import *im, struct err *err)
{
    const struct tailnet_view *view = domain_view(im->domain, 0);
    size_t nodes = view ? view_node_count(view) : 0;
    struct tailnet_info *info;

    if (view) {
        im->tailnet = view_info(view)->id;
        view_unref(view);
        if (nodes > 0 && !im->options->force)
            return err_set(err, ERR_CONFLICT,
                           "the database has %zu nodes already; --force adds to them, and "
                           "overwrites nothing",
                           nodes);
        return 0;
    }
    info = tailnet_info_clone(im->options->info);
    info->id = 1;
    info->created_ms = im->options->now_ms;
    if (domain_load_tailnet(im->domain, info, 0, err) < 0)
        return err_wrap(err, "the tailnet of the configuration");
    im->tailnet = 1;
    import_changed(im, CHANGE_INFO, 1);
    return 0;
}

/* ---- the policy ---- */

static int judge_policy(struct import *im, struct err *err)
{
    const struct tailnet_view *view;
    int status = 0;

    if (!im->options->judge_policy)
        return 0;
    view = domain_view(im->domain, im->tailnet);
    status = im->options->judge_policy(im->options->hook, im->policy, view, err);
    view_unref(view);
    return status < 0 ? err_wrap(err, "the policy cannot be taken over") : 0;
}

static int set_policy(struct import *im, struct err *err)
{
    const struct command c = {.type = COMMAND_POLICY_SET,
                              .origin = ORIGIN_SERVER,
                              .author = STR("import from headscale"),
                              .tailnet = im->tailnet,
                              .now_ms = im->options->now_ms,
                              .text = im->policy};
    struct command_result result = {0};
    int status = 0;

    if (im->policy.len > 0)
        status = domain_apply(im->domain, &c, &im->changes, &result, err);
    command_result_fini(&result);
    return status;
}

/* ---- ids that were used once ---- */

static const char *const sequence_columns[] = {"name", "seq", NULL};
static const char *const id_columns[] = {"id", NULL};

/* By the source's names of tables. */
static uint64_t *next_of(struct import *im, struct str table)
{
    const struct {
        struct str table;
        uint64_t *next;
    } all[] = {{STR("users"), &im->next.user},
               {STR("namespaces"), &im->next.user},
               {STR("nodes"), &im->next.node},
               {STR("machines"), &im->next.node},
               {STR("pre_auth_keys"), &im->next.auth_key},
               {STR("api_keys"), &im->next.api_key}};

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (str_eq(table, all[i].table))
            return all[i].next;
    return NULL;
}

static int sequence_row(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct import *im = user;
    struct values r = {.names = sequence_columns, .v = columns, .n = n};
    uint64_t *next = next_of(im, values_text(&r, "name", IMPORT_NAME_MAX));
    uint64_t last = values_id(&r, "seq");

    (void)err;
    if (next)
        *next = MAX(*next, last + 1);
    return 0;
}

static int reserve_row(void *user, const struct db_value *columns, size_t n, struct err *err)
{
    struct values r = {.names = id_columns, .v = columns, .n = n};
    uint64_t *next = user;

    (void)err;
    *next = MAX(*next, values_id(&r, "id") + 1);
    return 0;
}

/*
 * Who has to get another number must not get that of a row still to come, and nobody that of what
 * was deleted before the import.
 */
static int reserve_ids(struct import *im, struct err *err)
{
    const char *const tables[] = {im->schema.has_namespaces ? "namespaces" : "users",
                                  im->schema.has_machines ? "machines" : "nodes", "pre_auth_keys",
                                  "api_keys"};
    int status = 0;

    if (schema_has_column(&im->schema, "sqlite_sequence", "seq"))
        status =
            schema_select(&im->schema, "sqlite_sequence", sequence_columns, sequence_row, im, err);
    for (size_t i = 0; i < ARRAY_LEN(tables) && status == 0; i++)
        if (schema_has_column(&im->schema, tables[i], "id"))
            status = schema_select(&im->schema, tables[i], id_columns, reserve_row,
                                   next_of(im, str_from(tables[i])), err);
    if (status == 0)
        domain_load_counters(im->domain, &im->next);
    return status;
}

/* ---- all of it ---- */

static int read_all(struct import *im, struct err *err)
{
    static int (*const steps[])(struct import *, struct err *) = {
        find_tailnet, note_target,     reserve_ids,          import_policy,
        import_users, judge_policy,    import_named_keys,    import_auth_keys,
        import_nodes, import_api_keys, import_oauth, set_policy,
    };

    im->report->release = schema_release(&im->schema, im->arena);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        int status = steps[i](im, err);

        if (status < 0)
            return status;
    }
    if (damaged(im->report) > 0 && !im->options->skip_damaged)
        return err_set(err, ERR_INVALID,
                       "%zu rows cannot be read; mend them, or leave them out with --skip-damaged",
                       damaged(im->report));
    return 0;
}

static int commit(struct import *im, struct store *target, struct err *err)
{
    const struct tailnet_view *view = domain_view(im->domain, im->tailnet);
    struct domain_counters next = domain_counters(im->domain);
    const struct api_key_set *keys = domain_api_keys(im->domain);
    struct store_batch *batch = store_batch_new();
    bool durable = false;
    int status;

    for (size_t i = 0; i < im->changes.len; i++)
        im->changes.items[i].revision = view_revision(view) + 1;
    store_batch_add(batch, view, im->changes.items, im->changes.len, &durable);
    store_batch_add_api_keys(batch, keys, im->changes.items, im->changes.len, &durable);
    store_batch_set_counters(batch, &next);
    status = store_commit(target, batch, err);
    store_batch_free(batch);
    api_key_set_unref(keys);
    view_unref(view);
    return status;
}

static struct map **const *maps_of(struct import *im, struct map **list[MAPS])
{
    struct map **all[] = {&im->users,  &im->keys,      &im->key_facts, &im->key_tags,
                          &im->routes, &im->nodes,     &im->used,      &im->names,
                          &im->local,  &im->providers, &im->prefixes,  &im->api_prefixes,
                          &im->legacy, &im->node_keys, &im->addresses};

    memcpy(list, all, sizeof(all));
    list[ARRAY_LEN(all)] = NULL;
    return list;
}

static int open_source(const struct import_options *o, struct foreign **from, struct err *err)
{
    if (o->postgres_url.len > 0 || o->postgres)
        return foreign_postgres_open(o->postgres_url, o->postgres, from, err);
    return foreign_sqlite_open(o->sqlite_path, from, err);
}

static void import_fini(struct import *im)
{
    struct map **list[MAPS];

    for (struct map **const *m = maps_of(im, list); *m; m++)
        map_free(**m);
    for (struct import_late *l = im->late; l; l = l->next)
        node_unref(l->node);
    change_list_fini(&im->changes);
    schema_fini(&im->schema);
    domain_free(im->domain);
}

int import_from(const struct import_options *options, struct foreign *from, struct store *target,
                bool dry_run, struct arena *arena, struct import_report *report, struct err *err)
{
    struct import im = {.options = options, .arena = arena, .report = report};
    struct map **list[MAPS];
    int status;

    *report = (struct import_report){0};
    for (struct map **const *m = maps_of(&im, list); *m; m++)
        **m = map_new();
    im.domain = domain_new();
    status = schema_read(&im.schema, from, err);
    if (status == 0)
        status = schema_check(&im.schema, err);
    if (status == 0 && target)
        status = store_load(target, im.domain, err);
    if (status == 0)
        status = read_all(&im, err);
    if (status == 0 && !dry_run)
        status = commit(&im, target, err);
    import_fini(&im);
    return status;
}

int import_headscale(const struct import_options *options, struct store *target, bool dry_run,
                     struct arena *arena, struct import_report *report, struct err *err)
{
    struct foreign *from = NULL;
    int status = open_source(options, &from, err);

    *report = (struct import_report){0};
    if (status < 0)
        return status;
    status = import_from(options, from, target, dry_run, arena, report, err);
    from->ops->close(from);
    return status;
}
