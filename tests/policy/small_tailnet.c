#include "small_tailnet.h"

#include <stdio.h>
#include <stdlib.h>

#include "policy/eval_internal.h"

static const char nodes[] =
    "\"users\": ["
    "{\"id\":1,\"name\":\"alice\",\"email\":\"alice@example.com\",\"role\":\"owner\"},"
    "{\"id\":2,\"name\":\"bob\",\"email\":\"bob@example.com\"},"
    "{\"id\":3,\"name\":\"carol\",\"email\":\"carol@other.org\"}],"
    "\"nodes\": ["
    "{\"name\":\"alice-laptop\",\"user\":\"alice\",\"ipv4\":\"100.64.0.1\","
    "\"ipv6\":\"fd7a:115c:a1e0::1\"},"
    "{\"name\":\"alice-phone\",\"user\":\"alice\",\"ipv4\":\"100.64.0.2\","
    "\"ipv6\":\"fd7a:115c:a1e0::2\"},"
    "{\"name\":\"bob-laptop\",\"user\":\"bob\",\"ipv4\":\"100.64.0.3\","
    "\"ipv6\":\"fd7a:115c:a1e0::3\"},"
    "{\"name\":\"carol-mac\",\"user\":\"carol\",\"ipv4\":\"100.64.0.4\","
    "\"ipv6\":\"fd7a:115c:a1e0::4\"},"
    "{\"name\":\"db\",\"tags\":[\"tag:db\"],\"ipv4\":\"100.64.0.5\","
    "\"ipv6\":\"fd7a:115c:a1e0::5\"},"
    "{\"name\":\"web\",\"tags\":[\"tag:prod\",\"tag:web\"],\"ipv4\":\"100.64.0.6\","
    "\"ipv6\":\"fd7a:115c:a1e0::6\"},"
    "{\"name\":\"router\",\"tags\":[\"tag:router\"],\"ipv4\":\"100.64.0.7\","
    "\"ipv6\":\"fd7a:115c:a1e0::7\",\"routable_ips\":[\"10.0.0.0/24\",\"10.9.0.0/16\"],"
    "\"approved_routes\":[\"10.0.0.0/24\"]},"
    "{\"name\":\"exit\",\"tags\":[\"tag:exit\"],\"ipv4\":\"100.64.0.8\","
    "\"ipv6\":\"fd7a:115c:a1e0::8\",\"routable_ips\":[\"0.0.0.0/0\",\"::/0\"],"
    "\"approved_routes\":[\"0.0.0.0/0\",\"::/0\"]}]";

static const struct policy_document *parse(const char *text)
{
    const struct policy_document *d = NULL;
    struct policy_complaint c = {0};

    if (policy_document_parse(str_from(text), NULL, &d, &c) < 0) {
        (void)fprintf(stderr, "%u:%u: %s\n", c.pos.line, c.pos.col, c.text);
        abort();
    }
    return d;
}

static const struct policy *compile(const struct policy_document *d, const struct tailnet_view *v)
{
    return policy_compile(&(struct policy_input){.document = d, .view = v});
}

static void name_nodes(struct eval_case *c)
{
    for (size_t i = 0; i < c->n_nodes; i++) {
        struct node *n = c->nodes[i].node;

        str_free(&n->given_name);
        n->given_name = str_copy(c->nodes[i].name);
    }
}

void small_tailnet_init(struct small_tailnet *t, const char *policy)
{
    struct buf json = BUF(0);
    struct eval_case c;
    struct err err;

    *t = (struct small_tailnet){.document = parse(policy)};
    buf_printf(&json, "{%s, \"policy\": \"\"}", nodes);
    ASSERT(eval_case_read(buf_str(&json), &c, &err) == 0);
    name_nodes(&c);
    ASSERT(eval_case_view(&c, t->document, &t->view, &err) == 0);
    eval_case_fini(&c);
    buf_fini(&json);
    t->policy = compile(t->document, t->view);
}

void small_tailnet_fini(struct small_tailnet *t)
{
    policy_unref(t->policy);
    policy_document_unref(t->document);
    view_unref(t->view);
}

const struct policy *small_tailnet_policy(const struct small_tailnet *t, const char *policy)
{
    AUTO(policy_document_unref) const struct policy_document *d = parse(policy);

    return compile(d, t->view);
}
