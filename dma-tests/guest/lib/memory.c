/* Locked pages and their guest physical addresses: see memory.h. */
#include "lib/memory.h"

#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_PFN ((UINT64_C(1) << 55) - 1)

uint64_t page_gpa(const void *at)
{
    uint64_t entry = 0;
    off_t offset = (off_t)((uintptr_t)at / PAGE_BYTES * sizeof(entry));
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || pread(fd, &entry, sizeof(entry), offset) != (ssize_t)sizeof(entry)) {
        err(2, "/proc/self/pagemap");
    }
    close(fd);
    if ((entry & PAGEMAP_PRESENT) == 0 || (entry & PAGEMAP_PFN) == 0) {
        errx(2, "/proc/self/pagemap does not tell where %p is: run as root", at);
    }
    return (entry & PAGEMAP_PFN) * PAGE_BYTES;
}

struct page page_get(void)
{
    uint8_t *at = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);

    if (at == MAP_FAILED || mlock(at, PAGE_BYTES) != 0) {
        err(2, "a locked page");
    }
    memset(at, 0, PAGE_BYTES);
    return (struct page){.at = at, .gpa = page_gpa(at)};
}
