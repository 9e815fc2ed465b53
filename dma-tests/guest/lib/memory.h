/* Memory whose guest physical addresses user space knows: locked pages, through
 * /proc/self/pagemap. */
#ifndef GUEST_MEMORY_H
#define GUEST_MEMORY_H

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

#endif
