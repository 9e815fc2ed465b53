/*
 * PCI of one guest: its host bridge, the functions given to it, and our own small function in slot
 * 0.
 *
 * Functions are claimed for all VMs before any is assigned, since a function may be given only if
 * its whole isolation group is its guest's.
 */
#ifndef HYP_PCI_VM_PCI_H
#define HYP_PCI_VM_PCI_H

#include "config/config_error.h"
#include "pci/own.h"
#include "pci/pass.h"
#include "vm/vm.h"

/*
 * What a guest may hold of the host's memory, beyond what its settings gave it: pages given back
 * whose frames hardware still holds, and contiguous runs; and what it may say in a second.
 */
#define VM_WAITING_MAX (UINT64_C(4) << 20)
#define VM_RUNS_MAX (UINT64_C(16) << 20)
#define VM_REPORT_BYTES_A_SECOND 65536u

/* How much may be moved in a second for the runs that a guest asks for, in bytes; a look at memory
 * for where to make one is charged as a part of that. */
#define VM_MOVED_A_SECOND (UINT64_C(16) << 20)
#define VM_LOOK_COST (UINT64_C(2) << 20)

/* Bytes; under the VM's map_lock. */
struct vm_account {
    uint64_t ram;     /* in its map, or REVOKING */
    uint64_t waiting; /* of these, REVOKING */
    uint64_t runs;
    uint64_t report_second; /* time_us at its start */
    uint32_t reported;      /* bytes since then */
    uint64_t moved_second;  /* the same for what was moved */
    uint64_t moved;
};

struct vm_pci {
    struct vm_account account;
    struct vpci_bridge bridge;
    struct own_function own;
    uint32_t count; /* assignments begun */
    struct pci_assignment assignment[VM_MAX_DEVICES];
    struct vpci_pass pass[VM_MAX_DEVICES];
    uint64_t refused_said[VM_MAX_DEVICES]; /* of each one's BARs; under machine_pci_lock */
    uint64_t refused_next;                 /* time_us before which vm_pci_report says no more */
};

/* The name of a function, VM_PCI_NAME_BYTES at most: "0000:00:01.0". */
#define VM_PCI_NAME_BYTES 32u
void vm_pci_name(const struct vm_device *d, char *out);

/* Claim what the settings of VM name. On an error WHY says in words which function, and why not;
 * nothing of this VM is claimed then. */
CORDON_MUST_CHECK int vm_pci_claim(struct vm *vm, struct config_error *why);

/* Take the functions off the bus and begin their resets, which go on by themselves; the domain
 * stands, its memory not yet. Then wait for them, assign them, make the bridge, put it on the
 * guest's bus: the memory stands. On an error WHY says what; vm_pci_release takes back what there
 * is. */
CORDON_MUST_CHECK int vm_pci_begin(struct vm *vm, struct config_error *why);
CORDON_MUST_CHECK int vm_pci_build(struct vm *vm, struct config_error *why);

/* Take everything back: no function of this VM masters the bus afterwards, and none reaches its
 * memory. One that hardware does not let go of is reported and given to nobody again. Before the
 * memory goes. */
void vm_pci_release(struct vm *vm);

/* Say which BARs of VM's functions could not stand where the guest put them since the last call,
 * and why: a line and an event "bar-refused" for each function, of the last one, with how many
 * there were. Not more often than five times a second. For one hart at a time; any VM, running or
 * not. */
void vm_pci_report(struct vm *vm);

/* own_calls.c: what our own function does for the guest VM. */
struct own_calls vm_pci_own_calls(struct vm *vm);

#endif
