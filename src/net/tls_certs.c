/* See tls.h, "Certificates to choose from". They are few: a list, behind a lock. */

#include <openssl/ssl.h>
#include <pthread.h>

#include "core/list.h"
#include "core/mem.h"
#include "net/tls_internal.h"

struct entry {
    struct list_node link;
    struct str name;     /* owned */
    struct ip_addr addr; /* when the name is one */
    bool is_ours, is_default;
    struct tls_server *cert;      /* NULL: to come */
    struct tls_server *challenge; /* or NULL */
};

struct tls_certs {
    struct ref ref;
    pthread_mutex_t lock;
    struct list entries;
    tls_certs_missing_fn *on_missing;
    void *user;
};

struct tls_certs *tls_certs_new(tls_certs_missing_fn *on_missing, void *user)
{
    struct tls_certs *c = NEW(struct tls_certs);

    ref_init(&c->ref);
    ASSERT(pthread_mutex_init(&c->lock, NULL) == 0);
    list_init(&c->entries);
    c->on_missing = on_missing;
    c->user = user;
    return c;
}

struct tls_certs *tls_certs_ref(struct tls_certs *c)
{
    ref_take(&c->ref);
    return c;
}

static void entry_free(struct entry *e)
{
    list_remove(&e->link);
    str_free(&e->name);
    tls_server_unref(e->cert);
    tls_server_unref(e->challenge);
    mem_free(e);
}

void tls_certs_unref(struct tls_certs *c)
{
    if (!c || !ref_drop(&c->ref))
        return;
    for (struct list_node *n; (n = list_first(&c->entries));)
        entry_free(CONTAINER_OF(n, struct entry, link));
    (void)pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

static struct str without_dot(struct str name)
{
    return str_ends(name, STR(".")) ? str_sub(name, 0, name.len - 1) : name;
}

bool tls_name_is(struct str server_name, struct str host)
{
    return server_name.len > 0 && str_eq_nocase(without_dot(server_name), without_dot(host));
}

/* With an address, by that; else by the name. */
static struct entry *find(const struct tls_certs *c, struct str name, struct ip_addr addr)
{
    LIST_FOR_EACH(e, &c->entries, struct entry, link) {
        bool same = ip_addr_is_set(addr) ? ip_addr_eq(e->addr, addr)
                                         : !ip_addr_is_set(e->addr) && tls_name_is(name, e->name);

        if (same)
            return e;
    }
    return NULL;
}

static struct entry *find_or_add(struct tls_certs *c, struct str name)
{
    struct ip_addr addr = {0};

    if (ip_addr_parse(name, &addr))
        addr = ip_addr_unmap(addr);
    struct entry *e = find(c, name, addr);

    if (e)
        return e;
    e = NEW(struct entry);
    e->name = str_copy(name);
    e->addr = addr;
    list_push_back(&c->entries, &e->link);
    return e;
}

void tls_certs_put(struct tls_certs *c, struct str name, struct tls_server *cert)
{
    ASSERT(pthread_mutex_lock(&c->lock) == 0);
    struct entry *e = find_or_add(c, name);
    struct tls_server *old = e->cert;

    e->is_ours = true;
    e->cert = cert ? tls_server_ref(cert) : NULL;
    ASSERT(pthread_mutex_unlock(&c->lock) == 0);
    tls_server_unref(old);
}

void tls_certs_set_default(struct tls_certs *c, struct str name)
{
    ASSERT(pthread_mutex_lock(&c->lock) == 0);
    struct entry *chosen = find_or_add(c, name);

    chosen->is_ours = true;
    LIST_FOR_EACH(e, &c->entries, struct entry, link) {
        e->is_default = e == chosen;
    }
    ASSERT(pthread_mutex_unlock(&c->lock) == 0);
}

static struct entry *find_default(const struct tls_certs *c)
{
    LIST_FOR_EACH(e, &c->entries, struct entry, link) {
        if (e->is_default)
            return e;
    }
    return NULL;
}

int tls_certs_put_challenge(struct tls_certs *c, struct str name, struct str cert_pem,
                            struct str key_pem, struct err *err)
{
    struct tls_server *cert = NULL;

    if (cert_pem.len > 0 && tls_server_new_challenge(cert_pem, key_pem, &cert, err) < 0)
        return -(int)err->code;
    ASSERT(pthread_mutex_lock(&c->lock) == 0);
    struct entry *e = find_or_add(c, name);
    struct tls_server *old = e->challenge;

    e->challenge = cert;
    if (!cert && !e->is_ours)
        entry_free(e);
    ASSERT(pthread_mutex_unlock(&c->lock) == 0);
    tls_server_unref(old);
    return 0;
}

struct tls_server *tls_certs_choose(struct tls_certs *c, const struct tls_hello *hello, int *alert)
{
    struct ip_addr asked = {0}, local = ip_addr_unmap(hello->local);
    bool by_address = hello->server_name.len == 0 || ip_addr_parse(hello->server_name, &asked);
    struct tls_server *cert = NULL;

    /* Only about the address that was really reached: nobody makes us ask for another one's. */
    if (by_address && ip_addr_is_set(asked) && !ip_addr_eq(ip_addr_unmap(asked), local))
        return NULL;
    if (by_address && !ip_addr_is_set(local))
        return NULL;
    ASSERT(pthread_mutex_lock(&c->lock) == 0);
    const struct entry *e = find(c, hello->server_name, by_address ? local : (struct ip_addr){0});
    bool is_missing = by_address && !hello->is_challenge && (!e || !e->cert);

    if (is_missing && hello->server_name.len == 0 && find_default(c))
        e = find_default(c);
    if (e)
        cert = hello->is_challenge ? e->challenge : e->cert;
    if (cert)
        (void)tls_server_ref(cert);
    else if (e && !hello->is_challenge)
        *alert = SSL_AD_INTERNAL_ERROR;
    ASSERT(pthread_mutex_unlock(&c->lock) == 0);
    if (is_missing && c->on_missing)
        c->on_missing(c->user, local);
    return cert;
}
