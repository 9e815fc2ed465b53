/* Loans are given back before a domain can end. */
#ifndef LOANS_H
#define LOANS_H

#include <cordon/map.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* All that D borrows. */
static inline void loans_give_back(cordon_domain *d)
{
    struct cordon_region_info r;

    for (cordon_gpa at = {0}; cordon_region_find(d, at, true, &r) == 0;
         at = cordon_gpa_add(r.gpa, r.len)) {
        const struct cordon_op op = {.kind = CORDON_OP_REVOKE, .gpa = r.gpa, .len = r.len};

        if ((r.flags & CORDON_REGION_SHARED) != 0) {
            assert_int_equal(cordon_change(d, &op, 1), 0);
        }
    }
}

#endif
