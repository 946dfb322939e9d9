/* gRPC's status in HTTP/2's fields. */

#include "grpc/status.h"

#define TIMEOUT_DIGITS_MAX 8

enum grpc_code grpc_code_of_http(int status)
{
    static const struct {
        int status;
        enum grpc_code code;
    } table[] = {
        {400, GRPC_INVALID_ARGUMENT},  {401, GRPC_UNAUTHENTICATED},
        {403, GRPC_PERMISSION_DENIED}, {404, GRPC_NOT_FOUND},
        {409, GRPC_ALREADY_EXISTS},    {413, GRPC_RESOURCE_EXHAUSTED},
        {422, GRPC_INVALID_ARGUMENT},  {429, GRPC_RESOURCE_EXHAUSTED},
        {500, GRPC_INTERNAL},          {501, GRPC_UNIMPLEMENTED},
        {503, GRPC_UNAVAILABLE},       {504, GRPC_DEADLINE_EXCEEDED},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].status == status)
            return table[i].code;
    return status >= 200 && status < 300 ? GRPC_OK : GRPC_UNKNOWN;
}

void grpc_put_message(struct buf *out, struct str text)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.ptr[i];

        if (c >= 0x20 && c < 0x7f && c != '%') {
            buf_put_char(out, (char)c);
            continue;
        }
        buf_put_char(out, '%');
        buf_put_char(out, digits[c >> 4]);
        buf_put_char(out, digits[c & 15]);
    }
}

bool grpc_parse_timeout(struct str text, int64_t *ms)
{
    static const struct {
        char unit;
        int64_t num, den; /* ms = value * num / den */
    } units[] = {
        {'H', 3600000, 1}, {'M', 60000, 1}, {'S', 1000, 1},
        {'m', 1, 1},       {'u', 1, 1000},  {'n', 1, 1000000},
    };
    uint64_t value = 0;

    if (text.len < 2 || text.len > TIMEOUT_DIGITS_MAX + 1 ||
        !str_parse_u64(str_sub(text, 0, text.len - 1), &value))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (text.ptr[text.len - 1] != units[i].unit)
            continue;
        *ms = ((int64_t)value * units[i].num + units[i].den - 1) / units[i].den;
        return true;
    }
    return false;
}

bool grpc_is_proto(struct str content_type)
{
    struct str type = STR_NONE, rest = STR_NONE;

    (void)str_split(content_type, ';', &type, &rest);
    type = str_trim(type);
    return str_eq_nocase(type, STR("application/grpc")) ||
           str_eq_nocase(type, STR("application/grpc+proto"));
}
