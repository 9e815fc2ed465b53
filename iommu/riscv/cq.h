/*
 * The command queue [IOMMU 3.1]: commands, the ring, fences, and what to do when it stops.
 *
 * Commands are sent in batches: all of them, then one IOFENCE.C that writes a number of ours to
 * memory when all before it have been executed. cqh alone proves nothing [IOMMU 3.1.2]. A batch
 * that met an error is sent again from its first command after the queue has been restarted; one
 * that timed out marks the IOMMU stuck, and the next batch restarts the queue before anything else.
 *
 * The caller holds the IOMMU's lock.
 */
#ifndef CORDON_RISCV_CQ_H
#define CORDON_RISCV_CQ_H

#include "core/bits.h"

struct cordon_iommu;

#define CQ_LOG2_DEFAULT 8u
#define CQ_LOG2_MAX 15u
#define CQ_ENTRY_SHIFT 4u

/* [IOMMU 3.1] first word of every command */
#define CMD_OPCODE GENMASK64(6, 0)
#define CMD_FUNC3 GENMASK64(9, 7)
#define CMD_OPCODE_IOTINVAL 1u
#define CMD_OPCODE_IOFENCE 2u
#define CMD_OPCODE_IODIR 3u

/* [IOMMU 3.1.1] IOTINVAL */
#define IOTINVAL_VMA 0u
#define IOTINVAL_GVMA 1u
#define IOTINVAL_AV BIT64(10)
#define IOTINVAL_GV BIT64(33)
#define IOTINVAL_GSCID GENMASK64(59, 44)
#define IOTINVAL_ADDR GENMASK64(61, 10) /* second word: address bits 63:12 */

/* [IOMMU 3.1.2] IOFENCE.C */
#define IOFENCE_C 0u
#define IOFENCE_AV BIT64(10)
#define IOFENCE_PR BIT64(12)
#define IOFENCE_PW BIT64(13)
#define IOFENCE_DATA GENMASK64(63, 32)
#define IOFENCE_ADDR GENMASK64(61, 0) /* second word: address bits 63:2 */

/* [IOMMU 3.1.3] IODIR */
#define IODIR_INVAL_DDT 0u
#define IODIR_DV BIT64(33)
#define IODIR_DID GENMASK64(63, 40)

struct cq_command {
    uint64_t word[2];
};

struct cq {
    cordon_hpa base;
    uint64_t *ring;
    unsigned order; /* of its frames */
    uint32_t log2;  /* entries */
    uint32_t head;  /* as last read from cqh */
    uint32_t tail;
    cordon_hpa done_hpa; /* the word that fences write */
    uint32_t *done;
    uint32_t sequence; /* of the last fence */
    bool stuck;
    uint64_t restarts;
};

/* Each builds one command whole. */
struct cq_command cq_inval_ddt_all(void);
struct cq_command cq_inval_ddt(uint32_t device_id);
struct cq_command cq_vma_all(void);
struct cq_command cq_vma(uint16_t gscid);
struct cq_command cq_gvma_all(void);
struct cq_command cq_gvma(uint16_t gscid);
struct cq_command cq_gvma_page(uint16_t gscid, cordon_gpa gpa);
struct cq_command cq_iofence(cordon_hpa done, uint32_t number);

/* Allocate 2^LOG2 entries. Errors: ENOMEM, ENOTSUP (the IOMMU cannot reach them). */
CORDON_MUST_CHECK int cq_alloc(struct cordon_iommu *iommu, uint32_t log2);
/* Only once the hardware does not use them any more. */
void cq_free(struct cordon_iommu *iommu);

/* Turn the queue on, from off or from any other state. Errors: ETIMEOUT, ENOTSUP (it cannot reach
 * the ring's address). */
CORDON_MUST_CHECK int cq_start(struct cordon_iommu *iommu);
/* Turn it off and wait until the hardware has let go of the ring. Errors: ETIMEOUT. */
CORDON_MUST_CHECK int cq_stop(struct cordon_iommu *iommu);

/*
 * Send COMMANDS and a fence, and wait until all have been executed. On an error the IOMMU is stuck:
 * what the commands were to end may live on in its caches. Errors: ETIMEOUT, EHW.
 */
CORDON_MUST_CHECK int cq_submit(struct cordon_iommu *iommu, const struct cq_command *commands,
                                size_t count);

/* Forget everything that could be cached. Errors: ETIMEOUT, EHW. */
CORDON_MUST_CHECK int cq_flush_all(struct cordon_iommu *iommu);

#endif
