#include "../unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "net/cert.h"
#include "relay/relay_internal.h"

static char folder[] = "/tmp/unit-relay-XXXXXX";

static struct str in_folder(const char *name)
{
    return str_printf("%s/%s", folder, name);
}

static void put_file(struct str path, const char *text)
{
    struct err err = {0};

    assert_int_equal(file_write_secret(path, str_from(text), &err), 0);
}

static void makes_its_key_once(void **state)
{
    struct relay_options o = {.config = in_folder("sub/derper.key")};
    struct relay first = {.o = &o}, again = {.o = &o}, bad = {.o = &o};
    struct err err = {0};
    struct stat st;

    (void)state;
    assert_int_equal(relay_load_key(&first, &err), 0);
    assert_int_equal(stat(o.config.ptr, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(relay_load_key(&again, &err), 0);
    assert_memory_equal(first.key.b, again.key.b, KEY_BYTES);
    assert_int_equal(chmod(o.config.ptr, 0640), 0);
    assert_true(relay_load_key(&bad, &err) < 0);
    put_file(o.config, "{\"PrivateKey\":\"privkey:00\"}");
    assert_true(relay_load_key(&bad, &err) < 0);
    str_free(&o.config);
}

/* As the official relay writes it. */
static void reads_the_official_key_file(void **state)
{
    struct relay_options o = {.config = in_folder("official.key")};
    struct relay r = {.o = &o};
    struct err err = {0};

    (void)state;
    put_file(o.config,
             "{\n\t\"PrivateKey\": "
             "\"privkey:7070707070707070707070707070707070707070707070707070707070707070\"\n}");
    assert_int_equal(relay_load_key(&r, &err), 0);
    assert_int_equal(r.key.b[31], 0x70);
    str_free(&o.config);
}

static void reads_the_mesh_key(void **state)
{
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", true},
        {" \n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n\n", true},
        {"0000000000000000000000000000000000000000000000000000000000000000", false},
        {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde", false},
        {"", false},
    };
    struct relay_options o = {.mesh_psk_file = in_folder("mesh")};
    struct err err = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct relay r = {.o = &o};

        put_file(o.mesh_psk_file, cases[i].text);
        assert_int_equal(relay_load_mesh_key(&r, &err) == 0, cases[i].ok);
        assert_int_equal(r.has_mesh_key, cases[i].ok);
    }
    assert_int_equal(unlink(o.mesh_psk_file.ptr), 0);
    assert_true(relay_load_mesh_key(&(struct relay){.o = &o}, &err) < 0);
    str_free(&o.mesh_psk_file);
}

static void reads_rate_limits(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t rate, burst;
    } cases[] = {
        {"{\"PerClientRateLimitBytesPerSec\": 1000000, \"PerClientRateBurstBytes\": 200000}", true,
         1000000, 200000},
        {"{}", true, 0, 0},
        {"{\"PerClientRateLimitBytesPerSec\": -1}", false, 0, 0},
        {"{\"PerClientRateLimitBytesPerSec\": \"many\"}", false, 0, 0},
        {"[]", false, 0, 0},
        {"", false, 0, 0},
    };
    struct relay_options o = {.rate_config = in_folder("rates")};
    struct relay_rates rates;
    struct err err = {0};

    (void)state;
    assert_true(relay_load_rates(&o, &rates, &err) < 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        put_file(o.rate_config, cases[i].text);
        assert_int_equal(relay_load_rates(&o, &rates, &err) == 0, cases[i].ok);
        if (!cases[i].ok)
            continue;
        assert_int_equal(rates.bytes_per_second, cases[i].rate);
        assert_int_equal(rates.burst_bytes, cases[i].burst);
    }
    put_file(o.rate_config,
             "{\"GlobalRateLimitBytesPerSec\": 50000000, \"GlobalRateBurstBytes\": 7}");
    assert_int_equal(relay_load_rates(&o, &rates, &err), 0);
    assert_int_equal(rates.bytes_per_second, 0);
    assert_int_equal(rates.total_per_second, 50000000);
    assert_int_equal(rates.total_burst, 7);
    str_free(&o.rate_config);
    assert_int_equal(relay_load_rates(&o, &rates, &err), 0);
    assert_int_equal(rates.bytes_per_second, 0);
}

static int load_tls(struct relay_options *o, struct err *err)
{
    struct node_private key;
    struct tls_server *tls = NULL;

    node_private_generate(&key);
    int status = relay_load_tls(o, &key, &tls, err);

    assert_int_equal(status == 0, tls != NULL);
    tls_server_unref(tls);
    return status;
}

static void makes_certificates_where_that_is_the_mode(void **state)
{
    struct relay_options o = {.cert_dir = in_folder("certs"), .cert_mode = STR("manual")};
    struct str cert_path = in_folder("certs/192.0.2.1.crt"), key_path = in_folder("certs/a.b.key");
    struct buf pem = BUF(65536), again = BUF(65536);
    struct err err = {0};
    bool found = false, fits = false;

    (void)state;
    o.hostname = STR("a.b");
    assert_true(load_tls(&o, &err) < 0); /* a name's is the operator's affair */
    assert_non_null(strstr(err.text, "a.b.crt"));
    o.hostname = STR("192.0.2.1");
    assert_int_equal(load_tls(&o, &err), 0);
    assert_int_equal(file_read(cert_path, &pem, &found, &err), 0);
    assert_true(found);
    assert_int_equal(cert_is_for_host(buf_str(&pem), STR("192.0.2.1"), &fits, &err), 0);
    assert_true(fits);
    assert_int_equal(cert_is_for_host(buf_str(&pem), STR("192.0.2.2"), &fits, &err), 0);
    assert_false(fits);
    assert_int_equal(load_tls(&o, &err), 0);
    assert_int_equal(file_read(cert_path, &again, &found, &err), 0);
    assert_str(buf_str(&again), buf_str(&pem));

    o.cert_mode = STR("self-signed");
    o.hostname = STR("a.b");
    assert_int_equal(load_tls(&o, &err), 0);
    assert_int_equal(unlink(key_path.ptr), 0);
    assert_true(load_tls(&o, &err) <
                0); /* half of a pair is a mistake, not a reason for a new one */
    buf_fini(&pem);
    buf_fini(&again);
    str_free(&o.cert_dir);
    str_free(&cert_path);
    str_free(&key_path);
}

/* A certificate for somebody else is refused, and no path leads out of the folder. */
static void checks_the_name(void **state)
{
    struct relay_options o = {.cert_dir = in_folder("named"), .cert_mode = STR("self-signed")};
    struct str own = in_folder("named/x.y.crt"), other = in_folder("named/other.z.crt"),
               own_key = in_folder("named/x.y.key"), other_key = in_folder("named/other.z.key");
    struct err err = {0};

    (void)state;
    o.hostname = STR("x.y");
    assert_int_equal(load_tls(&o, &err), 0);
    assert_int_equal(rename(own.ptr, other.ptr), 0);
    assert_int_equal(rename(own_key.ptr, other_key.ptr), 0);
    o.hostname = STR("other.z");
    assert_true(load_tls(&o, &err) < 0);
    assert_non_null(strstr(err.text, "is not for other.z"));
    o.hostname = STR("../x");
    assert_true(load_tls(&o, &err) < 0);
    str_free(&o.cert_dir);
    str_free(&own);
    str_free(&own_key);
    str_free(&other);
    str_free(&other_key);
}

static int make_folder(void **state)
{
    (void)state;
    log_init(LOG_OFF, LOG_TEXT, -1);
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    struct str command = str_printf("rm -rf %s", folder);
    int status = system(command.ptr);

    (void)state;
    str_free(&command);
    return status;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_its_key_once),
        cmocka_unit_test(reads_the_official_key_file),
        cmocka_unit_test(reads_the_mesh_key),
        cmocka_unit_test(reads_rate_limits),
        cmocka_unit_test(makes_certificates_where_that_is_the_mode),
        cmocka_unit_test(checks_the_name),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
