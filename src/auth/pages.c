#include "auth/pages.h"

#include "core/rand.h"

#define STYLE                                                                                      \
    "body{font:16px/1.5 sans-serif;max-width:44em;margin:4em auto;padding:0 1em;color:#222;"       \
    "background:#fff}h1{font-size:1.5em}code,pre{font:14px/1.5 monospace;overflow-wrap:anywhere}"  \
    "pre{padding:1em;background:#eee;white-space:pre-wrap}"                                        \
    "table{border-collapse:collapse}th{text-align:left;padding:.3em 1.5em .3em 0;"                 \
    "vertical-align:top}td{padding:.3em 0}"                                                        \
    "button,a.button{display:inline-block;font:inherit;padding:.5em 1.5em;margin:1em 1em 0 0;"     \
    "border:1px solid #225;border-radius:4px;background:#225;color:#fff;text-decoration:none}"     \
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#282828}" \
    "a{color:#8af}}"

struct str page_style(void)
{
    return STR(STYLE);
}

void page_put_escaped(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len;) {
        size_t n = str_utf8_len(str_from_index(text, i));
        unsigned char c = (unsigned char)text.ptr[i];

        if (n == 0)
            buf_put(out, STR("\xef\xbf\xbd"));
        else if (c == '&')
            buf_put(out, STR("&amp;"));
        else if (c == '<')
            buf_put(out, STR("&lt;"));
        else if (c == '>')
            buf_put(out, STR("&gt;"));
        else if (c == '"')
            buf_put(out, STR("&quot;"));
        else if (c == '\'')
            buf_put(out, STR("&#39;"));
        else if (c < 0x20 || c == 0x7f)
            buf_put_char(out, ' ');
        else
            buf_put(out, str_sub(text, i, n));
        i += MAX(n, (size_t)1);
    }
}

static void put_head(struct buf *out, const char *title, const char *heading)
{
    buf_put(out, STR("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                     "<meta name=\"viewport\" content=\"width=device-width\">"
                     "<meta name=\"robots\" content=\"noindex\"><title>"));
    page_put_escaped(out, str_from(title));
    buf_put(out, STR(" - Hatsize</title><style>" STYLE "</style></head><body>\n<h1>"));
    page_put_escaped(out, str_from(heading));
    buf_put(out, STR("</h1>\n"));
}

static void put_tail(struct buf *out)
{
    buf_put(out, STR("</body></html>\n"));
}

static void put_paragraph(struct buf *out, struct str text)
{
    buf_put(out, STR("<p>"));
    page_put_escaped(out, text);
    buf_put(out, STR("</p>\n"));
}

/* ---- Registration and checks by command line ---- */

static void put_command(struct buf *out, const char *before, struct str id, const char *after)
{
    buf_printf(out, "<pre>%s", before);
    page_put_escaped(out, id);
    buf_printf(out, "%s</pre>\n", after);
}

void page_register(struct buf *out, struct str id)
{
    put_head(out, "Node registration", "Node registration");
    put_paragraph(out, STR("A machine wants to join. Whoever runs this server lets it in with:"));
    put_command(out, "hatsize auth register --auth-id ", id, " --user USERNAME");
    put_paragraph(out, STR("The machine goes on by itself then. If you did not ask for this, do "
                           "nothing: the request expires."));
    put_tail(out);
}

void page_ssh_check(struct buf *out, struct str id)
{
    put_head(out, "Authentication check", "Authentication check");
    put_paragraph(out, STR("An SSH log-in waits for approval. Whoever runs this server gives it "
                           "with:"));
    put_command(out, "hatsize auth approve --auth-id ", id, "");
    put_paragraph(out, STR("If you did not ask for this, do nothing: the request expires."));
    put_tail(out);
}

void page_old_link(struct buf *out, struct str url)
{
    put_head(out, "Old link", "This link is from an older server");
    put_paragraph(out, STR("It was made before this server took over, and is good for nothing any "
                           "more. Get a new one from the machine that wants to join:"));
    put_command(out, "tailscale up --login-server ", url, "");
    put_paragraph(out, STR("A machine that had joined before goes on by itself and needs no "
                           "link."));
    put_tail(out);
}

/* ---- Log-in ---- */

static struct str host_of(struct str url)
{
    struct str host, rest;
    ptrdiff_t at = str_find(url, STR("://"));

    (void)str_split(at < 0 ? url : str_from_index(url, (size_t)at + 3), '/', &host, &rest);
    return host;
}

void page_pick(struct buf *out, struct str path, const struct oidc_provider *providers, size_t n)
{
    put_head(out, "Log in", "Log in with");
    for (size_t i = 0; i < n; i++) {
        buf_put(out, STR("<a class=\"button\" href=\""));
        page_put_escaped(out, path);
        buf_put(out, STR("?provider="));
        oidc_put_encoded(out, providers[i].name);
        buf_put(out, STR("\">"));
        page_put_escaped(out, providers[i].title.len > 0 ? providers[i].title
                                                         : host_of(providers[i].issuer));
        buf_put(out, STR("</a>\n"));
    }
    put_tail(out);
}

static void put_rows(struct buf *out, const struct page_row *rows, size_t n)
{
    buf_put(out, STR("<table>\n"));
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "<tr><th>%s</th><td>%s", rows[i].label, rows[i].is_code ? "<code>" : "");
        page_put_escaped(out, rows[i].value);
        buf_printf(out, "%s</td></tr>\n", rows[i].is_code ? "</code>" : "");
    }
    buf_put(out, STR("</table>\n"));
}

static void put_options(struct buf *out, const struct page_option *options, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "<p><button type=\"submit\" name=\"tailnet\" value=\"%llu\">",
                   (unsigned long long)options[i].value);
        page_put_escaped(out, options[i].label);
        buf_put(out, STR("</button>"));
        if (options[i].note)
            page_put_escaped(out, str_from(options[i].note));
        buf_put(out, STR("</p>\n"));
    }
}

void page_ask(struct buf *out, const struct page_question *q)
{
    put_head(out, q->title, q->heading);
    put_paragraph(out, str_from(q->text));
    put_rows(out, q->rows, q->n_rows);
    if (q->note)
        put_paragraph(out, str_from(q->note));
    buf_put(out, STR("<form method=\"post\" action=\""));
    page_put_escaped(out, q->action);
    buf_put(out, STR("\"><input type=\"hidden\" name=\"token\" value=\""));
    page_put_escaped(out, q->token);
    buf_put(out, STR("\">"));
    if (q->n_options > 0)
        put_options(out, q->options, q->n_options);
    else
        buf_printf(out, "<button type=\"submit\">%s</button>", q->button);
    buf_put(out, STR("</form>\n"));
    put_paragraph(out, STR("If you did not ask for this, close this window: nothing happens."));
    put_tail(out);
}

void page_tell(struct buf *out, const char *title, const struct page_row *rows, size_t n,
               const char *text, struct str command)
{
    put_head(out, title, title);
    if (n > 0)
        put_rows(out, rows, n);
    put_paragraph(out, str_from(text));
    if (command.len > 0)
        put_command(out, "", command, "");
    put_tail(out);
}

void page_done(struct buf *out, const char *title, const char *verb, struct str who)
{
    put_head(out, title, title);
    buf_printf(out, "<p>%s as <strong>", verb);
    page_put_escaped(out, who);
    buf_put(out, STR("</strong>. You can now close this window.</p>\n"));
    put_tail(out);
}

void page_error(struct buf *out, int status, const char *detail)
{
    static const struct {
        int status;
        const char *heading, *text;
    } classes[] = {
        {401, "Unauthorized", "You are not authorised to do this. Ask whoever runs this server."},
        {403, "Forbidden", "You are not authorised to do this. Ask whoever runs this server."},
        {404, "Not Found", "There is no such log-in, or no more. Try again from the machine."},
        {410, "Gone", "Your log-in has expired. Try again from the machine."},
        {429, "Too Many Requests", "Too many people log in at this moment. Try again in a minute."},
        {400, "Bad Request", "The request could not be processed. Try again from the machine."},
        {502, "Bad Gateway", "The log-in provider does not answer. Try again in a minute."},
        {0, "Internal Server Error", "Something went wrong. Try again in a minute."},
    };
    size_t i = 0;

    while (classes[i].status != 0 && classes[i].status != status)
        i++;
    put_head(out, "Error", classes[i].heading);
    put_paragraph(out, str_from(classes[i].text));
    if (detail)
        put_paragraph(out, str_from(detail));
    put_tail(out);
}

/* ---- Clients ---- */

void page_apple(struct buf *out, struct str url)
{
    put_head(out, "Apple devices", "Apple devices");
    put_paragraph(out, STR("iOS and tvOS: install Tailscale, open its settings, choose \"Use "
                           "custom coordination server\" (iOS: account, three dots) and write:"));
    put_command(out, "", url, "");
    put_paragraph(out, STR("macOS, with the command line:"));
    put_command(out, "tailscale login --login-server ", url, "");
    put_paragraph(out, STR("Or with a configuration profile. It is not signed: read it before you "
                           "install it."));
    buf_put(out, STR("<p><a href=\"/apple/ios\">iOS</a> · "
                     "<a href=\"/apple/macos-app-store\">macOS, App Store</a> · "
                     "<a href=\"/apple/macos-standalone\">macOS, standalone</a></p>\n"));
    put_tail(out);
}

void page_windows(struct buf *out, struct str url)
{
    put_head(out, "Windows", "Windows");
    put_paragraph(out, STR("Install Tailscale, then in a command prompt:"));
    put_command(out, "tailscale login --login-server ", url, "");
    put_paragraph(out, STR("Or, for every user of the machine, as administrator before the first "
                           "log-in:"));
    put_command(out, "reg add \"HKLM\\Software\\Tailscale IPN\" /v LoginURL /t REG_SZ /d ", url,
                "");
    put_tail(out);
}

/* A random one (RFC 4122, version 4), as profiles are told apart by them. */
static void put_uuid(struct buf *out)
{
    uint8_t b[16];

    rand_bytes(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < sizeof(b); i++)
        buf_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
}

static void put_payload_head(struct buf *out, const char *type, struct str identifier)
{
    buf_put(out, STR("<key>PayloadUUID</key><string>"));
    put_uuid(out);
    buf_printf(out,
               "</string>\n<key>PayloadType</key><string>%s</string>\n"
               "<key>PayloadVersion</key><integer>1</integer>\n"
               "<key>PayloadIdentifier</key><string>",
               type);
    page_put_escaped(out, identifier);
    buf_put(out, STR("</string>\n"));
}

bool page_apple_profile(struct buf *out, struct str platform, struct str url)
{
    static const struct {
        struct str platform;
        const char *type;
    } types[] = {
        {STR_INIT("ios"), "io.tailscale.ipn.ios"},
        {STR_INIT("macos-app-store"), "io.tailscale.ipn.macos"},
        {STR_INIT("macos-standalone"), "io.tailscale.ipn.macsys"},
    };
    size_t i = 0;

    while (i < ARRAY_LEN(types) && !str_eq(types[i].platform, platform))
        i++;
    if (i == ARRAY_LEN(types))
        return false;
    buf_put(out, STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                     "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" "
                     "\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
                     "<plist version=\"1.0\"><dict>\n"));
    put_payload_head(out, "Configuration", host_of(url));
    buf_put(out, STR("<key>PayloadDisplayName</key><string>Hatsize</string>\n"
                     "<key>PayloadDescription</key><string>Points Tailscale at "));
    page_put_escaped(out, url);
    buf_put(out, STR("</string>\n<key>PayloadRemovalDisallowed</key><false/>\n"
                     "<key>PayloadContent</key><array><dict>\n"));
    put_payload_head(out, types[i].type, str_from(types[i].type));
    buf_put(out, STR("<key>PayloadEnabled</key><true/>\n<key>ControlURL</key><string>"));
    page_put_escaped(out, url);
    buf_put(out, STR("</string>\n</dict></array>\n</dict></plist>\n"));
    return true;
}
