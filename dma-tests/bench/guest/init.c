/*
 * First process of the benchmarks' guests. Says when it came; does what the words behind "--" on
 * the kernel's command line ask for:
 *   disk MIB READS   read so much of the NVMe disk in order, 1 MiB a call, then random 4 KiB ones
 *   work STORM MIB WALK MMAP
 *                    so many children, reads anywhere in so much memory, pages mapped (work.h)
 *   spin             then stay here without ever idling, so that the time spent idle can be read
 * and powers off.
 */
#define _GNU_SOURCE /* O_DIRECT */

#include "work.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define SMALL 4096u
#define DISK "/dev/nvme0n1"
#define PASSES 8   /* over the modules: each loads those whose needs are loaded */
#define TRIES 1000 /* for the disk to appear, 10 ms apart */

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static _Noreturn void end(void)
{
    sync();
    reboot(RB_POWER_OFF);
    for (;;) {
        pause();
    }
}

static _Noreturn void fail(const char *what)
{
    printf("BENCH-ERROR %s\n", what);
    end();
}

static int load_all(const char *folder)
{
    DIR *dir = opendir(folder);
    int loaded = 0;

    if (dir == NULL) {
        fail("no folder of modules");
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[512];
        int fd;

        if (strstr(e->d_name, ".ko") == NULL) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        loaded += fd >= 0 && syscall(SYS_finit_module, fd, "", 0) == 0;
        close(fd);
    }
    closedir(dir);
    return loaded;
}

static int open_disk(void)
{
    struct timespec pause_10_ms = {.tv_nsec = 10000000};
    struct utsname name;
    char folder[256];

    uname(&name);
    snprintf(folder, sizeof(folder), "/lib/modules/%s", name.release);
    for (int i = 0; i < PASSES && load_all(folder) != 0; i++) {
    }
    for (int i = 0; i < TRIES; i++) {
        int fd = open(DISK, O_RDONLY | O_DIRECT | O_CLOEXEC);

        if (fd >= 0) {
            return fd;
        }
        nanosleep(&pause_10_ms, NULL);
    }
    fail("no " DISK);
}

/* COUNT reads of SIZE bytes, in order or anywhere on the disk; nanoseconds. */
static uint64_t read_disk(int fd, uint64_t count, uint64_t size, int random)
{
    static _Alignas(SMALL) uint8_t buffer[MIB];
    uint64_t pieces = (uint64_t)lseek(fd, 0, SEEK_END) / size;
    uint64_t seed = 88172645463325252u;
    uint64_t since = nanoseconds(CLOCK_MONOTONIC);

    for (uint64_t i = 0; i < count; i++) {
        uint64_t piece = i;

        if (random) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            piece = seed;
        }
        if (pread(fd, buffer, size, (off_t)(piece % pieces * size)) != (ssize_t)size) {
            fail("a read of the disk");
        }
    }
    return nanoseconds(CLOCK_MONOTONIC) - since;
}

static void bench_disk(uint64_t mib, uint64_t reads)
{
    int fd = open_disk();
    uint64_t in_order, anywhere;

    read_disk(fd, 4, MIB, 0); /* warm */
    read_disk(fd, 64, SMALL, 1);
    in_order = read_disk(fd, mib, MIB, 0);
    anywhere = read_disk(fd, reads, SMALL, 1);
    /* As wide whatever the numbers are: each character of the console costs exits. */
    printf("BENCH-DISK sequential_ns=%016llu random_ns=%016llu\n", (unsigned long long)in_order,
           (unsigned long long)anywhere);
}

static void bench_work(char **numbers)
{
    uint64_t storm = strtoull(numbers[0], NULL, 10), mib = strtoull(numbers[1], NULL, 10);
    uint64_t walk = strtoull(numbers[2], NULL, 10), map = strtoull(numbers[3], NULL, 10);

    if (work_storm(storm) != 0 || work_walk(mib, walk) != 0 || work_map(map) != 0) {
        fail("the work did not come out as it must");
    }
    printf("BENCH-WORK-END\n");
}

/* The words behind WORD, if there are COUNT of them, or null. What the kernel itself does not know
 * ("nokaslr") comes before. */
static char **asked(char **argv, const char *word, int count)
{
    char **at = argv + 1;

    while (*at != NULL && strcmp(*at, word) != 0) {
        at++;
    }
    for (int i = 0; i < count && *at != NULL; i++) {
        at++;
    }
    return *at != NULL ? at - count + 1 : NULL;
}

int main(int argc, char **argv)
{
    uint64_t now;
    uint64_t uptime = nanoseconds(CLOCK_BOOTTIME);
    char **words;

    (void)argc;
    if (asked(argv, WORK_NOTHING, 0) != NULL) {
        return 0;
    }
    __asm__ volatile("rdtime %0" : "=r"(now));
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("BENCH-INIT time=%llu uptime_us=%llu\n", (unsigned long long)now,
           (unsigned long long)uptime / 1000);
    mount("dev", "/dev", "devtmpfs", 0, "");
    words = asked(argv, "disk", 2);
    if (words != NULL) {
        bench_disk(strtoull(words[0], NULL, 10), strtoull(words[1], NULL, 10));
    }
    words = asked(argv, "work", 4);
    if (words != NULL) {
        bench_work(words);
    }
    while (asked(argv, "spin", 0) != NULL) {
        __asm__ volatile("");
    }
    end();
}
