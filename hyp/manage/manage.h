/*
 * Management over the host channel: commands come in, events go out.
 *
 * A command is a frame of type 'C', words in ASCII; each is answered by an event, a JSON object
 * whose "event" names it. Commands: owners [HPA], places, audit, faults, exits, type VM TEXT, pause
 * VM, resume VM, tables VM, present VM [GPA], compact LEN [ALIGN [BOUNDARY [HIGHEST]]], move VM
 * TIMES SEED [LEN], blocks [HPA], log VM on|off|harvest|look [GPA], coalesce VM [on|off],
 * translate VM VCPU GVA [ACCESS [WHO]] (translate.h), map VM, start VM, memory, fences, counters
 * DEVICE|VM|all [off]. What is not understood is answered by an event "error" that says why.
 */
#ifndef HYP_MANAGE_MANAGE_H
#define HYP_MANAGE_MANAGE_H

#include "channel/channel.h"
#include "channel/json.h"

#define MANAGE_COMMAND_BYTES 512u
struct vm;

#define MANAGE_EVENT_BYTES 1024u /* they lie on stacks */
#define MANAGE_REPORT_BYTES 1024u
#define STREAM_OWNERS 1u
#define STREAM_PRESENT 2u
#define STREAM_BLOCKS 3u
#define STREAM_DIRTY 4u

/* Take and carry out what has come. One hart at a time. True: that was a command. */
bool manage_poll(void);

/* Begin an event, or one about a VM, and send it. One that did not fit is counted as lost, never
 * sent in part: texts of guests are in some. Any hart. */
struct manage_event {
    struct json json;
    char text[MANAGE_EVENT_BYTES];
};
struct json *manage_event_begin(struct manage_event *e, const char *name);
struct json *manage_event_of(struct manage_event *e, const char *name, const struct vm *vm);
void manage_event_send(struct manage_event *e);

/* A fault of a device, decoded. */
void manage_fault(const struct cordon_fault *f);

/* Faults that found no event of their own, as an event "faults-left-out". */
struct manage_left_out {
    bool others; /* of devices beyond those that are counted one by one: no device, no domain */
    uint32_t device_id, domain;
    uint64_t faults;
};
void manage_faults_left_out(const struct manage_left_out *left);

/* What a guest says through our function, LEN bytes of at most MANAGE_REPORT_BYTES up to a NUL, as
 * an event "guest-report". */
void manage_guest_report(const char *vm, const char *text, size_t len);

/* owners.c: who owns each frame of RAM from FROM on, as records on STREAM_OWNERS, as many as one
 * answer holds; then the event "owners" with the HPA to go on from, 0 at the end. */
void manage_send_owners(struct channel *c, uint64_t from);

/* counts.c: what the IOMMUs have reported up to now (an event "fault" each, those that wait too),
 * how much of it was counted only (an event "iommu-faults" each), then "faults". */
void manage_send_faults(void);

/* counts.c: why each running VM has left the guest, how often: an event "vm-exits" each, then
 * "exits". */
void manage_send_exits(void);

/* tables.c: what the tables of a VM's G-stage are made of, as an event "vm-tables". Errors: ENOENT
 * (it does not run), ECORRUPT. */
CORDON_MUST_CHECK int manage_send_tables(struct vm *vm);

/* present.c: which pages of a VM stand in its G-stage, from GPA FROM on, as records on
 * STREAM_PRESENT; then an event "vm-present" with the GPA to go on from, 0 at the end. False: it
 * does not run. */
bool manage_send_present(struct channel *c, struct vm *vm, uint64_t from);

/* log.c: dirty logging of a VM's RAM (an event "vm-log"), what it has told since the last time,
 * from GPA FROM on (0: all; an event "vm-harvest"; KEEP: it stays for the next time), and large
 * leaves again ("vm-coalesced").
 * Errors: ENOENT (it does not run), and those of cordon/log.h; nothing is sent then. */
CORDON_MUST_CHECK int manage_log(struct vm *vm, bool on);
CORDON_MUST_CHECK int manage_harvest(struct channel *c, struct vm *vm, uint64_t from, bool keep);
CORDON_MUST_CHECK int manage_coalesce(struct vm *vm);

/* log.c: whether that is done in the background, too (an event "vm-coalescing"); and what a pass of
 * it has made (an event "vm-merged"). */
struct cordon_coalesced;
void manage_coalescing(struct vm *vm, bool on);
void manage_merged(const struct vm *vm, const struct cordon_coalesced *sum);

/* map.c: what stands in a VM's map, as an event "vm-region" each; the latest changes that its
 * listener was told, as an event "vm-change" each; then "vm-map" with its account. False: it does
 * not run. */
bool manage_send_map(struct vm *vm);

/* counts.c: how much memory each VM has of what it may have, and what came at first touch: an event
 * "vm-memory" for each that runs, then "memory" with what the machine has. */
void manage_memory(char *rest);

/* counts.c: how often harts were told of changes of each VM's map: an event "vm-fences" for each
 * that runs, then "fences" with the VMIDs of the machine. */
void manage_fences(char *rest);

/* counters.c: what IOMMUs have counted of a device, of each device of a VM, or of all, since it was
 * asked for last: an event "iommu-counters" for each device, or each IOMMU, then "counters". */
void manage_counters(char *rest);

/* places.c: what stands where in host memory: an event "place" each, then "places". */
void manage_send_places(void);

#endif
