/* Host memory as the model sees it: one buffer, and the caller's registers around it. */
#include "internal.h"

#include <string.h>

bool mem_load64(struct cordon_model *m, uint64_t hpa, uint64_t *out)
{
    const uint64_t *at = mem_at(m, hpa, 8);

    if (at == NULL || hpa >> CAP_PAS(m->cap) != 0) {
        return false;
    }
    *out = __atomic_load_n(at, __ATOMIC_ACQUIRE); /* and what the word leads to */
    return true;
}

bool mem_move(struct cordon_model *m, uint64_t hpa, void *data, uint32_t len, bool write)
{
    uint8_t *at = mem_at(m, hpa, len);

    if (hpa >> CAP_PAS(m->cap) != 0) {
        return false;
    }
    if (at == NULL) {
        return m->config.mmio != NULL && m->config.mmio(m->config.user, hpa, data, len, write) == 0;
    }
    if (write) {
        memcpy(at, data, len);
    } else {
        memcpy(data, at, len);
    }
    return true;
}
