/* PCI functions from user space: see pci.h. */
#include "lib/pci.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICES "/sys/bus/pci/devices"
#define PATH_BYTES 320
#define COMMAND 0x04u
#define COMMAND_MEMORY 2u
#define COMMAND_MASTER 4u
#define CAPABILITIES 0x34u
#define CAP_MSI 5u
#define MSI_CONTROL 2u
#define MSI_CONTROL_ENABLE 1u
#define MSI_CONTROL_64BIT 0x80u

static void path_of(const char *name, const char *file, char *out, size_t size)
{
    snprintf(out, size, DEVICES "/%s/%s", name, file);
}

static long read_number(const char *name, const char *file)
{
    char path[PATH_BYTES], text[32] = "";
    FILE *f;

    path_of(name, file, path, sizeof(path));
    f = fopen(path, "re");
    if (f == NULL || fgets(text, sizeof(text), f) == NULL) {
        err(2, "%s", path);
    }
    fclose(f);
    return strtol(text, NULL, 0);
}

static int not_hidden(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

struct pci pci_named(const char *name)
{
    struct pci p;
    char path[PATH_BYTES];

    if ((size_t)snprintf(p.name, sizeof(p.name), "%s", name) >= sizeof(p.name)) {
        errx(2, "%s: the name is too long", name);
    }
    path_of(name, "config", path, sizeof(path));
    p.config = open(path, O_RDWR | O_CLOEXEC);
    if (p.config < 0) {
        err(2, "%s", path);
    }
    pci_write(&p, COMMAND, 2, pci_read(&p, COMMAND, 2) | COMMAND_MEMORY | COMMAND_MASTER);
    return p;
}

size_t pci_open(uint16_t vendor, uint16_t device, struct pci *out, size_t max)
{
    struct dirent **entries;
    int count = scandir(DEVICES, &entries, not_hidden, alphasort);
    size_t found = 0;

    if (count < 0) {
        err(2, DEVICES);
    }
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;

        if (found < max && read_number(name, "vendor") == vendor &&
            read_number(name, "device") == device) {
            out[found++] = pci_named(name);
        }
        free(entries[i]);
    }
    free(entries);
    return found;
}

volatile void *pci_map(const struct pci *p, unsigned bar, size_t *len)
{
    char path[PATH_BYTES], file[16];
    struct stat st;
    void *at;
    int fd;

    snprintf(file, sizeof(file), "resource%u", bar);
    path_of(p->name, file, path, sizeof(path));
    fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        err(2, "%s", path);
    }
    at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        err(2, "mapping %s", path);
    }
    close(fd);
    *len = (size_t)st.st_size;
    return at;
}

uint32_t pci_read(const struct pci *p, unsigned offset, unsigned width)
{
    uint32_t value = 0;

    if (pread(p->config, &value, width, offset) != (ssize_t)width) {
        err(2, "%s: configuration read at 0x%x", p->name, offset);
    }
    return value;
}

void pci_write(const struct pci *p, unsigned offset, unsigned width, uint32_t value)
{
    if (pwrite(p->config, &value, width, offset) != (ssize_t)width) {
        err(2, "%s: configuration write at 0x%x", p->name, offset);
    }
}

unsigned pci_capability(const struct pci *p, uint8_t id)
{
    unsigned at = pci_read(p, CAPABILITIES, 1) & ~3u;

    for (unsigned steps = 0; at >= 0x40 && steps < 48; steps++) {
        if (pci_read(p, at, 1) == id) {
            return at;
        }
        at = pci_read(p, at + 1, 1) & ~3u;
    }
    return 0;
}

static unsigned message_capability(const struct pci *p)
{
    unsigned at = pci_capability(p, CAP_MSI);

    if (at == 0) {
        errx(2, "%s has no MSI capability", p->name);
    }
    return at;
}

void pci_message_on(const struct pci *p, uint64_t address, uint16_t data)
{
    unsigned at = message_capability(p);
    uint32_t control = pci_read(p, at + MSI_CONTROL, 2);
    bool wide = (control & MSI_CONTROL_64BIT) != 0;

    pci_write(p, at + 4, 4, (uint32_t)address);
    if (wide) {
        pci_write(p, at + 8, 4, (uint32_t)(address >> 32));
    }
    pci_write(p, at + (wide ? 12u : 8u), 2, data);
    pci_write(p, at + MSI_CONTROL, 2, control | MSI_CONTROL_ENABLE);
}

void pci_message_off(const struct pci *p)
{
    unsigned at = message_capability(p);

    pci_write(p, at + MSI_CONTROL, 2, pci_read(p, at + MSI_CONTROL, 2) & ~MSI_CONTROL_ENABLE);
}
