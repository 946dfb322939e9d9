#include "../unit.h"

#include <math.h>

#include "core/mem.h"
#include "relay/options.h"

#define WORDS_MAX 16

/* Splits at blanks; "''" is the empty word. */
static int parse(const char *line, struct relay_options *o, struct err *err)
{
    static char words[WORDS_MAX][128];
    static char *argv[WORDS_MAX];
    struct str rest = str_from(line), word;
    int argc = 0;

    argv[argc++] = words[0];
    while (str_next(&rest, ' ', &word)) {
        struct str value = str_eq(word, STR("''")) ? STR_NONE : word;

        assert_true(argc < WORDS_MAX && value.len < sizeof(words[0]));
        memcpy(words[argc], value.ptr ? value.ptr : "", value.len);
        words[argc][value.len] = 0;
        argv[argc] = words[argc];
        argc++;
    }
    return relay_options_parse(o, argc, argv, err);
}

static void has_the_official_defaults(void **state)
{
    struct relay_options o;
    struct err err = {0};

    (void)state;
    assert_int_equal(setenv("HOME", "/nowhere", 1), 0);
    assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
    assert_int_equal(parse("", &o, &err), 0);
    assert_str(o.addr, STR(":443"));
    assert_str(o.cert_mode, STR("letsencrypt"));
    assert_str(o.hostname, STR("derp.tailscale.com"));
    assert_str(o.cert_dir, STR("/nowhere/.cache/tailscale/derper-certs"));
    assert_int_equal(o.http_port, 80);
    assert_int_equal(o.stun_port, 3478);
    assert_true(o.stun && o.derp && o.verify_fail_open && !o.verify_clients && !o.dev);
    assert_true(isinf(o.accept_limit));
    assert_int_equal(o.keep_alive_ms, 600000);
    assert_int_equal(o.user_timeout_ms, 15000);
    assert_int_equal(o.write_timeout_ms, 2000);
    relay_options_fini(&o);
}

static void takes_both_spellings(void **state)
{
    struct relay_options o;
    struct err err = {0};

    (void)state;
    assert_int_equal(parse("-a 127.0.0.1:8443 --hostname=a=b -stun=false --derp=F -verify-clients "
                           "-http-port=-1 --stun-port 0",
                           &o, &err),
                     0);
    assert_str(o.addr, STR("127.0.0.1:8443"));
    assert_str(o.hostname, STR("a=b"));
    assert_true(!o.stun && !o.derp && o.verify_clients);
    assert_int_equal(o.http_port, -1);
    assert_int_equal(o.stun_port, 0);
    relay_options_fini(&o);
    assert_int_equal(parse("-accept-connection-limit 2.5 -accept-connection-burst 7 "
                           "-tcp-keepalive-time 1h30m -tcp-user-timeout=0 -tcp-write-timeout 250ms",
                           &o, &err),
                     0);
    assert_true(o.accept_limit > 2.4 && o.accept_limit < 2.6);
    assert_int_equal(o.accept_burst, 7);
    assert_int_equal(o.keep_alive_ms, 5400000);
    assert_int_equal(o.user_timeout_ms, 0);
    assert_int_equal(o.write_timeout_ms, 250);
    relay_options_fini(&o);
    assert_int_equal(parse("-home '' -accept-connection-limit +Inf", &o, &err), 0);
    assert_true(o.home.len == 0 && isinf(o.accept_limit));
    relay_options_fini(&o);
}

static void refuses_what_it_cannot_read(void **state)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"-nonsense", "there is no flag -nonsense"},
        {"---a :1", "there is no flag -"},
        {"-a :443 stray", "\"stray\" is no flag"},
        {"--", "is no flag"},
        {"-", "is no flag"},
        {"-hostname", "-hostname wants a value"},
        {"-stun=perhaps", "-stun: \"perhaps\" is no value"},
        {"-stun perhaps", "\"perhaps\" is no flag"},
        {"-http-port 80x", "-http-port: \"80x\""},
        {"-accept-connection-limit nan", "-accept-connection-limit"},
        {"-accept-connection-limit -1", "-accept-connection-limit"},
        {"-accept-connection-limit ''", "-accept-connection-limit"},
        {"-tcp-keepalive-time 10", "-tcp-keepalive-time"},
        {"-tcp-user-timeout -5s", "-tcp-user-timeout"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct relay_options o;
        struct err err = {0};

        print_message("%s\n", cases[i].line);
        assert_true(parse(cases[i].line, &o, &err) < 0);
        if (str_find(str_from(err.text), str_from(cases[i].says)) < 0)
            fail_msg("said \"%s\"", err.text);
        relay_options_fini(&o);
    }
}

static void checks_what_goes_together(void **state)
{
    static const struct {
        const char *line, *says; /* NULL: fine */
        bool is_tls;
        uint16_t port;
    } cases[] = {
        {"-c k -a :3340", NULL, false, 3340},
        {"-c k -certmode manual -certdir d -a :3340", NULL, true, 3340},
        {"-c k -certmode self-signed -certdir d", NULL, true, 443},
        {"-c k -certmode self-signed -certdir d -a [::1]:https", NULL, true, 443},
        {"-c k -a localhost:http", NULL, false, 80},
        {"-dev", NULL, false, 3340},
        {"-c k -certdir d -hostname derp.example", NULL, true, 443},
        {"-c k -certdir d -hostname derp.example -a :8443 -acme-directory https://ca", NULL, true,
         8443},
        {"-c k -certdir d -hostname 192.0.2.1 -acme-ip-certs", NULL, true, 443},
        {"-c k -certdir d -hostname h.example -certmode gcp -acme-eab-kid i -acme-eab-key aa",
         "-acme-email", false, 0},
        {"-c k -certdir d -hostname h.example -certmode gcp -acme-email a@b", "-acme-eab-kid",
         false, 0},
        {"-c k -certdir d -hostname 192.0.2.1 -certmode gcp", "DNS name", false, 0},
        {"-c k -certdir d", "-hostname is missing", false, 0},
        {"-c k -certdir d -hostname 192.0.2.1", "-acme-ip-certs", false, 0},
        {"-c k -certdir d -hostname 192.0.2.1 -acme-ip-certs -http-port -1", "-http-port", false,
         0},
        {"-c k -certmode manual -certdir d -acme-ip-certs", "letsencrypt", false, 0},
        {"-c k -certmode paper", "-certmode", false, 0},
        {"-c k -certmode manual -certdir ''", "-certdir", false, 0},
        {"-c k -certmode manual -certdir d -hostname ''", "-hostname", false, 0},
        {"-c k -a 1234", "-a:", false, 0},
        {"-c k -a :70000", "-a:", false, 0},
        {"-c k -a example.org:80", "-a:", false, 0},
        {"-c k -a :80 -http-port -2", "-http-port", false, 0},
        {"-c k -a :80 -stun-port 65536", "-stun-port", false, 0},
        {"-c k -a :80 -max-connections 0", "-max-connections", false, 0},
        {"-c k -a :80 -max-connections-per-address 0", "-max-connections-per-address", false, 0},
        {"-c k -a :80 -max-handshakes 1", "-max-handshakes", false, 0},
        {"-c k -a :80 -secrets-url https://x", "setec", false, 0},
        {"-c k -a :80 -ace", "-ace", false, 0},
        {"-c k -a :80 -mesh-with a,b", "-mesh-psk-file", false, 0},
        {"-c k -a :80 -verify-client-url ftp://x", "-verify-client-url", false, 0},
        {"-c k -a :80 -home page", "-home", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct relay_options o;
        struct err err = {0};

        print_message("%s\n", cases[i].line);
        assert_int_equal(parse(cases[i].line, &o, &err), 0);
        int status = relay_options_check(&o, &err);

        if (cases[i].says) {
            assert_true(status < 0);
            if (str_find(str_from(err.text), str_from(cases[i].says)) < 0)
                fail_msg("said \"%s\"", err.text);
        } else {
            assert_int_equal(status, 0);
            assert_int_equal(o.is_tls, cases[i].is_tls);
            assert_int_equal(o.listen.port, cases[i].port);
        }
        relay_options_fini(&o);
    }
}

/* Every flag is told of. */
static void tells_its_flags(void **state)
{
    AUTO_FINI(buf_fini) struct buf out = BUF(65536);

    (void)state;
    relay_options_put_help(&out);
    assert_true(str_find(buf_str(&out), STR("-verify-client-url ")) >= 0);
    assert_true(str_find(buf_str(&out), STR("-acme-directory ")) >= 0);
    assert_true(!buf_is_full(&out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_the_official_defaults),
        cmocka_unit_test(takes_both_spellings),
        cmocka_unit_test(refuses_what_it_cannot_read),
        cmocka_unit_test(checks_what_goes_together),
        cmocka_unit_test(tells_its_flags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
