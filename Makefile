# make             build module and command, install Litestream, all in build/
# make run         a demo on http://127.0.0.1:8080/ (DB=path REPLICA=url PORT=n)
# make test        all checks and tests
# make test-all    and the large ones, and those of the other storages, whose
#                  servers it installs
# make check       only what needs no nginx running: style and unit tests
# make sanitize    the tests, nginx and the module built with ASan and UBSan
# make valgrind    the tests, nginx run under valgrind
# make upstream    the tests, nginx as its authors release it, the module in it
# make install     module, command, and a drop-in for systemd, where they belong
# make deps        Debian packages, Litestream, rclone for the tests
# make CC=clang    with another compiler (as all the others)
# make clean       remove build/; make distclean: the demo's data in run/ too

SHELL = /bin/sh

CFLAGS  = -g -O2 -fstack-protector-strong -Wformat -Werror=format-security \
	  -D_FORTIFY_SOURCE=2
LDFLAGS = -Wl,-z,relro -Wl,-z,now

# the headers and the configure script of nginx-dev, and its nginx
NGINX_SRC    = /usr/share/nginx/src
NGINX_BINARY = $(shell PATH="$$PATH:/usr/sbin" command -v nginx)

# test files, and how many at a time: make test TESTS=t/restore.t; "make test"
# is about folders and S3, "make test-all" about the other storages as well, and
# about so many databases that nothing else should run beside, and about what
# takes long with Litestream 0.3
OLD_TESTS     = $(addprefix t/old_,conflict.t kill.t moving.t s3.t)
STORAGE_TESTS = $(sort $(wildcard t/storage_*.t) $(OLD_TESTS))
LARGE_TESTS   = t/dirs_many.t
TESTS         = $(filter-out $(STORAGE_TESTS) $(LARGE_TESTS),\
		$(sort $(wildcard t/*.t)))
JOBS          = 4

PACKAGES = gcc libc6-dev make nginx nginx-dev libyaml-dev libsqlite3-dev \
	   'libcurl4-openssl-dev|libcurl4-gnutls-dev' \
	   sqlite3 perl curl ca-certificates python3

# for the tests alone
TEST_PACKAGES = systemd groff-base

# servers of "make test-all"
SERVER_PACKAGES = openssh-server nats-server

SOURCES = $(wildcard ngx_litestream_module/*.[ch])
CHECKED = $(SOURCES) $(wildcard cli/*.[ch] t/unit/*.[ch] bench/*.c)
SCRIPTS = config .ci/run $(wildcard tools/*)
PERL    = $(wildcard t/*.t t/lib/Test/*.pm t/lib/Test/*/*.pm t/bin/* bench/run)
UNITS   = $(patsubst t/unit/%.c,build/unit/%,$(wildcard t/unit/*.c))

MODULE = build/ngx_litestream_module.so

COMMAND         = build/nginx-litestream
COMMAND_SOURCES = $(wildcard cli/*.c) \
		  ngx_litestream_module/ngx_litestream_shared.c \
		  ngx_litestream_module/ngx_litestream_tidy.c
COMMAND_HEADERS = $(wildcard cli/*.h) ngx_litestream_module/ngx_litestream_shared.h \
		  build/install-litestream.h
COMMAND_WARN    = -Wall -Wextra -Werror

ifneq ($(words $(CURDIR)),1)
$(error nginx cannot be built in a folder with a space in its name: $(CURDIR))
endif

.DELETE_ON_ERROR:
.PHONY: all deps packages test-packages test-servers run test test-all check \
	style unit symbols docs prove sanitize valgrind upstream bench install \
	clean distclean FORCE

all: $(MODULE) $(COMMAND) build/litestream


# what has to be there

deps: packages build/litestream build/litestream-0.3.13 build/rclone \
	build/django

packages:
	@tools/install-packages $(PACKAGES)

test-packages:
	@tools/install-packages $(TEST_PACKAGES)

# exit status 3: pip is missing
with-pip = @$(1) || { [ $$? = 3 ] \
	   && tools/install-packages python3-pip && $(1); }

build/litestream: packages FORCE
	$(call with-pip,tools/install-litestream $@)

# the old Litestream, for the tests

build/litestream-0.3.13: packages FORCE
	$(call with-pip,tools/install-litestream -version 0.3.13 $@)

# the S3 server of the tests, and those of the other storages

build/rclone: packages FORCE
	$(call with-pip,tools/install-rclone $@)

# for the tests of migration, and of the command's init

build/caddy: packages FORCE
	@tools/install-caddy $@

build/django: packages FORCE
	$(call with-pip,tools/install-django $@)

build/azurite: packages FORCE
	$(call with-pip,tools/install-azurite $@)

build/fake-gcs-server: packages FORCE
	$(call with-pip,tools/install-fake-gcs $@)

build/litestream-vfs.so: packages FORCE
	$(call with-pip,tools/install-vfs $@)

test-servers: build/azurite build/fake-gcs-server build/litestream-vfs.so \
	      build/caddy
	@tools/install-packages $(SERVER_PACKAGES)


# the module
#
# nginx's own Makefile knows what depends on what, so it is always asked.
# nginx compiles everything, this module too, with -W (which is -Wextra) -Wall
# -Wpointer-arith -Wno-unused-parameter -Werror.

$(MODULE): build/nginx/objs/Makefile FORCE
	@$(MAKE) --no-print-directory -s -C build/nginx -f objs/Makefile modules
	@cmp -s build/nginx/objs/$(@F) $@ || { \
	    cp build/nginx/objs/$(@F) $@.new && mv $@.new $@ \
	    && echo "built $@"; \
	}

build/nginx/objs/Makefile: config build/settings
	@rm -rf build/nginx
	@cp -R $(NGINX_SRC) build/nginx
	@echo "configuring, see build/configure.log"
	@cd build/nginx && bash -c '. ./conf_flags \
	    && ./configure "$${NGX_CONF_FLAGS[@]}" --with-cc="$(CC)" \
	           --with-cc-opt="$(CFLAGS)" --with-ld-opt="$(LDFLAGS)" \
	           --add-dynamic-module=$(CURDIR)' \
	    >../configure.log 2>&1 || { tail -n 5 ../configure.log; exit 1; }

# changes with all that "configure" has to be run again for: the options
# below, the version of nginx, and where this folder is

build/settings: packages FORCE
	@mkdir -p build
	@{ \
	    echo '$(CURDIR) $(CC) $(CFLAGS) $(LDFLAGS) $(SANITIZE)' \
	    && grep 'define NGINX_VERSION' $(NGINX_SRC)/src/core/nginx.h \
	    && cat $(NGINX_SRC)/conf_flags; \
	} >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@


# the command, nginx-litestream

$(COMMAND): $(COMMAND_SOURCES) $(COMMAND_HEADERS) build/settings
	@$(CC) $(CFLAGS) $(COMMAND_WARN) -fPIE -pie $(LDFLAGS) -Icli -Ibuild \
	    -Ingx_litestream_module -o $@.new $(COMMAND_SOURCES) -lyaml
	@mv $@.new $@ && echo "built $@"

# a script as a text of C

build/install-litestream.h: tools/install-litestream build/settings
	@sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' \
	    tools/install-litestream >$@


run: all
	@exec env DB='$(DB)' REPLICA='$(REPLICA)' PORT='$(PORT)' \
	    NGINX_BINARY='$(NGINX_BINARY)' tools/run


# tests

test: all
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory prove
	@echo "all checks and tests passed"

test-all: test test-servers
	@$(MAKE) --no-print-directory prove TESTS='$(LARGE_TESTS)' JOBS=1
	@$(MAKE) --no-print-directory prove TESTS='$(STORAGE_TESTS)'
	@echo "all tests of storages passed"

# What fails beside others is run once more by itself, and said: a machine too
# slow for so many at a time is not a defect of what is tested.

prove: all test-packages build/rclone build/litestream-0.3.13 build/django
	@ls $(TESTS) >/dev/null
	@rm -f .prove
	TEST_NGINX_BINARY='$(NGINX_BINARY)' \
	    prove --state=save -It/lib -j$(JOBS) $(TESTS) \
	|| { echo "some have failed, these once more, one at a time:"; \
	    TEST_NGINX_BINARY='$(NGINX_BINARY)' TEST_SLOW=2 \
		prove --state=failed,save -It/lib; }
	@rm -f .prove

check: style unit symbols docs

style: packages
	@tools/check-style $(CHECKED) $(SCRIPTS) $(PERL)
	@for f in $(notdir $(SOURCES)); do \
	    grep -q "/$$f " config || { echo "config: no $$f"; exit 1; }; \
	done
	@echo "style: ok"

# docs/migration.md is made of data, which tests walk

docs:
	@tools/make-migration -check && echo "docs: ok"

unit: $(UNITS)
	@prove -e '' $(UNITS)

# The .so exports what nginx looks up in it, and nothing that another module
# or library could be bound to.

symbols: $(MODULE)
	@nm -D --defined-only $(MODULE) | sed 's/.* //' | sort >build/symbols
	@printf '%s\n' ngx_module_names ngx_module_order ngx_modules \
	    | diff - build/symbols && echo "symbols: ok"

# Each t/unit/NAME.c is a program, which may include sources of the module.
# A line " * CFLAGS: ..." in it is added to the command.  nginx's headers
# count as the system's: their warnings are not ours.

UNIT_INCS = -Ingx_litestream_module -Icli $(addprefix -isystem build/nginx/, \
	    src/core src/event src/event/modules src/event/quic src/os/unix \
	    objs src/http src/http/modules src/http/v2 src/http/v3)

build/unit/%: t/unit/%.c $(CHECKED) build/nginx/objs/Makefile
	@mkdir -p build/unit
	@$(CC) -g -O1 -Wall -Wextra -Werror -Wno-unused-parameter \
	    -fsanitize=address,undefined -fno-sanitize-recover=all \
	    $(UNIT_INCS) -o $@ $< -lyaml -lsqlite3 -lcurl -lpcre2-8 \
	    $(shell sed -n 's/^ \* CFLAGS: //p' $<)


# nginx itself built with sanitizers, the module in it.  NGX_DEBUG_PALLOC
# makes each allocation from a pool one of malloc(), so that overruns show.
# nginx 1.22 passes NULL with length 0 to memcpy() and the like, and reads
# unaligned integers where the processor can.  At its end it leaves much to
# the system, so leaks are not looked for.

SANITIZE = -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
	   -fno-sanitize-recover=all -fno-sanitize=nonnull-attribute \
	   -DNGX_DEBUG_PALLOC=1 -DNGX_HAVE_NONALIGNED=0

sanitize: all test-packages build/rclone build/litestream-0.3.13 build/django \
	build/sanitize/objs/nginx \
	build/sanitize/nginx-litestream
	ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1 \
	UBSAN_OPTIONS=print_stacktrace=1 \
	TEST_NGINX_BINARY='$(CURDIR)/build/sanitize/objs/nginx' \
	TEST_NGINX_COMMAND='$(CURDIR)/build/sanitize/nginx-litestream' \
	TEST_NGINX_MODULE=static TEST_SLOW=3 \
	    prove -It/lib -j$(JOBS) $(TESTS)
	@echo "all tests passed with sanitizers"

build/sanitize/objs/nginx: build/sanitize/objs/Makefile FORCE
	@$(MAKE) --no-print-directory -s -j$(JOBS) -C build/sanitize \
	    -f objs/Makefile binary

build/sanitize/nginx-litestream: build/sanitize/objs/Makefile $(COMMAND)
	@$(CC) $(SANITIZE) $(COMMAND_WARN) -Icli -Ibuild \
	    -Ingx_litestream_module \
	    -o $@ $(COMMAND_SOURCES) -lyaml

build/sanitize/objs/Makefile: config build/settings tools/nginx-source
	@tools/nginx-source build/nginx-source
	@rm -rf build/sanitize
	@cp -R build/nginx-source build/sanitize
	@echo "configuring, see build/sanitize.log"
	@cd build/sanitize && bash -c '. ../nginx/conf_flags \
	    && auto/configure "$${NGX_CONF_FLAGS[@]}" \
	           --with-cc-opt="$(SANITIZE)" \
	           --with-ld-opt="-fsanitize=address,undefined" \
	           --add-module=$(CURDIR)' \
	    >../sanitize.log 2>&1 || { tail -n 5 ../sanitize.log; exit 1; }

valgrind: all test-packages build/rclone build/litestream-0.3.13 build/django
	@tools/install-packages valgrind
	@rm -rf build/valgrind
	@mkdir -p -m 1777 build/valgrind
	VALGRIND_NGINX='$(NGINX_BINARY)' \
	VALGRIND_LOGS='$(CURDIR)/build/valgrind' \
	TEST_NGINX_BINARY='$(CURDIR)/tools/valgrind-nginx' TEST_SLOW=10 \
	    prove -It/lib -j$(JOBS) $(TESTS); \
	    rc=$$?; cat build/valgrind/*.log >build/valgrind.log; \
	    cat build/valgrind.log; [ $$rc = 0 ] && [ ! -s build/valgrind.log ]
	@echo "all tests passed under valgrind"


# nginx as its authors release it, of a version between those of Debian's
# releases: all tests with the module linked into it, some with the .so

UPSTREAM_TESTS = t/00_library.t t/conf_accepted.t t/reload_module.t \
		 t/verify_quick.t

upstream: all test-packages build/rclone build/upstream/static/nginx \
	build/upstream/dynamic/ngx_litestream_module.so
	@nm -D --defined-only build/upstream/static/nginx >build/upstream/symbols
	@! grep litestream build/upstream/symbols
	TEST_NGINX_BINARY='$(CURDIR)/build/upstream/dynamic/nginx' \
	TEST_NGINX_MODULE=build/upstream/dynamic/ngx_litestream_module.so \
	    prove -It/lib -j$(JOBS) $(UPSTREAM_TESTS)
	TEST_NGINX_BINARY='$(CURDIR)/build/upstream/static/nginx' \
	TEST_NGINX_MODULE=static \
	    prove -It/lib -j$(JOBS) $(filter-out t/reload_module.t,$(TESTS))
	@echo "all tests passed with upstream's nginx"

build/upstream/static/nginx: build/upstream/static/Makefile FORCE
	@$(MAKE) --no-print-directory -s -j$(JOBS) -C build/upstream \
	    -f static/Makefile binary

build/upstream/dynamic/ngx_litestream_module.so: \
	build/upstream/dynamic/Makefile FORCE
	@$(MAKE) --no-print-directory -s -j$(JOBS) -C build/upstream \
	    -f dynamic/Makefile binary modules

# auto/configure makes one Makefile in the source's own folder, which nobody
# uses, and all else in the folder named

build/upstream/static/Makefile build/upstream/dynamic/Makefile: \
	build/upstream/%/Makefile: config build/settings tools/nginx-upstream
	@tools/nginx-upstream build/upstream
	@rm -rf $(@D)
	@echo "configuring, see build/upstream-$*.log"
	@cd build/upstream && bash -c '. ../nginx/conf_flags \
	    && auto/configure "$${NGX_CONF_FLAGS[@]}" --with-cc="$(CC)" \
	           --with-cc-opt="$(CFLAGS)" --with-ld-opt="$(LDFLAGS)" \
	           --builddir=$* $(UPSTREAM_$*)=$(CURDIR)' \
	    >../upstream-$*.log 2>&1 \
	    || { tail -n 5 build/upstream-$*.log; exit 1; }

UPSTREAM_static  = --add-module
UPSTREAM_dynamic = --add-dynamic-module


# speed and memory, side by side with Litestream and nginx alone

bench: all build/load
	@TEST_NGINX_BINARY='$(NGINX_BINARY)' ROWS='$(ROWS)' bench/run

build/load: bench/load.c
	@$(CC) -g -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -o $@ $<


install: all
	@DESTDIR='$(DESTDIR)' NGINX_BINARY='$(NGINX_BINARY)' \
	    tools/install-module $(MODULE) build/litestream
	@DESTDIR='$(DESTDIR)' tools/install-command $(COMMAND) \
	    docs/nginx-litestream.8
	@DESTDIR='$(DESTDIR)' tools/install-systemd

clean:
	rm -rf build
	@[ ! -e run ] || echo "the demo's data is left in run/ (make distclean)"

# the demo's state is elsewhere when the path of this folder is long

distclean:
	@[ ! -L run/state ] || rm -rf "$$(readlink run/state)"
	rm -rf build run

FORCE:
