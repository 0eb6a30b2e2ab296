# make                 build/fumehood          make check      every test but the slow suites
# make V=asan check    the same, sanitized     make lint       format, tidy, rooms, headers, sizes
# make demo            the main job, shown     make help       all targets
#
# One non-recursive Makefile. The only self-calls are those that install what is missing first and
# so must read the package configuration afterwards, and `fuzz`, which is a variant of its own.
V       ?= release
B       := build/$(V)
CC      ?= cc
PREFIX  ?= /usr/local
VERSION := 0.1.0
PYTHON  := /usr/bin/python3
FUZZ_SECONDS ?= 60
MUST_RUN ?=
JOBS    := $(shell getconf _NPROCESSORS_ONLN)
MAKEFLAGS += --no-builtin-rules
# one word and a name per command; VERBOSE=1 shows the commands
Q       := $(if $(VERBOSE),,@)

PKGS    := libcjson libseccomp sqlite3 libsodium libnghttp2 mbedtls mbedx509 mbedcrypto
# what `make deps` had to build comes before the system's
PKG_CONFIG := PKG_CONFIG_PATH=$(CURDIR)/build/deps/lib/pkgconfig:$$PKG_CONFIG_PATH pkg-config
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null)

WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
           -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Wnull-dereference \
           -Wimplicit-fallthrough -Wwrite-strings -Wcast-qual -Werror
HARD    := -fstack-protector-strong -fstack-clash-protection -fcf-protection
BASEFL  := -std=c17 -D_GNU_SOURCE -I. -include sandbox/base/banned.h -MMD -MP \
           -DFUMEHOOD_VERSION='"$(VERSION)"'
V_release := -O2 -g -D_FORTIFY_SOURCE=2 $(HARD) -fPIE
V_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
             -fno-omit-frame-pointer -fPIE
V_cov     := -O0 -g --coverage -fPIE
# gcc judges the warnings; clang's -Wconversion is another one
V_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
             -fno-omit-frame-pointer -w
L_release := -pie -Wl,-z,relro,-z,now,-z,noexecstack
L_asan    := -pie -fsanitize=address,undefined
L_cov     := -pie --coverage
L_fuzz    := -fsanitize=fuzzer,address,undefined
GUEST_CC := $(CC)
ifeq ($(V),fuzz)
CC := clang
endif
CFLAGS_ALL  = $(BASEFL) $(WARN) $(V_$(V)) $(PKG_CFLAGS)
LDFLAGS_ALL = $(L_$(V))

# the guest: static, alone, the same in every variant; it runs where nothing may be trusted
GUESTFL := $(BASEFL) $(WARN) -Os -g $(HARD) -static -ffunction-sections -Wl,--gc-sections \
           -Wl,-z,relro,-z,noexecstack
GUESTSRC := $(filter-out $(addprefix sandbox/guest/,cell.c ahead.c line.c),$(sort $(wildcard sandbox/guest/*.c))) \
            $(addprefix sandbox/base/,mem.c sv.c err.c fd.c ipc.c buf.c landlock.c slice.c)
# what is preloaded into an interpreter to make it a zygote: it brings no C library, it takes the one that is there
CELLFL  := $(BASEFL) $(WARN) -Os -g $(HARD) -fPIC -shared -nostdlib -fvisibility=hidden -ffunction-sections \
           -fdata-sections -Wl,--gc-sections,-z,relro,-z,now,-z,noexecstack
CELLSRC := $(addprefix sandbox/guest/,cell.c line.c rehearse.c serve.c confine.c frame.c frame_cell.c tell.c) \
           $(addprefix sandbox/base/,mem.c sv.c err.c fd.c ipc.c buf.c landlock.c)
# and into one that is to wait for its program
AHEADSRC := $(addprefix sandbox/guest/,ahead.c line.c) $(addprefix sandbox/base/,mem.c sv.c err.c fd.c buf.c)

SRC     := $(sort $(shell find mcp tools sandbox -name '*.c' -not -path 'sandbox/guest/*')) \
           sandbox/guest/frame.c sandbox/guest/frame_cell.c schemas/rows.c
HDR     := $(sort $(shell find mcp tools sandbox -name '*.h'))
OBJ     := $(SRC:%.c=$(B)/%.o) $(B)/gen/schemas.o $(B)/gen/runtimes.o $(B)/guest_blob.o $(B)/cell_blob.o $(B)/ahead_blob.o $(B)/drivers_blob.o
LIBOBJ  := $(filter-out $(B)/mcp/main.o,$(OBJ))
UNITSRC := $(sort $(shell find tests/unit -name 't_*.c'))
UNIT    := $(UNITSRC:%.c=$(B)/%)
FUZZ    := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/fuzz/f_*.c)))
SCHEMAS := $(sort $(wildcard schemas/*.json))
# every C file of ours, for the checks that read sources
CFILES  := $(sort $(shell find mcp tools sandbox schemas tests -name '*.c' -not -path '*/node_modules/*'))
HFILES  := $(HDR) $(sort $(wildcard schemas/*.h) $(shell find tests -name '*.h' -not -path '*/node_modules/*'))
SHFILES := $(sort $(shell find .ci tests examples -name '*.sh' -not -path '*/node_modules/*')) .ci/run

ifeq ($(V),release)
BIN := build/fumehood
else
BIN := $(B)/fumehood
endif

all: $(BIN)

$(BIN): $(OBJ)
	@echo "  link   $@"
	$(Q)$(CC) $(LDFLAGS) $(LDFLAGS_ALL) -o $@ $(OBJ) $(PKG_LIBS)

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  cc     $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS_ALL) $(CFLAGS) -c -o $@ $<

# the first thing any build needs: said here, rather than by the compiler about a header
libraries:
	@$(PKG_CONFIG) --exists '$(PKGS:mbedtls=mbedtls >= 3.6)' 2>/dev/null || \
		{ echo "a library is missing or too old; to get them: make deps" >&2; exit 1; }

# schemas/*.json are the truth; schemas/gen.c turns them into C
build/gen/gen: schemas/gen.c schemas/rows.c schemas/rows.h sandbox/policy/policy.h | libraries
	@mkdir -p $(@D)
	@echo "  cc     $<"
	$(Q)$(GUEST_CC) -std=c17 -D_GNU_SOURCE -I. -Wall -Wextra -O1 $(PKG_CFLAGS) -o $@ schemas/gen.c schemas/rows.c \
		$(PKG_LIBS)
build/gen/schemas.c build/gen/runtimes.c: build/gen/%.c: build/gen/gen $(SCHEMAS)
	@echo "  gen    $@"
	$(Q)build/gen/gen $* $(SCHEMAS) > $@.tmp && mv $@.tmp $@
$(B)/gen/%.o: build/gen/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(CFLAGS) -c -o $@ $<

build/guest: $(GUESTSRC) $(wildcard sandbox/guest/*.h sandbox/base/*.h) Makefile
	@mkdir -p $(@D)
	@echo "  cc     $@"
	$(Q)$(GUEST_CC) $(filter-out -MMD -MP,$(GUESTFL)) -o $@.dbg $(GUESTSRC)
	$(Q)strip -o $@ $@.dbg

build/cell.so: $(CELLSRC)
build/ahead.so: $(AHEADSRC)
build/cell.so build/ahead.so: $(wildcard sandbox/guest/*.h sandbox/base/*.h) Makefile
	@mkdir -p $(@D)
	@echo "  cc     $@"
	$(Q)$(GUEST_CC) $(filter-out -MMD -MP,$(CELLFL)) -o $@.dbg $(filter %.c,$^)
	$(Q)strip -o $@ $@.dbg

# each as bytes between NAME_blob and NAME_blob_end
$(B)/guest_blob.o: build/guest
$(B)/cell_blob.o: build/cell.so
$(B)/ahead_blob.o: build/ahead.so
$(addprefix $(B)/,guest_blob.o cell_blob.o ahead_blob.o):
	@mkdir -p $(@D)
	$(Q)n=$(basename $(@F)); printf ".section .rodata\n.globl $$n, $${n}_end\n.balign 16\n$$n:\n.incbin \"$<\"\n$${n}_end:\n.section .note.GNU-stack,\"\",%%progbits\n" | $(CC) -x assembler -c -o $@ -

# the language drivers, as bytes between NAME and NAME_end
DRIVERS := $(addprefix sandbox/guest/drivers/,driver.py driver.js driver.sh zygote.py ahead.js)
$(B)/drivers_blob.o: $(DRIVERS)
	@mkdir -p $(@D)
	$(Q){ printf '.section .rodata\n'; for f in $^; do n=$${f##*/}; n=$${n%.*}_$${n#*.}; \
		printf '.globl %s, %s_end\n%s:\n.incbin "%s"\n%s_end:\n.byte 0\n' $$n $$n $$n $$f $$n; done; \
		printf '.section .note.GNU-stack,"",%%progbits\n'; } | $(CC) -x assembler -c -o $@ -

# all but main, for tests and fuzzers
$(B)/fumehood.a: $(LIBOBJ)
	@rm -f $@
	@echo "  ar     $@"
	@ar rcs $@ $(LIBOBJ)
$(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/fumehood.a
	@echo "  link   $@"
	$(Q)$(CC) $(LDFLAGS) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

$(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(B)/fumehood.a
	@echo "  link   $@"
	$(Q)$(CC) $(LDFLAGS) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

# --- set-up -------------------------------------------------------------------------------------

deps:		## install what is missing; on Debian 12 build what is too old
	@bash .ci/deps.sh
deps-languages:	## the languages of schemas/runtimes.json, from Debian
	@bash .ci/deps.sh languages
deps-dev:	## the same for lint, fuzz, doc and check-clients
	@bash .ci/deps.sh build runtime test dev doc clients

# a self-call that may use all cores, unless the caller has said how many
AGAIN = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))

demo: deps	## the main job through the real binary, shown
	@$(AGAIN) all
	@FUMEHOOD=$(abspath $(BIN)) bash examples/demo.sh

# An MCP bundle; the binary in it brings the libraries along that it is linked with.
MCPB := $(BIN).mcpb
mcpb: $(MCPB)	## build/fumehood.mcpb, for hosts of MCP bundles
$(MCPB): $(OBJ) $(wildcard examples/mcpb/* build/deps/bin/bwrap)
	@echo "  pack   $@"
	$(Q)$(CC) -s $(LDFLAGS) $(LDFLAGS_ALL) -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/../lib' -o $(B)/bundled $(OBJ) \
		$(PKG_LIBS)
	$(Q)$(PYTHON) examples/mcpb/pack.py --version $(VERSION) --binary $(B)/bundled \
		--schemas schemas --sources build/deps/src --output $@ \
		--bwrap "$(wildcard build/deps/bin/bwrap)"

install: $(BIN)	## PREFIX (/usr/local), DESTDIR
	install -D -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin/fumehood
	[ ! -x build/deps/bin/bwrap ] || \
		install -D -m 755 build/deps/bin/bwrap $(DESTDIR)$(PREFIX)/libexec/fumehood/bwrap
	install -D -m 644 mcp/fumehood.1 $(DESTDIR)$(PREFIX)/share/man/man1/fumehood.1
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/fumehood README.md LICENSE
	for unit in system/fumehood.socket system/fumehood.service user/fumehood.socket \
		user/fumehood.service; do \
		sed 's|/usr/local|$(PREFIX)|g' examples/systemd/$$unit | install -D -m 644 /dev/stdin \
			$(DESTDIR)$(PREFIX)/lib/systemd/$$unit || exit 1; done
	install -D -m 644 examples/systemd/system/fumehood.sysusers.conf \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d/fumehood.conf
uninstall:	## takes away what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/fumehood $(DESTDIR)$(PREFIX)/share/man/man1/fumehood.1
	rm -rf $(DESTDIR)$(PREFIX)/libexec/fumehood $(DESTDIR)$(PREFIX)/share/doc/fumehood
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/*/fumehood.s* \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d/fumehood.conf

# --- tests; V=asan runs any of them on the sanitized build ----------------------------------------

# the HTTP server alone
HTTPD  := $(B)/tests/lib/httpd
$(HTTPD): $(HTTPD).o $(HTTPD)_pieces.o $(B)/fumehood.a
	@echo "  link   $@"
	$(Q)$(CC) $(LDFLAGS) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

# Python's caches stay out of the tree: tests run as several users
RUN    := FUMEHOOD=$(abspath $(BIN)) HTTPD=$(abspath $(HTTPD)) MUST_RUN=$(MUST_RUN) PYTHONDONTWRITEBYTECODE=1
PYTEST := $(RUN) $(PYTHON) -m pytest -q -p no:cacheprovider

check: deps	## unit, flow and escape tests; under 5 minutes
	@$(AGAIN) all units
	@$(MAKE) --no-print-directory unit flow escape
units: $(UNIT)
# four at a time, as these tests mostly wait; flow and escape too
unit: $(UNIT)	## unit tests, and that the checks of lint can fail
	@$(RUN) prove -j4 --exec 'timeout -k 5 120' $(UNIT) tests/lib/t_house.sh
flow: $(BIN) $(MCPB)	## the real binary: stdio, HTTP, the command line
	$(PYTEST) -n 4 --dist loadfile tests/flow
check-drivers:	## the language drivers of sessions, played to by a guest
	$(PYTEST) -n 4 tests/drivers
check-languages: $(BIN)	## every language: the same things in each, alone and in a session
	@bash .ci/deps.sh languages
	$(PYTEST) -n 2 tests/languages
check-sessions: $(BIN)	## sessions beside IPython, node and bash; what ends and what floods them
	$(PYTEST) -n 4 tests/sessions
check-http: $(HTTPD)	## the HTTP server alone, before hostile clients
	$(PYTEST) -n 4 --dist loadfile tests/http
escape: $(BIN)	## every promise of the sandbox, attacked from inside
	$(PYTEST) -n 3 --dist loadfile tests/escape
fault: $(BIN)	## kill -9, cancel, timeout and EOF in random order: nothing may be left
	$(PYTEST) tests/fault
check-clients: $(BIN) $(MCPB)	## foreign MCP clients, from their registries
	@bash .ci/deps.sh clients
	$(RUN) bash tests/clients/run.sh
check-images: $(BIN)	## runtime images: packages of PyPI and npm, and a data job on 100 MB
	@bash .ci/deps.sh images
	$(PYTEST) -n 2 --dist loadfile tests/images
check-conformance: $(BIN)	## the official MCP conformance suite, from its registry
	@bash .ci/deps.sh clients
	$(RUN) bash tests/conformance/run.sh
check-cgroup2: $(BIN)	## the limits under cgroup v2 and systemd, in a virtual machine
	$(RUN) bash tests/vm/run.sh
bench: $(BIN)	## beside bare interpreters and other sandboxes: table, JSON, SVG; BENCH_QUICK=1 for a minute
	$(RUN) bash tests/bench/run.sh
bench-peers:	## installs other sandboxes for bench: crun, podman, sandbox-runtime, codex, deno
	@bash tests/bench/peers.sh

fuzz:		## every parser for FUZZ_SECONDS (60), two at a time
	@bash .ci/deps.sh build dev
	@$(AGAIN) V=fuzz fuzzers
	@$(MAKE) --no-print-directory V=fuzz fuzz-run
fuzzers: $(FUZZ)
fuzz-run:
	@printf '%s\n' $(FUZZ) | FUZZ_SECONDS=$(FUZZ_SECONDS) xargs -P 2 -n 1 bash tests/lib/fuzz.sh

# --- lint -----------------------------------------------------------------------------------------

lint: format tidy headers rooms includes sizes scripts	## all of these
format:		## clang-format finds nothing to do in any .c file
	@bash .ci/deps.sh build dev
	@clang-format --dry-run -Werror $(CFILES)
tidy:		## clang-tidy, by .clang-tidy
	@bash .ci/deps.sh build dev
	@printf '%s\n' $(sort $(SRC) $(GUESTSRC) $(CELLSRC) $(AHEADSRC)) | xargs -P $(JOBS) -n 1 bash tests/lib/tidy.sh \
		$(filter-out -MMD -MP,$(BASEFL)) $(PKG_CFLAGS) --
headers:	## every header compiles alone
	@for h in $(HFILES); do $(CC) $(filter-out -MMD -MP,$(BASEFL)) $(WARN) -Wno-unused-function \
		$(PKG_CFLAGS) -fsyntax-only -x c -include $$h /dev/null || exit 1; done
rooms: $(OBJ)	## no object references what its room may not (tests/rooms.txt)
	@bash tests/lib/rooms.sh $(B)
includes:	## mcp -> tools -> sandbox/* -> sandbox/base, one public header per room
	@bash tests/lib/includes.sh
sizes:		## functions, parameters, files
	@bash tests/lib/sizes.sh $(CFILES) $(HFILES)
scripts:	## bash -n, shellcheck
	@bash .ci/deps.sh build dev
	@for f in $(SHFILES); do bash -n $$f || exit 1; done
	@shellcheck -x -S warning $(SHFILES)

# --- documents ------------------------------------------------------------------------------------

doc:		## the manual as text and HTML, and a picture of the rooms, under build/doc
	@bash .ci/deps.sh doc
	@mkdir -p build/doc
	groff -man -Tutf8 -P-cbou mcp/fumehood.1 >build/doc/fumehood.txt
	groff -man -Thtml mcp/fumehood.1 >build/doc/fumehood.html
	bash tests/lib/includes.sh --picture >build/doc/rooms.dot
	! command -v dot >/dev/null || dot -Tsvg -o build/doc/rooms.svg build/doc/rooms.dot

help:		## this list
	@sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)/\1|\2/p' Makefile | \
		while IFS='|' read -r t d; do printf '  %-18s %s\n' "$$t" "$$d"; done

clean:		## all but what deps built
	rm -rf build/release build/asan build/cov build/fuzz build/gen build/guest build/guest.dbg build/cell.so build/cell.so.dbg build/ahead.so build/ahead.so.dbg \
		build/doc build/bench build/escape build/fumehood build/fumehood.mcpb

.PHONY: all libraries deps deps-languages deps-dev demo mcpb install uninstall check units unit flow escape fault check-drivers check-sessions check-languages \
	check-http check-clients check-conformance check-cgroup2 check-images bench bench-peers fuzz fuzzers fuzz-run lint format tidy \
	headers rooms includes sizes scripts doc help clean
.SECONDARY:
-include $(OBJ:.o=.d) $(UNIT:=.d) $(FUZZ:=.d)
