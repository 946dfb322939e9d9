/*
 * The registry of SSH checks. See ssh_check.h.
 *
 * Invariants
 *   1. Only WAITING checks hold requests: every way out of WAITING answers them first.
 *   2. One log-in has at most one WAITING check per period other than "always".
 *   3. Whether an approval stands is judged anew by every question: key, owner, rule and period of
 *      that moment count, so a missed refresh could delay a list, never let anyone in.
 *
 * Cost: a question walks all checks, at most SSH_CHECKS_MAX; log-ins are rare.
 */

#include "control/ssh_check.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/map.h"
#include "core/mem.h"
#include "core/metric.h"
#include "crypto/secret.h"

#define ID_RANDOM 12 /* bytes */

static struct metric waiting_now =
    METRIC_GAUGE("hatsize_ssh_checks_waiting", "SSH log-ins that wait for a person's approval.");
static struct metric asked_total =
    METRIC_COUNTER("hatsize_ssh_checks_total", "SSH log-ins that a person was asked about.");

struct ssh_checks {
    struct ssh_checks_options options;
    struct list all; /* oldest first */
    size_t len;
    struct map *by_id;
};

struct ssh_checks *ssh_checks_new(const struct ssh_checks_options *options)
{
    struct ssh_checks *s = NEW(struct ssh_checks);

    s->options = *options;
    s->by_id = map_new();
    list_init(&s->all);
    return s;
}

const char *ssh_check_state_name(enum ssh_check_state state)
{
    static const char *const names[SSH_CHECK_STATE_COUNT] = {
        [SSH_CHECK_WAITING] = "waiting",
        [SSH_CHECK_APPROVED] = "approved",
        [SSH_CHECK_REJECTED] = "rejected",
        [SSH_CHECK_EXPIRED] = "expired",
    };

    return names[state];
}

/* ---- One check ---- */

static void held_end(struct ssh_held *h, enum ssh_verdict verdict)
{
    ssh_check_release(h);
    h->done(h, verdict);
}

static void check_answer(struct ssh_check *c, enum ssh_verdict verdict)
{
    struct list_node *first;

    while ((first = list_first(&c->held)))
        held_end(CONTAINER_OF(first, struct ssh_held, held_link), verdict);
}

/* How long the state it is in lasts. */
static int64_t check_due_ms(const struct ssh_check *c)
{
    switch (c->state) {
    case SSH_CHECK_WAITING:
        return c->asked_ms + SSH_CHECK_WAIT_MS;
    case SSH_CHECK_APPROVED:
        return c->decided_ms + MAX(c->period_ms, SSH_CHECK_KEEP_MS);
    case SSH_CHECK_REJECTED:
    case SSH_CHECK_EXPIRED:
    case SSH_CHECK_STATE_COUNT:
        break;
    }
    return c->decided_ms + SSH_CHECK_KEEP_MS;
}

static void check_tell_end(struct ssh_check *c)
{
    c->ends_unix = clock_unix_ms() + check_due_ms(c) - clock_mono_ms();
}

/* The only writer of c->state. */
static void check_set_state(struct ssh_check *c, enum ssh_check_state next)
{
    static const enum ssh_verdict verdicts[SSH_CHECK_STATE_COUNT] = {
        [SSH_CHECK_WAITING] = SSH_HOLD,
        [SSH_CHECK_APPROVED] = SSH_ACCEPTED,
        [SSH_CHECK_REJECTED] = SSH_REJECTED,
        [SSH_CHECK_EXPIRED] = SSH_TIMED_OUT,
    };

    ASSERT(next != SSH_CHECK_WAITING);
    if (c->state == SSH_CHECK_WAITING)
        metric_add(&waiting_now, -1);
    c->state = next;
    c->decided_ms = clock_mono_ms();
    check_tell_end(c);
    check_answer(c, verdicts[next]);
}

static void make_id(char out[SSH_CHECK_ID_MAX])
{
    struct buf text = BUF(SSH_CHECK_ID_MAX - 1);

    buf_put(&text, STR(SSH_CHECK_ID_PREFIX));
    secret_put_hex(&text, ID_RANDOM);
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    buf_fini(&text);
}

static struct ssh_check *check_add(struct ssh_checks *s, const struct ssh_login *login,
                                   const struct ssh_pair *pair)
{
    struct ssh_check *c = NEW(struct ssh_check);

    make_id(c->id);
    c->login = *login;
    c->login.local_user = str_copy(login->local_user);
    c->login.ssh_user = str_copy(login->ssh_user);
    c->period_ms = pair->period_ms;
    c->asked_ms = clock_mono_ms();
    c->asked_unix = clock_unix_ms();
    c->src_key = pair->src_key;
    c->src_user = pair->src_user;
    check_tell_end(c);
    list_init(&c->held);
    list_push_back(&s->all, &c->checks_link);
    s->len++;
    (void)map_put(s->by_id, str_from(c->id), c);
    metric_add(&waiting_now, 1);
    metric_add(&asked_total, 1);
    log_event(LOG_INFO, "an SSH log-in waits for approval", LOG_TXT("id", c->id),
              LOG_U64("from", login->src), LOG_U64("to", login->dst),
              LOG_STR("as", login->local_user));
    return c;
}

static void check_remove(struct ssh_checks *s, struct ssh_check *c)
{
    if (c->state == SSH_CHECK_WAITING)
        metric_add(&waiting_now, -1);
    check_answer(c, SSH_NO_RULE);
    list_remove(&c->checks_link);
    s->len--;
    (void)map_remove(s->by_id, str_from(c->id));
    str_free(&c->login.local_user);
    str_free(&c->login.ssh_user);
    mem_free(c);
}

void ssh_checks_free(struct ssh_checks *s)
{
    if (!s)
        return;
    LIST_FOR_EACH(c, &s->all, struct ssh_check, checks_link) {
        ASSERT(c->n_held == 0);
        check_remove(s, c);
    }
    map_free(s->by_id);
    mem_free(s);
}

/* ---- Whether it still stands ---- */

static bool is_same_login(const struct ssh_login *a, const struct ssh_login *b)
{
    return a->tailnet == b->tailnet && a->src == b->src && a->dst == b->dst &&
           str_eq(a->local_user, b->local_user);
}

static bool is_same_source(const struct ssh_check *c, const struct ssh_pair *pair)
{
    return node_key_eq(&c->src_key, &pair->src_key) && c->src_user == pair->src_user;
}

/* Takes up what nodes and policy say now; false: the check is gone. */
static bool check_stands(struct ssh_checks *s, struct ssh_check *c)
{
    struct ssh_pair pair;

    if (!s->options.look(s->options.user, &c->login, &pair) || pair.period_ms < 0 ||
        !is_same_source(c, &pair)) {
        log_event(LOG_INFO, "an SSH check ends: its node, key or rule is gone",
                  LOG_TXT("id", c->id), LOG_TXT("state", ssh_check_state_name(c->state)));
        check_remove(s, c);
        return false;
    }
    c->period_ms = pair.period_ms;
    check_tell_end(c);
    return true;
}

/* One whose time is over is expired or gone. */
static bool check_is_in_time(struct ssh_checks *s, struct ssh_check *c, int64_t now)
{
    if (now < check_due_ms(c))
        return true;
    if (c->state == SSH_CHECK_WAITING) {
        check_set_state(c, SSH_CHECK_EXPIRED);
        return true;
    }
    check_remove(s, c);
    return false;
}

/* ---- Questions of machines ---- */

static enum ssh_verdict verdict_of(const struct ssh_check *c)
{
    switch (c->state) {
    case SSH_CHECK_WAITING:
        return SSH_HOLD;
    case SSH_CHECK_APPROVED:
        return SSH_ACCEPTED;
    case SSH_CHECK_REJECTED:
        return SSH_REJECTED;
    case SSH_CHECK_EXPIRED:
    case SSH_CHECK_STATE_COUNT:
        break;
    }
    return SSH_TIMED_OUT;
}

/* An approval that is good for any session, or a check that waits for one. */
static struct ssh_check *find_shared(struct ssh_checks *s, const struct ssh_login *login,
                                     int64_t now)
{
    struct ssh_check *found = NULL;

    LIST_FOR_EACH(c, &s->all, struct ssh_check, checks_link) {
        if (!is_same_login(&c->login, login))
            continue;
        if (c->state == SSH_CHECK_APPROVED && now < c->decided_ms + c->period_ms)
            return c;
        if (c->state == SSH_CHECK_WAITING)
            found = c;
    }
    return found;
}

static bool has_room(const struct ssh_checks *s, const struct ssh_login *login)
{
    size_t of_pair = 0, of_node = 0, of_tailnet = 0;

    if (s->len >= SSH_CHECKS_MAX)
        return false;
    LIST_FOR_EACH(c, &s->all, struct ssh_check, checks_link) {
        bool counts = c->state != SSH_CHECK_APPROVED && c->login.tailnet == login->tailnet;
        bool same_node = counts && c->login.dst == login->dst;

        of_tailnet += counts;
        of_node += same_node;
        of_pair += same_node && c->login.src == login->src;
    }
    return of_pair < SSH_CHECKS_PAIR_MAX && of_node < SSH_CHECKS_NODE_MAX &&
           of_tailnet < SSH_CHECKS_TAILNET_MAX;
}

enum ssh_verdict ssh_checks_ask(struct ssh_checks *s, const struct ssh_login *login, struct str id,
                                struct ssh_check **check)
{
    struct ssh_check *c;
    struct ssh_pair pair;
    int64_t now = clock_mono_ms();

    /* What stood before may stand no longer. */
    LIST_FOR_EACH(old, &s->all, struct ssh_check, checks_link) {
        if (is_same_login(&old->login, login) && check_is_in_time(s, old, now))
            (void)check_stands(s, old);
    }
    if (!s->options.look(s->options.user, login, &pair) || pair.period_ms < 0 ||
        login->local_user.len > SSH_CHECK_USER_MAX || login->ssh_user.len > SSH_CHECK_USER_MAX)
        return SSH_NO_RULE;

    struct ssh_check *own = id.len > 0 ? map_find(s->by_id, id) : NULL;
    c = pair.period_ms > 0 ? find_shared(s, login, now) : NULL;
    if (c && c->state == SSH_CHECK_APPROVED)
        return SSH_ACCEPTED;
    if (own && is_same_login(&own->login, login)) {
        if (own->login.ssh_user.len == 0) /* a rule's own URL need not say it, ours does */
            own->login.ssh_user = str_copy(login->ssh_user);
        *check = own;
        return verdict_of(own);
    }
    if (!c) {
        if (!has_room(s, login))
            return SSH_TOO_MANY;
        c = check_add(s, login, &pair);
    }
    c->asked_ms = now;
    check_tell_end(c);
    *check = c;
    return SSH_ASK;
}

bool ssh_check_hold(struct ssh_check *check, struct ssh_held *h)
{
    ASSERT(check->state == SSH_CHECK_WAITING);
    if (check->n_held >= SSH_CHECK_HELD_MAX)
        return false;
    h->check = check;
    h->due_ms = clock_mono_ms() + SSH_CHECK_HOLD_MS;
    list_push_back(&check->held, &h->held_link);
    check->n_held++;
    return true;
}

void ssh_check_release(struct ssh_held *h)
{
    if (!h->check)
        return;
    h->check->n_held--;
    h->check = NULL;
    list_remove(&h->held_link);
}

/* ---- A person's word ---- */

static struct ssh_check *find_for_person(struct ssh_checks *s, tailnet_id tailnet, struct str id,
                                         struct err *err)
{
    struct ssh_check *c = map_find(s->by_id, id);

    if (c && c->login.tailnet == tailnet && check_is_in_time(s, c, clock_mono_ms()) &&
        check_stands(s, c))
        return c;
    IGNORE(err_set(err, ERR_NOT_FOUND,
                   "no SSH check %.*s; it may have expired, or its node, key or rule is gone: "
                   "connect again",
                   (int)MIN(id.len, (size_t)SSH_CHECK_ID_MAX), id.ptr ? id.ptr : ""));
    return NULL;
}

static void log_decision(const struct ssh_check *c)
{
    log_event(LOG_INFO, "an SSH log-in was decided", LOG_TXT("id", c->id),
              LOG_TXT("now", ssh_check_state_name(c->state)), LOG_U64("from", c->login.src),
              LOG_U64("to", c->login.dst), LOG_STR("as", c->login.local_user),
              LOG_I64("period_ms", c->period_ms));
}

/* Sessions of the log-in that began under "always" come back and find the approval. */
static void wake_others(struct ssh_checks *s, const struct ssh_check *approved)
{
    LIST_FOR_EACH(c, &s->all, struct ssh_check, checks_link) {
        if (is_same_login(&c->login, &approved->login))
            check_answer(c, SSH_HOLD);
    }
}

int ssh_checks_approve(struct ssh_checks *s, tailnet_id tailnet, struct str id, struct err *err)
{
    struct ssh_check *c = find_for_person(s, tailnet, id, err);

    if (!c)
        return -(int)err->code;
    if (c->state == SSH_CHECK_APPROVED)
        return 0;
    if (c->state != SSH_CHECK_WAITING)
        return err_set(err, ERR_CONFLICT, "the SSH check is %s: connect again",
                       ssh_check_state_name(c->state));
    check_set_state(c, SSH_CHECK_APPROVED);
    log_decision(c);
    if (c->period_ms > 0)
        wake_others(s, c);
    return 0;
}

int ssh_checks_reject(struct ssh_checks *s, tailnet_id tailnet, struct str id, struct err *err)
{
    struct ssh_check *c = find_for_person(s, tailnet, id, err);

    if (!c)
        return -(int)err->code;
    if (c->state == SSH_CHECK_REJECTED)
        return 0;
    if (c->state == SSH_CHECK_EXPIRED)
        return err_set(err, ERR_CONFLICT, "the SSH check is expired");
    check_set_state(c, SSH_CHECK_REJECTED);
    log_decision(c);
    return 0;
}

/* ---- Lists, changes, time ---- */

const struct ssh_check *ssh_checks_next(const struct ssh_checks *s, const struct ssh_check *after)
{
    const struct list_node *next = after ? after->checks_link.next : s->all.head.next;

    return next == &s->all.head ? NULL : CONTAINER_OF_CONST(next, struct ssh_check, checks_link);
}

size_t ssh_checks_count(const struct ssh_checks *s)
{
    return s->len;
}

void ssh_checks_refresh(struct ssh_checks *s, tailnet_id tailnet)
{
    LIST_FOR_EACH(c, &s->all, struct ssh_check, checks_link) {
        if (c->login.tailnet == tailnet)
            (void)check_stands(s, c);
    }
}

/* Ends the requests that were held long enough; when the next one is due, or `due`. */
static int64_t tick_held(struct ssh_check *c, int64_t now, int64_t due)
{
    LIST_FOR_EACH(h, &c->held, struct ssh_held, held_link) {
        if (now >= h->due_ms)
            held_end(h, SSH_HOLD);
        else
            due = MIN(due, h->due_ms);
    }
    return due;
}

int64_t ssh_checks_tick(struct ssh_checks *s)
{
    int64_t now = clock_mono_ms(), due = INT64_MAX;

    LIST_FOR_EACH(c, &s->all, struct ssh_check, checks_link) {
        if (!check_is_in_time(s, c, now))
            continue;
        due = MIN(due, check_due_ms(c));
        due = tick_held(c, now, due);
    }
    return due == INT64_MAX ? -1 : MAX(due - now, (int64_t)1);
}

void ssh_checks_drop_held(struct ssh_checks *s)
{
    LIST_FOR_EACH(c, &s->all, struct ssh_check, checks_link)
        check_answer(c, SSH_HOLD);
}
