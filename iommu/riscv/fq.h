/*
 * The fault queue [IOMMU 3.2]: emptied into reports, recovered when it has dropped records,
 * re-armed.
 *
 * Overflow is an ordinary event: one refused 4 KiB transfer can fill the queue. Whoever empties it
 * holds its gate. The gate is never waited for by cordon_faults_poll, which may have interrupted
 * the holder: it leaves word, and the holder looks again.
 */
#ifndef CORDON_RISCV_FQ_H
#define CORDON_RISCV_FQ_H

#include <stdatomic.h>

#include "riscv/fault.h"

#define FQ_LOG2_DEFAULT 10u
#define FQ_LOG2_MAX 15u
#define FQ_ENTRY_SHIFT 5u

struct fq {
    cordon_hpa base;
    const uint64_t *ring;
    unsigned order; /* of its frames */
    uint32_t log2;  /* entries */
    uint32_t head;
    uint32_t enable; /* fqcsr while it is on */

    atomic_flag gate;
    atomic_bool again; /* someone found the gate shut */
    struct fault_log *log;
    atomic_uint_fast64_t records;
    atomic_uint_fast64_t overflows;
    atomic_uint_fast64_t suppressed;
};

void fq_init(struct fq *fq);
/* Allocate 2^LOG2 entries and the log. Errors: ENOMEM, ENOTSUP (the IOMMU cannot reach it). */
CORDON_MUST_CHECK int fq_alloc(struct cordon_iommu *iommu, uint32_t log2);
void fq_free(struct cordon_iommu *iommu);

/* Turn it on, with its interrupt if INTERRUPT. Errors: ETIMEOUT, ENOTSUP. */
CORDON_MUST_CHECK int fq_start(struct cordon_iommu *iommu, bool interrupt);
CORDON_MUST_CHECK int fq_stop(struct cordon_iommu *iommu);

#endif
