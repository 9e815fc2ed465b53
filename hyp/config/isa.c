/* The allow-list, in the canonical order of the ISA string [Unpriv 36]. */
#include "config/isa.h"

#include <string.h>

#include <cordon/error.h>

struct isa_entry {
    const char *name;
    uint32_t needs; /* ISA_NEED_* */
};

static const struct isa_entry isa_entries[] = {
    {"i", 0},
    {"m", 0},
    {"a", 0},
    {"f", ISA_NEED_FP},
    {"d", ISA_NEED_FP},
    {"c", 0},
    {"v", ISA_NEED_VECTOR | ISA_NEED_FP},
    {"zic64b", 0},
    {"zicbom", ISA_NEED_CBCFE | ISA_NEED_CBI_FLUSH},
    {"zicbop", 0},
    {"zicboz", ISA_NEED_CBZE},
    {"ziccamoa", 0},
    {"ziccif", 0},
    {"zicclsm", 0},
    {"ziccrse", 0},
    {"zicntr", ISA_NEED_COUNTERS},
    {"zicond", 0},
    {"zicsr", 0},
    {"zifencei", 0},
    {"zihintntl", 0},
    {"zihintpause", 0},
    {"zimop", 0},
    {"zmmul", 0},
    {"za64rs", 0},
    {"zaamo", 0},
    {"zabha", 0},
    {"zacas", 0},
    {"zalrsc", 0},
    {"zawrs", 0},
    {"zfa", ISA_NEED_FP},
    {"zfh", ISA_NEED_FP},
    {"zfhmin", ISA_NEED_FP},
    {"zca", 0},
    {"zcb", 0},
    {"zcd", ISA_NEED_FP},
    {"zcmop", 0},
    {"zba", 0},
    {"zbb", 0},
    {"zbc", 0},
    {"zbkb", 0},
    {"zbkc", 0},
    {"zbkx", 0},
    {"zbs", 0},
    {"zknd", 0},
    {"zkne", 0},
    {"zknh", 0},
    {"zkt", 0},
    {"zvbb", ISA_NEED_VECTOR},
    {"zvbc", ISA_NEED_VECTOR},
    {"zvfh", ISA_NEED_VECTOR | ISA_NEED_FP},
    {"zvfhmin", ISA_NEED_VECTOR | ISA_NEED_FP},
    {"zvkb", ISA_NEED_VECTOR},
    {"zvkt", ISA_NEED_VECTOR},
    {"ssaia", ISA_NEED_AIA},
    {"sstc", ISA_NEED_STCE},
    {"svadu", ISA_NEED_ADUE},
    {"svinval", 0},
    {"svnapot", 0},
    {"svpbmt", ISA_NEED_PBMTE},
    {"svvptc", 0},
};

#define ISA_ENTRIES (sizeof isa_entries / sizeof isa_entries[0])
_Static_assert(ISA_ENTRIES <= 64, "a set of extensions is one word");

uint64_t isa_bit(const char *name, size_t len)
{
    for (size_t i = 0; i < ISA_ENTRIES; i++) {
        if (strlen(isa_entries[i].name) == len && memcmp(isa_entries[i].name, name, len) == 0) {
            return UINT64_C(1) << i;
        }
    }
    return 0;
}

uint64_t isa_required(void)
{
    return isa_bit("i", 1) | isa_bit("m", 1) | isa_bit("a", 1) | isa_bit("ssaia", 5);
}

uint64_t isa_offer(uint64_t set, uint32_t needs)
{
    uint64_t offered = 0;

    for (size_t i = 0; i < ISA_ENTRIES; i++) {
        if ((isa_entries[i].needs & ~needs) == 0) {
            offered |= UINT64_C(1) << i;
        }
    }
    return set & offered;
}

/* Letters up to the first underscore or multi-letter extension. Returns what is behind them. */
static const char *parse_letters(const char *text, uint64_t *set)
{
    static const char g[] = "imafd";

    for (; *text != '\0' && *text != '_' && *text != 'z' && *text != 's' && *text != 'x'; text++) {
        if (*text == 'g') {
            for (const char *c = g; *c != '\0'; c++) {
                *set |= isa_bit(c, 1);
            }
            *set |= isa_bit("zicsr", 5) | isa_bit("zifencei", 8);
        }
        *set |= isa_bit(text, 1);
    }
    return text;
}

int isa_parse(const char *text, uint64_t *out)
{
    uint64_t set = 0;

    if (strncmp(text, "rv64", 4) != 0) {
        return -CORDON_EINVAL;
    }
    text = parse_letters(text + 4, &set);
    while (*text != '\0') {
        size_t len = strcspn(text, "_");

        set |= len > 1 ? isa_bit(text, len) : 0;
        text += len;
        text += *text == '_';
    }
    *out = set;
    return 0;
}

size_t isa_text(uint64_t set, char text[ISA_TEXT_BYTES])
{
    size_t at = 4;

    memcpy(text, "rv64", 4);
    for (size_t i = 0; i < ISA_ENTRIES; i++) {
        size_t len = strlen(isa_entries[i].name);

        if (set >> i & 1) {
            if (len > 1) {
                text[at++] = '_';
            }
            memcpy(text + at, isa_entries[i].name, len);
            at += len;
        }
    }
    text[at++] = '\0';
    return at;
}

size_t isa_list(uint64_t set, char list[ISA_TEXT_BYTES])
{
    size_t at = 0;

    for (size_t i = 0; i < ISA_ENTRIES; i++) {
        if (set >> i & 1) {
            size_t len = strlen(isa_entries[i].name) + 1;

            memcpy(list + at, isa_entries[i].name, len);
            at += len;
        }
    }
    return at;
}
