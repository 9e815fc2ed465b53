/* Where an address of a guest leads: see translate.h. */
#include "manage/translate.h"

#include <string.h>

#include "core/csr.h"
#include "core/machine.h"
#include "manage/manage.h"
#include "manage/words.h"
#include "vm/report.h"

#define ANSWER_BYTES 3072u /* five words of each stage, whatever they hold, and the rest */

/* What a hart knows of its vCPU. */
struct teller {
    const struct vcpu *vcpu;
    struct vcpu_question question;
    const char *state;
    struct cordon_gva_ask ask;
    struct cordon_gva_walk walk;
};

/* ---- the answer ----------------------------------------------------------------------------- */

static void tell_guest_words(struct json *j, const struct cordon_gva_walk *w)
{
    json_array(j, "steps");
    for (uint32_t i = 0; i < w->step_count; i++) {
        const struct cordon_gva_step *s = &w->step[i];

        json_object(j, NULL);
        json_u64(j, "level", s->level);
        json_u64(j, "index", s->index);
        json_hex(j, "gpa", s->gpa.v);
        json_hex(j, "hpa", s->hpa.v);
        json_hex(j, "hva", s->hva);
        json_hex(j, "value", s->value);
        json_object_end(j);
    }
    json_array_end(j);
}

static void tell_gstage(struct json *j, const struct cordon_walk *w)
{
    json_object(j, "gstage");
    json_u64(j, "mode", w->mode);
    json_hex(j, "root", w->root.v);
    json_u64(j, "end", w->end);
    json_array(j, "steps");
    for (uint32_t i = 0; i < w->step_count; i++) {
        json_object(j, NULL);
        json_u64(j, "level", w->step[i].level);
        json_u64(j, "index", w->step[i].index);
        json_hex(j, "word", w->step[i].word.v);
        json_hex(j, "value", w->step[i].value);
        json_object_end(j);
    }
    json_array_end(j);
    if (w->hit.span != 0) {
        json_hex(j, "hpa", w->hit.hpa.v);
        json_u64(j, "perms", w->hit.perms);
    }
    json_object_end(j);
}

/* What the map was asked last, and said. */
static void tell_map(struct json *j, const struct vm *vm, const struct cordon_gva_walk *w)
{
    json_hex(j, "gpa", w->gpa.v);
    json_u64(j, "map", w->map);
    json_text(j, "map_name", cordon_gpa_end_name(w->map), SIZE_MAX);
    json_bool(j, "emulated", w->map == CORDON_GPA_HOLE && vbus_find(&vm->bus, w->gpa, 1) != NULL);
    if (w->region.len != 0) {
        json_object(j, "region");
        json_hex(j, "gpa", w->region.gpa.v);
        json_hex(j, "len", w->region.len);
        json_u64(j, "perms", w->region.perms);
        json_u64(j, "flags", w->region.flags);
        json_object_end(j);
    }
    tell_gstage(j, &w->gstage);
}

static void tell(const struct teller *t)
{
    const struct cordon_gva_walk *w = &t->walk;
    char text[ANSWER_BYTES];
    struct json j;

    json_begin(&j, text, sizeof(text));
    json_object(&j, NULL);
    json_text(&j, "event", "translated", SIZE_MAX);
    json_text(&j, "vm", vm_name(t->vcpu->vm), VM_NAME_BYTES);
    json_u64(&j, "vcpu", t->vcpu->id);
    json_text(&j, "state", t->state, SIZE_MAX);
    json_hex(&j, "gva", t->ask.gva.v);
    json_u64(&j, "access", t->ask.access);
    json_u64(&j, "flags", t->ask.flags);
    json_hex(&j, "vsatp", t->ask.satp);
    json_u64(&j, "end", w->end);
    json_text(&j, "end_name", cordon_gva_end_name(w->end), SIZE_MAX);
    json_u64(&j, "cause", w->cause);
    json_u64(&j, "marks", w->marks);
    json_u64(&j, "perms", w->perms);
    json_hex(&j, "span", w->span);
    tell_guest_words(&j, w);
    if (w->gstage.size != 0) {
        tell_map(&j, t->vcpu->vm, w);
    }
    if (w->end == CORDON_GVA_LEADS) {
        json_hex(&j, "hpa", w->gstage.hit.hpa.v);
    }
    if (w->hva != 0) {
        json_hex(&j, "hva", w->hva);
    }
    channel_send_json(report_channel(), &j);
}

/* ---- the walk ------------------------------------------------------------------------------- */

/* Take the question away from VCPU, whose next one may come at once. */
static struct teller begin(struct vcpu *vcpu, const char *state)
{
    struct teller t = {.vcpu = vcpu, .question = vcpu->question, .state = state};

    t.ask = (struct cordon_gva_ask){
        .size = sizeof(t.ask), .gva = cordon_gva_make(t.question.gva), .access = t.question.access};
    t.walk.size = sizeof(t.walk);
    atomic_store(&vcpu->question_open, 0);
    return t;
}

static void walk(struct teller *t)
{
    int err = cordon_walk_guest(t->vcpu->vm->domain, &t->ask, &t->walk);

    cordon_assert(err == 0);
}

/* What decides, besides the tables, on any hart that runs guests. */
static uint32_t hart_flags(uint64_t henvcfg)
{
    return (henvcfg & HENVCFG_ADUE ? CORDON_GVA_ADUE : 0) |
           (henvcfg & HENVCFG_PBMTE ? CORDON_GVA_PBMT : 0) |
           (machine_isa_has("svnapot") ? CORDON_GVA_NAPOT : 0);
}

static uint32_t vcpu_flags(enum vcpu_who who)
{
    uint64_t vsstatus = csr_read(CSR_VSSTATUS);
    bool user =
        who == VCPU_WHO_NOW ? (csr_read(CSR_SSTATUS) & SSTATUS_SPP) == 0 : who == VCPU_WHO_USER;

    return hart_flags(csr_read(CSR_HENVCFG)) | (user ? CORDON_GVA_AS_USER : 0) |
           (vsstatus & SSTATUS_SUM ? CORDON_GVA_SUM : 0) |
           (vsstatus & SSTATUS_MXR ? CORDON_GVA_MXR : 0);
}

void manage_tell_running(struct vcpu *vcpu)
{
    bool paused = atomic_load(&vcpu->vm->paused);
    struct teller t = begin(vcpu, paused ? "paused" : "running");

    t.ask.satp = vcpu->inside ? csr_read(CSR_VSATP) : vcpu->vsatp;
    t.ask.flags = vcpu_flags(t.question.who);
    walk(&t);
    tell(&t);
}

/* What a stopped vCPU would start with: no translation [SBI 9.1]. */
static void answer_stopped(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    struct teller t = begin(vcpu, "stopped");

    if (!vm_hold(vm)) {
        manage_send_error(manage_not_running, vm_name(vm));
        return;
    }
    walk(&t);
    vm_let_go(vm);
    tell(&t);
}

void manage_tell_stopped(struct vcpu *vcpu)
{
    if ((atomic_fetch_and(&vcpu->requests, ~VCPU_REQUEST_TELL) & VCPU_REQUEST_TELL) != 0) {
        answer_stopped(vcpu);
    }
}

/* ---- the command ---------------------------------------------------------------------------- */

/* R, W, X, or - for none of them. */
static bool read_access(const char *word, uint32_t *out)
{
    static const char letters[] = "-rw.x"; /* at the value of the access */
    const char *at = word[0] != '.' ? strchr(letters, word[0]) : NULL;

    if (word[0] == '\0' || word[1] != '\0' || at == NULL) {
        return false;
    }
    *out = (uint32_t)(at - letters);
    return true;
}

static bool read_who(const char *word, enum vcpu_who *out)
{
    *out = strcmp(word, "user") == 0 ? VCPU_WHO_USER : VCPU_WHO_SUPERVISOR;
    return *out == VCPU_WHO_USER || strcmp(word, "supervisor") == 0;
}

/* The question of REST, behind the VM's name; null and OUT filled in, or what is wrong with it. */
static const char *read_question(struct vm *vm, char *rest, uint32_t *vcpu,
                                 struct vcpu_question *out)
{
    char *vcpu_word = manage_cut_word(&rest);
    char *gva_word = manage_cut_word(&rest);
    char *access_word = manage_cut_word(&rest);
    char *who_word = manage_cut_word(&rest);
    uint64_t number;

    *out = (struct vcpu_question){.who = VCPU_WHO_NOW};
    if (vcpu_word == NULL || !manage_numbers(vcpu_word, &number, 1, 1) ||
        number >= vm->config->vcpus) {
        return "that VM has no such vCPU";
    }
    *vcpu = (uint32_t)number;
    if (gva_word == NULL || !manage_numbers(gva_word, &out->gva, 1, 1)) {
        return "translate takes a virtual address behind the vCPU";
    }
    if (access_word != NULL && !read_access(access_word, &out->access)) {
        return "an access is r, w, x or -";
    }
    if ((who_word != NULL && !read_who(who_word, &out->who)) || *rest != '\0') {
        return "who asks is user or supervisor, or nothing: as the vCPU stands";
    }
    return NULL;
}

void manage_translate(char *rest)
{
    struct vm *vm = manage_find_vm(&rest);
    struct vcpu_question question;
    struct vcpu *vcpu;
    uint32_t id;

    if (vm == NULL) {
        return;
    }
    const char *why = read_question(vm, rest, &id, &question);

    if (why != NULL) {
        manage_send_error(why, vm_name(vm));
        return;
    }
    vcpu = &vm->vcpu[id];
    if (atomic_exchange(&vcpu->question_open, 1) != 0) {
        manage_send_error("that vCPU has not answered the question before", vm_name(vm));
        return;
    }
    vcpu->question = question;
    vcpu_request(vcpu, VCPU_REQUEST_TELL);
    if (atomic_load(&vcpu->state) == VCPU_STOPPED) {
        manage_tell_stopped(vcpu); /* if it stops later, its hart sees the request */
    }
}
