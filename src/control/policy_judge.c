/* See policy_judge.h. */

#include "control/policy_judge.h"

#define DETAILS_MAX ((size_t)64 << 10)

_Static_assert(TAILNET_POLICY_MAX == POLICY_TEXT_MAX, "what parses can be kept");

void policy_verdict_fini(struct policy_verdict *v)
{
    str_free(&v->details);
    *v = (struct policy_verdict){0};
}

void policy_judge_again(const struct policy_document *document, const struct policy *policy,
                        const struct tailnet_view *view, struct policy_verdict *v)
{
    struct buf details = BUF(DETAILS_MAX);

    *v = (struct policy_verdict){.judgement = POLICY_GOOD};
    if (document && policy_check_users(document, view, &v->complaint) < 0)
        v->judgement = POLICY_AMBIGUOUS;
    else if (document && policy_run_tests(policy, &v->complaint, &details) < 0)
        v->judgement = POLICY_TESTS_FAIL;
    v->details = str_copy(str_trim(buf_str(&details)));
    buf_fini(&details);
}

void policy_judge(struct str text, const struct tailnet_view *view,
                  const struct policy_document **document, const struct policy **policy,
                  struct policy_verdict *v)
{
    static const struct policy_parse_options options = {.domains = NULL};
    AUTO(policy_document_unref) const struct policy_document *parsed = NULL;
    AUTO(policy_unref) const struct policy *compiled = NULL;

    *v = (struct policy_verdict){.judgement = POLICY_GOOD};
    if (text.len > 0 && policy_document_parse(text, &options, &parsed, &v->complaint) < 0) {
        v->judgement = POLICY_UNPARSABLE;
        return;
    }
    const struct policy_input input = {.document = parsed, .view = view};
    compiled = policy_compile(&input);
    policy_judge_again(parsed, compiled, view, v);
    if (document)
        *document = TAKE(parsed);
    if (policy)
        *policy = TAKE(compiled);
}

void policy_verdict_put(struct buf *out, const struct policy_verdict *v)
{
    const struct policy_complaint *c = &v->complaint;

    buf_put(out, str_from(c->text));
    if (c->pos.line > 0)
        buf_printf(out, " (line %u, column %u)", c->pos.line, c->pos.col);
    if (v->details.len > 0)
        buf_printf(out, ":\n%.*s", STR_ARG(v->details));
    else if (c->hint[0])
        buf_printf(out, ": %s", c->hint);
}
