/* A guest, built: memory, emulated devices, images; vCPUs that can be started. */
#include "config/config_error.h"
#include "core/hart.h"
#include "core/memory.h"
#include "pci/vm_pci.h"
#include "vm/load.h"
#include "vm/memory_vm.h"
#include "vm/vm.h"

/* A message of an emulated device: a store to the vCPU's interrupt file. The caller is a vCPU of
 * the VM, or holds its lock: the file is still its own. */
static void send_message(void *arg, uint32_t vcpu, uint32_t identity)
{
    struct vm *vm = arg;
    volatile uint32_t *page;

    cordon_assert(vcpu < vm->config->vcpus);
    page = vm->vcpu[vcpu].file_page;
    if (page != NULL && atomic_load(&vm->state) == VM_RUNNING) {
        *page = identity;
    }
}

static void put_byte(void *arg, uint8_t byte)
{
    (void)vm_console_write(arg, &byte, 1);
}

static int build_devices(struct vm *vm)
{
    uint64_t window = guest_window(vm->config->ram_base);
    struct vdev_msi msi = {vm, send_message};
    struct vdev_sink sink = {vm, put_byte};
    struct vdev_wire wire = {&vm->aplic, aplic_wire_set};
    const struct vbus_device device[] = {
        {cordon_gpa_make(window + GUEST_UART), UART_LEN, &vm->uart, uart_read, uart_write, false},
        {cordon_gpa_make(window + GUEST_APLIC), APLIC_LEN, &vm->aplic, aplic_read, aplic_write,
         false},
    };
    int err = 0;

    aplic_init(&vm->aplic, vm->config->vcpus, &msi);
    uart_init(&vm->uart, &sink, &wire, GUEST_IRQ_UART);
    for (size_t i = 0; i < sizeof(device) / sizeof(device[0]) && err == 0; i++) {
        err = vbus_add(&vm->bus, &device[i]);
    }
    return err;
}

/* Answers nowhere: what a vCPU's last device is at first. */
static const struct vbus_device no_device;

/* Its hart, and whoever sends fences, may look at it meanwhile, if it ran before. */
static void build_vcpus(struct vm *vm)
{
    for (uint32_t i = 0; i < vm->config->vcpus; i++) {
        struct vcpu *vcpu = &vm->vcpu[i];

        vcpu->vm = vm;
        vcpu->id = i;
        vcpu->file_clean = false;
        atomic_store(&vcpu->state, VCPU_STOPPED);
        atomic_store(&vcpu->requests, 0);
        vcpu->last_device = &no_device;
        vcpu->stuck = 0;
        vcpu->counts = (struct vcpu_counts){0};
        vcpu->ram_base = vm->config->ram_base.v;
        vcpu->ram_len = vm->config->ram_len;
    }
}

void vm_unprepare(struct vm *vm)
{
    vm_pci_release(vm);
    vm_memory_release(vm);
}

int vm_open(struct vm *vm, struct config_error *why)
{
    int err = vm_pci_claim(vm, why);

    if (err != 0) {
        return err;
    }
    build_vcpus(vm);
    err = vm_memory_open(vm, why);
    if (err != 0) {
        vm_unprepare(vm);
    }
    return err;
}

int vm_prepare(struct vm *vm, struct config_error *why)
{
    int err = vm_pci_begin(vm, why);

    if (err == 0) {
        err = vm_memory_build(vm, why);
    }
    if (err != 0) {
        vm_unprepare(vm);
    }
    return err;
}

int vm_build(struct vm *vm, const struct bundle *bundle, struct config_error *why)
{
    int err = build_devices(vm);

    if (err != 0) {
        (void)config_refuse(why, "emulated devices: %s", cordon_strerror(err));
    }
    if (err == 0) {
        err = load_images(vm, bundle, why);
    }
    if (err == 0) {
        err = vm_pci_build(vm, why);
    }
    if (err != 0) {
        vm_unprepare(vm);
        return err;
    }
    atomic_store(&vm->state, VM_BUILT);
    return 0;
}
