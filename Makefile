.PHONY: run test slow check browser simulate kill bench-media bench-floor bench-meter bench-money bench-lossy bench-first-frame soak certs clean install install-test system-test compiler

PYTHON ?= python3
PY := .venv/bin/python
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
FIRST ?= 1
SEEDS ?= 1000
OF ?= all
MINUTES ?= 30
RUNS ?= 100
DATABASE ?= sqlite
NATIVE := $(addprefix mediaserver/,dataplane.pyx estimate.pxi sealing.pxi seal.c seal.h gcm.c gcm.h)

run: install certs
	$(PY) -m signaling serve

test: install-test system-test check
	$(PY) -m pytest -m "not slow"

slow: install-test system-test
	$(PY) -m pytest -m slow

check: install-test
	.venv/bin/ruff check .
	.venv/bin/mypy

browser: install-test system-test
	$(PY) -m pytest tests/browser -m browser

# OF=meter (milliseconds a seed), money (about a second a seed), or all. One seed again: FIRST=seed SEEDS=1.
simulate: install-test
	$(PY) -m tests.simulation --first $(FIRST) --seeds $(SEEDS) --of $(OF)

# kill -9 of the server and the sandbox at random moments, RUNS times; DATABASE=sqlite or postgresql; SEED repeats one.
kill: install-test system-test
	$(PY) -m tests.integration.money --runs $(RUNS) --database $(DATABASE) $(if $(SEED),--seed $(SEED))

# As root with Debian's janus and ethtool: Tollroom and Janus in turn, in network namespaces. Else Tollroom alone on loopback.
bench-media: install-test
	$(PY) -m bench.media $(BENCH)

# As root: what the kernel alone takes to send what bench-media has sent; half a minute for each number of viewers.
bench-floor: install-test
	$(PY) -m bench.floor $(BENCH)

# As root: the whole server and two browsers in network namespaces with a bad line between them; eight minutes.
bench-lossy: install-test system-test
	$(PY) -m bench.lossy $(BENCH)

bench-first-frame: install-test system-test
	$(PY) -m bench.first_frame $(BENCH)

soak: install-test
	$(PY) -m bench.soak --minutes $(MINUTES)

bench-meter: install-test
	$(PY) -m bench.meter

# PostgreSQL of Debian's package, started for the time of the run. BENCH="--only token --payments 100" for a part of it.
bench-money: install-test system-test
	$(PY) -m bench.money $(BENCH)

certs: install
	[ -f certs/dev.pem ] || $(PY) certs/make_dev_certificate.py

clean:
	rm -rf var build .pytest_cache .mypy_cache .ruff_cache .hypothesis tests/browser/screenshots

install: .venv/.installed

install-test: .venv/.installed-test

# The newest interpreter that is at least 3.11 makes the virtualenv; venv is a package of its own on Debian and Ubuntu.
.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tollroom needs Python 3.11 or newer")'
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(SUDO) apt-get update && $(SUDO) apt-get install -y python3-venv; }
	$(PYTHON) -m venv .venv

# For mediaserver/dataplane.pyx. Without them the install goes on, and packets are forwarded in Python at three times the cost.
compiler: .venv/bin/python
	@{ command -v gcc && $(PY) -c 'import pathlib, sys, sysconfig; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())'; } >/dev/null \
	|| { $(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends gcc libc6-dev python3-dev; } \
	|| echo "No C compiler or no Python headers: the native data plane is left out."

.venv/.installed: pyproject.toml setup.py $(NATIVE) | .venv/bin/python compiler
	$(PY) -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/.installed-test: pyproject.toml setup.py $(NATIVE) | .venv/bin/python compiler
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@ .venv/.installed

# What the tests drive besides Python: two browsers, a TURN server, Redis, PostgreSQL, and Node for the pages' modules without a DOM.
system-test:
	@missing=""; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v firefox-esr >/dev/null || missing="$$missing firefox-esr"; \
	command -v turnserver >/dev/null || missing="$$missing coturn"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	command -v node >/dev/null || missing="$$missing nodejs"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	[ -z "$$missing" ] || { $(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends $$missing; }
