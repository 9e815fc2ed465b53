/*
 * The SBI that guests see [SBI 2.0]: BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN. Each function takes
 * the calling vCPU, with the arguments in a0.. of its saved registers, and returns error and value.
 */
#ifndef HYP_SBI_SBI_H
#define HYP_SBI_SBI_H

#include "core/sbi_call.h"
#include "vcpu/vcpu.h"

#define SBI_OUR_VERSION 0x02000000u /* 2.0 */
#define SBI_OUR_ID 0x436f7264u      /* "Cord": no registered implementation */
#define SBI_OUR_RELEASE 0x00010000u

/* Argument N, a0.. */
static inline uint64_t sbi_arg(const struct vcpu *vcpu, unsigned n)
{
    return vcpu->x[10 + n];
}

static inline struct sbi_ret sbi_error(long error)
{
    return (struct sbi_ret){error, 0};
}

static inline struct sbi_ret sbi_value(uint64_t value)
{
    return (struct sbi_ret){SBI_SUCCESS, (long)value};
}

struct sbi_ret sbi_ipi(struct vcpu *vcpu, uint64_t fid);
struct sbi_ret sbi_rfence(struct vcpu *vcpu, uint64_t fid);
struct sbi_ret sbi_hsm(struct vcpu *vcpu, uint64_t fid);
struct sbi_ret sbi_srst(struct vcpu *vcpu, uint64_t fid);
struct sbi_ret sbi_dbcn(struct vcpu *vcpu, uint64_t fid);

/*
 * The vCPUs that a hart mask names, as bits by vCPU number [SBI 3.1]. False if it names one that
 * the guest does not have.
 */
bool sbi_hart_mask(const struct vcpu *vcpu, uint64_t mask, uint64_t base, uint32_t *out);

/* Ask the firmware once for what BASE passes on. */
void sbi_init(void);

#endif
