/* Between entry.S and C. */
#ifndef HYP_BOOT_BOOT_H
#define HYP_BOOT_BOOT_H

#include <stdint.h>

#include "core/hart.h"

/* From entry.S, on the boot stack, under the first table: WINDOW is the physical address at
 * which its window begins. */
_Noreturn void boot_main(uint64_t hart_id, uint64_t fdt, uint64_t load, uint64_t window);

/* Time at which the first hart came in. */
uint64_t boot_entry_time(void);

/* entry.S */
void boot_switch_table(uint64_t satp);
_Noreturn void boot_switch_stack(uint64_t sp, uint64_t tp, void (*fn)(void));
void boot_secondary(void);

/* vcpu/entry.S */
void trap_entry(void);

static inline void boot_set_tp(struct hart *hart)
{
    __asm__ volatile("mv tp, %0" ::"r"(hart));
}

#endif
