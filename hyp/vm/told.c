/* What is told in memory: see told.h. The machine may be stopped between any two stores. */
#include "vm/told.h"

#include <string.h>

#define TOLD_BYTES 512 /* and its alignment: in one page */

/* Little-endian. */
struct told {
    char magic[8];
    uint64_t count;
    struct told_vm {
        atomic_ullong number; /* of its domain, 0: none, and the rest says nothing */
        uint64_t hgatp;       /* without a VMID */
        char name[VM_NAME_BYTES];
    } vm[VM_MAX];
};

_Static_assert(sizeof(struct told) <= TOLD_BYTES, "it lies in one page");
_Static_assert(sizeof(struct told_vm) == 48, "the format that readers know");

/* entry.S names it. */
extern struct told told;
_Alignas(TOLD_BYTES) struct told told = {.magic = "CRDNVMS", .count = VM_MAX};

void told_add(const struct vm *vm)
{
    struct told_vm *t = &told.vm[vm->index];

    t->hgatp = cordon_domain_hgatp(vm->domain);
    memcpy(t->name, vm_name(vm), sizeof(t->name));
    atomic_store(&t->number, cordon_domain_number(vm->domain));
}

void told_remove(const struct vm *vm)
{
    atomic_store(&told.vm[vm->index].number, 0);
}
