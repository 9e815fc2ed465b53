/* Is a piece of guest memory one piece of host memory? Answered from the table that the harts
 * walk. */
#include "pci/own.h"
#include <cordon/error.h>

int own_runs_count(const cordon_domain *d, cordon_gpa gpa, uint64_t len, uint64_t *runs,
                   cordon_hpa *first)
{
    cordon_hpa start = {0};
    cordon_hpa next = {0};
    uint64_t count = 0;

    if (len == 0 || gpa.v + len < gpa.v) {
        return -CORDON_ERANGE;
    }
    for (uint64_t done = 0; done < len;) {
        struct cordon_hit hit;
        int err = cordon_translate(d, 0, cordon_gpa_add(gpa, done), CORDON_READ, &hit);

        if (err != 0) {
            return err;
        }
        if (done == 0) {
            start = hit.hpa;
        }
        count += done == 0 || hit.hpa.v != next.v ? 1 : 0;
        next = cordon_hpa_add(hit.hpa, hit.span);
        done += hit.span;
    }
    *runs = count;
    *first = start;
    return 0;
}
