/* Calls to the firmware. */
#include "core/sbi_call.h"

bool sbi_firmware_has(uint64_t eid)
{
    struct sbi_ret ret = sbi_call(SBI_BASE, SBI_BASE_PROBE, eid, 0, 0, 0, 0);

    return ret.error == 0 && ret.value != 0;
}

long sbi_hart_start(uint64_t hart, uint64_t entry, uint64_t opaque)
{
    return sbi_call(SBI_HSM, SBI_HSM_START, hart, entry, opaque, 0, 0).error;
}
