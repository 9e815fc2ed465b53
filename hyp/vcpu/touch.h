/* Guest-page faults that the map answers: a page that comes at its first touch, or one that stood
 * there already. */
#ifndef HYP_VCPU_TOUCH_H
#define HYP_VCPU_TOUCH_H

#include "vcpu/vcpu.h"

/* htinst of an access that the hardware itself made, to the guest's own page tables [Priv 18.6.3].
 */
#define PSEUDO_READ 0x3000u
#define PSEUDO_WRITE 0x3020u

/* What a guest-page fault of CAUSE reached for: CORDON_READ.. */
uint32_t touch_access(uint64_t cause, uint64_t htinst);

/*
 * VCPU, which runs here, reached for GPA, and there was no translation. 0: there is one now, go
 * back to the guest. Errors, nothing changed: ENOENT, EFAULT (nothing of its memory, or not that
 * right), ENOMEM (no frame is left for it).
 */
CORDON_MUST_CHECK int touch_page(struct vcpu *vcpu, uint64_t gpa, uint32_t access);

#endif
