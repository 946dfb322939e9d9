#include "policy/policy_internal.h"

#include "core/mem.h"
#include "json/writer.h"

static void free_plain(struct policy *p)
{
    mem_free(p);
}

static bool all_see(const struct policy *p, const struct tailnet_view *view,
                    const struct node *viewer, const struct node *peer)
{
    (void)p, (void)view, (void)viewer, (void)peer;
    return true;
}

static void put_all_filter(const struct policy *p, const struct tailnet_view *view,
                           const struct node *viewer, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    (void)p, (void)view, (void)viewer;
    json_begin_array(&w);
    json_begin_object(&w);
    json_field_array(&w, STR("SrcIPs"));
    json_str(&w, STR("*"));
    json_end_array(&w);
    json_field_array(&w, STR("DstPorts"));
    json_begin_object(&w);
    json_field_str(&w, STR("IP"), STR("*"));
    json_field_object(&w, STR("Ports"));
    json_field_u64(&w, STR("First"), 0);
    json_field_u64(&w, STR("Last"), UINT16_MAX);
    json_end_object(&w);
    json_end_object(&w);
    json_end_array(&w);
    json_end_object(&w);
    json_end_array(&w);
}

/* Reaching a machine's ports is one thing, a shell on it another: that takes a rule of its own. */
static void put_no_ssh(const struct policy *p, const struct tailnet_view *view,
                       const struct node *viewer, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    (void)p, (void)view, (void)viewer;
    json_begin_object(&w);
    json_field_array(&w, STR("rules"));
    json_end_array(&w);
    json_end_object(&w);
}

const struct policy *policy_allow_all(void)
{
    struct policy *p = NEW(struct policy);

    *p = (struct policy){
        .is_open = true,
        .free = free_plain,
        .sees = all_see,
        .put_filter = put_all_filter,
        .put_ssh = put_no_ssh,
    };
    ref_init(&p->ref);
    return p;
}

static struct policy *owned(const struct policy *p)
{
    return (struct policy *)(uintptr_t)p; /* only the count changes */
}

const struct policy *policy_ref(const struct policy *p)
{
    ref_take(&owned(p)->ref);
    return p;
}

void policy_unref(const struct policy *p)
{
    if (p && ref_drop(&owned(p)->ref))
        p->free(owned(p));
}

bool policy_is_open(const struct policy *p)
{
    return p->is_open;
}

bool policy_sees(const struct policy *p, const struct tailnet_view *view, const struct node *viewer,
                 const struct node *peer)
{
    return p->sees(p, view, viewer, peer);
}

void policy_put_filter(const struct policy *p, const struct tailnet_view *view,
                       const struct node *viewer, struct buf *out)
{
    p->put_filter(p, view, viewer, out);
}

void policy_put_ssh(const struct policy *p, const struct tailnet_view *view,
                    const struct node *viewer, struct buf *out)
{
    p->put_ssh(p, view, viewer, out);
}
