/*
 * Four kinds of address in one answer: GVA through the guest's own tables to GPA, through the map
 * to HPA, and where that stands for the program that holds the context, its HVA.
 *
 * The guest's tables are read as its hart reads them [Priv 12.3.2, 12.4.1, 12.5, 12.6; 12.9 Svade,
 * 12.10 Svadu, 12.7 Svnapot, 12.8 Svpbmt; 18.5]: each word through the map, each word once, no more
 * words than the mode has levels. They are the guest's: cyclic, misaligned, leading nowhere or
 * changing meanwhile, they decide the answer and nothing else. No word is read that the map does
 * not hold as RAM.
 */
#ifndef CORDON_GVA_H
#define CORDON_GVA_H

#include <cordon/walk.h>

/* What decides, besides the tables. */
#define CORDON_GVA_AS_USER 1u /* the access is user mode's (VU); else the supervisor's (VS) */
#define CORDON_GVA_SUM 2u     /* vsstatus.SUM: the supervisor may use user pages, not execute */
#define CORDON_GVA_MXR 4u     /* vsstatus.MXR: what can be executed can be read */
#define CORDON_GVA_ADUE 8u    /* henvcfg.ADUE: the hart sets A and D; else their lack is a fault */
#define CORDON_GVA_PBMT 16u   /* henvcfg.PBMTE: bits 62:61 are a memory type; else reserved */
#define CORDON_GVA_NAPOT 32u  /* the hart has Svnapot; else bit 63 is reserved */

/* What is asked. */
struct cordon_gva_ask {
    uint32_t size;     /* sizeof(struct cordon_gva_ask) */
    uint32_t flags;    /* CORDON_GVA_AS_USER.. */
    uint64_t satp;     /* the guest's (vsatp): MODE 0 Bare, 8 Sv39, 9 Sv48, 10 Sv57; PPN of a GPA */
    cordon_gva gva;    /* as the hart puts it on the way, pointer masking done */
    uint32_t access;   /* CORDON_READ, WRITE or EXEC; 0: to any leaf, whoever may use it how */
    uint32_t reserved; /* 0 */
};

/* How the way through the guest's own tables ended. */
enum cordon_gva_end {
    CORDON_GVA_LEADS = 0,       /* all the way */
    CORDON_GVA_MODE = 1,        /* before any word: satp.MODE is one that no hart has */
    CORDON_GVA_CANONICAL = 2,   /* before any word: the bits above the mode's width differ */
    CORDON_GVA_EMPTY = 3,       /* at a word that is not valid */
    CORDON_GVA_RESERVED = 4,    /* at one with a bit, or a combination of bits, that is reserved */
    CORDON_GVA_DEEP = 5,        /* at one of level 0 that is no leaf */
    CORDON_GVA_MISALIGNED = 6,  /* at a superpage whose frames are not aligned to its size */
    CORDON_GVA_BAD_NAPOT = 7,   /* at a word with N that is no 64 KiB run of level 0 */
    CORDON_GVA_USER = 8,        /* at a leaf that user mode may not use */
    CORDON_GVA_SUPERVISOR = 9,  /* at a leaf of user mode that the supervisor may not use so */
    CORDON_GVA_RIGHTS = 10,     /* at a leaf that does not allow the access */
    CORDON_GVA_UNACCESSED = 11, /* at a leaf without A, which this hart does not set (Svade) */
    CORDON_GVA_CLEAN = 12,      /* the same of D, for a write */
    CORDON_GVA_NO_TABLE = 13,   /* a word of a table is asked for that the map does not give */
    CORDON_GVA_NO_PAGE = 14,    /* the tables lead to a GPA that the map does not give */
};

/* What the map said of the last GPA that it was asked for. */
enum cordon_gpa_end {
    CORDON_GPA_RAM = 0,     /* a frame of RAM */
    CORDON_GPA_MMIO = 1,    /* registers of a device: an HPA, no HVA, and never read as a table */
    CORDON_GPA_WIDTH = 2,   /* beyond what the map's mode can address */
    CORDON_GPA_HOLE = 3,    /* in no region */
    CORDON_GPA_ABSENT = 4,  /* in a region, but no frame stands there yet: not touched */
    CORDON_GPA_RIGHTS = 5,  /* in a region that does not allow the access */
    CORDON_GPA_CORRUPT = 6, /* a word of the G-stage, or a leaf, that is not ours */
};

/* One word of the guest's tables. */
struct cordon_gva_step {
    uint32_t level; /* as in struct cordon_walk_step */
    uint32_t index; /* of the word in its table */
    cordon_gpa gpa; /* of the word, as the table before says */
    cordon_hpa hpa; /* of the word, as the map says */
    uint64_t hva;   /* of the word, for the caller: HPA + ram_offset */
    uint64_t value; /* as it was when it was read */
};

/* The answer. */
struct cordon_gva_walk {
    uint32_t size;       /* sizeof(struct cordon_gva_walk), set by the caller */
    uint32_t mode;       /* satp.MODE */
    uint32_t end;        /* enum cordon_gva_end */
    uint32_t map;        /* enum cordon_gpa_end; of no meaning where GSTAGE is empty */
    uint32_t cause;      /* of the exception that the hart raises, 12, 13, 15 (guest's tables), 20,
                            21, 23 (map), 1, 5, 7 (registers as tables); 0 with LEADS */
    uint32_t marks;      /* with LEADS: CORDON_GVA_MARK_*, what the hart sets in the leaf first */
    uint32_t perms;      /* of the guest's leaf, where it came so far */
    uint32_t step_count; /* words read of the guest's tables, the root's first */
    struct cordon_gva_step step[CORDON_WALK_STEPS];
    uint64_t span;                    /* bytes to the end of the guest's leaf; Bare: 0 */
    cordon_gpa gpa;                   /* the last one that the map was asked for */
    struct cordon_region_info region; /* that holds it; len 0: none */
    struct cordon_walk gstage;        /* its walk through the G-stage; step_count 0: none */
    uint64_t hva;                     /* with LEADS to RAM: HPA + ram_offset; else 0 */
};

#define CORDON_GVA_MARK_A 1u
#define CORDON_GVA_MARK_D 2u

/* Lead ASK's address through all that stands between it and host memory. What stops it is an
 * answer, not an error. The map stands still meanwhile; the guest does not. With satp 0 it is the
 * way of a GPA. Errors: EINVAL (unknown flags, access or size; more than one access). */
CORDON_API CORDON_MUST_CHECK int cordon_walk_guest(const cordon_domain *d,
                                                   const struct cordon_gva_ask *ask,
                                                   struct cordon_gva_walk *out);

/* The name of an enum cordon_gva_end in words: "not canonical"; "unknown" for any other number. */
CORDON_API const char *cordon_gva_end_name(uint32_t end);

/* The name of an enum cordon_gpa_end in words; "unknown" for any other number. */
CORDON_API const char *cordon_gpa_end_name(uint32_t end);

#endif
