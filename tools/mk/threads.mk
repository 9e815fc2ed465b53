# The library, the software IOMMU and the tests of threads, for ThreadSanitizer, with the host's port.
TSAN_TESTS := test_threads test_log_threads test_split_threads test_move_threads test_touch_threads \
	test_storm_threads
TSAN_SRC := $(CORE_SRC) $(MODEL_SRC) $(sort $(wildcard iommu/port/host/*.c))
TSAN_OBJ := $(TSAN_SRC:%.c=$(OUT)/tsan/obj/%.o)
TSAN_TEST_OBJ := $(TSAN_TESTS:%=$(OUT)/tsan/obj/dma-tests/unit/%.o)
# Fences it cannot follow; what they order goes through words that are stored with release.
TSAN_CFLAGS := $(BASE_CFLAGS) -O1 -fsanitize=thread -fno-omit-frame-pointer -Wno-tsan $(INCLUDE) -Ivdev \
	-Iiommu/port/host -Idma-tests/unit/support

.PHONY: check-threads
$(eval $(call flags_stamp,$(OUT)/tsan,$(CC) $(TSAN_CFLAGS)))

$(OUT)/tsan/obj/%.o: %.c $(OUT)/tsan/flags | $(OUT)/setup.stamp
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)$(CC) $(TSAN_CFLAGS) -c $< -o $@

$(TSAN_TESTS:%=$(OUT)/tsan/%): $(OUT)/tsan/%: $(OUT)/tsan/obj/dma-tests/unit/%.o $(TSAN_OBJ)
	$(note) LD $@
	$(quiet)$(CC) -fsanitize=thread -o $@ $^ -lcmocka

check-threads: $(TSAN_TESTS:%=$(OUT)/tsan/%) ## many threads on one context, under ThreadSanitizer
	@TSAN_OPTIONS="halt_on_error=1 $$TSAN_OPTIONS" $(PYTHON) tools/run-unit $^

# A part of the unit tests, unless one of them was asked for.
ifeq ($(T),)
check-unit: | check-threads
endif

-include $(TSAN_OBJ:.o=.d) $(TSAN_TEST_OBJ:.o=.d)
