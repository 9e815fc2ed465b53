/*
 * A guest's address space: slots of RAM, the pool, interrupt files, and holes where emulated
 * registers are; and what its map was told to become, by whomever.
 *
 * What the guest's own function and its BARs change goes to the map directly; a listener sees that
 * like all else.
 */
#ifndef HYP_VM_SPACE_VM_H
#define HYP_VM_SPACE_VM_H

#include <cordon/cordon.h>
#include <cordon/lock.h>
#include <stdatomic.h>

#define VM_CHANGES 16u /* that are kept, the latest */

/* Nodes of the space. RAM is in slots, one for each chunk of it. */
#define VM_NODE_POOL 1u
#define VM_NODE_HOLE 0x10u  /* and on: UART, APLIC, ECAM */
#define VM_NODE_FILE 0x100u /* and on: of vCPU 0, 1, ... */

struct vm;

struct vm_change {
    struct cordon_told told;
    uint64_t time;
};

/* The listener's account. */
struct vm_changes {
    struct cordon_lock lock;
    atomic_ullong count;               /* ranges told so far; read without the lock, too */
    uint64_t ram, mmio;                /* bytes that stand now */
    struct vm_change last[VM_CHANGES]; /* number n is at n % VM_CHANGES */
};

/* An empty space over the domain, with its holes and its listener; and the end of both. Errors: of
 * cordon_space_create, cordon_listener_add and cordon_space_update. */
CORDON_MUST_CHECK int vm_space_open(struct vm *vm);
void vm_space_close(struct vm *vm);

/* A node beside the slots of RAM. Errors: of cordon_space_update. */
CORDON_MUST_CHECK int vm_space_node(struct vm *vm, const struct cordon_node *node);

/* What stands at GPA, as people call it. */
const char *vm_space_name(const struct vm *vm, cordon_gpa gpa, uint32_t flags);

#endif
