# Tests. T=NAME picks one.
UNIT_SRC := $(sort $(wildcard dma-tests/unit/test_*.c))
UNIT_SUPPORT := $(sort $(wildcard dma-tests/unit/support/*.c))
UNIT_DIR := $(OUT)/asan/unit
UNIT_ALL := $(UNIT_SRC:dma-tests/unit/%.c=$(UNIT_DIR)/%)
UNIT_RUN := $(if $(T),$(UNIT_DIR)/$(T),$(UNIT_ALL))
UNIT_CFLAGS := $(ASAN_CFLAGS) -Wno-missing-prototypes -Ivdev -Idma-tests/unit/support -Idma-tests/unit
UNIT_SUPPORT_OBJ := $(UNIT_SUPPORT:%.c=$(OUT)/asan/obj/%.o)

.PHONY: test check-unit check-qtest check-boot check-teeth
$(eval $(call flags_stamp,$(UNIT_DIR),$(CC) $(UNIT_CFLAGS)))

$(OUT)/asan/obj/dma-tests/%.o: dma-tests/%.c $(UNIT_DIR)/flags | $(OUT)/setup.stamp
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)$(CC) $(UNIT_CFLAGS) -c $< -o $@

$(UNIT_DIR)/%: $(OUT)/asan/obj/dma-tests/unit/%.o $(UNIT_SUPPORT_OBJ) $(OUT)/asan/libcordon.a
	$(note) LD $@
	@mkdir -p $(@D)
	$(quiet)$(CC) $(SANITIZE) -o $@ $^ -lcmocka

-include $(UNIT_SRC:%.c=$(OUT)/asan/obj/%.d) $(UNIT_SUPPORT_OBJ:.o=.d)

check-unit: $(UNIT_RUN) ## C unit tests, with sanitizers (T=test_x: one)
	@$(PYTHON) tools/run-unit $^
