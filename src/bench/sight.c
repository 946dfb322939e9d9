/* See sight.h. */

#include "bench/sight.h"

#include "bench/crowd.h"
#include "bench/made_up.h"
#include "core/clock.h"
#include "core/map.h"
#include "core/mem.h"
#include "policy/policy.h"
#include "tailnet/domain.h"

struct sight {
    uint32_t *row_of; /* by a sim's index */
    size_t n_rows;
    bool *sees; /* n_rows x n_rows */
};

/* ---- The tailnet as the policy reads it; a sim's id is its index and one ---- */

static int load_people(struct domain *d, size_t people, struct err *err)
{
    struct tailnet_info *info = tailnet_info_new();

    info->id = 1;
    info->name = str_copy(STR("default"));
    info->base_domain = str_copy(STR("bench.test"));
    IGNORE(ip_prefix_parse(STR("100.64.0.0/10"), &info->prefix_v4));
    IGNORE(ip_prefix_parse(STR("fd7a:115c:a1e0::/48"), &info->prefix_v6));
    int status = domain_load_tailnet(d, info, 1, err);

    for (size_t i = 1; i <= people && status == 0; i++) {
        struct user *u = user_new();

        u->id = i;
        u->tailnet = 1;
        u->name = str_printf("p%zu", i);
        u->email = str_printf("p%zu@example.com", i);
        status = domain_load_user(d, u, err);
    }
    return status;
}

static int load_sim(struct domain *d, const struct sim *s, size_t people, struct err *err)
{
    struct node_facts *facts = node_facts_new();
    struct node *n = node_clone(&(struct node){.facts = facts});

    node_facts_unref(facts);
    n->id = s->index + 1;
    n->tailnet = 1;
    n->stable_id = str_printf("n%zu", s->index + 1);
    n->given_name = str_printf("sim-%zu", s->index);
    n->fqdn = str_printf("sim-%zu.bench.test.", s->index);
    n->key = s->key;
    machine_private_public(&s->machine, &n->machine);
    n->v4 = s->v4;
    n->v6 = s->v6;
    n->user = made_up_owner(s->index, people);
    if (n->user == 0) {
        struct str tag = str_printf("tag:t%zu", made_up_tag(s->index));

        str_list_add(&n->tags, tag);
        str_free(&tag);
    }
    return domain_load_node(d, n, err);
}

static int load(struct domain *d, const struct run *r, struct err *err)
{
    size_t people = crowd_people(r->crowd);
    int status = load_people(d, people, err);

    for (size_t i = 0; i < r->n && status == 0; i++)
        status = load_sim(d, &r->sims[i], people, err);
    if (status == 0) {
        domain_load_counters(
            d, &(struct domain_counters){
                   .tailnet = 2, .user = people + 1, .auth_key = 1, .node = r->n + 1});
        domain_load_done(d, clock_unix_ms());
    }
    return status;
}

/* ---- The table ---- */

/* Gives each sim its row; `first` is a node of each row. */
static void make_rows(struct sight *s, const struct run *r, const struct policy *p, node_id *first)
{
    struct map *rows = map_new();

    for (size_t i = 0; i < r->n; i++) {
        const uint64_t alike[2] = {policy_class_of(p, i + 1), policy_sight_user(p, i + 1)};
        struct str key = str_bytes(alike, sizeof(alike));
        uintptr_t row = (uintptr_t)map_find(rows, key);

        if (row == 0) {
            row = ++s->n_rows;
            first[row - 1] = i + 1;
            (void)map_put(rows, key, (void *)row);
        }
        s->row_of[i] = (uint32_t)row - 1;
    }
    map_free(rows);
}

/* A second node of the row, which need not see the first. */
static node_id second_of(const struct sight *s, const struct run *r, size_t row, node_id first)
{
    for (size_t i = first; i < r->n; i++)
        if (s->row_of[i] == row)
            return i + 1;
    return 0;
}

static void make_table(struct sight *s, const struct run *r, const struct policy *p)
{
    node_id *first = mem_alloc_array(r->n, sizeof(*first));

    s->row_of = mem_alloc_array(r->n_max, sizeof(*s->row_of));
    make_rows(s, r, p, first);
    s->sees = mem_alloc_array(s->n_rows * s->n_rows, sizeof(*s->sees));
    for (size_t a = 0; a < s->n_rows; a++) {
        for (size_t b = 0; b < s->n_rows; b++) {
            node_id other = a == b ? second_of(s, r, a, first[a]) : first[b];

            s->sees[a * s->n_rows + b] = other && policy_sees(p, first[a], other);
        }
    }
    mem_free(first);
}

struct sight *sight_new(const struct run *r, struct str text, struct err *err)
{
    const struct policy_document *d = NULL;
    struct policy_complaint complaint;
    struct domain *domain;
    struct sight *s = NULL;

    if (policy_document_parse(text, &(struct policy_parse_options){0}, &d, &complaint) < 0) {
        IGNORE(err_set(err, ERR_INVALID, "the made-up policy: %s", complaint.text));
        return NULL;
    }
    domain = domain_new();
    if (load(domain, r, err) == 0) {
        const struct tailnet_view *view = domain_view(domain, 1);
        const struct policy *p =
            policy_compile(&(struct policy_input){.document = d, .view = view});

        s = NEW(struct sight);
        make_table(s, r, p);
        policy_unref(p);
        view_unref(view);
    }
    policy_document_unref(d);
    domain_free(domain);
    return s;
}

void sight_free(struct sight *s)
{
    if (!s)
        return;
    mem_free(s->row_of);
    mem_free(s->sees);
    mem_free(s);
}

const bool *sight_row(const struct sight *s, const struct sim *viewer)
{
    return s->sees + s->row_of[viewer->index] * s->n_rows;
}

uint32_t sight_column(const struct sight *s, const struct sim *other)
{
    return s->row_of[other->index];
}

bool sight_sees(const struct sight *s, const struct sim *viewer, const struct sim *other)
{
    return sight_row(s, viewer)[sight_column(s, other)];
}
