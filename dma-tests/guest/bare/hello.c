/* Lives, says so, and ends. */
#include "bare.h"

#define FDT_MAGIC_BYTES 0xedfe0dd0u /* as a little-endian word */

void main(uint64_t hart, uint64_t opaque)
{
    check(hart == 0, "hart 0 comes first");
    check(*(const uint32_t *)(uintptr_t)opaque == FDT_MAGIC_BYTES, "a1 leads to a device tree");
    finish();
}
