#include "auth/logins.h"

#include "core/list.h"
#include "core/map.h"

struct entry {
    int64_t ends_ms;
    struct list_node order_link;
    struct str key; /* the state or the token, inside the below */
    const char *subject;
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
    mem_wipe(e, sizeof(*e));
    mem_free(e);
}

static struct entry *oldest(const struct shelf *s)
{
    struct list_node *first = list_first(&s->order);

    return first ? CONTAINER_OF(first, struct entry, order_link) : NULL;
}

static void drop_ended(struct shelf *s, int64_t now_ms)
{
    struct entry *e;

    while ((e = oldest(s)) && e->ends_ms <= now_ms)
        entry_remove(s, e);
}

/* Few of one subject, and not too many in all. At most LOGINS_MAX are looked at. */
static void make_room(struct shelf *s, const char *subject)
{
    struct entry *first = NULL;
    size_t n = 0;

    LIST_FOR_EACH(e, &s->order, struct entry, order_link) {
        if (strcmp(e->subject, subject) != 0)
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
    make_room(s, e->subject);
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

void logins_free(struct logins *l)
{
    if (!l)
        return;
    struct shelf *const shelves[] = {&l->started, &l->asked};

    for (size_t i = 0; i < ARRAY_LEN(shelves); i++) {
        struct entry *e;

        while ((e = oldest(shelves[i])))
            entry_remove(shelves[i], e);
        map_free(shelves[i]->by_key);
    }
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

bool logins_start(struct logins *l, enum login_purpose purpose, struct str subject, size_t provider,
                  int64_t now_ms, struct login *out)
{
    if (subject.len == 0 || subject.len >= LOGIN_SUBJECT_MAX || str_find_char(subject, '\0') >= 0)
        return false;
    struct entry *e = NEW(struct entry);

    oidc_secrets_make(&e->login.secrets);
    e->login.provider = provider;
    e->login.purpose = purpose;
    memcpy(e->login.subject, subject.ptr, subject.len);
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
    e->subject = e->question.subject;
    e->key = str_from(e->question.token);
    shelf_put(&l->asked, e, now_ms);
}

bool logins_answer(struct logins *l, enum login_purpose purpose, struct str subject,
                   struct str token, int64_t now_ms, struct login_question *out)
{
    struct entry *e = shelf_find(&l->asked, token, now_ms);

    if (!e || e->question.purpose != purpose || !str_eq(str_from(e->subject), subject))
        return false;
    *out = e->question;
    entry_remove(&l->asked, e);
    return true;
}
