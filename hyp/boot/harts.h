/* The other harts, by the firmware's hart state management [SBI 9]. */
#ifndef HYP_BOOT_HARTS_H
#define HYP_BOOT_HARTS_H

/* Start every hart but this one, and wait, bounded, until each has said what it can do. One that
 * does not come is left out, and reported. */
void harts_start_others(void);

#endif
