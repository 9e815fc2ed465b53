/* Vector registers: cleared when a vCPU starts on a hart that has them, and left alone
 * otherwise. */
    .option arch, +v
    .text
    .globl vector_clear
vector_clear:
    vsetvli t0, zero, e8, m8, ta, ma
    vmv.v.i v0, 0
    vmv.v.i v8, 0
    vmv.v.i v16, 0
    vmv.v.i v24, 0
    csrw    vcsr, zero
    csrw    vstart, zero
    vsetvli zero, zero, e8, m1, ta, ma
    ret
