# Frugal Gateway. `make help` lists the targets; `make demo` and `make check` need nothing beforehand.
#
#   MODE=release|debug|asan|tsan   how to compile; each mode has its own build/MODE/
#   FAISS_C=thin|system            our thin C API over Debian's libfaiss, or a real libfaiss_c
#   DATA=DIR                       real outcomes for `make acceptance`
#   V=1                            show the commands

MODE    ?= release
FAISS_C ?= thin
DATA    ?=
B       := build/$(MODE)
VERSION := $(shell cat VERSION)

comma := ,
MAKEFLAGS += --no-builtin-rules
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2);)

PKGS := libmicrohttpd libcurl jansson sqlite3 libxxhash libsodium libpcre2-8 libsystemd gnutls

WARN := -Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wpointer-arith -Wundef -Wwrite-strings \
        $(if $(CI),-Werror)
CWARN := $(WARN) -Wstrict-prototypes -Wmissing-prototypes
HARD := -fstack-protector-strong -fPIE -D_FORTIFY_SOURCE=2
OPT_release := -O2 -g $(HARD)
OPT_debug   := -O0 -g3
OPT_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_tsan    := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
OPT := $(OPT_$(MODE))
$(if $(OPT),,$(error MODE '$(MODE)' is not one of release, debug, asan, tsan))

CPPFLAGS := -I. -D_GNU_SOURCE -DFRUGAL_VERSION='"$(VERSION)"'
CFLAGS   := -std=gnu11 $(OPT) $(CWARN)
CXXFLAGS := -std=c++17 $(OPT) $(WARN)
LDFLAGS  := $(filter -fsanitize% -O%,$(OPT)) $(if $(filter release,$(MODE)),-pie -Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now)
LDLIBS    = $(shell pkg-config --libs $(PKGS)) $(FAISS_LIBS) -llapacke -lopenblas -llbfgs -lpthread -lm
FAISS_LIBS := $(if $(filter system,$(FAISS_C)),-lfaiss_c) -lfaiss -lgomp

objs = $(patsubst %,$(B)/%.o,$(1))
FUSER   := $(wildcard fuser/*.c) $(if $(filter thin,$(FAISS_C)),$(wildcard fuser/faiss_c/*.cpp))
GATEWAY := $(wildcard gateway/base/*.c gateway/domain/*.c gateway/io/*.c gateway/flow/*.c gateway/edge/*.c)
DAEMON  := $(wildcard gateway/main/*.c)
CTL     := $(wildcard tools/ctl/*.c)
EXPERTS := $(wildcard tools/experts/*.c)
UNITS   := $(wildcard tests/unit/*/test_*.c)
FUZZ    := $(wildcard tests/fuzz/fuzz_*.c)
PROGRAMS := $(B)/frugald $(B)/frugalctl $(B)/frugal-experts
UNIT_PROGRAMS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNITS)) $(B)/unit/faiss_c/test_approx
BENCHES := $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/bench_*.c))
REPLAYS := $(patsubst tests/fuzz/%.c,$(B)/replay/%,$(FUZZ))

.PHONY: all demo check unit integration soak faults overload chaos netns soak-million acceptance embeddings asan tsan valgrind fuzz lint format bench bench-rows help clean install deps FORCE
.DEFAULT_GOAL := all

# A make inside make: quiet, and on all processors unless the caller said how many.
sub = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

all: deps ## build frugald, frugalctl and frugal-experts
	$(Q)$(sub) programs

.SECONDARY: # objects of tests are kept
.PHONY: programs tests
programs: $(PROGRAMS)
tests: programs $(UNIT_PROGRAMS) $(REPLAYS)

deps: ## install what is missing from Debian's packages (says what)
	$(Q)tools/install-deps build

# -Wconversion where a narrowed number becomes a wrong decision or an overrun: the method and the parsers.
$(B)/fuser/%.c.o: CFLAGS += -Wconversion -Wno-sign-conversion
# The inner loops add in one order on every machine: no fused multiply-add.
$(B)/fuser/kernel.c.o $(B)/fuser/coarse.c.o $(B)/fuser/classes.c.o: CFLAGS += -ffp-contract=off $(if $(filter release,$(MODE)),-O3)
$(B)/gateway/domain/%.c.o: CFLAGS += -Wconversion -Wno-sign-conversion

# Rewritten when its content changes: other flags rebuild objects, another list of sources the archives.
$(B)/.flags: stamp = $(CC) $(CXX) $(CPPFLAGS) $(CFLAGS) $(CXXFLAGS) $(LDFLAGS)
$(B)/.sources: stamp = $(FUSER) $(GATEWAY) $(DAEMON) $(CTL) $(EXPERTS)
$(B)/.flags $(B)/.sources: FORCE
	@mkdir -p $(@D); echo '$(subst ','"'"',$(stamp))' | cmp -s - $@ || echo '$(subst ','"'"',$(stamp))' >$@

$(B)/%.c.o: %.c $(B)/.flags
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/%.cpp.o: %.cpp $(B)/.flags
	@mkdir -p $(@D)
	$(call say,CXX,$<)$(CXX) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c -o $@ $<
$(B)/lib%.a:
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $(filter %.o,$^)
$(B)/libfuser.a: $(call objs,$(FUSER)) $(B)/.sources
$(B)/libgateway.a: $(call objs,$(GATEWAY)) $(B)/.sources
$(B)/libexperts.a: $(call objs,$(filter-out %/main.c,$(EXPERTS))) $(B)/.sources
$(B)/libctl.a: $(call objs,$(filter-out %/main.c,$(CTL))) $(B)/.sources

LIBS := $(B)/libgateway.a $(B)/libfuser.a
link = $(call say,LD,$@)$(CXX) $(LDFLAGS) -o $@ $^ $(1) $(LDLIBS)
$(B)/frugald: $(call objs,$(DAEMON)) $(LIBS)
	$(call link)
$(B)/frugalctl: $(B)/tools/ctl/main.c.o $(B)/libctl.a $(LIBS)
	$(call link)
$(B)/frugal-experts: $(B)/tools/experts/main.c.o $(B)/libexperts.a $(LIBS)
	$(call link)
$(B)/unit/experts/%: $(B)/tests/unit/experts/%.c.o $(B)/libexperts.a $(LIBS)
	@mkdir -p $(@D)
	$(call link,-lcmocka)
$(B)/unit/ctl/%: $(B)/tests/unit/ctl/%.c.o $(B)/libctl.a $(LIBS)
	@mkdir -p $(@D)
	$(call link,-lcmocka)
# Calls of malloc from our objects go through the test, which lets them fail in turn.
$(B)/unit/fuser/test_nomem: LDFLAGS += $(foreach f,malloc calloc realloc strdup,-Wl$(comma)--wrap=$(f))
$(foreach d,domain io flow,$(B)/unit/$(d)/test_nomem): LDFLAGS += $(foreach f,malloc calloc realloc reallocarray,-Wl$(comma)--wrap=$(f))
$(B)/unit/%: $(B)/tests/unit/%.c.o $(LIBS)
	@mkdir -p $(@D)
	$(call link,-lcmocka)
$(B)/bench/%: $(B)/tests/bench/%.c.o $(LIBS)
	@mkdir -p $(@D)
	$(call link)
$(B)/replay/%: $(B)/tests/fuzz/%.c.o $(B)/tests/fuzz/replay.c.o $(LIBS)
	@mkdir -p $(@D)
	$(call link)

# A libfaiss_c made of our thin one, and the library linked against it as against a real one: what
# `make FAISS_C=system` does, without Debian having any.
$(B)/unit/faiss_c/libfaiss_c.so: fuser/faiss_c/faiss_c.cpp
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CXX) $(CPPFLAGS) $(CXXFLAGS) -fPIC -shared -o $@ $< -lfaiss
$(B)/unit/faiss_c/test_approx: $(B)/tests/unit/fuser/test_approx.c.o $(call objs,$(filter %.c,$(FUSER))) $(B)/unit/faiss_c/libfaiss_c.so
	$(call say,LD,$@)$(CXX) $(LDFLAGS) -o $@ $(filter %.o,$^) -L$(@D) -Wl$(comma)-rpath$(comma)'$$ORIGIN' -lcmocka $(LDLIBS) -lfaiss_c

$(B)/seed/%: $(B)/tests/unit/fuser/%.c.o $(LIBS)
	@mkdir -p $(@D)
	$(call link)

-include $(shell find $(B) -name '*.d' 2>/dev/null)

.PHONY: libraries
libraries:
	@echo $(LDLIBS)

## -- running ------------------------------------------------------------------------------------

demo: deps ## calibrate four small experts, route 200 prompts through the gateway, print the table
	$(Q)$(sub) programs
	$(Q)tools/demo/demo $(B)

check: ## every test: units, cases, fuzz corpus, whole program (installs what it needs)
	$(Q)tools/install-deps build test
	$(Q)$(sub) tests
	$(Q)$(MAKE) --no-print-directory unit integration

unit: tests ## unit tests, parser cases and the fuzz corpus
	$(Q)tests/run-units $(B)

integration: programs ## the whole program with scripted experts and the official SDKs
	$(Q)tests/run-pytest $(B) tests/integration tests/soak tests/faults tests/overload tests/chaos

soak: programs ## ceilings against the experts' own invoices, SOAK_SECONDS (600) over ever new worlds; 20 kills under load
	$(Q)tools/install-deps build test
	$(Q)SOAK_SECONDS=$(or $(SOAK_SECONDS),600) tests/run-pytest $(B) tests/soak -o timeout=0 -s
	$(Q)FRUGAL_KILLS=$(or $(FRUGAL_KILLS),20) tests/run-pytest $(B) tests/integration/test_crash.py

faults: programs ## whatever an expert does wrong, FAULT_ROUNDS (10) times: answers, deadlines, money, what is left behind
	$(Q)tools/install-deps build test
	$(Q)FAULT_ROUNDS=$(or $(FAULT_ROUNDS),10) tests/run-pytest $(B) tests/faults -o timeout=0 -s

overload: programs ## three times the capacity for OVERLOAD_SECONDS (60): goodput, latency, memory, recovery, keys that flood
	$(Q)tools/install-deps build test
	$(Q)OVERLOAD_SECONDS=$(or $(OVERLOAD_SECONDS),60) tests/run-pytest $(B) tests/overload -o timeout=0 -s

chaos: programs ## experts killed, reloads, restarts behind a socket, 500 requests/s for CHAOS_SECONDS (600); ledger against invoices
	$(Q)tools/install-deps build test
	$(Q)CHAOS_SECONDS=$(or $(CHAOS_SECONDS),600) tests/run-pytest $(B) tests/chaos -o timeout=0 -s

netns: programs ## hosts in network namespaces (root): a cut wire, 5 % loss, 200 ms; skipped where they cannot be made
	$(Q)tools/install-deps build test netns
	$(Q)tests/run-pytest $(B) tests/netns -o timeout=0 -s

soak-million: programs ## a million mixed requests (MILLION): what memory and descriptors do after the warm-up
	$(Q)tools/install-deps build test bench
	$(Q)MILLION=$(or $(MILLION),1000000) tests/run-pytest $(B) tests/million -o timeout=0 -s

acceptance: ## what needs real outcomes and real upstreams: make acceptance DATA=DIR
	$(Q)tools/install-deps build test
	$(Q)$(sub) programs
	$(Q)DATA='$(DATA)' tests/run-pytest $(B) tests/acceptance

embeddings: ## real sentence embeddings beside the built-in ones, a quarter of an hour: DATA=DIR
	$(Q)tools/install-deps build test
	$(Q)$(MAKE) --no-print-directory programs
	$(Q)DATA='$(DATA)' tests/run-pytest $(B) tests/embeddings

.PHONY: from-nothing
from-nothing: programs ## from a log without labels to a router, SEEDS (5) times: what tune promised beside what came of it
	$(Q)tools/install-deps build test
	$(Q)SEEDS=$(or $(SEEDS),5) tests/run-pytest $(B) tests/integration/test_from_nothing.py -o timeout=0 -s

asan tsan: ## every test under the sanitizers
	$(Q)tools/install-deps build test
	$(Q)$(sub) MODE=$@ tests
	$(Q)$(MAKE) --no-print-directory MODE=$@ unit integration

valgrind: programs ## a smoke set of whole-program tests under valgrind's memcheck
	$(Q)tools/install-deps build test valgrind
	$(Q)FRUGAL_VALGRIND=1 FRUGAL_SLOW=15 tests/run-pytest $(B) tests/integration -o timeout=0 \
	  -k 'test_streaming or test_failover or test_lifecycle or test_client_gone or test_overload'

.PHONY: container
container: ## the image's steps in a plain Debian, no Docker needed: root, debootstrap, some minutes
	$(Q)tools/install-deps container
	$(Q)tests/container/run

fuzz: ## fuzz every parser, FUZZ_SECONDS each (60)
	$(Q)tools/install-deps build fuzz
	$(Q)tests/run-fuzz $(or $(FUZZ_SECONDS),60)

.PHONY: corpus
corpus: $(B)/seed/seed_bundle ## write the bundles that fuzzing starts from again, in the present layout
	$(Q)$< tests/fuzz/corpus/bundle

lint: ## format, floors, banned calls, clang-tidy
	$(Q)tools/install-deps build lint
	$(Q)tests/lint/run

format: ## let clang-format decide
	$(Q)tools/install-deps build lint
	$(Q)git ls-files '*.c' '*.h' | xargs clang-format -i

bench: ## ratios against nginx in the same run, decision latency, cost of accounting
	$(Q)tools/install-deps build test bench
	$(Q)$(sub) programs $(BENCHES)
	$(Q)tests/bench/run $(B)

ROWS ?= 1000000
DIM  ?= 384
bench-rows: ## the decision over a large bundle, minutes and 5 GB: ROWS=1000000 DIM=384
	$(Q)tools/install-deps build
	$(Q)$(sub) programs $(BENCHES)
	$(Q)tests/bench/run $(B) $(ROWS) $(DIM)

help: ## this list
	@grep -hE '^[a-z -]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z -]+):.*## (.*)/\1|\2/' | \
	  while IFS='|' read -r t d; do printf '  make %-12s %s\n' "$$t" "$$d"; done

clean: ## remove build/
	rm -rf build

PREFIX ?= /usr/local
I := $(DESTDIR)$(PREFIX)
install: all ## install programs, man pages, example configuration and systemd unit (PREFIX, DESTDIR)
	$(Q)$(MAKE) --no-print-directory install-files

.PHONY: install-files
install-files:
	$(Q)install -d $(I)/bin $(I)/share/frugal-gateway $(I)/share/man/man1 $(I)/lib/systemd/system $(I)/lib/sysusers.d
	$(Q)install -m 755 $(PROGRAMS) $(I)/bin
	$(Q)install -m 644 $(filter-out %.service %.socket %.sysusers,$(wildcard config/*)) openapi.yaml $(I)/share/frugal-gateway
	$(Q)install -m 644 $(wildcard docs/man/*.1) $(I)/share/man/man1
	$(Q)sed 's|/usr/local|$(PREFIX)|' config/frugal.service >$(I)/lib/systemd/system/frugal.service
	$(Q)install -m 644 config/frugal.socket $(I)/lib/systemd/system
	$(Q)install -m 644 config/frugal.sysusers $(I)/lib/sysusers.d/frugal.conf
