# hyp/config on this machine: the bundle's parser and the guest's device tree, for tests,
# for comparison with tools/bundle, and for fuzzing.
CONFIG_SRC := $(sort $(wildcard hyp/config/*.c))
CONFIG_OBJ := $(CONFIG_SRC:%.c=$(OUT)/asan/obj/%.o)
CONFIG_LIB := $(OUT)/asan/libconfig.a
CONFIG_UNIT := $(filter $(UNIT_DIR)/test_bundle% $(UNIT_DIR)/test_guest_dt%,$(UNIT_ALL))

$(CONFIG_LIB): $(CONFIG_OBJ)
	$(note) AR $@
	@mkdir -p $(@D); rm -f $@
	$(quiet)ar rcs $@ $^

# Their tests see hyp/ too, and link it and libfdt.
$(CONFIG_UNIT:$(UNIT_DIR)/%=$(OUT)/asan/obj/dma-tests/unit/%.o): UNIT_CFLAGS += -Ihyp
$(CONFIG_UNIT): UNIT_LIBS := $(CONFIG_LIB) -lfdt
$(CONFIG_UNIT): $(CONFIG_LIB)

-include $(CONFIG_OBJ:.o=.d)

# Programs of dma-tests/config: the C side of what tools/bundle and dtc are held against.
CONFIG_PROG_SRC := $(sort $(wildcard dma-tests/config/*.c))
CONFIG_PROG := $(CONFIG_PROG_SRC:dma-tests/config/%.c=$(OUT)/asan/config/%)
$(CONFIG_PROG_SRC:%.c=$(OUT)/asan/obj/%.o): UNIT_CFLAGS += -Ihyp

$(OUT)/asan/config/%: $(OUT)/asan/obj/dma-tests/config/%.o $(CONFIG_LIB) $(OUT)/asan/libcordon.a
	$(note) LD $@
	@mkdir -p $(@D)
	$(quiet)$(CC) $(SANITIZE) -o $@ $^ -lfdt

-include $(CONFIG_PROG_SRC:%.c=$(OUT)/asan/obj/%.d)

.PHONY: check-config
check-config: $(CONFIG_PROG) | $(OUT)/setup.stamp ## bundles: the hypervisor's parser and tools/bundle must agree
	@CONFIG_PROGRAMS=$(OUT)/asan/config $(PYTEST) dma-tests/config $(PYTEST_PICK)

# Bundles: $(OUT)/bundle/NAME.itb from tools/NAME/NAME.toml.
BUNDLE_TOOL := tools/bundle $(wildcard tools/lib/bundle_*.py) hyp/config/vm_config.h
$(OUT)/bundle/story.itb: tools/story/story.toml $(GUEST)/Image $(GUEST)/initramfs.cpio.gz $(BUNDLE_TOOL)
	$(note) BUNDLE $@
	@mkdir -p $(@D)
	$(quiet)$(PYTHON) tools/bundle make $< -o $@ >$@.log || { cat $@.log; exit 1; }

# Fuzz targets: dma-tests/fuzz/NAME_fuzz.c, with clang's libFuzzer. FUZZ_SECONDS each; what was
# found interesting is kept in $(OUT)/fuzz/corpus, and a later run goes on from there.
FUZZ_SECONDS ?= 10
FUZZ_SRC := $(sort $(wildcard dma-tests/fuzz/*_fuzz.c))
FUZZ_PROG := $(FUZZ_SRC:dma-tests/fuzz/%_fuzz.c=$(OUT)/fuzz/bin/%)
FUZZ_MODELS := vdev/uart/uart.c vdev/aplic/aplic.c $(CONFIG_SRC)
FUZZ_OBJ := $(FUZZ_MODELS:%.c=$(OUT)/fuzz/obj/%.o) $(OUT)/fuzz/obj/dma-tests/fuzz/panic.o
FUZZ_FLAGS := -std=gnu11 -g -O1 $(filter-out -Werror,$(WARN)) -MMD -MP -Iiommu/include -Ivdev -Ihyp \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZ_SEEDS := $(wildcard dma-tests/config/*.py) dma-tests/fuzz/bundle_seeds.py $(BUNDLE_TOOL)

$(eval $(call flags_stamp,$(OUT)/fuzz,clang $(FUZZ_FLAGS)))

$(OUT)/fuzz/obj/%.o: %.c $(OUT)/fuzz/flags | $(OUT)/setup.stamp
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)clang $(FUZZ_FLAGS) -c $< -o $@

$(OUT)/fuzz/bin/%: $(OUT)/fuzz/obj/dma-tests/fuzz/%_fuzz.o $(FUZZ_OBJ)
	$(note) LD $@
	@mkdir -p $(@D)
	$(quiet)clang -fsanitize=fuzzer,address,undefined -o $@ $^ -lfdt

# The PCI targets also link the room they are about, the model of a bus, and a judge.
FUZZ_PCI := vdev/bus/bus.c $(sort $(wildcard vdev/pci/*.c)) dma-tests/fuzz/pci_world.c \
	dma-tests/unit/support/fake_pci.c dma-tests/unit/support/fake_pci_build.c
FUZZ_PCI_OBJ := $(FUZZ_PCI:%.c=$(OUT)/fuzz/obj/%.o)
$(OUT)/fuzz/bin/pci_config $(OUT)/fuzz/bin/pci_machine: $(FUZZ_PCI_OBJ)

# The targets of guests' tables and of public calls link the core with the host's port.
FUZZ_CORE := $(CORE_SRC) $(sort $(wildcard iommu/port/host/*.c))
FUZZ_CORE_OBJ := $(FUZZ_CORE:%.c=$(OUT)/fuzz/obj/%.o)
FUZZ_CALLS := $(MODEL_SRC) dma-tests/fuzz/calls_space.c dma-tests/fuzz/calls_world.c
FUZZ_CALLS_OBJ := $(FUZZ_CALLS:%.c=$(OUT)/fuzz/obj/%.o)
$(FUZZ_CORE_OBJ): FUZZ_FLAGS += -Iiommu -Iiommu/port/host
$(OUT)/fuzz/bin/calls: $(FUZZ_CALLS_OBJ)
$(OUT)/fuzz/bin/gva $(OUT)/fuzz/bin/calls: $(OUT)/fuzz/bin/%: $(OUT)/fuzz/obj/dma-tests/fuzz/%_fuzz.o $(FUZZ_CORE_OBJ)
	$(note) LD $@
	@mkdir -p $(@D)
	$(quiet)clang -fsanitize=fuzzer,address,undefined -o $@ $^

$(OUT)/fuzz/seeds.stamp: $(FUZZ_SEEDS) | $(OUT)/setup.stamp
	$(quiet)$(PYTHON) dma-tests/fuzz/bundle_seeds.py $(OUT)/fuzz/seeds/bundle $(OUT)/fuzz/seeds/bundle_dtb
	@touch $@

-include $(FUZZ_OBJ:.o=.d) $(FUZZ_PCI_OBJ:.o=.d) $(FUZZ_CORE_OBJ:.o=.d) $(FUZZ_CALLS_OBJ:.o=.d) $(FUZZ_SRC:%.c=$(OUT)/fuzz/obj/%.d)

.PHONY: check-fuzz
ifneq ($(and $(T),$(filter check-fuzz,$(MAKECMDGOALS))),)
$(call known,$(FUZZ_PROG))
endif
check-fuzz: $(FUZZ_PROG) $(OUT)/fuzz/seeds.stamp ## each fuzz target for FUZZ_SECONDS (default 10; T=one of them)
	@tools/run-fuzz --seconds $(FUZZ_SECONDS) --folder $(OUT)/fuzz $(if $(T),$(OUT)/fuzz/bin/$(T),$(FUZZ_PROG))
