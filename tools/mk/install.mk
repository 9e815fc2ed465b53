# make install: library, headers, pkg-config file and manual pages; the software IOMMU beside it.
# PREFIX= and DESTDIR= as usual.
VERSION := 0.1.0
SONAME := libcordon.so.0
MODEL_SONAME := libcordon-model.so.0
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man

$(OUT)/host/cordon.pc: iommu/cordon.pc.in tools/mk/install.mk FORCE | $(OUT)/setup.stamp
	$(note) PC $@
	@mkdir -p $(@D)
	$(quiet)sed -e 's|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|; s|@VERSION@|$(VERSION)|' $< > $@

.PHONY: install install-prefix
install-prefix:
	@case '$(PREFIX)' in /*) ;; *) echo "PREFIX=$(PREFIX) is no absolute path: the pkg-config file says it" >&2; exit 2;; esac

install: install-prefix host man $(OUT)/host/cordon.pc ## library, headers, man pages (PREFIX=/usr/local DESTDIR=)
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/cordon $(DESTDIR)$(MANDIR)
	install -m 755 $(OUT)/host/libcordon.so $(DESTDIR)$(LIBDIR)/libcordon.so.$(VERSION)
	ln -sf libcordon.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libcordon.so
	install -m 755 $(OUT)/host/libcordon-model.so $(DESTDIR)$(LIBDIR)/libcordon-model.so.$(VERSION)
	ln -sf libcordon-model.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(MODEL_SONAME)
	ln -sf $(MODEL_SONAME) $(DESTDIR)$(LIBDIR)/libcordon-model.so
	install -m 644 $(OUT)/host/libcordon.a $(OUT)/host/libcordon-model.a $(DESTDIR)$(LIBDIR)
	install -m 644 vdev/model/cordon_model.h vdev/model/cordon_sg.h $(DESTDIR)$(INCLUDEDIR)
	install -m 644 $(OUT)/host/cordon.pc $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 644 iommu/include/cordon/*.h $(DESTDIR)$(INCLUDEDIR)/cordon
	cp -R $(OUT)/man/. $(DESTDIR)$(MANDIR)
