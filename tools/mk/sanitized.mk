# The libraries that Python loads, with sanitizers: its tests run on them, too.
SANITIZED := $(OUT)/sanitized
SANITIZED_CFLAGS = $(HOST_CFLAGS) -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SANITIZED_LIBS := $(SANITIZED)/libcordon.so $(SANITIZED)/libcordon-model.so
$(eval $(call flags_stamp,$(SANITIZED),$(CC) $(SANITIZED_CFLAGS)))

$(SANITIZED)/obj/%.o: %.c $(SANITIZED)/flags | $(OUT)/setup.stamp
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)$(CC) $(SANITIZED_CFLAGS) $(call room_include,$<) -c $< -o $@

$(SANITIZED)/libcordon.so: $(HOST_SRC:%.c=$(SANITIZED)/obj/%.o)
$(SANITIZED)/libcordon-model.so: $(MODEL_SRC:%.c=$(SANITIZED)/obj/%.o)
$(SANITIZED_LIBS):
	$(note) LD $@
	$(quiet)$(CC) -shared -fsanitize=address,undefined -o $@ $^

-include $(HOST_SRC:%.c=$(SANITIZED)/obj/%.d) $(MODEL_SRC:%.c=$(SANITIZED)/obj/%.d)

# Python itself is not built with them: the runtime comes first, and what Python leaks is its own.
.PHONY: check-sanitized
check-sanitized: $(SANITIZED_LIBS) ## the Python package's tests on libraries with sanitizers (T=)
	@ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0 LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
		CORDON_LIB=$(abspath $(SANITIZED)/libcordon.so) CORDON_MODEL_LIB=$(abspath $(SANITIZED)/libcordon-model.so) \
		$(PYTEST) bindings/python $(PYTEST_PICK)
