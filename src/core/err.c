#include "core/err.h"

#include <stdarg.h>

/* Ends the text at `len`, or before a UTF-8 sequence that was cut in two there. */
static void end_text(struct err *err, int len)
{
    if (len < 0) {
        err->text[0] = 0;
        return;
    }
    if ((size_t)len < sizeof(err->text))
        return;

    size_t end = sizeof(err->text) - 1, back = 0;

    while (back < 3 && ((unsigned char)err->text[end - 1 - back] & 0xc0) == 0x80)
        back++;

    size_t lead = end - 1 - back;

    if ((unsigned char)err->text[lead] >= 0xc0 &&
        str_utf8_len(str_bytes(err->text + lead, back + 1)) == 0)
        err->text[lead] = 0;
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    va_list args;

    if (!err)
        return -(int)code;
    va_start(args, fmt);
    int len = vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    end_text(err, len);
    err->code = code;
    err->sys = 0;
    return -(int)code;
}

int err_sys(struct err *err, int sys, const char *fmt, ...)
{
    char what[sizeof(err->text)];
    va_list args;

    if (!err)
        return -(int)ERR_IO;
    va_start(args, fmt);
    if (vsnprintf(what, sizeof(what), fmt, args) < 0)
        what[0] = 0;
    va_end(args);

    const char *why = strerrordesc_np(sys);
    int len = why ? snprintf(err->text, sizeof(err->text), "%s: %s", what, why)
                  : snprintf(err->text, sizeof(err->text), "%s: error %d", what, sys);

    end_text(err, len);
    err->code = ERR_IO;
    err->sys = sys;
    return -(int)ERR_IO;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    char what[sizeof(err->text)], inner[sizeof(err->text)];
    va_list args;

    if (!err)
        return -(int)ERR_INTERNAL;
    if (err->code == 0)
        err->code = ERR_INTERNAL;
    va_start(args, fmt);
    if (vsnprintf(what, sizeof(what), fmt, args) < 0)
        what[0] = 0;
    va_end(args);
    memcpy(inner, err->text, sizeof(inner));
    inner[sizeof(inner) - 1] = 0;
    end_text(err, snprintf(err->text, sizeof(err->text), "%s: %s", what, inner));
    return -(int)err->code;
}
