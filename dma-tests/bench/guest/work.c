/* See work.h. Ticks are those of the time CSR, which any user program may read. */
#define _GNU_SOURCE
#include "work.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u

static uint64_t ticks(void)
{
    uint64_t now;

    __asm__ volatile("rdtime %0" : "=r"(now)::"memory");
    return now;
}

static int say(const char *what, uint64_t since, uint64_t sum)
{
    printf("BENCH-WORK %s ticks=%llu sum=%llu\n", what, (unsigned long long)(ticks() - since),
           (unsigned long long)sum);
    return 0;
}

int work_storm(uint64_t count)
{
    uint64_t since = ticks(), well = 0;

    for (uint64_t i = 0; i < count; i++) {
        int status = -1;
        pid_t child = fork();

        if (child == 0) {
            execl("/init", "/init", WORK_NOTHING, (char *)NULL);
            _exit(1);
        }
        waitpid(child, &status, 0);
        well += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    return well == count ? say("storm", since, well) : -1;
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

int work_walk(uint64_t mib, uint64_t count)
{
    uint64_t pages = (mib << 20) / PAGE, seed = 88172645463325252u, sum = 0, want = 0, since;
    uint64_t *memory =
        mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED || madvise(memory, mib << 20, MADV_NOHUGEPAGE) != 0) {
        return -1;
    }
    for (uint64_t i = 0; i < pages; i++) {
        memory[i * (PAGE / sizeof(*memory))] = i;
    }
    since = ticks();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t page = next_random(&seed) % pages;

        sum += memory[page * (PAGE / sizeof(*memory))];
        want += page;
    }
    return sum == want ? say("walk", since, sum) : -1;
}

int work_map(uint64_t count)
{
    uint64_t since = ticks();

    for (uint64_t i = 0; i < count; i++) {
        volatile uint64_t *page =
            mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (page == MAP_FAILED || *page != 0) {
            return -1;
        }
        *page = i;
        munmap((void *)page, PAGE);
    }
    return say("mmap", since, count);
}
