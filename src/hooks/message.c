/* See message.h. */

#include "hooks/message.h"

#include <inttypes.h>

#include "core/arena.h"
#include "crypto/hash.h"
#include "json/value.h"
#include "json/writer.h"

/* ---- Texts that chats take ---- */

static void put_safe(struct buf *out, enum webhook_provider provider, char c)
{
    if (provider == WEBHOOK_SLACK && c == '&')
        buf_put(out, STR("&amp;"));
    else if (provider == WEBHOOK_SLACK && c == '<')
        buf_put(out, STR("&lt;"));
    else if (provider == WEBHOOK_SLACK && c == '>')
        buf_put(out, STR("&gt;"));
    else if (provider == WEBHOOK_GOOGLECHAT && c == '<')
        buf_put(out, STR("\xe2\x80\xb9"));
    else if (provider == WEBHOOK_GOOGLECHAT && c == '>')
        buf_put(out, STR("\xe2\x80\xba"));
    else if (provider == WEBHOOK_MATTERMOST && c == '@')
        buf_put(out, STR("@\xe2\x80\x8b"));
    else
        buf_put_char(out, c);
}

/* "tailnet: message", on one line. */
static void put_line(struct buf *out, enum webhook_provider provider, const struct delivery *d)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *event = NULL;
    struct json_error error;
    struct str parts[2];

    if (!json_parse(arena, d->body, NULL, &event, &error)) {
        buf_put(out, str_from(webhook_event_name(d->event)));
        return;
    }
    parts[0] = json_get_str(event, "tailnet");
    parts[1] = json_get_str(event, "message");
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        for (size_t k = 0; k < parts[i].len; k++) {
            unsigned char c = (unsigned char)parts[i].ptr[k];

            put_safe(out, provider, c < 0x20 || c == 0x7f ? ' ' : (char)c);
        }
        if (i == 0)
            buf_put(out, STR(": "));
    }
}

static size_t put_text(struct buf *text, enum webhook_provider provider,
                       const struct delivery *const *items, size_t n)
{
    size_t used = 0;

    for (; used < n; used++) {
        struct buf line = BUF(65536);

        put_line(&line, provider, items[used]);
        if (used > 0 && text->len + 1 + line.len > MESSAGE_TEXT_MAX) {
            buf_fini(&line);
            break;
        }
        if (used > 0)
            buf_put_char(text, '\n');
        buf_put(text, str_sub(buf_str(&line), 0, MESSAGE_TEXT_MAX));
        buf_fini(&line);
    }
    /* A character that was cut in two goes. */
    while (text->len > 0 && !str_is_utf8(buf_str(text)))
        buf_cut(text, text->len - 1);
    return used;
}

static size_t put_chat(struct buf *out, enum webhook_provider provider,
                       const struct delivery *const *items, size_t n)
{
    struct json_writer w = JSON_WRITER(out);
    struct buf text = BUF((size_t)1 << 20);
    size_t used = put_text(&text, provider, items, n);

    json_begin_object(&w);
    json_field_str(&w, provider == WEBHOOK_DISCORD ? STR("content") : STR("text"), buf_str(&text));
    if (provider == WEBHOOK_DISCORD) {
        json_field_object(&w, STR("allowed_mentions"));
        json_field_array(&w, STR("parse"));
        json_end_array(&w);
        json_end_object(&w);
    }
    json_end_object(&w);
    buf_fini(&text);
    return used;
}

/* ---- Events as they are ---- */

static size_t put_events(struct buf *out, const struct delivery *const *items, size_t n)
{
    size_t used = 0;

    buf_put_char(out, '[');
    for (; used < n; used++) {
        if (used > 0 && out->len + items[used]->body.len + 2 > MESSAGE_BYTES_MAX)
            break;
        if (used > 0)
            buf_put_char(out, ',');
        buf_put(out, items[used]->body);
    }
    buf_put_char(out, ']');
    return used;
}

size_t message_put_body(struct buf *out, enum webhook_provider provider,
                        const struct delivery *const *items, size_t n)
{
    n = MIN(n, (size_t)MESSAGE_EVENTS_MAX);
    return provider == WEBHOOK_GENERIC ? put_events(out, items, n)
                                       : put_chat(out, provider, items, n);
}

void message_put_signature(struct buf *out, struct str secret, int64_t now_ms, struct str body)
{
    struct buf text = BUF(MESSAGE_BYTES_MAX * 2);
    uint8_t mac[HASH_BYTES];

    buf_put_i64(&text, now_ms / 1000);
    buf_printf(out, "t=%.*s,v1=", STR_ARG(buf_str(&text)));
    buf_put_char(&text, '.');
    buf_put(&text, body);
    sha256_hmac(secret, buf_str(&text), mac);
    buf_put_hex(out, str_bytes(mac, sizeof(mac)));
    buf_fini(&text);
}
