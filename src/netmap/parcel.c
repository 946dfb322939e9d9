#include "netmap/parcel.h"

#include <string.h>

#include "core/mem.h"

static struct netmap_piece *pieces(struct netmap_parcel *p)
{
    return p->many ? p->many : p->few;
}

void netmap_parcel_fini(struct netmap_parcel *p)
{
    struct netmap_piece *all = pieces(p);

    for (uint32_t i = p->at; i < p->len; i++)
        blob_unref(all[i].blob);
    mem_free(p->many);
    *p = (struct netmap_parcel){0};
}

static void grow(struct netmap_parcel *p)
{
    uint32_t cap = p->many ? p->cap * 2 : 8;
    struct netmap_piece *many = mem_realloc_array(p->many, cap, sizeof *many);

    if (!p->many)
        memcpy(many, p->few, p->len * sizeof *many);
    p->many = many;
    p->cap = cap;
}

void netmap_parcel_add_take(struct netmap_parcel *p, struct blob *b, size_t from)
{
    size_t len = blob_str(b).len;

    ASSERT(from <= len);
    if (p->bytes == 0)
        netmap_parcel_fini(p);
    if (from == len) {
        blob_unref(b);
        return;
    }
    if (p->len == (p->many ? p->cap : NETMAP_PARCEL_FEW))
        grow(p);
    pieces(p)[p->len] = (struct netmap_piece){.blob = b, .from = from};
    if (p->len++ == p->at)
        p->at_byte = from;
    p->bytes += len - from;
}

void netmap_parcel_add(struct netmap_parcel *p, struct blob *b, size_t from)
{
    netmap_parcel_add_take(p, blob_ref(b), from);
}

void netmap_parcel_join(struct netmap_parcel *p, struct netmap_parcel *rest)
{
    struct netmap_piece *all = pieces(rest);

    ASSERT(rest->at == 0);
    for (uint32_t i = 0; i < rest->len; i++)
        netmap_parcel_add_take(p, all[i].blob, all[i].from);
    mem_free(rest->many);
    *rest = (struct netmap_parcel){0};
}

/*
 * The piece whose last byte was taken goes only now, because its run was borrowed until this call.
 */
static void step_over(struct netmap_parcel *p)
{
    struct netmap_piece *all = pieces(p);

    if (p->at == p->len || p->at_byte < blob_str(all[p->at].blob).len)
        return;
    blob_unref(all[p->at].blob);
    if (++p->at < p->len)
        p->at_byte = all[p->at].from;
}

struct str netmap_parcel_next(struct netmap_parcel *p, size_t max)
{
    struct str run;

    step_over(p);
    if (p->bytes == 0) {
        netmap_parcel_fini(p);
        return STR_NONE;
    }
    run = str_from_index(blob_str(pieces(p)[p->at].blob), p->at_byte);
    run.len = MIN(run.len, max);
    p->at_byte += run.len;
    p->bytes -= run.len;
    return run;
}

size_t netmap_parcel_read(struct netmap_parcel *p, char *out, size_t max)
{
    size_t n = 0;

    while (n < max && p->bytes) {
        struct str run = netmap_parcel_next(p, max - n);

        memcpy(out + n, run.ptr, run.len);
        n += run.len;
    }
    if (p->bytes == 0)
        netmap_parcel_fini(p);
    return n;
}
