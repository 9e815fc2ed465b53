/* Events that tell what devices and guests did. */
#include "config/vm_config.h"
#include "manage/manage.h"
#include "vm/report.h"

#define ESCAPED 6u /* characters that a byte takes at most */

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

void manage_faults_left_out(const struct manage_left_out *left)
{
    struct manage_event e;
    struct json *j = manage_event_begin(&e, "faults-left-out");

    if (!left->others) {
        json_hex(j, "device_id", left->device_id);
        json_u64(j, "domain", left->domain);
    }
    json_u64(j, "count", left->faults);
    manage_event_send(&e);
}

/* The one event that is too long for a stack. */
static struct {
    struct cordon_lock lock;
    char text[ESCAPED * MANAGE_REPORT_BYTES + 256];
} report;

void manage_guest_report(const char *vm, const char *text, size_t len)
{
    struct json j;

    cordon_assert(len <= MANAGE_REPORT_BYTES);
    cordon_lock_take(&report.lock);
    json_begin(&j, report.text, sizeof(report.text));
    json_object(&j, NULL);
    json_text(&j, "event", "guest-report", SIZE_MAX);
    json_text(&j, "vm", vm, VM_NAME_BYTES);
    json_text(&j, "text", text, len);
    json_object_end(&j);
    cordon_assert(!j.overflow);
    channel_send(report_channel(), 'J', 0, j.text, (uint32_t)j.len);
    cordon_lock_give(&report.lock);
}
