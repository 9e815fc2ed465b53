/* Says back one line that was typed to it, by the debug console. */
#include "bare.h"

#define EID_DBCN 0x4442434Eu
#define LINE 64u

static char line[LINE + 8] = "heard ";

void main(uint64_t hart, uint64_t opaque)
{
    uint64_t at = 6;
    char byte = 0;

    (void)hart;
    (void)opaque;
    say("ready");
    while (byte != '\n' && at < LINE) {
        struct ret ret = ecall(EID_DBCN, 1, 1, (uint64_t)(uintptr_t)&byte, 0, 0, 0);

        if (ret.error == 0 && ret.value == 1 && byte != '\n') {
            line[at++] = byte;
        }
    }
    say(line);
    finish();
}
