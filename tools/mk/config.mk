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
