/*
 * One vCPU. It is pinned to one hart, which runs nothing else while the vCPU is started.
 */
#ifndef HYP_VCPU_VCPU_H
#define HYP_VCPU_VCPU_H

#include <cordon/types.h>
#include <stdatomic.h>

#include "bus/bus.h"
#include "core/csr.h"
#include "vcpu/vcpu_offsets.h"

struct hart;
struct vm;

/* As the guest's HSM sees it, save CLAIMED, which it sees as START_PENDING. */
enum vcpu_state {
    VCPU_STOPPED = 0,
    VCPU_START_PENDING, /* pc and opaque are set: its hart is to start it */
    VCPU_STARTED,
    VCPU_SUSPENDED
};

/* What others ask of a vCPU; its hart is kicked after a bit was set. */
#define VCPU_REQUEST_STOP 1u  /* leave the guest for good */
#define VCPU_REQUEST_IPI 2u   /* raise the guest's software interrupt */
#define VCPU_REQUEST_PAUSE 4u /* stand still until the VM is resumed */
#define VCPU_REQUEST_TELL 8u  /* answer the question: manage/translate.h */

/* In whose name an address is asked about. */
enum vcpu_who { VCPU_WHO_NOW = 0, VCPU_WHO_USER, VCPU_WHO_SUPERVISOR };

struct vcpu_question {
    uint64_t gva;
    uint32_t access; /* CORDON_READ.., 0: any leaf */
    enum vcpu_who who;
};

/* Why it left the guest, counted. */
struct vcpu_counts {
    uint64_t sbi, mmio, interrupt, virtual, absent, spurious;
    uint64_t touch;       /* pages that came at first touch */
    uint64_t touch_large; /* of these, 2 MiB at once */
    uint64_t logged;      /* pages noted as used or written (cordon/log.h) */
};

struct vcpu {
    uint64_t x[32]; /* the guest's registers by number; see entry.S for when they are valid */
    uint64_t hyp_sp;
    struct hart *hart;
    struct vm *vm;
    uint32_t id;
    uint32_t guest_file; /* number of its interrupt file on its hart, 0: none */
    bool file_clean;     /* the file holds nothing of an earlier owner */
    atomic_uint state;   /* enum vcpu_state; changed under the VM's lock */
    atomic_uint requests;
    uint64_t start_pc, start_opaque;
    bool inside;                  /* its domain stands in this hart's hgatp; its own hart's alone */
    uint64_t vsatp;               /* while it is not inside */
    uint64_t ram_base, ram_len;   /* GPA of its RAM: faults there are for the map to answer */
    volatile uint32_t *file_page; /* its interrupt file: a store sends an interrupt */
    const struct vbus_device *last_device; /* the last one that answered; never null */
    uint64_t stuck;                        /* the same fault in a row */
    struct vcpu_counts counts;
    atomic_uint question_open; /* 1: QUESTION is not to be changed */
    struct vcpu_question question;
};

/* Bring this hart's CSRs to where VCPU can start, enter it, and clean up once it has left. */
void vcpu_start_here(struct vcpu *vcpu);

/* Ask VCPU for REQUEST and make its hart look. Any hart. */
void vcpu_request(struct vcpu *vcpu, unsigned request);

/*
 * From the vCPU's own hart. Let go of the guest's translation, and of the VMID if nobody else of
 * the guest is inside; and take it up again, with the first fences due. Errors: ELIMIT (as many
 * other guests run as there are VMIDs).
 */
CORDON_MUST_CHECK int vcpu_step_in(struct vcpu *vcpu);
void vcpu_step_out(struct vcpu *vcpu);

/* entry.S */
void vcpu_run(struct vcpu *vcpu);
_Noreturn void vcpu_leave(struct vcpu *vcpu);
void fp_clear(void);
void vector_clear(void);

/* Add what C counted to SUM. */
void vcpu_counts_add(struct vcpu_counts *sum, const struct vcpu_counts *c);

/* From entry.S: an ecall of the guest; a data access without translation (false: not of the
 * simple kind, and nothing was done); any other exit. */
void vcpu_ecall(struct vcpu *vcpu);
bool vcpu_fault_fast(struct vcpu *vcpu, uint64_t cause);
void vcpu_exit(struct vcpu *vcpu);

/* Do what others asked for; may leave the guest. */
void vcpu_serve_requests(struct vcpu *vcpu);

/* Hand the guest an exception, as its own hart would [Priv 18.6.3]. Leaves the guest for good if it
 * can make no progress. */
void vcpu_inject(struct vcpu *vcpu, uint64_t cause, uint64_t tval);

/* A load, store or fetch found no translation [Priv 18.6.1]. CAUSE 20, 21 or 23. */
void vcpu_guest_page_fault(struct vcpu *vcpu, uint64_t cause);

/* Go on behind an instruction of LEN bytes. */
static inline void vcpu_skip(uint64_t len)
{
    csr_write(CSR_SEPC, csr_read(CSR_SEPC) + len);
}

#endif
