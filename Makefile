# make                 build/fumehood          make check      every test but the slow suites
# make V=asan check    the same, sanitized     make lint       format, tidy, rooms, headers, sizes
# make demo            the main job, shown     make help       all targets
#
# One non-recursive Makefile. The only self-calls are `demo` and `check`, which install what is
# missing first and so must read the package configuration afterwards.
V       ?= release
B       := build/$(V)
CC      ?= cc
PREFIX  ?= /usr/local
VERSION := 0.1.0

PKGS    := libcjson libseccomp sqlite3 libsodium
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)

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
L_release := -pie -Wl,-z,relro,-z,now,-z,noexecstack
L_asan    := -pie -fsanitize=address,undefined
L_cov     := -pie --coverage
CFLAGS_ALL  = $(BASEFL) $(WARN) $(V_$(V)) $(PKG_CFLAGS)
LDFLAGS_ALL = $(L_$(V))

# the guest: static, alone, the same in every variant; it runs where nothing may be trusted
GUESTFL := $(BASEFL) $(WARN) -Os -g $(HARD) -static -ffunction-sections -Wl,--gc-sections \
           -Wl,-z,relro,-z,noexecstack
GUESTSRC := $(sort $(wildcard sandbox/guest/*.c)) \
            $(addprefix sandbox/base/,mem.c sv.c err.c fd.c ipc.c buf.c)

SRC     := $(sort $(shell find mcp tools sandbox -name '*.c' -not -path 'sandbox/guest/*'))
HDR     := $(sort $(shell find mcp tools sandbox -name '*.h'))
OBJ     := $(SRC:%.c=$(B)/%.o) $(B)/gen/schemas.o $(B)/gen/runtimes.o $(B)/guest_blob.o
LIBOBJ  := $(filter-out $(B)/mcp/main.o,$(OBJ))
UNITSRC := $(sort $(shell find tests/unit -name 't_*.c'))
UNIT    := $(UNITSRC:%.c=$(B)/%)
SCHEMAS := $(sort $(wildcard schemas/*.json))

ifeq ($(V),release)
BIN := build/fumehood
else
BIN := $(B)/fumehood
endif

all: $(BIN)

$(BIN): $(OBJ)
	$(CC) $(LDFLAGS) $(LDFLAGS_ALL) -o $@ $(OBJ) $(PKG_LIBS)

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS_ALL) $(CFLAGS) -c -o $@ $<

# schemas/*.json are the truth; schemas/gen.c turns them into C
build/gen/gen: schemas/gen.c sandbox/base/banned.h
	@mkdir -p $(@D)
	$(CC) -std=c17 -D_GNU_SOURCE -Wall -Wextra -O1 $(PKG_CFLAGS) -o $@ $< $(PKG_LIBS)
build/gen/%.c: build/gen/gen $(SCHEMAS)
	build/gen/gen $* $(SCHEMAS) > $@.tmp && mv $@.tmp $@
$(B)/gen/%.o: build/gen/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(CFLAGS) -c -o $@ $<

build/guest: $(GUESTSRC) $(wildcard sandbox/guest/*.h sandbox/base/*.h) Makefile
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(GUESTFL)) -o $@.dbg $(GUESTSRC)
	strip -o $@ $@.dbg
$(B)/guest_blob.o: build/guest
	@mkdir -p $(@D)
	printf '.section .rodata\n.globl guest_blob, guest_blob_end\n.balign 16\nguest_blob:\n.incbin "build/guest"\nguest_blob_end:\n.section .note.GNU-stack,"",%%progbits\n' | $(CC) -x assembler -c -o $@ -

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(LIBOBJ)
	$(CC) $(LDFLAGS) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

unit: $(UNIT)
	prove $(UNIT)

clean:
	rm -rf build/release build/asan build/cov build/gen build/guest build/fumehood

.PHONY: all unit clean
.SECONDARY:
-include $(OBJ:.o=.d) $(UNIT:=.d)
