/* As steady, on a few pages only, and on all that it has once a line is typed. */
#include "steady.h"

void main(uint64_t hart, uint64_t opaque)
{
    (void)hart;
    work(opaque, 512);
}
