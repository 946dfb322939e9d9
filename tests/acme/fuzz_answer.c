/*
 * Any text, as any answer: what is taken has only URLs, tokens and numbers that may be used; and an
 * order written anew from what was read is read the same.
 */

#include "acme/answer.h"
#include "json/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_order(struct arena *a, const struct acme_order *o, bool plain)
{
    static const char *const words[ACME_STATUS_COUNT] = {"pending", "processing", "ready", "valid",
                                                         "invalid"};
    AUTO_FINI(buf_fini) struct buf out = BUF(0);
    struct json_writer w = JSON_WRITER(&out);
    struct acme_order again;

    ASSERT(acme_is_url(o->finalize, plain) && o->n_authorizations <= ACME_AUTHORIZATIONS_MAX);
    ASSERT((o->certificate.len > 0) == (o->status == ACME_VALID));
    json_begin_object(&w);
    json_field_str(&w, STR("status"), str_from(words[o->status]));
    json_field_str(&w, STR("finalize"), o->finalize);
    json_opt_str(&w, STR("certificate"), o->certificate);
    json_field_array(&w, STR("authorizations"));
    for (size_t i = 0; i < o->n_authorizations; i++) {
        ASSERT(acme_is_url(o->authorizations[i], plain));
        json_str(&w, o->authorizations[i]);
    }
    json_end_array(&w);
    json_end_object(&w);
    ASSERT(acme_read_order(a, buf_str(&out), plain, &again));
    ASSERT(again.status == o->status && str_eq(again.finalize, o->finalize) &&
           str_eq(again.certificate, o->certificate) &&
           again.n_authorizations == o->n_authorizations);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena_free) struct arena *a = arena_new();
    bool plain = size > 0 && data[0] & 1;
    struct str text = str_bytes(size ? (const char *)data : "", size);
    struct acme_directory d;
    struct acme_order o;
    struct acme_authorization z;
    struct acme_window w;
    int64_t retry = acme_read_retry_after(text, 0);

    ASSERT(retry >= -1 && retry <= (int64_t)7 * 86400 * 1000);
    (void)acme_is_chain(text);
    if (acme_read_directory(a, text, plain, &d))
        ASSERT(acme_is_url(d.new_nonce, plain) && acme_is_url(d.new_account, plain) &&
               acme_is_url(d.new_order, plain) &&
               (d.renewal_info.len == 0 || acme_is_url(d.renewal_info, plain)));
    if (acme_read_order(a, text, plain, &o))
        check_order(a, &o, plain);
    if (acme_read_authorization(a, text, plain, &z))
        for (size_t i = 0; i < ACME_CHALLENGE_COUNT; i++)
            ASSERT(z.challenges[i].url.len == 0 || (acme_is_url(z.challenges[i].url, plain) &&
                                                    acme_is_token(z.challenges[i].token)));
    if (acme_read_window(a, text, &w))
        ASSERT(w.start_unix_ms < w.end_unix_ms);
    (void)acme_read_problem(a, text);
    return 0;
}
