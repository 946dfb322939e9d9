/*
 * Whatever an event holds, a chat's message is one JSON object with one text of bounded length that
 * is UTF-8, and at least one event and no more than there are go into it. Slack's text has no
 * markup, Mattermost's no mention.
 */

#include "core/arena.h"
#include "core/buf.h"
#include "hooks/message.h"
#include "json/value.h"

#define ITEMS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_chat(enum webhook_provider provider, struct str body)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct json_value *v = NULL;
    struct json_error error;

    ASSERT(json_parse(arena, body, NULL, &v, &error));
    struct str text = json_get_str(v, provider == WEBHOOK_DISCORD ? "content" : "text");

    ASSERT(str_is_utf8(text) && text.len <= 2 * MESSAGE_TEXT_MAX);
    for (size_t i = 0; i < text.len; i++) {
        if (provider == WEBHOOK_SLACK || provider == WEBHOOK_GOOGLECHAT)
            ASSERT(text.ptr[i] != '<' && text.ptr[i] != '>');
        if (provider == WEBHOOK_MATTERMOST && text.ptr[i] == '@' && i + 1 < text.len)
            ASSERT((unsigned char)text.ptr[i + 1] == 0xe2);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct delivery *items[ITEMS];
    struct buf out = BUF(MESSAGE_BYTES_MAX * 2), signature = BUF(256);
    struct str rest, piece;
    size_t n = 0;

    if (size < 1)
        return 0;
    enum webhook_provider provider = data[0] % WEBHOOK_PROVIDERS;
    rest = str_bytes(data + 1, size - 1);
    while (n < ITEMS && str_next(&rest, '\0', &piece)) {
        struct delivery *d = delivery_new();

        d->event = EVENT_NODE_CREATED;
        d->body = str_copy(piece);
        items[n++] = d;
    }
    if (n > 0) {
        size_t used = message_put_body(&out, provider, items, n);

        ASSERT(used >= 1 && used <= n && !buf_is_full(&out));
        if (provider != WEBHOOK_GENERIC)
            check_chat(provider, buf_str(&out));
        message_put_signature(&signature, STR("secret"), 1700000000000, buf_str(&out));
        ASSERT(signature.len == STR("t=1700000000,v1=").len + 64);
    }
    while (n > 0)
        delivery_unref(items[--n]);
    buf_fini(&out);
    buf_fini(&signature);
    return 0;
}
