/* A walk of one view, for those who hold the domain's lock. */
#ifndef CORDON_MAP_WALK_TOLD_H
#define CORDON_MAP_WALK_TOLD_H

#include "map/domain.h"
#include <cordon/walk.h>

/* Walk GPA in VIEW, which exists, and tell each word. */
void walk_told(const struct pt_forest *f, uint32_t view, uint64_t gpa, uint32_t access,
               struct cordon_walk *out);

#endif
