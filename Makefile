# multiprocessing for Lua. Needs GNU make.
#
#   make            the module, build/multiprocessing/core.so, and a static library
#   make demo       a listener and two clients, one of them Python's own
#   make test       C unit tests (ctest), then the specs (specs)
#   make check      linters and the rules of the layers
#   make fuzz       each fuzz target for FUZZ_SECONDS=60 (clang's libFuzzer);
#                   FUZZ="loads frame": only these
#   make bench      speed beside C, CPython and others, in three to five minutes
#                   (BENCH="w2 codec", PEERS=..., CPUS=2: see bench/README.md);
#                   bench-scale: the larger sizes and counts
#   make install    into $(PREFIX), under $(DESTDIR); uninstall takes it away
#   make format     lets clang-format lay out the C sources
#   make clean
#
# Options: BUILD=dir; CC=clang; WERROR=1; SANITIZE=1: ASan and UBSan (the specs
# need gcc's); V=1: show the commands; RUNNER="valgrind -q": what tests run
# under; POLLER=poll: what a Poller is built on, instead of epoll or kqueue.
# CPPFLAGS, CFLAGS and LDFLAGS are added to ours; CPPFLAGS=-DMPROC_LUA_API_ONLY:
# pickle.dumps looks into no struct of Lua's (src/binding/lshape.h). demo, test and
# check first have tools/setup look for what they need.

BUILD = build
PREFIX = /usr/local
LUA_VERSION = 5.4
PLATFORM = posix

SYSTEM := $(shell uname -s)
POLLER_Linux = epoll
POLLER_Darwin = kqueue
POLLER_DragonFly = kqueue
POLLER_FreeBSD = kqueue
POLLER_NetBSD = kqueue
POLLER_OpenBSD = kqueue
POLLER = $(or $(POLLER_$(SYSTEM)),poll)

LIBDIR = $(PREFIX)/lib
INCLUDEDIR = $(PREFIX)/include
INSTALL_CMOD = $(PREFIX)/lib/lua/$(LUA_VERSION)
INSTALL_LMOD = $(PREFIX)/share/lua/$(LUA_VERSION)
INSTALL = install
PKG_CONFIG = pkg-config
CLANG_FORMAT = clang-format
LUACHECK = luacheck
LUA := $(or $(shell command -v lua$(LUA_VERSION)),lua)
# Its own first line may name another Lua than ours.
BUSTED = $(shell command -v busted)

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

# ---- where Lua and OpenSSL are: LuaRocks tells, else pkg-config ----

pkg-config = $(shell $(PKG_CONFIG) $(1) 2>/dev/null)

LUA_NAMES = lua$(LUA_VERSION) lua-$(LUA_VERSION) lua$(subst .,,$(LUA_VERSION))
LUA_PC := $(firstword $(foreach name,$(LUA_NAMES),\
            $(if $(call pkg-config,--modversion $(name)),$(name))))
ifdef LUA_INCDIR
  LUA_CFLAGS = -I$(LUA_INCDIR)
else
  LUA_CFLAGS := $(call pkg-config,--cflags $(LUA_PC))
endif
# For the hosts of the specs only: the module takes Lua from its host.
LUA_LIBS = $(or $(call pkg-config,--libs $(LUA_PC)),-llua$(LUA_VERSION))

ifdef CRYPTO_INCDIR
  CRYPTO_CFLAGS = -I$(CRYPTO_INCDIR)
else
  CRYPTO_CFLAGS := $(call pkg-config,--cflags libcrypto)
endif
ifdef CRYPTO_LIBDIR
  CRYPTO_LIBS = -L$(CRYPTO_LIBDIR) -lcrypto
else
  CRYPTO_LIBS := $(or $(call pkg-config,--libs libcrypto),-lcrypto)
endif

# ---- flags ----

WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes \
           -Wmissing-prototypes $(if $(filter 1,$(WERROR)),-Werror)
OPTIMIZE = -O3
LIBFLAG = -shared

ifeq ($(SYSTEM),Darwin)
  LIBFLAG = -bundle -undefined dynamic_lookup
endif

ifeq ($(SANITIZE),1)
  OPTIMIZE = -O1
  SANITIZERS = -fsanitize=address,undefined -fno-sanitize-recover=all \
               -fno-omit-frame-pointer
  # The interpreter is built without ASan, whose runtime must be loaded first.
  SPEC_ENV = LD_PRELOAD="$(shell $(CC) -print-file-name=libasan.so)" \
             ASAN_OPTIONS="detect_leaks=1:verify_asan_link_order=0" \
             LSAN_OPTIONS="suppressions=$(CURDIR)/spec/lsan.supp:print_suppressions=0"
endif

# -fexceptions: a Lua that was built as C++ throws its errors through our frames.
# -fno-plt: each call of Lua's API is a jump less; dumps makes several a value.
COMPILE = $(CC) -Isrc $(LUA_CFLAGS) $(CRYPTO_CFLAGS) $(CPPFLAGS) -std=c11 \
          $(OPTIMIZE) -g -fPIC -fno-plt -fvisibility=hidden -fexceptions \
          $(WARNINGS) $(SANITIZERS) $(CFLAGS)
LINK = $(CC) $(SANITIZERS) $(LDFLAGS)

# ---- what is built ----

# Without Lua: what C tests link. Of the pollsets, the one that was chosen.
POLLSETS := $(wildcard src/platform/$(PLATFORM)/pollset_*.c)
UNCHOSEN = $(filter-out %/pollset_$(POLLER).c,$(POLLSETS)) \
           $(if $(filter poll,$(POLLER)),%/queue.c)
CORE_SRC := $(filter-out $(UNCHOSEN),\
  $(wildcard src/core/*.c src/platform/$(PLATFORM)/*.c src/pickle/*.c))
SRC := $(CORE_SRC) $(wildcard src/binding/*.c)
LUA_DIRS = multiprocessing multiprocessing/waiter
LUA_SRC := $(foreach dir,$(LUA_DIRS),$(wildcard lua/$(dir)/*.lua))

CORE_OBJ = $(CORE_SRC:src/%.c=$(BUILD)/obj/%.o)
OBJ = $(SRC:src/%.c=$(BUILD)/obj/%.o)
MODULE = $(BUILD)/multiprocessing/core.so
ARCHIVE = $(BUILD)/libmultiprocessing.a

# spec/support: C modules for the specs. spec/c: programs without Lua that test
# the core, and programs that embed Lua for specs to run.
SUPPORT := $(patsubst spec/support/%.c,$(BUILD)/spec/%.so,$(wildcard spec/support/*.c))
HOSTS := $(patsubst spec/c/%.c,$(BUILD)/spec/%,$(wildcard spec/c/*_host.c))
C_TESTS := $(patsubst spec/c/%.c,$(BUILD)/spec/%,$(wildcard spec/c/*_test.c))

.PHONY: all module archive spec-support demo test ctest specs check luacheck \
        format-check layers c++-compat fuzz fuzz-targets bench bench-scale \
        bench-programs format install install-module install-library uninstall clean FORCE

all: module archive
module: $(MODULE)
archive: $(ARCHIVE)
spec-support: $(SUPPORT) $(HOSTS)

# $(call say,CC): the short form of a command, unless V=1.
say = $(if $(filter 1,$(V)),,@echo '  $(1)  $@';)

$(MODULE): $(OBJ)
	@mkdir -p $(@D)
	$(call say,LD)$(LINK) $(LIBFLAG) -o $@ $^ $(CRYPTO_LIBS)

$(ARCHIVE): $(OBJ)
	@rm -f $@
	$(call say,AR)$(AR) rcs $@ $^

DEPEND = -MMD -MP -MF $@.d -MT $@

$(BUILD)/obj/%.o: src/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) $(DEPEND) -c -o $@ $<

$(BUILD)/spec/%.so: spec/support/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -fvisibility=default $(DEPEND) $(LIBFLAG) -o $@ $< $(LDFLAGS)

# -rdynamic: the modules that a host loads find Lua in it.
$(BUILD)/spec/%_host: spec/c/%_host.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) $(DEPEND) -rdynamic -o $@ $< $(LDFLAGS) $(LUA_LIBS)

$(BUILD)/spec/%_test: spec/c/%_test.c $(CORE_OBJ) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) $(DEPEND) -o $@ $< $(CORE_OBJ) $(LDFLAGS) $(CRYPTO_LIBS)

-include $(wildcard $(BUILD)/obj/*/*.d $(BUILD)/obj/*/*/*.d $(BUILD)/spec/*.d)

# How we compile. Rewritten when that changes, which rebuilds everything; but
# `sudo make install` takes what is there, whatever its environment says. The
# compiler is tried first: one message is better than a page of errors.
$(BUILD)/flags: export HOW = $(COMPILE) : $(LINK) $(LIBFLAG) $(CRYPTO_LIBS) : $(POLLER)
$(BUILD)/flags: $(if $(filter install% uninstall,$(MAKECMDGOALS)),,FORCE)
	@[ "$$HOW" != "$$(cat $@ 2>/dev/null)" ] || exit 0; \
	said=$$(printf '%s\n' '#include <lauxlib.h>' '#include <openssl/evp.h>' \
	    '#if LUA_VERSION_NUM < 504 || OPENSSL_VERSION_NUMBER < 0x30000000L' \
	    '#error Lua 5.4 and OpenSSL 3.0 are the oldest that will do' '#endif' | \
	  $(COMPILE) -fsyntax-only -x c - 2>&1) || { \
	    echo 'Cannot compile against Lua $(LUA_VERSION) and OpenSSL 3. On Debian or Ubuntu:'; \
	    echo '    apt-get install gcc make pkg-config liblua$(LUA_VERSION)-dev libssl-dev'; \
	    echo 'Elsewhere install the like; LUA_INCDIR, CRYPTO_INCDIR and CRYPTO_LIBDIR'; \
	    echo 'say where they are if pkg-config cannot. The compiler said:'; \
	    echo "$$said" | head -n 3; exit 1; } >&2; \
	mkdir -p $(@D) && echo "$$HOW" >$@

# ---- trying it ----

demo:
	@tools/setup demo
	@$(MAKE) --no-print-directory module
	@BUILD=$(BUILD) examples/demo

test:
	@tools/setup build test
	@$(MAKE) --no-print-directory module spec-support
	@status=0; \
	$(MAKE) --no-print-directory ctest || status=1; \
	$(MAKE) --no-print-directory specs || status=1; \
	exit $$status

ctest: $(C_TESTS)
	@status=0; \
	for test in $(C_TESTS); do \
	  $(RUNNER) $$test || { status=1; echo "$$test: failed" >&2; }; \
	done; \
	exit $$status

# The paths reach busted as options, to come before .busted's, and the programs
# that specs start through the environment.
LPATH = $(CURDIR)/lua/?.lua;$(CURDIR)/spec/?.lua
CPATH = $(abspath $(BUILD))/?.so;$(abspath $(BUILD))/spec/?.so

specs: module spec-support
	@LUA_PATH="$(LPATH);$${LUA_PATH-;}" LUA_CPATH="$(CPATH);$${LUA_CPATH-;}" \
	$(SPEC_ENV) $(RUNNER) \
	$(LUA) $(BUSTED) --lpath='$(LPATH)' --cpath='$(CPATH)' $(BUSTED_FLAGS)

# ---- checks ----

check:
	@tools/setup build check
	@$(MAKE) --no-print-directory --keep-going luacheck format-check layers c++-compat

C_FILES = $(shell find src spec bench -name '*.[ch]' 2>/dev/null)

luacheck:
	$(LUACHECK) --quiet --no-color $(wildcard lua spec examples bench types) tools/check-layers

format-check:
	@$(CLANG_FORMAT) --dry-run --Werror $(C_FILES)

format:
	@$(CLANG_FORMAT) -i $(C_FILES)

layers: module
	@$(LUA) tools/check-layers $(BUILD)

c++-compat: $(BUILD)/flags
	@$(COMPILE) -Werror -Wc++-compat -fsyntax-only $(SRC)

# ---- fuzzing ----

FUZZ_SECONDS = 60
# libFuzzer's: 0 is another each time. CI has a fixed one, lest a change fail for
# what it has not touched.
FUZZ_SEED = 0
FUZZ := $(patsubst spec/fuzz/fuzz_%.c,%,$(wildcard spec/fuzz/fuzz_*.c))
FUZZ_BUILD = $(BUILD)/fuzz
FUZZ_CORPUS = $(FUZZ_BUILD)/corpus
FUZZ_FLAGS = -fsanitize=fuzzer-no-link,address,undefined \
             -fno-sanitize-recover=all -fno-omit-frame-pointer

# Each target by itself: `make -j2 fuzz` runs two of them side by side. What
# they find is added to the corpus. What a target prints is in its log; one that
# fails shows that, and what it failed for, in base64.
fuzz: $(FUZZ:%=fuzz-%)
$(FUZZ:%=fuzz-%): fuzz-%: fuzz-targets
	@echo "$@: $(FUZZ_SECONDS) s"
	@mkdir -p $(FUZZ_CORPUS)/$*
	@cd $(FUZZ_BUILD) && rm -f $*-found-* && \
	LUA_PATH="$(CURDIR)/lua/?.lua;$(CURDIR)/spec/fuzz/?.lua;;" \
	ASAN_OPTIONS=detect_leaks=0 \
	./spec/fuzz_$* -max_total_time=$(FUZZ_SECONDS) -seed=$(FUZZ_SEED) -timeout=20 -rss_limit_mb=3000 \
	  -max_len=4096 -verbosity=0 -print_final_stats=1 -artifact_prefix=$*-found- \
	  $(abspath $(FUZZ_CORPUS))/$* $(abspath $(FUZZ_CORPUS))/pickles >$*.log 2>&1 || { \
	  grep -av '# Uses:' $*.log; \
	  for found in $*-found-*; do echo $$found; base64 $$found; done; \
	  exit 1; }
	@grep -a number_of_executed_units $(FUZZ_BUILD)/$*.log

fuzz-targets:
	@$(MAKE) --no-print-directory CC=clang BUILD=$(FUZZ_BUILD) OPTIMIZE=-O1 \
	  SANITIZERS="$(FUZZ_FLAGS)" $(FUZZ:%=$(FUZZ_BUILD)/spec/fuzz_%)
	@python3 spec/fuzz/make_corpus.py $(FUZZ_CORPUS)/pickles

# Links Lua after all, and so much of the module as the target uses.
$(BUILD)/spec/fuzz_%: spec/fuzz/fuzz_%.c $(ARCHIVE) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) $(DEPEND) -fsanitize=fuzzer -o $@ $< $(ARCHIVE) \
	  $(LDFLAGS) $(LUA_LIBS) $(CRYPTO_LIBS)

# ---- speed ----

# The peers in C; zeromq where its library is here. The clock of the peers in
# Lua is the specs'.
BENCH_PEERS := c $(if $(call pkg-config,--modversion libzmq),zeromq)
BENCH_PROGRAMS = $(BENCH_PEERS:%=$(BUILD)/bench/%)

bench-scale: export BENCH_SCALE = 1
bench: module spec-support bench-programs
	@BUILD="$(abspath $(BUILD))" LUA="$(LUA)" bench/run
bench-scale: bench

bench-programs: $(BENCH_PROGRAMS)
$(BUILD)/bench/zeromq: BENCH_LIBS = $(call pkg-config,--libs libzmq)
$(BUILD)/bench/%: bench/peers/%.c bench/worker.c bench/worker.h $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(COMPILE) -o $@ $< bench/worker.c $(LDFLAGS) $(CRYPTO_LIBS) \
	  $(BENCH_LIBS)

# ---- installing ----

install: install-module install-library

# What a script needs; all that LuaRocks asks for.
install-module: $(MODULE)
	$(INSTALL) -d "$(DESTDIR)$(INSTALL_CMOD)/multiprocessing" \
	  $(LUA_DIRS:%="$(DESTDIR)$(INSTALL_LMOD)/%")
	$(INSTALL) -m 755 $(MODULE) "$(DESTDIR)$(INSTALL_CMOD)/multiprocessing"
	@for file in $(LUA_SRC:lua/%=%); do \
	  $(INSTALL) -m 644 lua/$$file "$(DESTDIR)$(INSTALL_LMOD)/$$file" || exit; \
	done

# What a program needs that embeds Lua and links us statically.
install-library: $(ARCHIVE)
	$(INSTALL) -d "$(DESTDIR)$(LIBDIR)" "$(DESTDIR)$(INCLUDEDIR)"
	$(INSTALL) -m 644 $(ARCHIVE) "$(DESTDIR)$(LIBDIR)"
	$(INSTALL) -m 644 src/multiprocessing.h "$(DESTDIR)$(INCLUDEDIR)"

uninstall:
	rm -f "$(DESTDIR)$(INSTALL_CMOD)/multiprocessing/core.so" \
	  $(patsubst lua/%,"$(DESTDIR)$(INSTALL_LMOD)/%",$(LUA_SRC)) \
	  "$(DESTDIR)$(LIBDIR)/libmultiprocessing.a" \
	  "$(DESTDIR)$(INCLUDEDIR)/multiprocessing.h"
	-rmdir "$(DESTDIR)$(INSTALL_LMOD)/multiprocessing/waiter"
	-rmdir "$(DESTDIR)$(INSTALL_CMOD)/multiprocessing" \
	  "$(DESTDIR)$(INSTALL_LMOD)/multiprocessing"

clean:
	rm -rf $(BUILD)
