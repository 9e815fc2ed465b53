/* Which call of the SBI it is: BASE and TIME at once, the others one step further. */
#include "sbi/sbi.h"

static struct {
    uint64_t mvendorid, marchid, mimpid;
} machine_ids;

void sbi_init(void)
{
    machine_ids.mvendorid = (uint64_t)sbi_call(SBI_BASE, SBI_BASE_MVENDORID, 0, 0, 0, 0, 0).value;
    machine_ids.marchid = (uint64_t)sbi_call(SBI_BASE, SBI_BASE_MARCHID, 0, 0, 0, 0, 0).value;
    machine_ids.mimpid = (uint64_t)sbi_call(SBI_BASE, SBI_BASE_MIMPID, 0, 0, 0, 0, 0).value;
}

static bool is_offered(uint64_t eid)
{
    switch (eid) {
    case SBI_BASE:
    case SBI_TIME:
    case SBI_IPI:
    case SBI_RFENCE:
    case SBI_HSM:
    case SBI_SRST:
    case SBI_DBCN:
        return true;
    default:
        return false;
    }
}

static struct sbi_ret base(const struct vcpu *vcpu, uint64_t fid)
{
    switch (fid) {
    case SBI_BASE_VERSION:
        return sbi_value(SBI_OUR_VERSION);
    case SBI_BASE_IMPL_ID:
        return sbi_value(SBI_OUR_ID);
    case SBI_BASE_IMPL_VER:
        return sbi_value(SBI_OUR_RELEASE);
    case SBI_BASE_PROBE:
        return sbi_value(is_offered(sbi_arg(vcpu, 0)));
    case SBI_BASE_MVENDORID: /* the guest's kernel chooses its workarounds by these three */
        return sbi_value(machine_ids.mvendorid);
    case SBI_BASE_MARCHID:
        return sbi_value(machine_ids.marchid);
    case SBI_BASE_MIMPID:
        return sbi_value(machine_ids.mimpid);
    default:
        return sbi_error(SBI_ERR_NOT_SUPPORTED);
    }
}

static __attribute__((noinline)) struct sbi_ret other(struct vcpu *vcpu, uint64_t eid, uint64_t fid)
{
    switch (eid) {
    case SBI_HSM:
        return sbi_hsm(vcpu, fid);
    case SBI_IPI:
        return sbi_ipi(vcpu, fid);
    case SBI_RFENCE:
        return sbi_rfence(vcpu, fid);
    case SBI_SRST:
        return sbi_srst(vcpu, fid);
    case SBI_DBCN:
        return sbi_dbcn(vcpu, fid);
    default:
        return sbi_error(SBI_ERR_NOT_SUPPORTED);
    }
}

void vcpu_ecall(struct vcpu *vcpu)
{
    uint64_t eid = vcpu->x[17];
    uint64_t fid = vcpu->x[16];
    struct sbi_ret ret;

    vcpu->counts.sbi++;
    vcpu_skip(4);
    if (eid == SBI_TIME && fid == 0) {
        csr_write(CSR_VSTIMECMP, sbi_arg(vcpu, 0));
        ret = sbi_value(0);
    } else if (eid == SBI_BASE) {
        ret = base(vcpu, fid);
    } else {
        ret = other(vcpu, eid, fid);
    }
    vcpu->x[10] = (uint64_t)ret.error;
    vcpu->x[11] = (uint64_t)ret.value;
}
