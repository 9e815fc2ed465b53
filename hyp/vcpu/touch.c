/*
 * First touch: see touch.h.
 *
 * INV 9: no fence.i here, nor on the other harts of the guest. A hart runs one guest until that
 * ends, and fences when it begins; so whatever its instruction cache may still have of a frame
 * that comes now, it has it from this guest.
 */
#include "vcpu/touch.h"

#include <cordon/cordon.h>

#include "vm/vm.h"

uint32_t touch_access(uint64_t cause, uint64_t htinst)
{
    if (htinst == PSEUDO_READ || htinst == PSEUDO_WRITE) {
        return htinst == PSEUDO_READ ? CORDON_READ : CORDON_WRITE;
    }
    return cause == CAUSE_FETCH_GUEST_PAGE  ? CORDON_EXEC
           : cause == CAUSE_LOAD_GUEST_PAGE ? CORDON_READ
                                            : CORDON_WRITE;
}

int touch_page(struct vcpu *vcpu, uint64_t gpa, uint32_t access)
{
    struct cordon_touched done;
    int err = cordon_touch(vcpu->vm->domain, cordon_gpa_make(gpa), access, &done);

    if (err != 0) {
        return err;
    }
    if (done.what == CORDON_TOUCH_FILLED) {
        vcpu->counts.touch++;
        vcpu->counts.touch_large += done.level != 0;
        return 0;
    }
    if (done.what == CORDON_TOUCH_LOGGED) {
        vcpu->counts.logged++; /* a hart that has kept the old word comes again */
        return 0;
    }
    vcpu->counts.spurious++;
    hart_fence_gstage_current(); /* this one has kept the old word [Priv 12.2.1; Svvptc] */
    return 0;
}
