#include "auth/logins.h"

#include "core/list.h"
#include "core/map.h"

struct entry {
    int64_t ends_ms;
    struct list_node order_link;
    struct str key; /* the state or the token, inside the below */
    const char *subject;
    bool is_of_many;             /* its subject is that of others, too */
    struct login_person *person; /* owned; of a question */
    union {
        struct login login;
        struct login_question question;
    };
};

/* One kind; both are kept alike and apart, so that neither pushes the other out. */
struct shelf {
    struct list order; /* oldest first, which is also the order they end in */
    struct map *by_key;
};

struct logins {
    struct shelf started;
    struct shelf asked;
};

static void shelf_init(struct shelf *s)
{
    list_init(&s->order);
    s->by_key = map_new();
}

static void entry_remove(struct shelf *s, struct entry *e)
{
    (void)map_remove(s->by_key, e->key);
    list_remove(&e->order_link);
    login_person_free(e->person);
    mem_wipe(e, sizeof(*e));
    mem_free(e);
}

static struct entry *oldest(const struct shelf *s)
{
    if (list_is_empty(&s->order))
        return NULL;
    return CONTAINER_OF(list_first(&s->order), struct entry, order_link);
}

static void drop_ended(struct shelf *s, int64_t now_ms)
{
    struct entry *e;

    while ((e = oldest(s)) && e->ends_ms <= now_ms)
        entry_remove(s, e);
}

/* Few of one subject, and not too many in all. At most LOGINS_MAX are looked at. */
static void make_room(struct shelf *s, const struct entry *wanted)
{
    struct entry *first = NULL;
    size_t n = 0;

    LIST_FOR_EACH(e, &s->order, struct entry, order_link) {
        if (wanted->is_of_many || strcmp(e->subject, wanted->subject) != 0)
            continue;
        first = first ? first : e;
        n++;
    }
    if (n >= LOGINS_PER_SUBJECT_MAX)
        entry_remove(s, first);
    else if (map_len(s->by_key) >= LOGINS_MAX)
        entry_remove(s, oldest(s));
}

static void shelf_put(struct shelf *s, struct entry *e, int64_t now_ms)
{
    drop_ended(s, now_ms);
    make_room(s, e);
    e->ends_ms = now_ms + LOGIN_MS;
    list_push_back(&s->order, &e->order_link);
    (void)map_put(s->by_key, e->key, e);
}

static struct entry *shelf_find(struct shelf *s, struct str key, int64_t now_ms)
{
    drop_ended(s, now_ms);
    return map_find(s->by_key, key);
}

struct logins *logins_new(void)
{
    struct logins *l = NEW(struct logins);

    shelf_init(&l->started);
    shelf_init(&l->asked);
    return l;
}

static void shelf_fini(struct shelf *s)
{
    for (struct entry *e = oldest(s); e; e = oldest(s))
        entry_remove(s, e);
    map_free(s->by_key);
}

void logins_free(struct logins *l)
{
    if (!l)
        return;
    shelf_fini(&l->started);
    shelf_fini(&l->asked);
    mem_free(l);
}

size_t logins_len(const struct logins *l)
{
    return map_len(l->started.by_key) + map_len(l->asked.by_key);
}

void login_fini(struct login *l)
{
    mem_wipe(l, sizeof(*l));
}

/* ---- People ---- */

struct login_person *login_person_copy(const struct login_person *p)
{
    struct login_person *copy = NEW(struct login_person);

    copy->issuer = str_copy(p->issuer);
    copy->provider_id = str_copy(p->provider_id);
    copy->name = str_copy(p->name);
    copy->display = str_copy(p->display);
    copy->email = str_copy(p->email);
    copy->email_verified = p->email_verified;
    copy->picture_url = str_copy(p->picture_url);
    str_list_copy(&copy->groups, &p->groups);
    return copy;
}

void login_person_free(struct login_person *p)
{
    if (!p)
        return;
    struct str *const texts[] = {&p->issuer,  &p->provider_id, &p->name,
                                 &p->display, &p->email,       &p->picture_url};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        str_free(texts[i]);
    str_list_free(&p->groups);
    mem_free(p);
}

void login_question_fini(struct login_question *q)
{
    login_person_free(q->person);
    mem_wipe(q, sizeof(*q));
}

const struct login_option *login_option_find(const struct login_question *q, struct str answer)
{
    uint64_t id = 0;

    if (answer.len == 0)
        return q->n_options == 1 ? &q->options[0] : NULL;
    if (!str_parse_u64(answer, &id))
        return NULL;
    for (size_t i = 0; i < q->n_options; i++)
        if (q->options[i].tailnet == id)
            return &q->options[i];
    return NULL;
}

/* ---- There and back ---- */

bool logins_start(struct logins *l, enum login_purpose purpose, struct str subject,
                  struct str secret, size_t provider, int64_t now_ms, struct login *out)
{
    if (subject.len == 0 || subject.len >= LOGIN_SUBJECT_MAX || secret.len >= LOGIN_SECRET_MAX ||
        str_find_char(subject, '\0') >= 0)
        return false;
    struct entry *e = NEW(struct entry);

    oidc_secrets_make(&e->login.secrets);
    e->login.provider = provider;
    e->login.purpose = purpose;
    memcpy(e->login.subject, subject.ptr, subject.len);
    if (secret.len > 0)
        memcpy(e->login.secret, secret.ptr, secret.len);
    e->is_of_many = purpose == LOGIN_SESSION;
    e->subject = e->login.subject;
    e->key = str_from(e->login.secrets.state);
    shelf_put(&l->started, e, now_ms);
    *out = e->login;
    return true;
}

bool logins_take(struct logins *l, struct str state, int64_t now_ms, struct login *out)
{
    struct entry *e = shelf_find(&l->started, state, now_ms);

    if (!e)
        return false;
    *out = e->login;
    entry_remove(&l->started, e);
    return true;
}

void logins_ask(struct logins *l, struct login_question *q, int64_t now_ms)
{
    struct entry *e = NEW(struct entry);
    struct oidc_secrets fresh;

    oidc_secrets_make(&fresh);
    memcpy(q->token, fresh.state, sizeof(q->token));
    mem_wipe(&fresh, sizeof(fresh));
    e->question = *q;
    e->question.person = NULL;
    e->person = TAKE(q->person);
    e->is_of_many = q->purpose == LOGIN_SESSION;
    e->subject = e->question.subject;
    e->key = str_from(e->question.token);
    shelf_put(&l->asked, e, now_ms);
}

bool logins_answer(struct logins *l, enum login_purpose purpose, struct str subject,
                   struct str token, int64_t now_ms, struct login_question *out)
{
    struct entry *e = shelf_find(&l->asked, token, now_ms);

    if (!e || e->question.purpose != purpose ||
        (subject.len > 0 && !str_eq(str_from(e->subject), subject)))
        return false;
    *out = e->question;
    out->person = TAKE(e->person);
    entry_remove(&l->asked, e);
    return true;
}
