#include "../unit.h"

#include "tailnet/name.h"

static const struct {
    const char *name;
    struct str in;
    struct str want;
} cases[] = {
    {"apostrophe goes, spaces become dashes", STR_INIT("Joe's Mac mini"),
     STR_INIT("joes-mac-mini")},
    {"at sign", STR_INIT("Test@Host"), STR_INIT("test-host")},
    {"inner dot", STR_INIT("mail.server"), STR_INIT("mail-server")},
    {"outer punctuation", STR_INIT("My-PC!"), STR_INIT("my-pc")},
    {"nothing usable", STR_INIT("\xe6\x88\x91\xe7\x9a\x84"), STR_INIT("node")},
    {"empty", STR_INIT(""), STR_INIT("node")},
    {".local goes", STR_INIT("mac.local"), STR_INIT("mac")},
    {".localdomain goes", STR_INIT("box.localdomain"), STR_INIT("box")},
    {".lan goes", STR_INIT("nas.lan"), STR_INIT("nas")},
    {".local inside stays", STR_INIT("a.local.b"), STR_INIT("a-local-b")},
    {"underscore", STR_INIT("a_b"), STR_INIT("a-b")},
    {"outer dashes", STR_INIT("--a--"), STR_INIT("a")},
    {"inner foreign letters are dropped", STR_INIT("a\xc3\xa9z"), STR_INIT("az")},
    {"NUL is dropped", STR_INIT("a\0b"), STR_INIT("ab")},
    {"cut to 63",
     STR_INIT("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg"),
     STR_INIT("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg")},
    {"no dash where it was cut",
     STR_INIT("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgg gggg"),
     STR_INIT("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgg")},
};

static void makes_labels(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = BUF(256);

        print_message("%s\n", cases[i].name);
        name_from_hostname(cases[i].in, &out);
        assert_str(buf_str(&out), cases[i].want);
        assert_true(name_is_label(buf_str(&out)));
        buf_fini(&out);
    }
}

static void knows_labels(void **state)
{
    (void)state;
    assert_true(name_is_label(STR("a")));
    assert_true(name_is_label(STR("A-9")));
    assert_false(name_is_label(STR("")));
    assert_false(name_is_label(STR("-a")));
    assert_false(name_is_label(STR("a-")));
    assert_false(name_is_label(STR("a.b")));
    assert_false(name_is_label(STR("a b")));
    assert_true(
        name_is_label(STR("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg")));
    assert_false(
        name_is_label(STR("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg")));
}

static void knows_tags(void **state)
{
    (void)state;
    assert_true(tag_is_valid(STR("tag:web-1")));
    assert_false(tag_is_valid(STR("tag:")));
    assert_false(tag_is_valid(STR("web")));
    assert_false(tag_is_valid(STR("tag:1web")));
    assert_false(tag_is_valid(STR("tag:Web")));
    assert_false(tag_is_valid(STR("tag:we b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_labels),
        cmocka_unit_test(knows_labels),
        cmocka_unit_test(knows_tags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
