#include "ip/addr.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "1.2.3.4", four numbers without leading zeros. */
static bool parse_v4(struct str text, uint8_t out[4])
{
    uint8_t bytes[4] = {0};
    size_t at = 0;

    for (size_t i = 0; i < 4; i++) {
        unsigned v = 0;
        size_t from = at;

        while (at < text.len && at - from < 3 && is_digit(text.ptr[at]))
            v = v * 10 + (unsigned)(text.ptr[at++] - '0');
        if (at == from || v > 255 || (at - from > 1 && text.ptr[from] == '0'))
            return false;
        bytes[i] = (uint8_t)v;
        if (i < 3 && (at >= text.len || text.ptr[at++] != '.'))
            return false;
    }
    if (at != text.len)
        return false;
    memcpy(out, bytes, sizeof(bytes));
    return true;
}

/* Takes one to four hexadecimal digits off the front. */
static bool take_group(struct str *text, uint8_t out[2])
{
    unsigned v = 0;
    size_t n = 0;

    while (n < text->len && n < 4 && hex_digit(text->ptr[n]) >= 0)
        v = v << 4 | (unsigned)hex_digit(text->ptr[n++]);
    if (n == 0)
        return false;
    out[0] = (uint8_t)(v >> 8);
    out[1] = (uint8_t)v;
    *text = str_from_index(*text, n);
    return true;
}

/* Whether the rest can only be an IPv4 address. */
static bool is_dotted(struct str text)
{
    ptrdiff_t dot = str_find_char(text, '.'), colon = str_find_char(text, ':');

    return dot >= 0 && colon < 0;
}

/*
 * Fills `bytes` from the left, noting where "::" was; the groups behind it are moved to the right
 * end afterwards.
 */
static bool parse_v6(struct str text, uint8_t out[16])
{
    uint8_t bytes[16] = {0};
    size_t len = 0, gap = SIZE_MAX;

    if (str_starts(text, STR("::"))) {
        gap = 0;
        text = str_from_index(text, 2);
    }
    while (text.len > 0) {
        if (len == sizeof(bytes))
            return false;
        if (is_dotted(text)) {
            if (len > 12 || !parse_v4(text, bytes + len))
                return false;
            len += 4;
            break;
        }
        if (!take_group(&text, bytes + len))
            return false;
        len += 2;
        if (text.len == 0)
            break;
        if (text.ptr[0] != ':')
            return false;
        text = str_from_index(text, 1);
        if (text.len == 0)
            return false;
        if (text.ptr[0] == ':') {
            if (gap != SIZE_MAX)
                return false;
            gap = len;
            text = str_from_index(text, 1);
        }
    }
    if (gap == SIZE_MAX) {
        if (len != sizeof(bytes))
            return false;
    } else {
        /* "::" stands for at least one group. */
        if (len > sizeof(bytes) - 2)
            return false;

        size_t tail = len - gap;

        memmove(bytes + sizeof(bytes) - tail, bytes + gap, tail);
        memset(bytes + gap, 0, sizeof(bytes) - len);
    }
    memcpy(out, bytes, sizeof(bytes));
    return true;
}

bool ip_addr_parse(struct str text, struct ip_addr *out)
{
    struct ip_addr addr = {0};

    if (text.len > IP_ADDR_TEXT_MAX)
        return false;
    if (str_find_char(text, ':') < 0) {
        addr.family = IP_V4;
        if (!parse_v4(text, addr.bytes))
            return false;
    } else {
        addr.family = IP_V6;
        if (!parse_v6(text, addr.bytes))
            return false;
    }
    *out = addr;
    return true;
}

static bool is_mapped(struct ip_addr addr)
{
    static const uint8_t lead[12] = {[10] = 0xff, [11] = 0xff};

    return addr.family == IP_V6 && memcmp(addr.bytes, lead, sizeof(lead)) == 0;
}

static void put_v4(struct buf *out, const uint8_t b[4])
{
    for (size_t i = 0; i < 4; i++) {
        if (i)
            buf_put_char(out, '.');
        buf_put_u64(out, b[i]);
    }
}

static unsigned group_at(const struct ip_addr *addr, size_t i)
{
    return (unsigned)addr->bytes[2 * i] << 8 | addr->bytes[2 * i + 1];
}

/* The leftmost longest run of at least two zero groups; *len 0 when there is none. */
static size_t longest_zeros(const struct ip_addr *addr, size_t *len)
{
    size_t best = 8, best_len = 1;

    for (size_t i = 0; i < 8; i++) {
        size_t n = 0;

        while (i + n < 8 && group_at(addr, i + n) == 0)
            n++;
        if (n > best_len) {
            best = i;
            best_len = n;
        }
        i += n;
    }
    *len = best < 8 ? best_len : 0;
    return best;
}

static void put_group(struct buf *out, unsigned v)
{
    static const char digits[] = "0123456789abcdef";
    bool started = false;

    for (unsigned shift = 16; shift > 0;) {
        shift -= 4;
        unsigned d = v >> shift & 15;

        started = started || d != 0 || shift == 0;
        if (started)
            buf_put_char(out, digits[d]);
    }
}

static void put_v6(struct buf *out, const struct ip_addr *addr)
{
    size_t gap_len = 0, gap = longest_zeros(addr, &gap_len);

    for (size_t i = 0; i < 8;) {
        if (i == gap) {
            buf_put(out, STR("::"));
            i += gap_len;
            continue;
        }
        if (i > 0 && i != gap + gap_len)
            buf_put_char(out, ':');
        put_group(out, group_at(addr, i));
        i++;
    }
}

void ip_addr_put(struct buf *out, struct ip_addr addr)
{
    if (addr.family == IP_V4) {
        put_v4(out, addr.bytes);
    } else if (is_mapped(addr)) {
        buf_put(out, STR("::ffff:"));
        put_v4(out, addr.bytes + 12);
    } else if (addr.family == IP_V6) {
        put_v6(out, &addr);
    }
}

bool ip_addr_from_bytes(struct str bytes, struct ip_addr *out)
{
    struct ip_addr addr = {0};

    if (bytes.len == 4)
        addr.family = IP_V4;
    else if (bytes.len == 16)
        addr.family = IP_V6;
    else
        return false;
    memcpy(addr.bytes, bytes.ptr, bytes.len);
    *out = addr;
    return true;
}

struct str ip_addr_bytes(const struct ip_addr *addr)
{
    return str_bytes(addr->bytes, ip_addr_width(*addr) / 8);
}

bool ip_addr_is_set(struct ip_addr addr)
{
    return addr.family != IP_NONE;
}

bool ip_addr_eq(struct ip_addr a, struct ip_addr b)
{
    return ip_addr_cmp(a, b) == 0;
}

int ip_addr_cmp(struct ip_addr a, struct ip_addr b)
{
    if (a.family != b.family)
        return a.family < b.family ? -1 : 1;
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes));
}

struct ip_addr ip_addr_unmap(struct ip_addr addr)
{
    struct ip_addr v4 = {.family = IP_V4};

    if (!is_mapped(addr))
        return addr;
    memcpy(v4.bytes, addr.bytes + 12, 4);
    return v4;
}

unsigned ip_addr_width(struct ip_addr addr)
{
    if (addr.family == IP_V4)
        return 32;
    return addr.family == IP_V6 ? 128 : 0;
}

bool ip_addr_is_unspecified(struct ip_addr addr)
{
    static const uint8_t zero[16];

    return ip_addr_is_set(addr) && memcmp(addr.bytes, zero, sizeof(zero)) == 0;
}

bool ip_addr_is_loopback(struct ip_addr addr)
{
    static const uint8_t one[16] = {[15] = 1};
    struct ip_addr a = ip_addr_unmap(addr);

    if (a.family == IP_V4)
        return a.bytes[0] == 127;
    return a.family == IP_V6 && memcmp(a.bytes, one, sizeof(one)) == 0;
}

bool ip_addr_is_link_local(struct ip_addr addr)
{
    struct ip_addr a = ip_addr_unmap(addr);

    if (a.family == IP_V4)
        return a.bytes[0] == 169 && a.bytes[1] == 254;
    return a.family == IP_V6 && a.bytes[0] == 0xfe && (a.bytes[1] & 0xc0) == 0x80;
}

bool ip_addr_is_multicast(struct ip_addr addr)
{
    struct ip_addr a = ip_addr_unmap(addr);

    if (a.family == IP_V4)
        return (a.bytes[0] & 0xf0) == 0xe0;
    return a.family == IP_V6 && a.bytes[0] == 0xff;
}

bool ip_addr_add(struct ip_addr addr, uint64_t n, struct ip_addr *out)
{
    unsigned carry = 0;

    if (!ip_addr_is_set(addr))
        return false;
    for (size_t i = ip_addr_width(addr) / 8; i-- > 0; n >>= 8) {
        unsigned sum = addr.bytes[i] + (unsigned)(n & 0xff) + carry;

        addr.bytes[i] = (uint8_t)sum;
        carry = sum >> 8;
    }
    if (carry || n)
        return false;
    *out = addr;
    return true;
}

bool ip_addr_next(struct ip_addr addr, struct ip_addr *out)
{
    return ip_addr_add(addr, 1, out);
}

bool ip_addr_prev(struct ip_addr addr, struct ip_addr *out)
{
    if (!ip_addr_is_set(addr) || ip_addr_is_unspecified(addr))
        return false;
    for (size_t i = ip_addr_width(addr) / 8; i-- > 0;)
        if (addr.bytes[i]-- != 0)
            break;
    *out = addr;
    return true;
}
