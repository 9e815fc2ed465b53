/* Management over the host channel: see manage.h. */
#include "manage/manage.h"

#include <stdio.h>
#include <string.h>

#include "core/console.h"
#include "manage/moves.h"
#include "manage/translate.h"
#include "manage/words.h"
#include "vm/again.h"
#include "vm/guests.h"
#include "vm/pause.h"
#include "vm/report.h"
#include "vm/vm.h"

/* The frame that is coming in: header, then as much of the text as there is room for. */
static struct {
    struct channel_header head;
    size_t have; /* bytes of head and data so far */
    char text[MANAGE_COMMAND_BYTES + 1];
} incoming;

struct json *manage_event_begin(struct manage_event *e, const char *name)
{
    json_begin(&e->json, e->text, sizeof(e->text));
    json_object(&e->json, NULL);
    json_text(&e->json, "event", name, SIZE_MAX);
    return &e->json;
}

struct json *manage_event_of(struct manage_event *e, const char *name, const struct vm *vm)
{
    struct json *j = manage_event_begin(e, name);

    json_text(j, "vm", vm_name(vm), VM_NAME_BYTES);
    return j;
}

void manage_event_send(struct manage_event *e)
{
    channel_send_json(report_channel(), &e->json);
}

void manage_send_error(const char *why, const char *what)
{
    struct manage_event e;
    struct json *j = manage_event_begin(&e, "error");

    json_text(j, "why", why, SIZE_MAX);
    json_text(j, "command", what, MANAGE_COMMAND_BYTES / 4);
    manage_event_send(&e);
}

static void do_owners(char *rest)
{
    uint64_t from = 0;

    if (manage_numbers(rest, &from, 0, 1)) {
        manage_send_owners(report_channel(), from);
    } else {
        manage_send_error("owners takes a host address, or nothing", rest);
    }
}

static void do_places(char *rest)
{
    (void)rest;
    manage_send_places();
}

static void do_faults(char *rest)
{
    (void)rest;
    manage_send_faults();
}

static void do_exits(char *rest)
{
    (void)rest;
    manage_send_exits();
}

static void do_audit(char *rest)
{
    struct cordon_finding found = {0};
    struct manage_event e;
    struct json *j = manage_event_begin(&e, "audit");
    int err = cordon_audit(guests_ctx(), &found);

    (void)rest;
    json_bool(j, "clean", err == 0);
    if (err != 0) {
        json_u64(j, "invariant", found.invariant);
        json_u64(j, "domain", found.domain);
        json_hex(j, "word", found.word.v);
        json_text(j, "text", found.text, sizeof(found.text));
    }
    manage_event_send(&e);
}

const char manage_not_running[] = "that VM does not run";

/* The VM that the first word of *REST names; an error is sent when there is none. */
static struct vm *find_any_vm(char **rest)
{
    char *name = manage_cut_word(rest);

    for (uint32_t i = 0; name != NULL && i < vm_count; i++) {
        if (strcmp(vm_name(&vms[i]), name) == 0) {
            return &vms[i];
        }
    }
    manage_send_error(name != NULL ? "no VM has that name" : "say which VM",
                      name != NULL ? name : "");
    return NULL;
}

struct vm *manage_find_vm(char **rest)
{
    struct vm *vm = find_any_vm(rest);

    if (vm != NULL && atomic_load(&vm->state) != VM_RUNNING) {
        manage_send_error(manage_not_running, vm_name(vm));
        return NULL;
    }
    return vm;
}

static void do_start(char *rest)
{
    struct vm *vm = find_any_vm(&rest);
    struct config_error why;

    if (vm != NULL && vm_again(vm, &why) != 0) {
        manage_send_error(why.text, vm_name(vm));
    }
}

static void do_type(char *rest)
{
    struct vm *vm = manage_find_vm(&rest);
    struct manage_event e;
    size_t taken;
    size_t len = strlen(rest);

    if (vm == NULL) {
        return;
    }
    rest[len] = '\n'; /* the text's own end has room for it */
    if (!vm_input(vm, (const uint8_t *)rest, len + 1, &taken)) {
        manage_send_error(manage_not_running, vm_name(vm));
        return;
    }
    json_u64(manage_event_begin(&e, "typed"), "taken", taken);
    manage_event_send(&e);
}

static void do_pause(char *rest)
{
    struct vm *vm = manage_find_vm(&rest);

    if (vm != NULL && !vm_pause(vm)) {
        manage_send_error(manage_not_running, vm_name(vm));
    }
}

static void do_resume(char *rest)
{
    struct vm *vm = manage_find_vm(&rest);

    int err = vm != NULL ? vm_resume(vm) : 0;

    if (err != 0) {
        manage_send_error(err == -CORDON_ELIMIT ? "as many other VMs run as there are VMIDs"
                                                : manage_not_running,
                          vm_name(vm));
    }
}

static void do_tables(char *rest)
{
    struct vm *vm = manage_find_vm(&rest);
    int err = vm != NULL ? manage_send_tables(vm) : 0;

    if (err != 0) {
        manage_send_error(err == -CORDON_ENOENT ? manage_not_running : cordon_strerror(err),
                          vm_name(vm));
    }
}

static void do_present(char *rest)
{
    struct vm *vm = manage_find_vm(&rest);
    uint64_t from = 0;

    if (vm == NULL) {
        return;
    }
    if (!manage_numbers(rest, &from, 0, 1)) {
        manage_send_error("present takes a VM, and a guest address or nothing", rest);
    } else if (!manage_send_present(report_channel(), vm, from)) {
        manage_send_error(manage_not_running, vm_name(vm));
    }
}

static void do_compact(char *rest)
{
    uint64_t want[4] = {0};
    int err = manage_numbers(rest, want, 1, 4) ? manage_compact(want) : -CORDON_EINVAL;

    if (err != 0) {
        manage_send_error("compact takes bytes, and an alignment, a boundary and a highest address",
                          rest);
    }
}

static void do_move(char *rest)
{
    struct vm *vm = manage_find_vm(&rest);
    uint64_t what[3] = {0};
    int err = vm != NULL ? -CORDON_EINVAL : 0;

    if (vm != NULL && manage_numbers(rest, what, 2, 3)) {
        err = manage_move(vm, what);
    }
    if (err == -CORDON_ENOENT) {
        manage_send_error(manage_not_running, vm_name(vm));
    } else if (err != 0) {
        manage_send_error(
            "move takes a VM, how often (at most 4096), a seed, and a length; 64 MiB in all", rest);
    }
}

static void do_blocks(char *rest)
{
    uint64_t from = 0;

    if (manage_numbers(rest, &from, 0, 1)) {
        manage_send_blocks(report_channel(), from);
    } else {
        manage_send_error("blocks takes a host address, or nothing", rest);
    }
}

/* ERR, of a command about VM, in words. */
static void send_failure(const struct vm *vm, int err)
{
    const char *why = err == -CORDON_EPERM    ? "part of its RAM is not logged: log it again"
                      : err == -CORDON_ENOENT ? manage_not_running
                                              : cordon_strerror(err);

    if (err != 0) {
        manage_send_error(why, vm_name(vm));
    }
}

static void do_log(char *rest)
{
    struct vm *vm = manage_find_vm(&rest);
    char *what = vm != NULL ? manage_cut_word(&rest) : NULL;
    uint64_t from = 0;

    if (vm == NULL) {
        return;
    }
    bool looks = what != NULL && strcmp(what, "look") == 0;

    if (what != NULL && (looks || strcmp(what, "harvest") == 0) &&
        manage_numbers(rest, &from, 0, 1)) {
        send_failure(vm, manage_harvest(report_channel(), vm, from, looks));
    } else if (what != NULL && *rest == '\0' &&
               (strcmp(what, "on") == 0 || strcmp(what, "off") == 0)) {
        send_failure(vm, manage_log(vm, what[1] == 'n'));
    } else {
        manage_send_error(
            "log takes a VM, and on, off, or harvest or look and perhaps a guest address",
            what != NULL ? what : "");
    }
}

static void do_coalesce(char *rest)
{
    struct vm *vm = manage_find_vm(&rest);

    if (vm == NULL) {
        return;
    }
    if (*rest == '\0') {
        send_failure(vm, manage_coalesce(vm));
    } else if (strcmp(rest, "on") == 0 || strcmp(rest, "off") == 0) {
        manage_coalescing(vm, rest[1] == 'n');
    } else {
        manage_send_error("coalesce takes a VM, and on, off, or nothing", rest);
    }
}

static void do_map(char *rest)
{
    struct vm *vm = manage_find_vm(&rest);

    if (vm != NULL && !manage_send_map(vm)) {
        manage_send_error(manage_not_running, vm_name(vm));
    }
}

static const struct {
    const char *name;
    void (*run)(char *rest);
} commands[] = {
    {"owners", do_owners},
    {"places", do_places},
    {"audit", do_audit},
    {"faults", do_faults},
    {"exits", do_exits},
    {"type", do_type},
    {"pause", do_pause},
    {"resume", do_resume},
    {"tables", do_tables},
    {"present", do_present},
    {"compact", do_compact},
    {"move", do_move},
    {"blocks", do_blocks},
    {"log", do_log},
    {"coalesce", do_coalesce},
    {"translate", manage_translate},
    {"map", do_map},
    {"start", do_start},
    {"memory", manage_memory},
    {"fences", manage_fences},
    {"counters", manage_counters},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void refuse_unknown(const char *name)
{
    char why[MANAGE_EVENT_BYTES / 2];
    size_t len = 0;

    for (size_t i = 0; i < COMMANDS && len < sizeof(why); i++) {
        len += (size_t)snprintf(why + len, sizeof(why) - len, "%s%s",
                                i == 0 ? "that command is not known; there are " : ", ",
                                commands[i].name);
    }
    manage_send_error(why, name);
}

static void carry_out(char *text)
{
    char *rest = text;
    char *name = manage_cut_word(&rest);

    for (size_t i = 0; name != NULL && i < COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            commands[i].run(rest);
            return;
        }
    }
    refuse_unknown(name != NULL ? name : "");
}

/* Take bytes of the frame that is coming in. True when it is whole. */
static bool take_frame(void)
{
    const size_t head = sizeof(incoming.head);

    if (incoming.have < head) {
        incoming.have += channel_receive(report_channel(), (char *)&incoming.head + incoming.have,
                                         head - incoming.have);
        if (incoming.have < head) {
            return false;
        }
    }
    if (memcmp(incoming.head.magic, "CRDN", 4) != 0 || incoming.head.type != 'C' ||
        incoming.head.len > MANAGE_COMMAND_BYTES) {
        log_line("host channel: a frame of type 0x%x, length %u (limit %u) is no command: closed",
                 incoming.head.type, incoming.head.len, MANAGE_COMMAND_BYTES);
        channel_close(report_channel());
        return false;
    }
    incoming.have += channel_receive(report_channel(), incoming.text + (incoming.have - head),
                                     head + incoming.head.len - incoming.have);
    return incoming.have == head + incoming.head.len;
}

bool manage_poll(void)
{
    if (!channel_is_open(report_channel()) || !take_frame()) {
        return false;
    }
    incoming.text[incoming.head.len] = '\0';
    incoming.have = 0;
    carry_out(incoming.text);
    return true;
}
