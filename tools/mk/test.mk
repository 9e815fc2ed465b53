# Tests. T=NAME picks one.
UNIT_SRC := $(sort $(wildcard dma-tests/unit/test_*.c))
UNIT_SUPPORT := $(sort $(wildcard dma-tests/unit/support/*.c))
UNIT_DIR := $(OUT)/asan/unit
UNIT_ALL := $(UNIT_SRC:dma-tests/unit/%.c=$(UNIT_DIR)/%)
UNIT_RUN := $(if $(T),$(UNIT_DIR)/$(T),$(UNIT_ALL))
# What T= may name, where it names a file: $(call known,PROGRAMS).
known = $(if $(filter $(T),$(notdir $(1))),,$(error T=$(T): there is none of that name; there are $(sort $(notdir $(1)))))
ifneq ($(and $(T),$(filter check-unit,$(MAKECMDGOALS))),)
$(call known,$(UNIT_ALL))
endif
UNIT_CFLAGS := $(ASAN_CFLAGS) -Wno-missing-prototypes -Ivdev -Idma-tests/unit/support -Idma-tests/unit -Idma-tests/dpdk
UNIT_SUPPORT_OBJ := $(UNIT_SUPPORT:%.c=$(OUT)/asan/obj/%.o)

.PHONY: test bench bench-library bench-memory run check-unit check-house check-python check-qtest check-boot check-teeth
$(eval $(call flags_stamp,$(UNIT_DIR),$(CC) $(UNIT_CFLAGS)))

$(OUT)/asan/obj/dma-tests/%.o: dma-tests/%.c $(UNIT_DIR)/flags | $(OUT)/setup.stamp
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)$(CC) $(UNIT_CFLAGS) -c $< -o $@

$(UNIT_DIR)/%: $(OUT)/asan/obj/dma-tests/unit/%.o $(UNIT_SUPPORT_OBJ) $(OUT)/asan/libcordon.a
	$(note) LD $@
	@mkdir -p $(@D)
	$(quiet)$(CC) $(SANITIZE) -o $@ -Wl,--start-group $^ $(UNIT_LIBS) -Wl,--end-group -lcmocka

$(UNIT_DIR)/test_pattern: $(OUT)/asan/obj/dma-tests/dpdk/lib/pattern.o
$(UNIT_DIR)/test_sg_shape: $(OUT)/asan/obj/dma-tests/dpdk/lib/shape.o
$(UNIT_DIR)/test_sg_stall: $(OUT)/asan/obj/dma-tests/dpdk/lib/stall.o

-include $(UNIT_SRC:%.c=$(OUT)/asan/obj/%.d) $(UNIT_SUPPORT_OBJ:.o=.d)

check-unit: $(UNIT_RUN) | $(OUT)/setup.stamp ## C unit tests, with sanitizers (T=test_x: one)
	@$(PYTHON) tools/run-unit $^

# Python tests: T=NAME is pytest's -k.
PYTEST = PYTHON=$(PYTHON) tools/run-pytest
PYTEST_PICK = $(if $(T),-k '$(T)')

check-house: guest host ## the tools' own tests: each check is fed a planted fault
	@$(PYTEST) dma-tests/house $(PYTEST_PICK)

check-python: host ## the Python package's own tests
	@$(PYTEST) bindings/python $(PYTEST_PICK)

check-qtest: host ## the C driver against QEMU's IOMMU and devices, without any guest
	@$(PYTEST) dma-tests/qtest $(PYTEST_PICK)

check-boot: bench-parts ## boots of the whole machine in QEMU
	@$(PYTEST) dma-tests/boot $(PYTEST_PICK)

check-teeth: host hyp guest dpdk $(UNIT_ALL) ## each planted fault must be caught by the test that its line names
	@$(PYTHON) tools/teeth $(if $(JSON),--json '$(JSON)') $(T)

# Called by make test; each prints its own time.
TEST_PHASES := check-unit check-config check-fuzz check-house check-python check-sanitized test-dpdk-host check-qtest check-boot check-dpdk
# It builds through makes of its own, so whatever else was asked for comes before it.
test: | $(OUT)/setup.stamp $(if $(filter test,$(MAKECMDGOALS)),$(filter-out test,$(MAKECMDGOALS))) ## all tests, with the time of each
	@MAKE='$(MAKE)' tools/phases "make test" $(TEST_PHASES)

# Benchmarks: C programs over the library of this machine, and what the guests of others boot.
BENCH_SRC := $(sort $(wildcard dma-tests/bench/bench_*.c))
BENCH_PROG := $(BENCH_SRC:dma-tests/bench/%.c=$(OUT)/bench/%)
BENCH_GUEST := dma-tests/bench/guest

BENCH_LIBS := $(OUT)/host/libcordon.a $(OUT)/host/libcordon-model.a

$(OUT)/bench/bench_%: dma-tests/bench/bench_%.c $(BENCH_LIBS) $(OUT)/host/flags
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)$(CC) $(HOST_CFLAGS) -Ivdev -o $@ $< $(BENCH_LIBS)

BENCH_INIT := $(wildcard $(BENCH_GUEST)/*.c)

$(OUT)/bench/init: $(BENCH_INIT) $(wildcard $(BENCH_GUEST)/*.h) $(GUEST)/bin/flags | $(OUT)/setup.stamp
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)$(GUEST_CROSS)gcc $(GUEST_CFLAGS) $(BENCH_INIT) -o $@

$(OUT)/bench/initramfs.cpio.gz: $(OUT)/bench/init $(BENCH_GUEST)/initramfs.list $(BENCH_GUEST)/modules.txt \
		$(GUEST)/kernel.stamp tools/guest/make-initramfs
	$(note) CPIO $@
	$(quiet)$(PYTHON) tools/guest/make-initramfs --list $(BENCH_GUEST)/initramfs.list --output $@ \
		--modules $(GUEST)/kernel/usr/lib/modules/* --module-list $(BENCH_GUEST)/modules.txt \
		--add /init=$(OUT)/bench/init

-include $(BENCH_PROG:%=%.d)

.PHONY: bench-parts
bench-parts: host hyp guest $(BENCH_PROG) $(OUT)/bench/initramfs.cpio.gz

# JSON=FILE writes what was found; QUICK=1 is short; 0 and nothing are off.
on = $(filter-out 0 no false,$(1))
WITH = $(if $(JSON),--json '$(JSON)') $(if $(call on,$(QUICK)),--quick)

bench: bench-parts ## benchmarks: figures, ratios, GOAL met or missed (BENCH='--strict exits' QUICK=1 JSON=FILE)
	@$(PYTHON) tools/bench $(WITH) $(BENCH)

bench-library: host $(BENCH_PROG) ## benchmarks of the library, its model and its Python package (BENCH='tables model')
	@$(PYTHON) tools/bench --library $(WITH) $(BENCH)

bench-memory: bench-parts ## benchmarks of memory virtualization (BENCH='nested touch')
	@$(PYTHON) tools/bench --memory $(WITH) $(BENCH)

# CONTROL=no-iommu or open-view lets the rogue loose.
RUN_WITH = $(if $(CONTROL),--control '$(CONTROL)') $(if $(call on,$(INTERACTIVE)),--interactive) $(WITH)
run: host hyp guest ## the story: two guests, real devices, a rogue that stays confined (CONTROL= INTERACTIVE=1 JSON=)
	@$(PYTHON) tools/run $(RUN_WITH)

include tools/mk/judged.mk
