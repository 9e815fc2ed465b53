# Checks that run nothing of ours. `make check` is all of them.
CHECKS := check-format check-arrows check-ifdef check-length check-words check-headers check-tidy \
	check-cppcheck check-symbols check-fp check-size check-types
.PHONY: check format $(CHECKS)

check: $(CHECKS) ## format, static analysis, arrows between rooms, what the program may hold

format: $(OUT)/setup.stamp ## lay out the C files as .clang-format says
	@tools/check-format --fix

check-format check-arrows check-ifdef check-length check-words: check-%: $(OUT)/setup.stamp
	@tools/check-$*

check-headers: $(OUT)/setup.stamp $(LIBFDT)
	@tools/check-headers --cc $(CC) --cross $(CROSS)

# clang's own warnings and clang-tidy, a file at a time, again only when something changed.
TIDY_SRC := $(strip $(CORE_SRC) $(sort $(wildcard iommu/port/host/*.c)) $(VDEV_SRC) $(MODEL_SRC))
TIDY_HYP_SRC := $(filter hyp/%.c,$(HYP_SRC))
TIDY_FLAGS = -std=c11 $(filter-out -Werror,$(WARN)) $(INCLUDE)
TIDY_HOST = $(TIDY_FLAGS) -Iiommu/port/host
TIDY_HYP = $(TIDY_FLAGS) -Iiommu/port/free --target=riscv64-unknown-elf -march=rv64gc \
	-mabi=lp64d -mcmodel=medany -ffreestanding -nostdinc \
	-isystem $$(clang -print-resource-dir)/include -isystem $(PICOLIBC)/include \
	-isystem $(SYSROOT)/usr/include
PICOLIBC := /usr/lib/picolibc/riscv64-unknown-elf

check-tidy: $(TIDY_SRC:%=$(OUT)/check/tidy/%.ok) $(TIDY_HYP_SRC:%=$(OUT)/check/tidy/%.ok)
	@echo "check-tidy: $(words $^) files"

define tidy
	$(note) TIDY $<
	@mkdir -p $(@D)
	$(quiet)clang-tidy --quiet $< -- $1 $(call room_include,$<) >$@.log 2>&1 || \
		{ grep -v 'warnings\? generated' $@.log; exit 1; }
	@touch $@
endef

$(OUT)/check/tidy/hyp/%.c.ok: hyp/%.c .clang-tidy $(OUT)/hyp/obj/hyp/%.c.o
	$(call tidy,$(TIDY_HYP))

$(OUT)/check/tidy/%.c.ok: %.c .clang-tidy $(OUT)/host/obj/%.o
	$(call tidy,$(TIDY_HOST))

CPPCHECK := cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr \
	--enable=warning,performance,portability --suppress=missingIncludeSystem \
	--suppress=normalCheckLevelMaxBranches \
	--cppcheck-build-dir=$(OUT)/check/cppcheck $(INCLUDE) -Ivdev -Iiommu/port/host
check-cppcheck: $(OUT)/setup.stamp
	@mkdir -p $(OUT)/check/cppcheck
	$(if $(TIDY_SRC),$(quiet)$(CPPCHECK) $(TIDY_SRC))
	@echo "check-cppcheck: $(words $(TIDY_SRC)) files"

check-types: $(OUT)/setup.stamp
	@set -o pipefail; cd bindings/python && mypy --cache-dir $(abspath $(OUT))/check/mypy | sed 's/^/check-types: /; s/Success: //'

check-symbols: $(CORE_SRC:%=$(OUT)/hyp/obj/%.o)
	@$(if $(CORE_SRC),tools/check-symbols $(OUT)/hyp/obj/iommu --cross $(CROSS),echo "check-symbols: left out: there is no core yet")

# The checks of the linked program, once there is one.
HYP_ELF := $(if $(wildcard hyp/cordon.lds),$(OUT)/hyp/cordon.elf)
check-fp: $(HYP_ELF)
	@$(if $<,tools/check-fp $< --objects $(OUT)/hyp/obj/hyp --cross $(CROSS),echo "$@: left out: there is no hypervisor yet")

# 234 KiB of code and data: what there is, and 2 %.
check-size: $(HYP_ELF)
	@$(if $<,CROSS=$(CROSS) tools/check-size $< 240640,echo "$@: left out: there is no hypervisor yet")
