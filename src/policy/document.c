/*
 * A policy's text to its document: sections in an order in which every name is known before it is
 * used, then what the server cannot deliver in the text's order.
 *
 * The JSON tree lives only while the text is read. What the document keeps of it is either part of
 * the text, of which it has a copy, or copied to its arena.
 *
 * Cost: linear in the text, but for sorting the lists of names and sets.
 */

#include "policy/document_internal.h"

#include "core/err.h"

#include <stdlib.h>
#include <string.h>

/* Any text of the allowed size that is short of the other bounds has fewer. */
#define NODES_MAX ((size_t)600000)

/* ---- Life ---- */

static void free_document(struct policy_document *doc)
{
    if (!doc)
        return;
    for (size_t i = 0; i < doc->n_ipsets; i++)
        ip_set_fini(&doc->ipsets[i].set);
    arena_free(doc->arena);
    mem_free(doc);
}

static struct policy_document *new_document(struct str text)
{
    struct policy_document *doc = NEW(struct policy_document);

    ref_init(&doc->ref);
    doc->arena = arena_new();
    doc->text = arena_copy(doc->arena, text);
    return doc;
}

static struct policy_document *owned(const struct policy_document *d)
{
    return (struct policy_document *)(uintptr_t)d; /* only the count changes */
}

const struct policy_document *policy_document_ref(const struct policy_document *d)
{
    ref_take(&owned(d)->ref);
    return d;
}

void policy_document_unref(const struct policy_document *d)
{
    if (d && ref_drop(&owned(d)->ref))
        free_document(owned(d));
}

/* ---- The text ---- */

/* White space and whole comments only. */
static bool is_blank(struct str s)
{
    for (s = str_trim(s); s.len > 0; s = str_trim(s)) {
        ptrdiff_t end = -1;

        if (str_starts(s, STR("//"))) {
            end = str_find_char(s, '\n');
            if (end < 0)
                return str_is_utf8(s);
            end++;
        } else if (str_starts(s, STR("/*"))) {
            s = str_from_index(s, 2);
            end = str_find(s, STR("*/"));
            end = end < 0 ? -1 : end + 2;
        }
        if (end < 0 || !str_is_utf8(str_sub(s, 0, (size_t)end)))
            return false;
        s = str_from_index(s, (size_t)end);
    }
    return true;
}

static bool read_tree(struct doc_reader *r, struct arena *arena, struct json_value **out)
{
    const struct json_options options = {.hujson = true, .max_nodes = NODES_MAX};
    struct json_error error = {0};

    if (json_parse(arena, r->doc->text, &options, out, &error))
        return true;
    return doc_refuse(r, (struct policy_pos){error.line, error.col}, "%s", error.text);
}

/* ---- Sections ---- */

static bool read_sections(struct doc_reader *r, const struct json_value *top)
{
    const struct json_value *v[18];
    const struct {
        const char *name;
        bool (*read)(struct doc_reader *r, const struct json_value *v);
    } sections[ARRAY_LEN(v)] = {
        {"groups", doc_groups},
        {"hosts", doc_hosts},
        {"ipsets", doc_ipsets},
        {"tagOwners", doc_tags},
        {"postures", doc_postures},
        {"defaultSrcPosture", doc_default_postures},
        {"acls", doc_acls},
        {"grants", doc_grants},
        {"ssh", doc_ssh},
        {"nodeAttrs", doc_node_attrs},
        {"autoApprovers", doc_auto_approvers},
        {"tests", doc_tests},
        {"sshTests", doc_ssh_tests},
        {"randomizeClientPort", doc_randomize_client_port},
        {"disableIPv4", doc_disable_ipv4},
        {"OneCGNATRoute", doc_cgnat_route},
        {"derpMap", doc_derp_map},
        {"attrConfig", doc_attr_config},
    };
    struct doc_field fields[ARRAY_LEN(v)] = {0};

    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        fields[i] = (struct doc_field){sections[i].name, NULL, &v[i]};
    if (!doc_fields(r, top, "a policy", fields, ARRAY_LEN(fields), false))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        if (v[i] && !sections[i].read(r, v[i]))
            return false;
    }
    return true;
}

static int by_pos(const void *a, const void *b)
{
    const struct policy_pos *x = &((const struct policy_finding *)a)->pos;
    const struct policy_pos *y = &((const struct policy_finding *)b)->pos;

    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->col < y->col ? -1 : x->col > y->col;
}

/* What grew while reading moves to the arena. */
static void finish(struct doc_reader *r)
{
    struct policy_document *doc = r->doc;

    doc->selectors =
        (struct policy_selector **)NEW_ITEMS(r, struct policy_selector *, doc->n_selectors);
    if (doc->n_selectors > 0)
        memcpy(doc->selectors, r->selectors, doc->n_selectors * sizeof(doc->selectors[0]));
    doc->undelivered.items = NEW_ITEMS(r, struct policy_finding, doc->undelivered.len);
    if (doc->undelivered.len == 0)
        return;
    qsort(r->findings, doc->undelivered.len, sizeof(r->findings[0]), by_pos);
    memcpy(doc->undelivered.items, r->findings, doc->undelivered.len * sizeof(r->findings[0]));
}

static bool read_document(struct doc_reader *r)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *top = NULL;

    if (is_blank(r->doc->text))
        return true;
    return read_tree(r, arena, &top) && doc_unique_members(r, top) && read_sections(r, top);
}

int policy_document_parse(struct str text, const struct policy_parse_options *options,
                          const struct policy_document **out, struct policy_complaint *complaint)
{
    struct doc_reader r = {
        .domains = options ? options->domains : NULL,
        .complaint = complaint,
    };

    if (text.len > POLICY_TEXT_MAX) {
        doc_refuse(&r, (struct policy_pos){0}, "the policy is too long: at most %zu bytes",
                   POLICY_TEXT_MAX);
        return -ERR_INVALID;
    }
    r.doc = new_document(text);
    r.by_text = map_new();
    r.by_meaning = map_new();
    bool ok = read_document(&r);
    if (ok)
        finish(&r);
    map_free(r.by_text);
    map_free(r.by_meaning);
    mem_free(r.selectors);
    mem_free(r.findings);
    if (!ok) {
        free_document(r.doc);
        return -ERR_INVALID;
    }
    *out = r.doc;
    return 0;
}
