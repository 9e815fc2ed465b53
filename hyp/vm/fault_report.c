/* Faults of devices, told within a budget: see fault_report.h. */
#include "vm/fault_report.h"

#include <cordon/lock.h>

#include "config/vm_config.h"
#include "core/console.h"
#include "core/csr.h"
#include "core/tick.h"
#include "manage/manage.h"

#define SECOND_US 1000000u
#define DEVICES (VM_MAX * VM_MAX_DEVICES)

struct budget {
    uint64_t until; /* time: the second that USED belongs to ends */
    uint32_t used;
    uint64_t left_out; /* faults */
};

struct device_budget {
    uint32_t device_id, domain;
    struct budget events;
};

static struct {
    struct cordon_lock lock;
    struct budget lines[VM_MAX + 1]; /* by domain: guests have the lowest numbers; the rest is 0 */
    struct device_budget device[DEVICES + 1]; /* as they come; the last is for all others */
    uint32_t device_count;
} told;

/* True if FAULTS, in one report, may be told of; otherwise they are counted. */
static bool budget_take(struct budget *b, uint32_t limit, uint64_t faults)
{
    uint64_t now = hart_time();

    if (now >= b->until) {
        b->until = now + time_from_us(SECOND_US);
        b->used = 0;
    }
    if (b->used == limit) {
        b->left_out += faults;
        return false;
    }
    b->used++;
    return true;
}

/* What was left out and is due; it is nobody's business afterwards. */
static uint64_t budget_settle(struct budget *b, bool now)
{
    uint64_t due = now || hart_time() >= b->until ? b->left_out : 0;

    b->left_out -= due;
    return due;
}

static struct device_budget *device_of(const struct cordon_fault *f)
{
    for (uint32_t i = 0; i < told.device_count; i++) {
        if (told.device[i].device_id == f->device_id && told.device[i].domain == f->domain) {
            return &told.device[i];
        }
    }
    if (told.device_count == DEVICES) {
        return &told.device[DEVICES];
    }
    told.device[told.device_count] =
        (struct device_budget){.device_id = f->device_id, .domain = f->domain};
    return &told.device[told.device_count++];
}

static void say(const struct cordon_fault *f)
{
    log_line("device %s (0x%x), domain %u: %s%s%s at 0x%lx, %lu bytes: %s, %lu times",
             f->device[0] != '\0' ? f->device : "without a name", f->device_id, f->domain,
             (f->access & CORDON_READ) ? "read" : "", (f->access & CORDON_WRITE) ? "write" : "",
             (f->access & CORDON_EXEC) ? "execute" : "", f->iova.v, f->span,
             cordon_cause_name(f->cause), f->count);
}

void fault_report(const struct cordon_fault *f)
{
    bool line, event;

    cordon_lock_take(&told.lock);
    line = budget_take(&told.lines[f->domain <= VM_MAX ? f->domain : 0], FAULT_LINES, f->count);
    event = budget_take(&device_of(f)->events, FAULT_EVENTS, f->count);
    cordon_lock_give(&told.lock);
    if (line) {
        say(f);
    }
    if (event) {
        manage_fault(f);
    }
}

static uint64_t settle_lines(uint32_t domain, bool now)
{
    uint64_t faults;

    cordon_lock_take(&told.lock);
    faults = budget_settle(&told.lines[domain], now);
    cordon_lock_give(&told.lock);
    return faults;
}

/* The faults of entry I that found no event, as OUT tells them. */
static uint64_t settle_events(uint32_t i, bool now, struct manage_left_out *out)
{
    cordon_lock_take(&told.lock);
    *out = (struct manage_left_out){.others = i == DEVICES,
                                    .device_id = told.device[i].device_id,
                                    .domain = told.device[i].domain,
                                    .faults = budget_settle(&told.device[i].events, now)};
    cordon_lock_give(&told.lock);
    return out->faults;
}

void fault_report_left_out(bool now)
{
    struct manage_left_out left;

    for (uint32_t domain = 0; domain <= VM_MAX; domain++) {
        uint64_t faults = settle_lines(domain, now);

        if (faults != 0) {
            log_line("devices of domain %u: %lu more faults", domain, faults);
        }
    }
    for (uint32_t i = 0; i <= DEVICES; i++) {
        if (settle_events(i, now, &left) != 0) {
            manage_faults_left_out(&left);
        }
    }
}
