/* What hyp/core/memory.c stands on, for tests of its windows on a host: RAM in one place, and
 * tables that remember the last mapping. */
#include <cordon/error.h>
#include <cordon/port.h>
#include <stdlib.h>

/* hyp/core/memory.h */
void memory_set_image(cordon_hpa load);
int mmio_map(cordon_hpa hpa, uint64_t len, volatile void **out);
const char *mmio_why(cordon_hpa hpa, int err);

#define RAM UINT64_C(0x80000000)

char _image_start[4096], _image_end[1];
uint64_t last_va;
int tables_answer; /* what the next mapping ends with */

int tables_map(uint64_t va, cordon_hpa hpa, uint64_t len, uint32_t rights)
{
    (void)hpa;
    (void)len;
    (void)rights;
    last_va = va;
    return tables_answer;
}

void tables_fence(void)
{
}

bool machine_ram_touches(cordon_hpa hpa, uint64_t len)
{
    return hpa.v + len > RAM && hpa.v < 2 * RAM;
}

_Noreturn void cordon_port_panic(const char *what, const char *file, int line)
{
    (void)what;
    (void)file;
    (void)line;
    abort();
}

void windows_init(void)
{
    memory_set_image(cordon_hpa_make(RAM));
}

uint64_t windows_map(uint64_t hpa, uint64_t len, int *err)
{
    volatile void *at = NULL;

    *err = mmio_map(cordon_hpa_make(hpa), len, &at);
    return (uint64_t)(uintptr_t)at;
}

const char *windows_why(uint64_t hpa, int err)
{
    return mmio_why(cordon_hpa_make(hpa), err);
}
