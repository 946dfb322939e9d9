/* Pages hold what strangers say as text and nothing else; their one style is the one named. */

#include "../unit.h"

#include "auth/pages.h"
#include "crypto/hash.h"

#define NASTY "<script>alert('x')</script>\"&\x01\xff"
#define TAME "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp; \xef\xbf\xbd"

static bool has(const struct buf *page, struct str text)
{
    return str_find(buf_str(page), text) >= 0;
}

static void the_style_is_the_one_named(void **state)
{
    struct buf text = BUF(0);
    uint8_t hash[HASH_BYTES];

    (void)state;
    sha256(page_style(), hash);
    buf_put_base64(&text, str_bytes(hash, sizeof(hash)));
    assert_str(buf_str(&text), STR(PAGE_STYLE_SHA256));
    buf_fini(&text);
}

static void nothing_of_others_is_markup(void **state)
{
    const struct page_row rows[] = {{"Hostname", STR(NASTY), false}, {"Key", STR(NASTY), true}};
    const struct oidc_provider provider = {.name = STR(NASTY), .title = STR(NASTY)};
    const struct page_question question = {.title = "T",
                                           .heading = "H",
                                           .text = "t",
                                           .rows = rows,
                                           .n_rows = 2,
                                           .action = STR(NASTY),
                                           .token = STR(NASTY),
                                           .button = "Yes",
                                           .note = NASTY};
    const struct page_option options[] = {{7, STR(NASTY), NASTY}};
    struct page_question several = question;
    struct buf pages[12];
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        pages[i] = BUF(PAGE_MAX);
    page_ask(&pages[n++], &question);
    several.options = options;
    several.n_options = 1;
    page_ask(&pages[n++], &several);
    page_tell(&pages[n++], NASTY, rows, 2, NASTY, STR(NASTY));
    page_pick(&pages[n++], STR(NASTY), &provider, 1);
    page_done(&pages[n++], "T", "Registered", STR(NASTY));
    page_register(&pages[n++], STR(NASTY));
    page_old_link(&pages[n++], STR(NASTY));
    page_ssh_check(&pages[n++], STR(NASTY));
    page_error(&pages[n++], 400, NASTY);
    page_apple(&pages[n++], STR(NASTY));
    page_windows(&pages[n++], STR(NASTY));
    assert_true(page_apple_profile(&pages[n++], STR("ios"), STR(NASTY)));
    for (size_t i = 0; i < n; i++) {
        print_message("%zu\n", i);
        assert_false(has(&pages[i], STR("<script")));
        assert_true(has(&pages[i], STR(TAME)));
        assert_true(str_is_utf8(buf_str(&pages[i])));
        assert_false(buf_is_full(&pages[i]));
        buf_fini(&pages[i]);
    }
}

static void errors_say_what_to_do(void **state)
{
    static const int all[] = {400, 401, 403, 404, 410, 429, 500, 502};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct buf page = BUF(PAGE_MAX);

        page_error(&page, all[i], NULL);
        assert_true(has(&page, STR("<title>Error - Hatsize</title>")));
        buf_fini(&page);
    }
}

static void profiles_are_for_three_platforms(void **state)
{
    static const struct {
        struct str platform;
        const char *type;
    } cases[] = {{STR_INIT("ios"), "io.tailscale.ipn.ios"},
                 {STR_INIT("macos-app-store"), "io.tailscale.ipn.macos"},
                 {STR_INIT("macos-standalone"), "io.tailscale.ipn.macsys"},
                 {STR_INIT("macos"), NULL},
                 {STR_INIT(""), NULL}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = BUF(PAGE_MAX);

        assert_int_equal(page_apple_profile(&out, cases[i].platform, STR("https://vpn.example")),
                         cases[i].type != NULL);
        if (cases[i].type) {
            assert_true(has(&out, str_from(cases[i].type)));
            assert_true(
                has(&out, STR("<key>ControlURL</key><string>https://vpn.example</string>")));
        }
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_style_is_the_one_named),
        cmocka_unit_test(nothing_of_others_is_markup),
        cmocka_unit_test(errors_say_what_to_do),
        cmocka_unit_test(profiles_are_for_three_platforms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
