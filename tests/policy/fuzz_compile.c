/*
 * Structured: the input's bytes are the choices of the generators, first those of a small tailnet
 * (as many as the first byte says), then those of a policy; where they end, a fixed seed goes on.
 * So every input is a policy of the whole language, and a changed byte is one changed choice.
 *
 * Law: the compiler comes to what the naive evaluator comes to; and compiled from what one step
 * changed, it says what it says from scratch.
 */

#include <stdio.h>

#include "decisions.h"
#include "random_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NODES 5
#define PACKETS 10

static void must_hold(bool holds, const char *why, struct str text)
{
    if (!holds)
        (void)fprintf(stderr, "%s\n%.*s\n", why, STR_ARG(text));
    ASSERT(holds);
}

static void check(struct random_tailnet *t, const struct policy_document *d, struct str text)
{
    const struct policy_input first = {.document = d, .view = t->view};
    AUTO(policy_unref) const struct policy *before = policy_compile(&first);
    char why[DECISIONS_WHY];
    struct rand_seeded r;

    rand_seed(&r, 1);
    must_hold(decisions_agree(&(struct decisions){d, t->view, before, &r, PACKETS}, why), why,
              text);
    random_tailnet_step(t);
    const struct policy_input next = {d, t->view, before, t->changes.items, t->changes.len};
    const struct policy_input scratch = {.document = d, .view = t->view};
    AUTO(policy_unref) const struct policy *a = policy_compile(&next);
    AUTO(policy_unref) const struct policy *b = policy_compile(&scratch);
    must_hold(decisions_same(a, b, t->view, why), why, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str all = str_bytes(data, size);
    size_t n_tailnet = size > 0 ? data[0] : 0;
    const struct policy_document *d = NULL;
    struct policy_complaint complaint;
    struct random_tailnet t;
    struct rand_seeded r;
    struct buf text = BUF(0);

    random_tailnet_init(&t, (struct random_tailnet_options){.seed = 1,
                                                            .max_nodes = NODES,
                                                            .choices = str_sub(all, 1, n_tailnet)});
    rand_seed(&r, 1);
    random_policy_put(&r,
                      (struct random_policy_options){.max_rules = 3,
                                                     .choices = str_from_index(all, 1 + n_tailnet)},
                      &text);
    if (policy_document_parse(buf_str(&text), NULL, &d, &complaint) == 0)
        check(&t, d, buf_str(&text));
    policy_document_unref(d);
    buf_fini(&text);
    random_tailnet_fini(&t);
    return 0;
}
