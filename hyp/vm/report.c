/* What became of each guest: lines for people, frames for the host channel. */
#include "vm/report.h"

#include "channel/channel.h"
#include "channel/json.h"
#include "core/console.h"
#include "core/hart.h"
#include "core/machine.h"
#include "core/memory.h"
#include "core/tick.h"
#include "pci/vm_pci.h"

#define FRAME_BYTES 1024u
#define VIRTIO_BYTES 0x100u /* registers before the configuration [virtio 4.2.2] */

static struct channel channel;

static const char *const end_names[] = {
    [VM_END_NONE] = "none",     [VM_END_REBOOT] = "reboot",        [VM_END_SHUTDOWN] = "shutdown",
    [VM_END_FAILED] = "failed", [VM_END_STUCK] = "stuck",          [VM_END_TRAP] = "trap",
    [VM_END_ALONE] = "alone",   [VM_END_MEMORY] = "out-of-memory",
};

void report_open(void)
{
    uint64_t pages = (VIRTIO_CONSOLE_MEMORY + CORDON_PAGE_SIZE - 1) >> CORDON_PAGE_SHIFT;
    cordon_hpa mem;

    channel_init(&channel);
    if (machine.virtio_count == 0 || arena_alloc(pages, &mem) != 0) {
        return;
    }
    for (uint32_t i = 0; i < machine.virtio_count; i++) {
        volatile void *ignored;
        int err = mmio_map(machine.virtio[i], VIRTIO_BYTES, &ignored);

        if (err != 0) {
            log_line("virtio device at 0x%lx: %s (limit %u): left out", machine.virtio[i].v,
                     mmio_why(machine.virtio[i], err), MMIO_WINDOWS);
            continue;
        }
        err = channel_open(&channel, NULL, machine.virtio[i], memory_ptr(mem), mem);
        if (err == 0) {
            log_line("host channel: virtio console at 0x%lx", machine.virtio[i].v);
            return;
        }
        if (err != -CORDON_ENOENT) {
            log_line("virtio console at 0x%lx left out: legacy (virtio-mmio.force-legacy)?",
                     machine.virtio[i].v);
        }
    }
}

struct channel *report_channel(void)
{
    return &channel;
}

static void begin(struct json *j, char *text, const char *event, const char *name)
{
    json_begin(j, text, FRAME_BYTES);
    json_object(j, NULL);
    json_text(j, "event", event, 32);
    if (name != NULL) {
        json_text(j, "vm", name, VM_NAME_BYTES);
    }
}

void report_refused(const char *name, const char *why)
{
    char text[FRAME_BYTES];
    struct json j;

    log_line("REFUSED %s: %s", name, why);
    begin(&j, text, "vm-refused", name);
    json_text(&j, "why", why, 256);
    channel_send_json(&channel, &j);
}

/* Their addresses, as faults and refusals name them. */
static void put_devices(struct json *j, const struct vm_config *config)
{
    char name[VM_PCI_NAME_BYTES];

    json_array(j, "devices");
    for (uint32_t i = 0; i < config->device_count; i++) {
        vm_pci_name(&config->device[i], name);
        json_text(j, NULL, name, sizeof(name));
    }
    json_array_end(j);
}

void report_started(const struct vm *vm)
{
    char text[FRAME_BYTES];
    struct json j;

    uint64_t mode = cordon_domain_hgatp(vm->domain) >> 60;

    log_line("%s: starts: domain %u, %u vCPUs from hart %lu on, %lu MiB at 0x%lx, Sv%lux4",
             vm_name(vm), cordon_domain_number(vm->domain), vm->config->vcpus, vm->vcpu[0].hart->id,
             vm->config->ram_len >> 20, vm->config->ram_base.v, 9 * mode - 33);
    begin(&j, text, "vm-started", vm_name(vm));
    json_u64(&j, "domain", cordon_domain_number(vm->domain));
    json_u64(&j, "vcpus", vm->config->vcpus);
    json_hex(&j, "ram_base", vm->config->ram_base.v);
    json_u64(&j, "ram_bytes", vm->config->ram_len);
    json_u64(&j, "gstage_mode", mode);
    json_hex(&j, "pool_hpa", vm->pool.v);
    json_u64(&j, "pool_bytes", vm->config->pool_len);
    put_devices(&j, vm->config);
    channel_send_json(&channel, &j);
}

void report_ended(const struct vm *vm)
{
    const struct vcpu_counts *c = &vm->counts;
    uint64_t ms = (vm->ended - vm->started) / (machine.timebase / 1000);
    char text[FRAME_BYTES];
    struct json j;

    log_line("%s: ENDED (%s) after %lu.%03lu s: %s; exits: SBI %lu, MMIO %lu, interrupt %lu, "
             "virtual instruction %lu, absent %lu, spurious %lu, touch %lu",
             vm_name(vm), end_names[vm->end], ms / 1000, ms % 1000, vm->end_text, c->sbi, c->mmio,
             c->interrupt, c->virtual, c->absent, c->spurious, c->touch);
    begin(&j, text, "vm-ended", vm_name(vm));
    json_text(&j, "end", end_names[vm->end], 32);
    json_text(&j, "why", vm->end_text, VM_END_BYTES);
    json_u64(&j, "ms", ms);
    json_u64(&j, "exits_sbi", c->sbi);
    json_u64(&j, "exits_mmio", c->mmio);
    json_u64(&j, "exits_interrupt", c->interrupt);
    json_u64(&j, "exits_virtual", c->virtual);
    json_u64(&j, "exits_absent", c->absent);
    json_u64(&j, "exits_spurious", c->spurious);
    json_u64(&j, "exits_touch", c->touch);
    json_u64(&j, "exits_logged", c->logged);
    json_u64(&j, "resident_bytes", vm->resident);
    channel_send_json(&channel, &j);
}

void report_all_ended(uint32_t ended, uint32_t failed)
{
    char text[FRAME_BYTES];
    struct json j;

    log_line("all guests have ended: %u in all, %u of them refused or failed", ended, failed);
    begin(&j, text, "all-ended", NULL);
    json_u64(&j, "guests", ended);
    json_u64(&j, "failed", failed);
    channel_send_json(&channel, &j);
}
