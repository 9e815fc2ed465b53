/* See qtest_machine.h. */
#define _GNU_SOURCE
#include "qtest_machine.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define QEMU "qemu-system-riscv64"
#define MAX_ARGS 64
#define NO_PROGRAM 127

/* One request, one answer; what QEMU says of interrupts in between is passed over. */
static uint64_t ask(struct qtest_machine *q, const char *request)
{
    char line[256];

    q->accesses++;
    if (fputs(request, q->to) < 0 || fflush(q->to) != 0) {
        fail_msg("QEMU takes no more requests");
    }
    do {
        if (fgets(line, sizeof(line), q->from) == NULL) {
            fail_msg("QEMU answers no more: %s", request);
        }
    } while (strncmp(line, "IRQ", 3) == 0);
    if (strncmp(line, "OK", 2) != 0) {
        fail_msg("QEMU refused %s: %s", request, line);
    }
    return strtoull(line + 2, NULL, 0);
}

static const char *suffix(uint32_t width)
{
    return width == 8 ? "q" : width == 4 ? "l" : width == 2 ? "w" : "b";
}

static uint64_t qtest_read(void *user, uint64_t hpa, uint32_t width)
{
    char request[96];

    snprintf(request, sizeof(request), "read%s 0x%llx\n", suffix(width), (unsigned long long)hpa);
    return ask(user, request);
}

static void qtest_write(void *user, uint64_t hpa, uint32_t width, uint64_t value)
{
    char request[96];

    snprintf(request, sizeof(request), "write%s 0x%llx 0x%llx\n", suffix(width),
             (unsigned long long)hpa, (unsigned long long)value);
    (void)ask(user, request);
}

static uint64_t qtest_time(void *user)
{
    struct timespec now;

    (void)user;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* The child: becomes QEMU, its qtest on fd 0 and 1. */
static _Noreturn void become_qemu(int fd, int ram, const char *const *args)
{
    char memory[128];
    const char *argv[MAX_ARGS] = {
        QEMU,
        "-M",
        "virt,aia=aplic-imsic,aia-guests=4,iommu-sys=on,memory-backend=ram",
        "-cpu",
        "rv64,h=true",
        "-m",
        "64M",
        "-object",
        memory,
        "-S",
        "-bios",
        "none",
        "-nodefaults",
        "-display",
        "none",
        "-qtest",
        "stdio",
        "-qtest-log",
        "/dev/null"};
    size_t count = 0;

    snprintf(memory, sizeof(memory),
             "memory-backend-file,id=ram,size=64M,share=on,mem-path=/proc/self/fd/%d", ram);
    while (argv[count] != NULL) {
        count++;
    }
    for (; *args != NULL && count + 1 < MAX_ARGS; args++) {
        argv[count++] = *args;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever becomes of the test */
    dup2(fd, 0);
    dup2(fd, 1);
    execvp(QEMU, (char *const *)(uintptr_t)argv);
    _exit(NO_PROGRAM);
}

static bool has_program(void)
{
    return system("command -v " QEMU " >/dev/null") == 0;
}

bool qtest_open(struct qtest_machine *q, const char *const *args)
{
    char path[] = "/tmp/cordon-ram-XXXXXX";
    int pair[2];
    int ram;

    memset(q, 0, sizeof(*q));
    if (!has_program()) {
        return false;
    }
    signal(SIGPIPE, SIG_IGN);
    ram = mkstemp(path);
    assert_true(ram >= 0);
    unlink(path);
    assert_int_equal(ftruncate(ram, (off_t)QTEST_RAM_LEN), 0);
    q->ram = mmap(NULL, QTEST_RAM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
    assert_true(q->ram != MAP_FAILED);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    q->pid = fork();
    if (q->pid == 0) {
        become_qemu(pair[1], ram, args);
    }
    assert_true(q->pid > 0);
    close(pair[1]);
    close(ram);
    q->to = fdopen(pair[0], "w");
    q->from = fdopen(dup(pair[0]), "r");
    assert_non_null(q->to);
    assert_non_null(q->from);
    q->ops = (struct cordon_port_ops){.size = sizeof(q->ops),
                                      .user = q,
                                      .mmio_read = qtest_read,
                                      .mmio_write = qtest_write,
                                      .time_us = qtest_time};
    (void)qtest_read(q, QTEST_RAM, 4); /* an answer: it has put into RAM what it puts there */
    return true;
}

void qtest_close(struct qtest_machine *q)
{
    if (q->pid > 0) {
        kill(q->pid, SIGTERM);
        fclose(q->to);
        fclose(q->from);
        waitpid(q->pid, NULL, 0);
        munmap(q->ram, QTEST_RAM_LEN);
    }
}
