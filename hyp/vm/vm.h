/*
 * One guest: its map, its vCPUs, its emulated devices, its console, and its life.
 */
#ifndef HYP_VM_VM_H
#define HYP_VM_VM_H

#include <cordon/cordon.h>
#include <cordon/lock.h>

#include "aplic/aplic.h"
#include "config/vm_config.h"
#include "uart/uart.h"
#include "vcpu/vcpu.h"
#include "vm/coalesce.h"
#include "vm/space_vm.h"

#define VM_LINE_BYTES 256u
#define VM_END_BYTES 160u

enum vm_state { VM_EMPTY = 0, VM_BUILT, VM_RUNNING, VM_STOPPING, VM_STOPPED, VM_REFUSED };

/* How it ended. Only SHUTDOWN counts as success: a guest that wants to go on cannot. */
enum vm_end {
    VM_END_NONE = 0,
    VM_END_SHUTDOWN,
    VM_END_REBOOT,
    VM_END_FAILED,
    VM_END_STUCK,
    VM_END_TRAP,
    VM_END_ALONE,
    VM_END_MEMORY /* a page was touched, and no frame was left for it */
};

struct vm_pci;

struct vm {
    const struct vm_config *config;
    uint32_t index;
    atomic_uint state; /* enum vm_state; changed under lock */
    struct cordon_lock lock;
    struct cordon_lock map_lock; /* held while we touch guest memory, and while its map changes */
    uint32_t live;               /* vCPUs that are in the guest */
    uint32_t parked;             /* of these, those that stand still */
    atomic_bool paused;
    bool logged; /* its RAM is, and what it takes again; under map_lock */
    cordon_domain *domain;
    cordon_space *space; /* leads the domain's map, but for what devices and the guest itself ask */
    uint32_t listener;   /* on the domain, 0: none */
    struct vm_changes changes;
    uint64_t
        logged_since; /* time_us() of the latest harvest, or when logging began; the ticker's */
    struct vm_coalescing coalescing; /* the ticker's alone */
    struct vm_pci *pci;              /* its PCI bus, null before it is built and after it is gone */
    struct vcpu vcpu[VM_MAX_VCPUS];
    struct vbus bus;
    struct uart uart;
    struct aplic aplic;
    struct cordon_lock line_lock;
    char line[VM_LINE_BYTES]; /* what the guest has said since its last line */
    uint32_t line_len;
    uint64_t line_time;      /* of its last byte */
    atomic_ullong faults;    /* that were worth a line */
    uint64_t started, ended; /* time */
    uint64_t resident;       /* bytes of its RAM that had frames when it ended */
    enum vm_end end;
    char end_text[VM_END_BYTES];
    struct vcpu_counts counts; /* of all vCPUs, once it has stopped */
    cordon_gpa entry, dtb;     /* first instruction, device tree */
    cordon_hpa pool;           /* host run of the contiguous pool, 0: none */
};

extern struct vm vms[VM_MAX];
extern uint32_t vm_count;

static inline const char *vm_name(const struct vm *vm)
{
    return vm->config->name;
}

/* ---- building (build.c, memory.c, load.c) ------------------------------------------------- */

/*
 * Three steps, each of which on an error says in WHY what, with value and limit, and leaves nothing
 * of the VM. Open: its devices are claimed, its domain stands. Prepare what needs no image: memory,
 * interrupt files; the resets of its devices are begun, and go on while others work. Build
 * everything else but the first instruction: emulated devices, images, device tree, its devices.
 * The vCPUs' harts were assigned.
 */
CORDON_MUST_CHECK int vm_open(struct vm *vm, struct config_error *why);
CORDON_MUST_CHECK int vm_prepare(struct vm *vm, struct config_error *why);
CORDON_MUST_CHECK int vm_build(struct vm *vm, const struct bundle *bundle,
                               struct config_error *why);

/* Take back what was opened and prepared. */
void vm_unprepare(struct vm *vm);

/* ---- life (life.c) ------------------------------------------------------------------------ */

/* Take VM's lock, if VM runs: until vm_let_go it cannot end, and keeps its domain, devices and
 * interrupt files. False: it does not run, or no more; nothing is held. Any hart; map_lock and the
 * locks of its devices and of the layer are taken behind it. */
CORDON_MUST_CHECK bool vm_hold(struct vm *vm);
void vm_let_go(struct vm *vm);

/* Set vCPU 0 going. */
void vm_start(struct vm *vm);

/* End VM for a reason, said in words once: every vCPU leaves the guest as soon as its hart looks. A
 * caller that is one of them calls vcpu_leave afterwards. Any hart; later reasons are ignored. */
void vm_stop(struct vm *vm, enum vm_end end, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A vCPU that is stopped gets PC and OPAQUE, and its hart is woken. False if it is not stopped. */
bool vm_vcpu_start(struct vcpu *vcpu, uint64_t pc, uint64_t opaque);

/* The calling vCPU starts anew. */
_Noreturn void vm_vcpu_restart(struct vcpu *vcpu, uint64_t pc, uint64_t opaque);

/* From the vCPU's hart: about to enter (false: its VM is ending); has left. */
bool vm_vcpu_begin(struct vcpu *vcpu);
void vm_vcpu_end(struct vcpu *vcpu);

/* True if this fault of the guest may take a line of the log: the first few, then ever fewer. */
bool vm_may_log(struct vm *vm);

/* ---- console (console_vm.c) --------------------------------------------------------------- */

/* What the guest says, by whichever way: whole lines go to the console. Returns LEN. */
uint64_t vm_console_write(struct vm *vm, const uint8_t *bytes, uint64_t len);

/* Give VM, if it runs, LEN bytes to read, at its UART or by the debug console, which takes them out
 * of the same ring; *TAKEN is how many there was room for. False: it does not run, or no more. Any
 * hart: the interrupt that this raises comes before the VM's end, for the lock that the end takes
 * is held. */
bool vm_input(struct vm *vm, const uint8_t *bytes, size_t len, size_t *taken);

/* Let out a line that is not ended and has waited since before TIME; all of it when TIME is 0. */
void vm_console_flush(struct vm *vm, uint64_t time);

/* Look for what was typed, and give it to the guest that has the console. */
void vm_console_poll(void);

#endif
