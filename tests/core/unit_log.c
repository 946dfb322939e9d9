#include "../unit.h"

#include <pthread.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"

static FILE *sink;

static void begin(enum log_level level, enum log_format format)
{
    sink = tmpfile();
    assert_non_null(sink);
    log_init(level, format, fileno(sink));
}

/* What was logged since begin. */
static struct buf finish(void)
{
    struct buf all = BUF(0);
    char piece[4096];
    size_t n;

    rewind(sink);
    while ((n = fread(piece, 1, sizeof(piece), sink)) > 0)
        buf_put(&all, str_bytes(piece, n));
    fclose(sink);
    log_init(LOG_OFF, LOG_TEXT, -1);
    return all;
}

static void writes_text(void **state)
{
    (void)state;
    begin(LOG_INFO, LOG_TEXT);
    log_event(LOG_DEBUG, "unseen");
    log_event(LOG_WARN, "relay refused\na client", LOG_STR("addr", STR("1.2.3.4:5")),
              LOG_U64("node", 7), LOG_I64("delta", -3), LOG_BOOL("tls", true),
              LOG_TXT("why", "not \"invited\""), LOG_TXT("empty", ""), LOG_TXT("none", NULL));

    AUTO_FINI(buf_fini) struct buf got = finish();
    int64_t when = 0;

    assert_true(clock_parse_rfc3339(
        str_sub(buf_str(&got), 0, (size_t)str_find_char(buf_str(&got), ' ')), &when));
    assert_true(str_ends(buf_str(&got),
                         STR(" warn  relay refused\\na client addr=1.2.3.4:5 node=7 delta=-3 "
                             "tls=true why=\"not \\\"invited\\\"\" empty=\"\" none=\"\"\n")));
    assert_int_equal(str_find(buf_str(&got), STR("unseen")), -1);
}

static void writes_json(void **state)
{
    (void)state;
    struct err err = {0};

    assert_int_equal(err_set(&err, ERR_IO, "gone"), -ERR_IO);
    begin(LOG_TRACE, LOG_JSON);
    log_event(LOG_ERROR, "down", LOG_ERR(&err), LOG_STR("raw", STR("\x01\xff\\")));

    AUTO_FINI(buf_fini) struct buf got = finish();

    assert_true(str_starts(buf_str(&got), STR("{\"level\":\"error\",\"time\":\"20")));
    assert_true(str_ends(buf_str(&got), STR(",\"message\":\"down\",\"error\":\"gone\",\"raw\":"
                                            "\"\\u0001\xef\xbf\xbd\\\\\"}\n")));
}

static void cuts_long_values(void **state)
{
    (void)state;
    static char large[100000];

    memset(large, 'x', sizeof(large));
    begin(LOG_INFO, LOG_TEXT);
    log_event(LOG_INFO, "large", LOG_STR("value", str_bytes(large, sizeof(large))));

    AUTO_FINI(buf_fini) struct buf got = finish();

    assert_true(got.len > 4096 && got.len < 5000);
    assert_true(str_ends(buf_str(&got), STR("x...\"\n")));
}

static void parses_levels(void **state)
{
    (void)state;
    enum log_level level = LOG_INFO;

    assert_true(log_level_parse(STR("Trace"), &level) && level == LOG_TRACE);
    assert_true(log_level_parse(STR("panic"), &level) && level == LOG_ERROR);
    assert_true(log_level_parse(STR("disabled"), &level) && level == LOG_OFF);
    assert_false(log_level_parse(STR("loud"), &level));
    log_set_level(LOG_WARN);
    assert_true(log_is_on(LOG_ERROR) && !log_is_on(LOG_INFO));
    log_set_level(LOG_OFF);
    assert_false(log_is_on(LOG_ERROR));
}

#define THREADS 4
#define LINES 500

static void *log_many(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < LINES; i++)
        log_event(LOG_INFO, "from a thread", LOG_U64("i", i), LOG_TXT("pad", "xxxxxxxxxxxxxxxx"));
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    size_t lines = 0;

    begin(LOG_INFO, LOG_TEXT);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    AUTO_FINI(buf_fini) struct buf got = finish();
    struct str rest = buf_str(&got), line;

    while (str_next(&rest, '\n', &line)) {
        assert_true(str_ends(line, STR(" pad=xxxxxxxxxxxxxxxx")));
        assert_true(str_find(line, STR(" from a thread i=")) > 0);
        lines++;
    }
    assert_int_equal(lines, THREADS * LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_text),
        cmocka_unit_test(writes_json),
        cmocka_unit_test(cuts_long_values),
        cmocka_unit_test(parses_levels),
        cmocka_unit_test(lines_of_threads_do_not_mix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
