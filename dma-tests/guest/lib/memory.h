/* Memory whose guest physical addresses user space knows: locked pages, through
 * /proc/self/pagemap. */
#ifndef GUEST_MEMORY_H
#define GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096u

struct page {
    uint8_t *at;  /* one page, locked, zeroed */
    uint64_t gpa; /* where it stands */
};

/* One page of locked memory. Exits with a message when the kernel does not give one, or does not
 * tell where it is (pagemap wants root). */
struct page page_get(void);

/* Where AT's page stands now. */
uint64_t page_gpa(const void *at);

/* The page that stands at GPA, locked, found by asking the kernel for memory until that page comes;
 * the rest goes back. AT is null when the kernel never gave it: it is in use. */
struct page page_find(uint64_t gpa);

/* True if the kernel was told by crashkernel= to leave the page at GPA alone. */
bool page_is_left_alone(uint64_t gpa);

/* What the kernel uses the page at GPA for, as bits of /proc/kpageflags; 0: it does not say. */
uint64_t page_flags(uint64_t gpa);

#endif
