/* Rollouts: the number in a DNS answer, and who is among the first so many of a hundred. */

#include "../unit.h"

#include "core/buf.h"
#include "relay/rollout.h"

#define HEADER "\x12\x34\x81\x80\0\1\0"
#define QUESTION "\7rollout\7example\0\0\x10\0\1"
#define TXT "\xc0\x0c\0\x10\0\1\0\0\0\x3c\0"

static const struct {
    const char *name;
    struct str answer;
    bool ok;
    unsigned percent;
} cases[] = {
    {"42",
     STR_INIT(HEADER "\1\0\0\0\0" QUESTION TXT "\3\2"
                     "42"),
     true, 42},
    {"in two strings",
     STR_INIT(HEADER "\1\0\0\0\0" QUESTION TXT "\4\1"
                     "4"
                     "\1"
                     "2"),
     true, 42},
    {"all",
     STR_INIT(HEADER "\1\0\0\0\0" QUESTION TXT "\4\3"
                     "100"),
     true, 100},
    {"nobody",
     STR_INIT(HEADER "\1\0\0\0\0" QUESTION TXT "\2\1"
                     "0"),
     true, 0},
    {"more than all",
     STR_INIT(HEADER "\1\0\0\0\0" QUESTION TXT "\4\3"
                     "101"),
     true, 0},
    {"no number",
     STR_INIT(HEADER "\1\0\0\0\0" QUESTION TXT "\4\3"
                     "all"),
     true, 0},
    {"less than nobody",
     STR_INIT(HEADER "\1\0\0\0\0" QUESTION TXT "\3\2"
                     "-1"),
     true, 0},
    {"nothing", STR_INIT(HEADER "\1\0\0\0\0" QUESTION TXT "\0"), true, 0},
    {"behind a text",
     STR_INIT(HEADER "\2\0\0\0\0" QUESTION TXT "\5\4"
                     "spf1" TXT "\2\1"
                     "7"),
     true, 7},
    {"behind an alias",
     STR_INIT(HEADER "\2\0\0\0\0" QUESTION "\xc0\x0c\0\5\0\1\0\0\0\1\0\2\xc0\x0c" TXT "\2\1"
                     "7"),
     true, 7},
    {"no answer", STR_INIT(HEADER "\0\0\0\0\0" QUESTION), true, 0},
    {"no header", STR_INIT(""), false, 0},
    {"a question without its end",
     STR_INIT(HEADER "\1\0\0\0\0"
                     "\7rollout"),
     false, 0},
    {"more answers than there are",
     STR_INIT(HEADER "\2\0\0\0\0" QUESTION TXT "\3\2"
                     "42"),
     false, 42},
    {"a record longer than the answer",
     STR_INIT(HEADER "\1\0\0\0\0" QUESTION TXT "\x30\2"
                     "42"),
     false, 0},
    {"a string longer than its record",
     STR_INIT(HEADER "\1\0\0\0\0" QUESTION TXT "\3\x20"
                     "42"),
     true, 0},
};

static void reads_each_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned percent = 1000;

        print_message("%s\n", cases[i].name);
        assert_int_equal(rollout_parse(cases[i].answer, &percent), cases[i].ok);
        assert_int_equal(percent, cases[i].percent);
    }
}

/* On the heap and of exactly that length, so that the sanitizer sees a read behind the end. */
static void survives_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t len = 0; len < cases[i].answer.len; len++) {
            struct str cut = str_copy(str_sub(cases[i].answer, 0, len));
            unsigned percent = 1000;

            IGNORE(rollout_parse(cut, &percent));
            assert_true(percent <= 100);
            str_free(&cut);
        }
    }
}

static void chooses_the_same_ones(void **state)
{
    size_t n[101] = {0};

    (void)state;
    for (uint32_t i = 0; i < 5000; i++) {
        struct ip_addr addr = IP_ADDR_V4(198, 51, (uint8_t)(i >> 8), (uint8_t)i);

        assert_false(rollout_has(0, addr));
        assert_true(rollout_has(100, addr));
        /* Who is in stays in when it grows. */
        for (unsigned percent = 1; percent <= 100; percent++) {
            assert_true(!rollout_has(percent - 1, addr) || rollout_has(percent, addr));
            n[percent] += rollout_has(percent, addr);
        }
    }
    assert_in_range(n[10], 400, 600);
    assert_in_range(n[50], 2350, 2650);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_each_answer),
        cmocka_unit_test(survives_every_cut),
        cmocka_unit_test(chooses_the_same_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
