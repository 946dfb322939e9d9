#include "golden.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "policy/eval.h"

#define SHOWN_MAX 700 /* bytes of a value in a report */

struct diff {
    struct arena *arena;
    struct str id;
    struct buf *report;
    size_t count;
};

typedef void compare_fn(struct diff *d, struct str path, const struct json_value *want,
                        const struct json_value *got);

/* ---- Values as text, members sorted: equal texts mean equal values ---- */

static void put_canonical(struct buf *out, const struct json_value *v);

static int by_key(const void *x, const void *y)
{
    return str_cmp((*(const struct json_value *const *)x)->key,
                   (*(const struct json_value *const *)y)->key);
}

static void put_object(struct buf *out, const struct json_value *v)
{
    const struct json_value **members = mem_alloc_array(json_len(v), sizeof(struct json_value *));
    size_t n = 0;

    JSON_EACH(member, v)
        members[n++] = member;
    qsort(members, n, sizeof(*members), by_key);
    for (size_t i = 0; i < n; i++) {
        struct json_writer w = JSON_WRITER(out);

        if (i > 0)
            buf_put_char(out, ',');
        json_str(&w, members[i]->key);
        buf_put_char(out, ':');
        put_canonical(out, members[i]);
    }
    mem_free(members);
}

static void put_array(struct buf *out, const struct json_value *v)
{
    JSON_EACH(item, v) {
        put_canonical(out, item);
        if (item->next)
            buf_put_char(out, ',');
    }
}

static void put_canonical(struct buf *out, const struct json_value *v)
{
    struct json_writer w = JSON_WRITER(out);

    if (!v) {
        buf_put(out, STR("nothing"));
    } else if (json_is(v, JSON_OBJECT)) {
        buf_put_char(out, '{');
        put_object(out, v);
        buf_put_char(out, '}');
    } else if (json_is(v, JSON_ARRAY)) {
        buf_put_char(out, '[');
        put_array(out, v);
        buf_put_char(out, ']');
    } else {
        json_value_write(&w, v);
    }
}

static struct str canonical(struct diff *d, const struct json_value *v)
{
    struct buf out = BUF(0);

    put_canonical(&out, v);
    struct str text = arena_copy(d->arena, buf_str(&out));
    buf_fini(&out);
    return text;
}

/* ---- Reporting ---- */

static void tell_text(struct diff *d, struct str path, struct str want, struct str got)
{
    d->count++;
    buf_printf(d->report, "%.*s %.*s\n    expected %.*s%s\n    got      %.*s%s\n", STR_ARG(d->id),
               STR_ARG(path), STR_ARG(str_sub(want, 0, SHOWN_MAX)),
               want.len > SHOWN_MAX ? " ..." : "", STR_ARG(str_sub(got, 0, SHOWN_MAX)),
               got.len > SHOWN_MAX ? " ..." : "");
}

static void tell(struct diff *d, struct str path, const struct json_value *want,
                 const struct json_value *got)
{
    tell_text(d, path, canonical(d, want), canonical(d, got));
}

static struct str at_key(struct diff *d, struct str path, struct str key)
{
    return arena_printf(d->arena, "%.*s.%.*s", STR_ARG(path), STR_ARG(key));
}

/* ---- Comparing in general ---- */

static void same(struct diff *d, struct str path, const struct json_value *want,
                 const struct json_value *got)
{
    if (!str_eq(canonical(d, want), canonical(d, got)))
        tell(d, path, want, got);
}

static const struct json_value *member(const struct json_value *v, struct str key)
{
    JSON_EACH(m, v)
        if (str_eq(m->key, key))
            return m;
    return NULL;
}

/* Every member that one of the two has, the other's being NULL then. */
static void each_member(struct diff *d, struct str path, const struct json_value *want,
                        const struct json_value *got, compare_fn *compare)
{
    if (!json_is(want, JSON_OBJECT) || !json_is(got, JSON_OBJECT)) {
        same(d, path, want, got);
        return;
    }
    JSON_EACH(w, want)
        compare(d, at_key(d, path, w->key), w, member(got, w->key));
    JSON_EACH(g, got)
        if (!member(want, g->key))
            compare(d, at_key(d, path, g->key), NULL, g);
}

/* Lists whose order counts; nothing is an empty one. */
static void each_element(struct diff *d, struct str path, const struct json_value *want,
                         const struct json_value *got, compare_fn *compare)
{
    size_t i = 0;

    if (json_len(want) != json_len(got)) {
        tell(d, path, want, got);
        return;
    }
    JSON_EACH(w, want) {
        compare(d, arena_printf(d->arena, "%.*s[%zu]", STR_ARG(path), i), w, json_at(got, i));
        i++;
    }
}

static int by_text(const void *x, const void *y)
{
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

/* The elements as sorted text, repeats dropped if `unique`. */
static struct str sorted(struct diff *d, const struct json_value *list, bool unique)
{
    struct str *items = arena_alloc(d->arena, (json_len(list) + 1) * sizeof(*items));
    struct buf out = BUF(0);
    size_t n = 0;

    JSON_EACH(item, list)
        items[n++] = canonical(d, item);
    qsort(items, n, sizeof(*items), by_text);
    buf_put_char(&out, '[');
    for (size_t i = 0; i < n; i++) {
        if (unique && i > 0 && str_eq(items[i], items[i - 1]))
            continue;
        if (i > 0)
            buf_put(&out, STR(", "));
        buf_put(&out, items[i]);
    }
    buf_put_char(&out, ']');
    struct str text = arena_copy(d->arena, buf_str(&out));
    buf_fini(&out);
    return text;
}

static void same_bag(struct diff *d, struct str path, const struct json_value *want,
                     const struct json_value *got, bool unique)
{
    struct str w = sorted(d, want, unique), g = sorted(d, got, unique);

    if (!str_eq(w, g))
        tell_text(d, path, w, g);
}

static void same_set(struct diff *d, struct str path, const struct json_value *want,
                     const struct json_value *got)
{
    same_bag(d, path, want, got, true);
}

/* The name of a member whose path is given. */
static bool is_member(struct str path, struct str key)
{
    return str_ends(path, key) && path.len > key.len && path.ptr[path.len - key.len - 1] == '.';
}

/* ---- Filter rules ---- */

static void capability_grant(struct diff *d, struct str path, const struct json_value *want,
                             const struct json_value *got)
{
    (is_member(path, STR("Dsts")) ? same_set : same)(d, path, want, got);
}

static void capability_grant_whole(struct diff *d, struct str path, const struct json_value *want,
                                   const struct json_value *got)
{
    each_member(d, path, want, got, capability_grant);
}

static void filter_member(struct diff *d, struct str path, const struct json_value *want,
                          const struct json_value *got)
{
    if (is_member(path, STR("SrcIPs")))
        same_set(d, path, want, got);
    else if (is_member(path, STR("DstPorts")) || is_member(path, STR("IPProto")))
        same_bag(d, path, want, got, false);
    else if (is_member(path, STR("CapGrant")))
        each_element(d, path, want, got, capability_grant_whole);
    else
        same(d, path, want, got);
}

static void filter_rule(struct diff *d, struct str path, const struct json_value *want,
                        const struct json_value *got)
{
    each_member(d, path, want, got, filter_member);
}

/* ---- SSH rules ---- */

/* Without scheme and host. */
static struct str url_path(struct str url)
{
    ptrdiff_t host = str_find(url, STR("://"));
    struct str rest = host < 0 ? url : str_from_index(url, (size_t)host + 3);
    ptrdiff_t slash = str_find_char(rest, '/');

    return slash < 0 ? STR_NONE : str_from_index(rest, (size_t)slash);
}

static void ssh_action_member(struct diff *d, struct str path, const struct json_value *want,
                              const struct json_value *got)
{
    bool is_hold = is_member(path, STR("holdAndDelegate")) && json_is(want, JSON_STRING) &&
                   json_is(got, JSON_STRING);

    if (!is_hold)
        same(d, path, want, got);
    else if (!str_eq(url_path(want->str), url_path(got->str)))
        tell(d, path, want, got);
}

static void ssh_member(struct diff *d, struct str path, const struct json_value *want,
                       const struct json_value *got)
{
    if (is_member(path, STR("principals")))
        same_bag(d, path, want, got, false);
    else if (is_member(path, STR("action")))
        each_member(d, path, want, got, ssh_action_member);
    else
        same(d, path, want, got);
}

static void ssh_rule(struct diff *d, struct str path, const struct json_value *want,
                     const struct json_value *got)
{
    each_member(d, path, want, got, ssh_member);
}

/* ---- Nodes ---- */

static const struct json_value *by_name(const struct json_value *list, const char *key,
                                        struct str name)
{
    JSON_EACH(item, list)
        if (str_eq(json_get_str(item, key), name))
            return item;
    return NULL;
}

static bool is_list_of_prefixes(struct str path)
{
    return is_member(path, STR("routes")) || is_member(path, STR("addresses")) ||
           is_member(path, STR("self_routes")) || is_member(path, STR("self_primary"));
}

static void peer_info_member(struct diff *d, struct str path, const struct json_value *want,
                             const struct json_value *got)
{
    (is_list_of_prefixes(path) ? same_set : same)(d, path, want, got);
}

/* Each of the list by its peer. */
static void peer_info(struct diff *d, struct str path, const struct json_value *want,
                      const struct json_value *got)
{
    JSON_EACH(w, want) {
        struct str name = json_get_str(w, "peer");

        each_member(d, arena_printf(d->arena, "%.*s[%.*s]", STR_ARG(path), STR_ARG(name)), w,
                    by_name(got, "peer", name), peer_info_member);
    }
    JSON_EACH(g, got) {
        struct str name = json_get_str(g, "peer");

        if (!by_name(want, "peer", name))
            tell(d, arena_printf(d->arena, "%.*s[%.*s]", STR_ARG(path), STR_ARG(name)), NULL, g);
    }
}

static void node_member(struct diff *d, struct str path, const struct json_value *want,
                        const struct json_value *got)
{
    if (is_member(path, STR("filter")))
        each_element(d, path, want, got, filter_rule);
    else if (is_member(path, STR("ssh")) && want)
        each_element(d, path, want, got, ssh_rule);
    else if (is_member(path, STR("peers")) || is_list_of_prefixes(path))
        same_set(d, path, want, got);
    else if (is_member(path, STR("peer_info")))
        peer_info(d, path, want, got);
    else if (want || (!is_member(path, STR("ssh")) && !is_member(path, STR("caps"))))
        same(d, path, want, got);
    /* else: captures of other categories leave SSH rules and capabilities out */
}

static void nodes(struct diff *d, const struct json_value *want, const struct json_value *got)
{
    const struct json_value *missing = json_get_array(want, "missing");

    JSON_EACH(w, json_get_array(want, "nodes")) {
        struct str name = json_get_str(w, "name");

        each_member(d, arena_printf(d->arena, "nodes[%.*s]", STR_ARG(name)), w,
                    by_name(json_get_array(got, "nodes"), "name", name), node_member);
    }
    JSON_EACH(g, json_get_array(got, "nodes")) {
        struct str name = json_get_str(g, "name");
        bool is_known = by_name(json_get_array(want, "nodes"), "name", name) != NULL;

        JSON_EACH(m, missing)
            is_known = is_known || str_eq(json_as_str(m, STR_NONE), name);
        if (!is_known)
            tell(d, arena_printf(d->arena, "nodes[%.*s]", STR_ARG(name)), NULL, g);
    }
}

static void whole(struct diff *d, const struct json_value *want, const struct json_value *got)
{
    struct str message = json_get_str(want, "message");
    uint64_t status = json_get_u64(want, "status", 0);

    if (json_get_u64(got, "status", 0) != status) {
        tell(d, STR("status"), want, got);
        return;
    }
    if (str_find(json_get_str(got, "message"), message) < 0)
        tell(d, STR("message"), json_get(want, "message"), json_get(got, "message"));
    if (status == 200)
        nodes(d, want, got);
}

size_t golden_compare(struct str id, const struct json_value *want, const struct json_value *got,
                      struct buf *report)
{
    struct diff d = {.arena = arena_new(), .id = id, .report = report};

    whole(&d, want, got);
    arena_free(d.arena);
    return d.count;
}

/* ---- Running ---- */

static void put_node_input(struct json_writer *w, const struct json_value *node)
{
    json_begin_object(w);
    JSON_EACH(m, node) {
        if (str_eq(m->key, STR("approved_routes")))
            continue;
        json_key(w, m->key);
        json_value_write(w, m);
    }
    json_end_object(w);
}

static void put_input(struct buf *out, const struct json_value *c)
{
    static const char *const kept[] = {"tailnet", "users", "policy"};
    struct json_writer w = JSON_WRITER(out);

    json_begin_object(&w);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        if (!json_get(c, kept[i]))
            continue;
        json_key(&w, str_from(kept[i]));
        json_value_write(&w, json_get(c, kept[i]));
    }
    json_field_array(&w, STR("nodes"));
    JSON_EACH(node, json_get_array(c, "nodes"))
        put_node_input(&w, node);
    json_end_array(&w);
    json_end_object(&w);
}

/* What was approved is what a node may serve, be it shown in the capture or not. */
static void compare_approved(struct diff *d, const struct json_value *c,
                             const struct json_value *got)
{
    JSON_EACH(node, json_get_array(c, "nodes")) {
        struct str name = json_get_str(node, "name");

        same_set(
            d, arena_printf(d->arena, "nodes[%.*s].approved_routes", STR_ARG(name)),
            json_get_array(node, "approved_routes"),
            json_get_array(by_name(json_get_array(got, "nodes"), "name", name), "self_routes"));
    }
}

/* False: said in the report. */
static bool evaluate(struct diff *d, const struct json_value *c, const struct json_value **got)
{
    struct buf input = BUF(0), answer = BUF(0);
    struct json_value *v = NULL;
    struct json_error why = {0};
    struct err err = {0};
    bool ok = false;

    put_input(&input, c);
    if (policy_eval_case(buf_str(&input), &answer, &err) < 0)
        tell_text(d, STR("case"), STR("an answer"), str_from(err.text));
    else if (!json_parse(d->arena, arena_copy(d->arena, buf_str(&answer)), NULL, &v, &why))
        tell_text(d, STR("answer"), STR("JSON"), str_from(why.text));
    else
        ok = true;
    buf_fini(&input);
    buf_fini(&answer);
    *got = v;
    return ok;
}

enum golden_outcome golden_run_case(struct str text, struct buf *report)
{
    struct diff d = {.arena = arena_new(), .id = STR("?"), .report = report};
    enum golden_outcome outcome = GOLDEN_UNRELIABLE;
    const struct json_value *got = NULL;
    struct json_value *c = NULL;
    struct json_error why = {0};

    if (!json_parse(d.arena, text, NULL, &c, &why)) {
        tell_text(&d, STR("case"), STR("JSON"), str_from(why.text));
        outcome = GOLDEN_DIFFERS;
    } else if (!json_get(c, "unreliable")) {
        const struct json_value *want = json_get_object(c, "expect");

        d.id = json_get_str(c, "id");
        if (evaluate(&d, c, &got)) {
            d.count += golden_compare(d.id, want, got, report);
            if (json_get_u64(want, "status", 0) == 200 && json_get_u64(got, "status", 0) == 200)
                compare_approved(&d, c, got);
        }
        outcome = d.count > 0 ? GOLDEN_DIFFERS : GOLDEN_AGREES;
    }
    arena_free(d.arena);
    return outcome;
}

static void run_file(const char *path, struct golden_totals *totals)
{
    struct buf text = BUF(0), report = BUF(0);
    FILE *f = fopen(path, "re");
    char chunk[65536];

    ASSERT(f);
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
        buf_put(&text, str_bytes(chunk, n));
    (void)fclose(f);
    totals->cases++;
    switch (golden_run_case(buf_str(&text), &report)) {
    case GOLDEN_AGREES:
        totals->agree++;
        break;
    case GOLDEN_DIFFERS:
        totals->differ++;
        (void)fwrite(report.ptr, 1, report.len, stdout);
        break;
    case GOLDEN_UNRELIABLE:
        totals->unreliable++;
        break;
    }
    buf_fini(&text);
    buf_fini(&report);
}

bool golden_run_dir(const char *dir, const char *only, struct golden_totals *totals)
{
    struct dirent **entries = NULL;
    int n = scandir(dir, &entries, NULL, alphasort);

    for (int i = 0; i < n; i++) {
        struct str name = str_from(entries[i]->d_name);
        struct str path = str_printf("%s/%s", dir, entries[i]->d_name);

        if (name.ptr[0] == '.')
            ;
        else if (entries[i]->d_type == DT_DIR)
            (void)golden_run_dir(path.ptr, only, totals);
        else if (str_ends(name, STR(".json")) && (!only || str_find(path, str_from(only)) >= 0))
            run_file(path.ptr, totals);
        str_free(&path);
        free(entries[i]);
    }
    free(entries);
    return n >= 0;
}
