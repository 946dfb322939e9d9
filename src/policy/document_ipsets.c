/*
 * ipsets: named sets of addresses, each a list of operations run in order (policy.md 5.3).
 *
 * All operations are read first, then each set is worked out after those it refers to. A run of
 * additions (or removals) becomes one set and one union (or difference), so long lists cost
 * n log n. Sets may refer to sets again and again; what that may cost in all is WORK_MAX ranges.
 */

#include "policy/document_internal.h"
#include "policy/policy_internal.h"

#include <stdlib.h>
#include <string.h>

#define WORK_MAX ((size_t)4 * 1000 * 1000)

enum op_kind { OP_RANGE, OP_SET, OP_INTERNET };
struct op {
    enum op_kind kind;
    bool remove;
    struct ip_range range;
    size_t set; /* index in document->ipsets */
    struct policy_pos pos;
};

enum state { UNREAD, OPEN, DONE };
struct work {                  /* beside one ipset */
    struct policy_ipset ipset; /* first: sorted by name */
    const struct json_value *list;
    struct op *ops;
    size_t n_ops;
    size_t at; /* while OPEN: the operation whose set is awaited */
    enum state state;
};

struct sets {
    struct doc_reader *r;
    struct work *works;
    size_t n;
    size_t done; /* ranges touched */
};

/* ---- Reading ---- */

static bool refuse_op(struct doc_reader *r, const struct work *w, const struct json_value *v,
                      const char *words)
{
    doc_refuse(r, doc_pos(v), "ipsets[%s]: %s: %s", QUOTED(w->ipset.name), QUOTED(v->str), words);
    return doc_hint(r, "like \"add 192.0.2.0/24\", \"remove 192.0.2.1-192.0.2.9\", \"add "
                       "host:db\", \"add ipset:other\", \"add autogroup:internet\"");
}

static bool read_target(struct sets *s, const struct work *w, const struct json_value *v,
                        struct str target, struct op *op)
{
    struct doc_reader *r = s->r;

    if (ip_range_parse_any(target, &op->range))
        return true;
    if (str_eq(target, STR("autogroup:internet"))) {
        op->kind = OP_INTERNET;
        return true;
    }
    if (str_starts(target, STR("host:"))) {
        struct str name = str_from_index(target, strlen("host:"));
        const struct policy_host *host = policy_host_find(r->doc, name);

        if (!host)
            return doc_refuse(r, op->pos, "host not defined in policy: %s", QUOTED(name));
        op->range = ip_range_of_prefix(host->prefix);
        return true;
    }
    if (str_starts(target, STR("ipset:"))) {
        const struct policy_ipset *other = doc_ipset_find(r->doc, target);

        if (!other)
            return doc_refuse(r, op->pos, "ipset not defined in policy: %s", QUOTED(target));
        op->kind = OP_SET;
        op->set = (size_t)(other - r->doc->ipsets);
        return true;
    }
    return refuse_op(r, w, v, "not an address, range, host:, ipset: or autogroup:internet");
}

static bool read_op(struct sets *s, const struct work *w, const struct json_value *v, struct op *op,
                    bool *has_word)
{
    struct str target = {0};

    if (!doc_is(s->r, v, JSON_STRING, "an operation of an ipset"))
        return false;
    op->pos = doc_pos(v);
    target = str_trim(v->str);
    size_t end = 0;
    while (end < target.len && target.ptr[end] != ' ' && target.ptr[end] != '\t')
        end++;
    *has_word = end < target.len;
    if (*has_word) {
        struct str word = str_sub(target, 0, end);

        op->remove = str_eq(word, STR("remove"));
        if (!op->remove && !str_eq(word, STR("add")))
            return refuse_op(s->r, w, v, "the operation must be add or remove");
        target = str_trim(str_from_index(target, end));
    }
    return read_target(s, w, v, target, op);
}

static bool read_ops(struct sets *s, struct work *w)
{
    const struct json_value *v = w->list, *bare = NULL;
    bool removes = false, has_word = false;

    if (json_is(v, JSON_NULL))
        return true;
    if (!doc_is(s->r, v, JSON_ARRAY, "an ipset") || !doc_count(s->r, doc_pos(v), json_len(v)))
        return false;
    w->ops = mem_alloc_array(json_len(v), sizeof(*w->ops));
    JSON_EACH(m, v) {
        struct op *op = &w->ops[w->n_ops];

        if (!read_op(s, w, m, op, &has_word))
            return false;
        w->n_ops++;
        removes = removes || op->remove;
        bare = has_word ? bare : m;
    }
    return !removes || !bare ||
           refuse_op(s->r, w, bare, "where something is removed, add must be written too");
}

/* ---- Working out ---- */

static bool spend(struct sets *s, const struct op *op, size_t ranges)
{
    s->done += ranges;
    return s->done <= WORK_MAX ||
           doc_refuse(s->r, op->pos, "ipsets refer to each other too often: more than %zu ranges",
                      WORK_MAX);
}

static void put_ranges(struct sets *s, const struct op *op, struct ip_range *out, size_t *n)
{
    const struct ip_set *other = &s->r->doc->ipsets[op->set].set;

    if (op->kind == OP_SET) {
        if (other->len)
            memcpy(out + *n, other->ranges, other->len * sizeof(*out));
        *n += other->len;
    } else if (op->kind == OP_INTERNET) {
        for (size_t i = 0; i < ARRAY_LEN(policy_internet_ranges); i++)
            ASSERT(ip_range_parse(policy_internet_ranges[i], &out[(*n)++]));
    } else {
        out[(*n)++] = op->range;
    }
}

static size_t count_ranges(const struct sets *s, const struct op *op)
{
    if (op->kind == OP_SET)
        return s->r->doc->ipsets[op->set].set.len;
    return op->kind == OP_INTERNET ? ARRAY_LEN(policy_internet_ranges) : 1;
}

/* ops[from, to) all add or all remove. */
static bool run_ops(struct sets *s, struct ip_set *set, const struct op *ops, size_t from,
                    size_t to)
{
    AUTO_FINI(ip_set_fini) struct ip_set run = {0};
    size_t n = 0, at = 0;

    for (size_t i = from; i < to; i++) {
        n += count_ranges(s, &ops[i]);
        if (!spend(s, &ops[i], count_ranges(s, &ops[i])))
            return false;
    }
    if (!spend(s, &ops[from], set->len))
        return false;

    struct ip_range *ranges = mem_alloc_array(n, sizeof(*ranges));
    for (size_t i = from; i < to; i++)
        put_ranges(s, &ops[i], ranges, &at);
    ip_set_build(&run, ranges, at);
    mem_free(ranges);
    if (ops[from].remove)
        ip_set_subtract(set, set, &run);
    else
        ip_set_union(set, set, &run);
    return set->len <= POLICY_SET_RANGES_MAX ||
           doc_refuse(s->r, ops[from].pos, "an ipset may have %u ranges at most",
                      (unsigned)POLICY_SET_RANGES_MAX);
}

static bool run_all(struct sets *s, size_t index)
{
    struct work *w = &s->works[index];

    for (size_t from = 0, to = 0; from < w->n_ops; from = to) {
        while (to < w->n_ops && w->ops[to].remove == w->ops[from].remove)
            to++;
        if (!run_ops(s, &s->r->doc->ipsets[index].set, w->ops, from, to))
            return false;
    }
    return true;
}

static bool refuse_cycle(struct sets *s, const struct work *w, const struct op *op)
{
    doc_refuse(s->r, op->pos, "ipsets[%s]: %s: a set cannot be part of itself",
               QUOTED(w->ipset.name), QUOTED(s->works[op->set].ipset.name));
    return doc_hint(s->r, "the sets refer to each other in a circle here");
}

/* Depth first without recursion: `stack` holds the OPEN sets. */
static bool resolve(struct sets *s, size_t root, size_t *stack)
{
    size_t depth = 0;

    stack[depth++] = root;
    s->works[root].state = OPEN;
    while (depth > 0) {
        struct work *w = &s->works[stack[depth - 1]];

        while (w->at < w->n_ops &&
               (w->ops[w->at].kind != OP_SET || s->works[w->ops[w->at].set].state == DONE))
            w->at++;
        if (w->at == w->n_ops) {
            if (!run_all(s, stack[depth - 1]))
                return false;
            w->state = DONE;
            depth--;
            continue;
        }

        size_t next = w->ops[w->at].set;
        if (s->works[next].state == OPEN)
            return refuse_cycle(s, w, &w->ops[w->at]);
        s->works[next].state = OPEN;
        stack[depth++] = next;
    }
    return true;
}

static bool read_all(struct sets *s)
{
    size_t *stack = NULL;
    bool ok = true;

    for (size_t i = 0; i < s->n && ok; i++)
        ok = read_ops(s, &s->works[i]);
    stack = mem_alloc_array(s->n, sizeof(*stack));
    for (size_t i = 0; i < s->n && ok; i++) {
        if (s->works[i].state == UNREAD)
            ok = resolve(s, i, stack);
    }
    mem_free(stack);
    for (size_t i = 0; i < s->n; i++)
        mem_free(s->works[i].ops);
    return ok;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct work *)a)->ipset.name, ((const struct work *)b)->ipset.name);
}

bool doc_ipsets(struct doc_reader *r, const struct json_value *v)
{
    struct policy_document *doc = r->doc;
    struct sets s = {.r = r};

    if (!doc_list(r, v, JSON_OBJECT, "ipsets", POLICY_NAMES_MAX))
        return false;
    s.works = NEW_ITEMS(r, struct work, json_len(v));
    JSON_EACH(m, v) {
        if (!str_starts(m->key, STR("ipset:")) || m->key.len == strlen("ipset:")) {
            doc_refuse(r, doc_key_pos(m), "ipset must start with 'ipset:', got: %s",
                       QUOTED(m->key));
            return doc_hint(r, "a set is named like ipset:prod");
        }
        s.works[s.n++] = (struct work){
            .ipset = {.name = doc_keep(r, m->key), .pos = doc_key_pos(m)},
            .list = m,
        };
    }
    if (s.n > 1)
        qsort(s.works, s.n, sizeof(s.works[0]), by_name);
    doc->ipsets = NEW_ITEMS(r, struct policy_ipset, s.n);
    doc->n_ipsets = s.n;
    for (size_t i = 0; i < s.n; i++)
        doc->ipsets[i] = s.works[i].ipset;
    return read_all(&s);
}
