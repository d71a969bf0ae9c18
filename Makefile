# Every target sets up what it needs by itself; what is there already costs nothing.

.DEFAULT_GOAL := help
.PHONY: help setup server prometheus openssl redis-cli network migrations ways chromium demo test verify check bench calibrate failovers integration soak chaos kills
.PHONY: clean
.PHONY: bundle function fuzz lock sbom
.PHONY: stack pictures compiled matrix parity
.NOTPARALLEL:  # two apt-get at a time refuse each other

VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
STAMP := $(VENV)/.installed
SOAK_S ?= 1800
FUZZ ?= 50
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# With it each of the hundreds of processes that tests start compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE

# apt_install PACKAGE WHAT-TO-DO-OTHERWISE. Root needs no sudo; anyone else gets it only
# if it asks for no password. No service of a package is started (RUNLEVEL tells SysV,
# SYSTEMD_OFFLINE systemd).
APT_INSTALL = apt_install() { \
	  as_root=; \
	  if [ "$$(id -u)" != 0 ]; then as_root="sudo -n"; fi; \
	  if ! command -v apt-get >/dev/null || ! $$as_root true 2>/dev/null; then \
	    echo "setup: $$2" >&2; \
	    exit 1; \
	  fi; \
	  echo "setup: installing $$1 with apt-get"; \
	  $$as_root apt-get -qq update; \
	  $$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 SYSTEMD_OFFLINE=1 \
	    apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends \
	    "$$1" >/dev/null; \
	}

# find_python sets python to the name of one that is new enough, or to nothing.
FIND_PYTHON = find_python() { \
	  python=; \
	  for name in python3.13 python3.12 python3.11 python3; do \
	    if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	    then python=$$name; break; fi; \
	  done; \
	}

help:
	@echo "make demo         a real local cluster, a failover under load, the verdict"
	@echo "make test         all tests that share the machine (10 minutes)"
	@echo "make verify       all others: they measure in real time (30 minutes)"
	@echo "make check        lint, format, types, import contracts, spelling"
	@echo "make fuzz         properties and hostile input, FUZZ=$(FUZZ) times as much as in make test"
	@echo "make integration  only the tests against real servers"
	@echo "make compiled     a copy in $(COMPILED) whose measuring loop is compiled"
	@echo "make bench        speed against its targets and other tools (45 minutes)"
	@echo "make calibrate    the meter against outages of known length (20 minutes)"
	@echo "make matrix       every scenario, both shapes, TCP and TLS: one table (12 minutes)"
	@echo "make migrations   the ways to migrate beside each other: one table (3 minutes)"
	@echo "make ways         what a NAT and a tunnel add to a round trip: one table (1 minute)"
	@echo "make failovers    20 planned failovers under load: nothing may be lost"
	@echo "make parity       two servers with ten million keys compared (10 minutes, 4 GB)"
	@echo "make chaos        what goes wrong around a probe against what is told (2 minutes)"
	@echo "make kills        200 runs killed at random moments, and gone on with (30 to 60 minutes)"
	@echo "make stack        a cluster, a run, Prometheus and Grafana, until Ctrl-C"
	@echo "make bundle       one file that an instance of AWS installs (ARCHITECTURE=x86_64 for x86)"
	@echo "make function     the same for Lambda"
	@echo "make pictures     draw the dashboards of real runs into docs/img"
	@echo "make soak         make kills, then a run of SOAK_S=$(SOAK_S) s while the cluster changes"
	@echo "make setup        only set up: $(VENV) and a server program"
	@echo "make clean        remove everything that was made, also $(VENV)"

setup: $(STAMP) server

# What a run needs is a tenth of what tests need: the demo does not wait for the rest.
$(RUNS): pyproject.toml constraints.txt
	@set -e; $(APT_INSTALL); $(FIND_PYTHON); \
	if [ ! -x $(BIN)/python ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  no_python="no Python 3.11 or newer on PATH; install one, for example with \
'apt-get install python3-venv' on Debian 12 or newer"; \
	  find_python; \
	  if [ -z "$$python" ]; then apt_install python3-venv "$$no_python"; find_python; fi; \
	  if [ -z "$$python" ]; then echo "setup: $$no_python" >&2; exit 1; fi; \
	  if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	    apt_install $$python-venv "$$python cannot make virtual environments; install \
its venv module, for example with 'apt-get install $$python-venv'"; \
	  fi; \
	  echo "setup: making $(VENV) with $$($$python --version)"; \
	  $$python -m venv --clear $(VENV); \
	fi; \
	echo "setup: installing loadprobe and its pinned dependencies into $(VENV)"; \
	$(BIN)/python -m pip install -q -c constraints.txt -e .; \
	touch $@

$(STAMP): $(RUNS)
	@echo "setup: installing what tests and benchmarks need, too"; \
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

# Servers are started by loadprobe only, on free ports: the service that comes with the
# package is not started now, nor at the next boot.
server:
	@set -e; $(APT_INSTALL); \
	if command -v valkey-server >/dev/null || command -v redis-server >/dev/null; \
	then exit 0; fi; \
	apt_install redis-server "no valkey-server or redis-server on PATH; install one \
that has TLS, for example with 'apt-get install redis-server'"; \
	$$as_root env SYSTEMD_OFFLINE=1 update-rc.d redis-server disable \
	  >/dev/null 2>&1 || true

# Only the tests need it: promtool reads both pages, Prometheus scrapes a run. Without it
# they are skipped.
prometheus:
	@$(APT_INSTALL); \
	if command -v promtool >/dev/null && command -v prometheus >/dev/null; \
	then exit 0; fi; \
	( set -e; apt_install prometheus "no prometheus and promtool on PATH; install both, \
for example with 'apt-get install prometheus'"; \
	  $$as_root env SYSTEMD_OFFLINE=1 update-rc.d prometheus disable \
	    >/dev/null 2>&1 || true ) \
	|| echo "setup: what needs Prometheus is not tested" >&2

# Only the tests of pages need it. Without it they are skipped.
chromium:
	@$(APT_INSTALL); \
	if command -v chromium >/dev/null || command -v chromium-browser >/dev/null; \
	then exit 0; fi; \
	( set -e; apt_install chromium "no chromium on PATH; install it, for example with \
'apt-get install chromium'" ) || echo "setup: pages are not tested in a browser" >&2

# A server that asks for new keys, for the tests of TLS.
openssl:
	@$(APT_INSTALL); \
	if command -v openssl >/dev/null; then exit 0; fi; \
	( set -e; apt_install openssl "no openssl on PATH; install it, for example with \
'apt-get install openssl'" ) || echo "setup: new keys by TLS are not tested" >&2

# Migrations by it are tested for real.
redis-cli:
	@$(APT_INSTALL); \
	if command -v redis-cli >/dev/null; then exit 0; fi; \
	( set -e; apt_install redis-tools "no redis-cli on PATH; install it, for example \
with 'apt-get install redis-tools'" ) || echo "setup: copies by redis-cli are not tested" >&2

# A real NAT and a real sshd, which tests start by themselves on ports of their own: the
# service that comes with the package is not started now, nor at the next boot.
network:
	@$(APT_INSTALL); \
	if command -v nft >/dev/null && command -v iptables-restore >/dev/null \
	  && command -v ip >/dev/null && command -v ssh >/dev/null && [ -x /usr/sbin/sshd ]; \
	then exit 0; fi; \
	( set -e; \
	  for package in nftables iptables iproute2 openssh-client openssh-server; do \
	    apt_install $$package "NAT and tunnels are tested with nftables, iptables, \
iproute2, openssh-client and openssh-server; install $$package"; \
	  done; \
	  $$as_root env SYSTEMD_OFFLINE=1 update-rc.d ssh disable >/dev/null 2>&1 || true ) \
	|| echo "setup: NAT and tunnels are not tested" >&2

# A copy of loadprobe whose measuring loop is compiled, in a folder of its own: what runs
# from here stays plain Python. Needs a C compiler and the headers of Python.
COMPILED := build/compiled
SOURCES := $(shell find loadprobe scenarios -type f ! -name '*.pyc')

compiled: $(COMPILED)/.made

$(COMPILED)/.made: $(STAMP) hatch_build.py pyproject.toml $(SOURCES)
	@set -e; $(APT_INSTALL); \
	if ! command -v cc >/dev/null; then \
	  apt_install gcc "no C compiler on PATH; install one, for example with \
'apt-get install gcc libc6-dev'"; apt_install libc6-dev "no C library to build with"; fi; \
	headers=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))'); \
	if [ ! -e "$$headers/Python.h" ]; then \
	  apt_install python3-dev "no Python.h in $$headers; install the headers of this \
Python, for example with 'apt-get install python3-dev'"; fi; \
	echo "compiled: compiling the loop that measures into $(COMPILED)"; \
	rm -rf $(COMPILED); \
	LOADPROBE_COMPILE=1 $(BIN)/python -m pip install -q --no-deps \
	  --no-build-isolation --target $(COMPILED) .; \
	touch $@

demo: $(RUNS) server
	@$(BIN)/loadprobe demo

# Most of these wait most of the time, so four at a time do not need four cores. In the
# order of their folders, the many short ones come last and fill every process to the end.
# What could not be tested here is told with the reason (-rs).
test: setup prometheus openssl network compiled
	$(BIN)/python -m pytest -q -rs -n 4 --dist loadscope --no-loadscope-reorder \
	  -m "not alone"

# What measures in real time, or is much work, has the machine for itself, one after the
# other.
verify: setup prometheus openssl redis-cli chromium network compiled
	$(BIN)/python -m pytest -q -rs -m alone

fuzz: setup
	LOADPROBE_FUZZ_FACTOR=$(FUZZ) $(BIN)/python -m pytest -q -n 2 --timeout 7200 \
	  -o faulthandler_timeout=0 tests/fuzz tests/props

integration: setup prometheus
	$(BIN)/python -m pytest -q tests/integration

check: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/validate-pyproject pyproject.toml

bench: setup compiled
	$(BIN)/python -m benchmarks.run

# The machine should be quiet. Writes docs/accuracy.md, its figures and its picture.
calibrate: setup compiled
	$(BIN)/python -m benchmarks.calibration

# What a plain install needs, with the hashes of its files: for the image.
TOOLS := build/tools
lock: $(STAMP)
	$(BIN)/python -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install -q pip-tools
	$(TOOLS)/bin/pip-compile -q --generate-hashes --strip-extras --no-header --no-annotate \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
	  -c constraints.txt pyproject.toml -o deploy/requirements.lock

# What an instance installs without a network: build/bundle, and its digest. It needs
# little, so it does not wait for all that the tests need.
ARCHITECTURE ?= arm64
BUNDLER := build/bundler
$(BUNDLER)/.made: constraints.txt
	@set -e; $(FIND_PYTHON); find_python; \
	if [ -z "$$python" ]; then echo "bundle: no Python 3.11 or newer" >&2; exit 1; fi; \
	$$python -m venv --clear $(BUNDLER); \
	$(BUNDLER)/bin/python -m pip install -q -c constraints.txt hatchling; \
	touch $@

bundle: $(BUNDLER)/.made
	@$(BUNDLER)/bin/python -m tools.bundle --architecture $(ARCHITECTURE)

# The same for Lambda.
function: $(BUNDLER)/.made
	@$(BUNDLER)/bin/python -m tools.bundle --architecture $(ARCHITECTURE) --function

# The bill of materials of a plain install, as CycloneDX: build/sbom/loadprobe.cdx.json.
SBOM := build/sbom
sbom: $(STAMP)
	rm -rf $(SBOM)
	$(BIN)/python -m venv --without-pip $(SBOM)/installed
	$(BIN)/python -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install -q cyclonedx-bom
	$(BIN)/python -m pip --python $(SBOM)/installed install -q --require-hashes \
	  -r deploy/requirements.lock
	$(TOOLS)/bin/cyclonedx-py environment $(SBOM)/installed --pyproject pyproject.toml \
	  --output-reproducible --output-file $(SBOM)/loadprobe.cdx.json
	@echo "$(SBOM)/loadprobe.cdx.json"

matrix: setup
	@$(BIN)/python -m tools.scenario_matrix

# Two servers on loopback, filled and compared.
parity: setup
	$(BIN)/python -m benchmarks.parity

# The machine should be quiet. Writes a table of docs/reliability.md.
chaos: setup
	$(BIN)/python -m benchmarks.chaos

# Writes a table of docs/reliability.md.
kills: setup
	$(BIN)/python -m benchmarks.killing

# The machine should be quiet. Writes the table of docs/migration.md.
migrations: setup redis-cli
	$(BIN)/python -m benchmarks.migrations

# Needs root. Writes a table of docs/reach.md.
ways: setup network
	$(BIN)/python -m benchmarks.ways

failovers: setup
	$(BIN)/python -m benchmarks.failovers

# Grafana only if it is there. SCENARIO=failover changes the cluster meanwhile.
stack: setup prometheus
	@exec $(BIN)/python -m tools.stack $(if $(SCENARIO),--scenario $(SCENARIO))

pictures: setup prometheus
	@$(APT_INSTALL); \
	if ! command -v chromium >/dev/null; then \
	  apt_install chromium "no chromium on PATH; it draws the pictures"; fi; \
	if ! command -v npm >/dev/null; then \
	  apt_install npm "no npm on PATH; it gets uPlot, which draws the graphs"; fi
	@$(BIN)/python -m tools.pictures

# Writes a table of docs/reliability.md and its picture.
soak: kills
	$(BIN)/python -m benchmarks.soak --seconds $(SOAK_S)

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf .import_linter_cache .coverage .coverage.*
	find loadprobe tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +
