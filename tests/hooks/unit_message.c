/* What an endpoint gets: bodies in each provider's form, and the signature. */

#include "../unit.h"

#include "core/buf.h"
#include "hooks/message.h"

static struct delivery *delivery_of(struct str body)
{
    struct delivery *d = delivery_new();

    d->event = EVENT_NODE_CREATED;
    d->body = str_copy(body);
    return d;
}

#define EVENT(message) "{\"tailnet\":\"example.net\",\"message\":\"" message "\"}"

static const struct {
    const char *name;
    enum webhook_provider provider;
    struct str bodies[3];
    struct str want;
    size_t used;
} cases[] = {
    {"one event", WEBHOOK_GENERIC, {STR_INIT("{\"a\":1}")}, STR_INIT("[{\"a\":1}]"), 1},
    {"two events",
     WEBHOOK_GENERIC,
     {STR_INIT("{\"a\":1}"), STR_INIT("{\"b\":2}")},
     STR_INIT("[{\"a\":1},{\"b\":2}]"),
     2},
    {"Slack's markup means nothing",
     WEBHOOK_SLACK,
     {STR_INIT(EVENT("User <!everyone> & co created"))},
     STR_INIT("{\"text\":\"example.net: User &lt;!everyone&gt; &amp; co created\"}"),
     1},
    {"Mattermost mentions nobody",
     WEBHOOK_MATTERMOST,
     {STR_INIT(EVENT("User @all created"))},
     STR_INIT("{\"text\":\"example.net: User @\xe2\x80\x8b"
              "all created\"}"),
     1},
    {"Google Chat mentions nobody",
     WEBHOOK_GOOGLECHAT,
     {STR_INIT(EVENT("User <users/all> created"))},
     STR_INIT("{\"text\":\"example.net: User \xe2\x80\xb9users/all\xe2\x80\xba created\"}"),
     1},
    {"Discord mentions nobody, and lines are one event each",
     WEBHOOK_DISCORD,
     {STR_INIT(EVENT("Node a\\ncreated")), STR_INIT(EVENT("Node b created"))},
     STR_INIT("{\"content\":\"example.net: Node a created\\nexample.net: Node b created\","
              "\"allowed_mentions\":{\"parse\":[]}}"),
     2},
    {"what is no JSON is told by its name",
     WEBHOOK_SLACK,
     {STR_INIT("{")},
     STR_INIT("{\"text\":\"nodeCreated\"}"),
     1},
};

static void puts_each_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct delivery *items[3];
        struct buf out = BUF(65536);
        size_t n = 0;

        print_message("%s\n", cases[i].name);
        for (; n < 3 && cases[i].bodies[n].len > 0; n++)
            items[n] = delivery_of(cases[i].bodies[n]);
        assert_int_equal(message_put_body(&out, cases[i].provider, items, n), cases[i].used);
        assert_str(buf_str(&out), cases[i].want);
        while (n > 0)
            delivery_unref(items[--n]);
        buf_fini(&out);
    }
}

static void keeps_chats_short(void **state)
{
    const struct delivery *items[100];
    char text[700];
    struct buf out = BUF(65536), all = BUF((size_t)4 << 20);

    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < 100; i++) {
        struct str body = str_printf("{\"tailnet\":\"t\",\"message\":\"%.*s\"}",
                                     STR_ARG(str_bytes(text, sizeof(text))));

        items[i] = delivery_of(body);
        str_free(&body);
    }
    assert_int_equal(message_put_body(&out, WEBHOOK_DISCORD, items, 100), 2);
    assert_in_range(out.len, 1400, 2000);
    assert_int_equal(message_put_body(&all, WEBHOOK_GENERIC, items, 100), MESSAGE_EVENTS_MAX);
    for (size_t i = 0; i < 100; i++)
        delivery_unref(items[i]);
    buf_fini(&out);
    buf_fini(&all);
}

/* The expected one was made by Python's hmac. */
static void signs(void **state)
{
    struct buf out = BUF(256);

    (void)state;
    message_put_signature(&out,
                          STR("hskey-webhook-0123456789ab-"
                              "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
                          1700000000999, STR("[{\"a\":1}]"));
    assert_str(buf_str(&out),
               STR("t=1700000000,v1="
                   "e757e870544e872566695d1434011f64c5fe85d04f9c3a14e43d0cfcbcf9d094"));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_each_form),
        cmocka_unit_test(keeps_chats_short),
        cmocka_unit_test(signs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
