/* Touches new pages all the time, until all that it has are touched. */
#include "steady.h"

void main(uint64_t hart, uint64_t opaque)
{
    (void)hart;
    work(opaque, UINT64_MAX);
}
