# libcordon for the host: out/host (what Python loads) and out/asan (what unit tests link:
# the recording port, with sanitizers).
HOST_SRC := $(CORE_SRC) $(VDEV_SRC) $(sort $(wildcard iommu/port/host/*.c))
ASAN_SRC := $(CORE_SRC) $(VDEV_SRC) $(MODEL_SRC) $(sort $(wildcard iommu/port/record/*.c))
HOST_OBJ := $(HOST_SRC:%.c=$(OUT)/host/obj/%.o)
MODEL_OBJ := $(MODEL_SRC:%.c=$(OUT)/host/obj/%.o)
ASAN_OBJ := $(ASAN_SRC:%.c=$(OUT)/asan/obj/%.o)

HOST_CFLAGS := $(BASE_CFLAGS) -O2 -fPIC -fvisibility=hidden $(INCLUDE) -Iiommu/port/host
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ASAN_CFLAGS := $(BASE_CFLAGS) -O1 $(SANITIZE) $(INCLUDE) -Iiommu/port/record

.PHONY: host
host: $(OUT)/host/libcordon.so $(OUT)/host/libcordon.a $(OUT)/host/libcordon-model.so $(OUT)/host/libcordon-model.a | $(OUT)/setup.stamp ## libcordon and the software IOMMU for this machine

$(eval $(call flags_stamp,$(OUT)/host,$(CC) $(HOST_CFLAGS)))
$(eval $(call flags_stamp,$(OUT)/asan,$(CC) $(ASAN_CFLAGS)))

$(OUT)/host/obj/%.o: %.c $(OUT)/host/flags | $(OUT)/setup.stamp
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)$(CC) $(HOST_CFLAGS) $(call room_include,$<) -c $< -o $@

$(OUT)/asan/obj/%.o: %.c $(OUT)/asan/flags | $(OUT)/setup.stamp
	$(note) CC $@
	@mkdir -p $(@D)
	$(quiet)$(CC) $(ASAN_CFLAGS) $(call room_include,$<) -c $< -o $@

$(OUT)/host/libcordon.so: $(HOST_OBJ) iommu/libcordon.map tools/mk/install.mk
	$(note) LD $@
	$(quiet)$(CC) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=iommu/libcordon.map \
		-Wl,-z,defs -Wl,-z,relro,-z,now -o $@ $(HOST_OBJ)

# The software IOMMU judges libcordon, so it is a library of its own.
$(OUT)/host/libcordon-model.so: $(MODEL_OBJ)
	$(note) LD $@
	$(quiet)$(CC) -shared -Wl,-soname,libcordon-model.so.0 -Wl,-z,defs -Wl,-z,relro,-z,now -o $@ $^

$(OUT)/host/libcordon.a: $(HOST_OBJ)
$(OUT)/host/libcordon-model.a: $(MODEL_OBJ)
$(OUT)/asan/libcordon.a: $(ASAN_OBJ)
$(OUT)/host/libcordon.a $(OUT)/host/libcordon-model.a $(OUT)/asan/libcordon.a:
	$(note) AR $@
	@mkdir -p $(@D); rm -f $@
	$(quiet)ar rcs $@ $^

-include $(HOST_OBJ:.o=.d) $(MODEL_OBJ:.o=.d) $(ASAN_OBJ:.o=.d)

include tools/mk/threads.mk
