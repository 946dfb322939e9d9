/* See policies.h. */

#include "control/policies.h"

#include "core/clock.h"
#include "core/list.h"
#include "core/log.h"
#include "core/map.h"
#include "core/metric.h"

static struct metric errors =
    METRIC_GAUGE("hatsize_policy_errors",
                 "Tailnets with a policy that is bad, fails its tests, or is not in force.");
static struct metric sets = METRIC_COUNTER("hatsize_policies_set_total", "Policies put in force.");
static struct metric refusals =
    METRIC_COUNTER("hatsize_policies_refused_total", "Policies that were refused.");
static struct metric compiles = METRIC_COUNTER("hatsize_policy_compiles_total",
                                               "Policies compiled, or brought up to a change.");
static struct metric compile_us =
    METRIC_COUNTER("hatsize_policy_compile_microseconds_total", "Time spent on that.");

/* Where nothing good is known. */
#define CLOSED "{\"acls\": []}"
#define TROUBLE_MAX ((size_t)128 << 10)

enum trouble_kind { TROUBLE_SOURCE, TROUBLE_STORED, TROUBLE_TESTS, TROUBLE_KINDS };

struct tailnet_policy {
    tailnet_id id;
    const struct policy_document *document; /* NULL: none */
    const struct policy *told;              /* NULL: nothing yet */
    struct list_node unjudged_link;         /* policies.unjudged */
    bool is_closed;                     /* the document stands for a good one that there is not */
    struct str troubles[TROUBLE_KINDS]; /* owned */
};

struct policies {
    struct map *by_id;
    struct list unjudged; /* struct tailnet_policy, told and not looked at yet */
};

/* ---- Entries ---- */

struct policies *policies_new(void)
{
    struct policies *p = NEW(struct policies);

    p->by_id = map_new();
    list_init(&p->unjudged);
    return p;
}

static struct tailnet_policy *entry(struct policies *p, tailnet_id id)
{
    struct tailnet_policy *t = map_find_u64(p->by_id, id);

    if (t)
        return t;
    t = NEW(struct tailnet_policy);
    t->id = id;
    list_node_init(&t->unjudged_link);
    (void)map_put_u64(p->by_id, id, t);
    return t;
}

static void entry_free(struct tailnet_policy *t)
{
    list_remove(&t->unjudged_link);
    policy_document_unref(t->document);
    policy_unref(t->told);
    for (size_t i = 0; i < TROUBLE_KINDS; i++)
        str_free(&t->troubles[i]);
    mem_free(t);
}

void policies_free(struct policies *p)
{
    struct str key;
    void *value;

    if (!p)
        return;
    for (size_t at = 0; map_next(p->by_id, &at, &key, &value);)
        entry_free(value);
    map_free(p->by_id);
    mem_free(p);
}

const struct policy_document *policies_document(const struct policies *p, tailnet_id id)
{
    const struct tailnet_policy *t = map_find_u64(p->by_id, id);

    return t ? t->document : NULL;
}

/* ---- Troubles ---- */

size_t policies_troubles(const struct policies *p,
                         void (*each)(void *user, const struct policy_trouble *t), void *user)
{
    static const struct str sources[TROUBLE_KINDS] = {
        [TROUBLE_SOURCE] = STR_INIT("file"),
        [TROUBLE_STORED] = STR_INIT("database"),
        [TROUBLE_TESTS] = STR_INIT("tests"),
    };
    struct str key;
    void *value;
    size_t n = 0;

    for (size_t at = 0; map_next(p->by_id, &at, &key, &value);) {
        const struct tailnet_policy *t = value;
        bool has_some = false;

        for (size_t i = 0; i < TROUBLE_KINDS; i++) {
            if (t->troubles[i].len == 0)
                continue;
            has_some = true;
            if (each)
                each(user, &(struct policy_trouble){t->id, sources[i], t->troubles[i]});
        }
        n += has_some;
    }
    return n;
}

static void set_trouble(struct policies *p, struct tailnet_policy *t, enum trouble_kind kind,
                        struct str text)
{
    static const struct {
        const char *found;
        const char *gone;
    } events[TROUBLE_KINDS] = {
        [TROUBLE_SOURCE] = {"the policy file is bad; the policy in force stays",
                            "the policy file is good again"},
        [TROUBLE_STORED] = {"the stored policy is good no more; the last good one is in force",
                            "the stored policy is good again"},
        [TROUBLE_TESTS] = {"the policy in force does not hold any more",
                           "the policy in force holds again"},
    };
    struct str *now = &t->troubles[kind];

    if (str_eq(*now, text))
        return;
    if (text.len > 0)
        log_event(kind == TROUBLE_TESTS ? LOG_WARN : LOG_ERROR, events[kind].found,
                  LOG_U64("tailnet", t->id), LOG_STR("why", text));
    else
        log_event(LOG_INFO, events[kind].gone, LOG_U64("tailnet", t->id));
    struct str copy = str_copy(text);
    str_free(now);
    *now = copy;
    metric_set(&errors, (int64_t)policies_troubles(p, NULL, NULL));
}

static void set_verdict(struct policies *p, struct tailnet_policy *t, enum trouble_kind kind,
                        const struct policy_verdict *v)
{
    struct buf text = BUF(TROUBLE_MAX);

    if (v->judgement != POLICY_GOOD)
        policy_verdict_put(&text, v);
    set_trouble(p, t, kind, buf_str(&text));
    buf_fini(&text);
}

void policies_note(struct policies *p, tailnet_id id, struct str text)
{
    set_trouble(p, entry(p, id), TROUBLE_SOURCE, text);
}

void policies_drop(struct policies *p, tailnet_id id)
{
    struct tailnet_policy *t = map_remove_u64(p->by_id, id);

    if (t)
        entry_free(t);
    metric_set(&errors, (int64_t)policies_troubles(p, NULL, NULL));
}

/* ---- Documents ---- */

static void put_document(struct tailnet_policy *t, const struct policy_document *taken)
{
    policy_document_unref(t->document);
    t->document = taken;
    t->is_closed = false;
}

void policies_close(struct policies *p, tailnet_id id)
{
    const struct policy_document *closed = NULL;
    struct policy_complaint complaint = {0};
    int status =
        policy_document_parse(STR(CLOSED), &(struct policy_parse_options){0}, &closed, &complaint);

    ASSERT(status == 0);
    put_document(entry(p, id), closed);
    entry(p, id)->is_closed = true;
}

/* The newest text of the tailnet's history that parses. */
static bool keep_if_good(void *user, struct str text, int64_t created_ms)
{
    struct tailnet_policy *t = user;
    const struct policy_document *document = NULL;
    struct policy_complaint complaint = {0};
    struct buf when = BUF(64);

    if (text.len == 0 ||
        policy_document_parse(text, &(struct policy_parse_options){0}, &document, &complaint) < 0)
        return true;
    put_document(t, document);
    clock_put_rfc3339(&when, created_ms);
    log_event(LOG_WARN, "an earlier policy is in force", LOG_U64("tailnet", t->id),
              LOG_STR("of", buf_str(&when)));
    buf_fini(&when);
    return false;
}

static void load_last_good(struct policies *p, struct tailnet_policy *t, struct store *store)
{
    struct err err = {0};

    put_document(t, NULL);
    if (store && store_policies(store, t->id, keep_if_good, t, &err) < 0)
        log_event(LOG_ERROR, "earlier policies cannot be read", LOG_ERR(&err));
    if (!t->document)
        policies_close(p, t->id);
}

static void load_one(struct policies *p, const struct tailnet_view *view, struct store *store)
{
    const struct tailnet_info *info = view_info(view);
    struct tailnet_policy *t = entry(p, info->id);
    const struct policy_document *document = NULL;
    struct policy_verdict verdict;

    policy_unref(t->told);
    t->told = NULL;
    if (t->is_closed && info->policy.len == 0)
        return;
    if (t->document ? str_eq(t->document->text, info->policy) : info->policy.len == 0)
        return;
    policy_judge(info->policy, view, &document, NULL, &verdict);
    if (verdict.judgement == POLICY_UNPARSABLE) {
        set_verdict(p, t, TROUBLE_STORED, &verdict);
        load_last_good(p, t, store);
    } else {
        set_trouble(p, t, TROUBLE_STORED, STR_NONE);
        set_verdict(p, t, TROUBLE_TESTS, &verdict);
        put_document(t, document);
    }
    policy_verdict_fini(&verdict);
}

void policies_load(struct policies *p, struct domain *d, struct store *store)
{
    size_t n = 0;
    tailnet_id *ids = domain_all_tailnets(d, &n);

    for (size_t i = 0; i < n; i++) {
        AUTO(view_unref) const struct tailnet_view *view = domain_view(d, ids[i]);

        load_one(p, view, store);
    }
    mem_free(ids);
    metric_set(&errors, (int64_t)policies_troubles(p, NULL, NULL));
}

/* ---- Setting ---- */

static int refuse(const struct policy_verdict *v, struct err *err)
{
    struct buf text = BUF(TROUBLE_MAX);

    metric_add(&refusals, 1);
    policy_verdict_put(&text, v);
    (void)!err_set(err, ERR_INVALID, "%.*s", STR_ARG(buf_str(&text)));
    buf_fini(&text);
    return -(int)ERR_INVALID;
}

/* The verdict on a text that may have been judged before: then nothing is compiled anew. */
static void judge_new(const struct tailnet_policy *t, struct str text,
                      const struct tailnet_view *view, const struct policy_document **document,
                      const struct policy **policy, struct policy_verdict *v)
{
    policy_judge(text, view, document, policy, v);
    bool is_same = t->document ? str_eq(t->document->text, text) : text.len == 0;

    if (v->judgement == POLICY_UNPARSABLE || !is_same)
        return;
    policy_document_unref(*document);
    *document = t->document ? policy_document_ref(t->document) : NULL;
    policy_unref(*policy);
    *policy = NULL;
}

/* Counted things are taken. */
static int put_in_force(struct tailnet_policy *t, struct domain *d, const struct command *c,
                        const struct policy_document *document, struct change_list *changes,
                        struct command_result *result, struct err *err)
{
    const struct policy_document *old = t->document;

    /* What the command asks about routes it asks the new policy. */
    t->document = document;
    int status = domain_apply(d, c, changes, result, err);
    if (status < 0)
        t->document = old;
    else
        t->is_closed = false;
    policy_document_unref(status < 0 ? document : old);
    return status;
}

int policies_set(struct policies *p, struct domain *d, const struct command *c, bool is_start,
                 struct change_list *changes, struct command_result *result,
                 const struct policy **policy, struct policy_verdict *v, struct err *err)
{
    AUTO(view_unref) const struct tailnet_view *view = domain_view(d, c->tailnet);
    AUTO(policy_document_unref) const struct policy_document *document = NULL;
    AUTO(policy_unref) const struct policy *compiled = NULL;

    if (!view)
        return err_set(err, ERR_NOT_FOUND, "tailnet not found");
    struct tailnet_policy *t = entry(p, view_info(view)->id);
    judge_new(t, c->text, view, &document, &compiled, v);
    if (v->judgement != POLICY_GOOD && !(is_start && v->judgement == POLICY_TESTS_FAIL))
        return refuse(v, err);
    if (put_in_force(t, d, c, TAKE(document), changes, result, err) < 0)
        return -(int)err->code;
    metric_add(&sets, 1);
    log_event(LOG_INFO, "a policy was put in force", LOG_U64("tailnet", t->id),
              LOG_STR("author", c->author), LOG_U64("bytes", c->text.len));
    set_trouble(p, t, TROUBLE_SOURCE, STR_NONE);
    set_trouble(p, t, TROUBLE_STORED, STR_NONE);
    set_verdict(p, t, TROUBLE_TESTS, v);
    *policy = TAKE(compiled);
    return 0;
}

/* ---- Publications ---- */

/* Names may mean somebody else now, also where no node is another's. */
static bool has_users(const struct change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (changes[i].kind == CHANGE_USER || changes[i].kind == CHANGE_USER_REMOVED)
            return true;
    return false;
}

const struct policy *policies_tell(struct policies *p, const struct policy_document *document,
                                   const struct tailnet_view *view, const struct policy *before,
                                   const struct change *changes, size_t n)
{
    struct tailnet_policy *t = entry(p, view_info(view)->id);
    uint64_t began = clock_mono_ns();

    if (!before && t->told && policy_document(t->told) == document)
        before = t->told;
    const struct policy_input input = {.document = document,
                                       .view = view,
                                       .before = before,
                                       .changes = before ? changes : NULL,
                                       .n_changes = before ? n : 0};
    const struct policy *now = policy_compile(&input);

    metric_add(&compiles, now != before);
    metric_add(&compile_us, (int64_t)((clock_mono_ns() - began) / 1000));
    if (document && (now != t->told || has_users(changes, n)) &&
        !list_node_is_linked(&t->unjudged_link))
        list_push_back(&p->unjudged, &t->unjudged_link);
    policy_unref(t->told);
    t->told = policy_ref(now);
    return now;
}

const struct policy *policies_told(const struct policies *p, tailnet_id id)
{
    const struct tailnet_policy *t = map_find_u64(p->by_id, id);

    return t ? t->told : NULL;
}

bool policies_are_unjudged(const struct policies *p)
{
    return !list_is_empty(&p->unjudged);
}

void policies_judge_next(struct policies *p, struct domain *d)
{
    struct list_node *first = list_pop_front(&p->unjudged);
    struct tailnet_policy *t =
        first ? CONTAINER_OF(first, struct tailnet_policy, unjudged_link) : NULL;
    AUTO(view_unref) const struct tailnet_view *view = t ? domain_view(d, t->id) : NULL;
    struct policy_verdict verdict;

    if (!view || !t->told)
        return;
    policy_judge_again(policy_document(t->told), t->told, view, &verdict);
    set_verdict(p, t, TROUBLE_TESTS, &verdict);
    policy_verdict_fini(&verdict);
}

/* ---- The domain's questions ---- */

static bool tag_is_defined(void *user, tailnet_id tailnet, struct str tag)
{
    return policy_tag_is_defined(policies_document(user, tailnet), tag);
}

static bool tag_may_be_requested(void *user, tailnet_id tailnet, const struct user *owner,
                                 const struct node *existing, struct str tag)
{
    return policy_tag_may_be_requested(policies_document(user, tailnet), owner, existing, tag);
}

static bool route_is_approved(void *user, tailnet_id tailnet, const struct node *node,
                              const struct user *owner, struct ip_prefix route)
{
    const struct policy_document *document = policies_document(user, tailnet);

    return document && policy_approves_route(document, node, owner, route);
}

struct domain_policy_hooks policies_hooks(struct policies *p)
{
    return (struct domain_policy_hooks){.tag_is_defined = tag_is_defined,
                                        .tag_may_be_requested = tag_may_be_requested,
                                        .route_is_approved = route_is_approved,
                                        .user = p};
}
