/* The event that tells of a device's fault. */
#include "manage/manage.h"

void manage_fault(const struct cordon_fault *f)
{
    struct manage_event e;
    struct json *j = manage_event_begin(&e, "fault");

    json_hex(j, "device_id", f->device_id);
    json_text(j, "device", f->device, sizeof(f->device));
    json_u64(j, "domain", f->domain);
    json_u64(j, "cause", f->cause);
    json_text(j, "cause_name", cordon_cause_name(f->cause), SIZE_MAX);
    json_u64(j, "access", f->access);
    json_hex(j, "iova", f->iova.v);
    json_u64(j, "span", f->span);
    json_u64(j, "count", f->count);
    if (f->has_nearest != 0) {
        json_hex(j, "nearest", f->nearest.v);
        json_hex(j, "nearest_len", f->nearest_len);
        json_hex(j, "nearest_gap", f->nearest_gap);
        json_bool(j, "nearest_after", f->nearest_after != 0);
    }
    manage_event_send(&e);
}
