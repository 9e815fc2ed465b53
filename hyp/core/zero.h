/*
 * Zeroing whole pages: by cache blocks (cbo.zero) where every hart has Zicboz and may use it here
 * [Unprivileged, CMO; Priv 3.1.18: menvcfg.CBZE is the firmware's], else by stores. memset does it
 * by itself; this finds out how.
 */
#ifndef HYP_CORE_ZERO_H
#define HYP_CORE_ZERO_H

#include <stdint.h>

struct hart;

/* Try cbo.zero on this hart, on memory of ours: HART's zero_bytes is the size of the block that it
 * cleared, which is the one that the device tree says, or 0. */
void zero_probe_here(struct hart *hart);

/* All harts that will come have been probed: from now on pages are zeroed as all of them can. */
void zero_choose(void);

/* What was chosen: bytes that one cbo.zero clears, 0: by stores. */
extern uint64_t zero_block;

#endif
