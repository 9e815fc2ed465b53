/*
 * The extensions that a guest may be told of: an allow-list, each entry with what the hypervisor
 * must do for it (an enable bit, state to switch). What is not listed does not exist for a guest:
 * H, Sdtrig, Smstateen, performance counters among them.
 *
 * A set of extensions is a word with a bit for each entry of the list.
 */
#ifndef HYP_CONFIG_ISA_H
#define HYP_CONFIG_ISA_H

#include <cordon/types.h>

/* What an extension needs from the hypervisor [Priv 18.2, AIA 6]. */
#define ISA_NEED_FP 1u       /* f registers and fcsr are switched */
#define ISA_NEED_VECTOR 2u   /* v registers and their CSRs are switched */
#define ISA_NEED_COUNTERS 4u /* hcounteren: CY, TM, IR */
#define ISA_NEED_STCE 8u     /* henvcfg.STCE, vstimecmp is switched */
#define ISA_NEED_CBCFE 16u   /* henvcfg.CBCFE */
/* henvcfg.CBIE = 01: a guest's cbo.inval flushes. If it invalidated, a guest could uncover what
 * stood in its RAM before scrubbing. */
#define ISA_NEED_CBI_FLUSH 32u
#define ISA_NEED_CBZE 64u   /* henvcfg.CBZE */
#define ISA_NEED_ADUE 128u  /* henvcfg.ADUE */
#define ISA_NEED_PBMTE 256u /* henvcfg.PBMTE */
#define ISA_NEED_AIA 512u   /* a guest interrupt file for the vCPU, VS-level AIA CSRs */

/* Without these no guest runs: i, m, a, ssaia. */
uint64_t isa_required(void);

/* The bit of extension NAME of LEN characters; 0 if it is not on the list. */
uint64_t isa_bit(const char *name, size_t len);

/* Those of SET for which all that they need is among NEEDS. */
uint64_t isa_offer(uint64_t set, uint32_t needs);

/* The set that a string like rv64imafdch_zicbom_sstc names; g means imafd_zicsr_zifencei. What is
 * not on the list is left out. Errors: EINVAL (not rv64). */
CORDON_MUST_CHECK int isa_parse(const char *text, uint64_t *out);

/* Room for either form of any set. */
#define ISA_TEXT_BYTES 640u

/* SET as one string for riscv,isa. Returns its length with the NUL. */
size_t isa_text(uint64_t set, char text[ISA_TEXT_BYTES]);

/* SET as a list of strings for riscv,isa-extensions. Returns its length with all NULs. */
size_t isa_list(uint64_t set, char list[ISA_TEXT_BYTES]);

#endif
