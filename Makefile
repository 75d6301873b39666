# Collapse Lab. `make run` and `make test` need Python >= 3.11, make and a package index, nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_ARGS ?=
LOCK ?= requirements.lock
TEST_PROCESSES ?= 3

.PHONY: help run docs lock test test-all mutate check bench clean
SITE := backend/api/site/index.html

help:
	@echo "make run         install, start the server, open it in a browser"
	@echo "make test        install what tests need, browser included; check, and run one real case of each kind"
	@echo "make test-all    the same with every case and all repetitions"
	@echo "make mutate      change single expressions of the geometry, the heads and the event log: which changes do tests miss?"
	@echo "make docs        build the documentation, which the server then has at /docs"
	@echo "make lock        write requirements.lock again: exact versions and hashes of what make run installs"
	@echo "make check       ruff, strict types, import contracts"
	@echo "make clean       remove the installation and everything that was built"
	@echo "make bench       measure speed; writes benchmarks/results/"

# A stamp says what is installed: nothing is installed twice until pyproject.toml or the lock file changes. The lock file has an
# exact version and hashes for every package, on every platform; `make run LOCK=` installs the newest that pyproject.toml allows.
$(VENV)/installed: pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Collapse Lab; the first time this takes a few minutes ..."
ifeq ($(LOCK),)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all,docs]'
else
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK) || \
		{ echo "The index does not have the packages of $(LOCK); make run LOCK= installs the newest that pyproject.toml allows" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
endif
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# Debian's Chromium where we may install it, else Playwright's own.
$(VENV)/browser: $(VENV)/installed-dev
	@if command -v chromium >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	else $(BIN)/playwright install chromium; fi
	@touch $@

# Install Debian's package $(2) if the command $(1) fails and we are root; otherwise the tests that need it are skipped.
define debian
	@if $(1); then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) >/dev/null; \
	else echo "$(2) is not installed: the tests that need it are skipped"; fi
	@touch $@
endef

# PostgreSQL's own programs, with which tests start a server of theirs.
$(VENV)/postgres: $(VENV)/installed-dev
	$(call debian,command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1,postgresql)

# The PDF tools that people check figures with.
$(VENV)/poppler: $(VENV)/installed-dev
	$(call debian,command -v pdffonts >/dev/null 2>&1,poppler-utils)

# The documentation is built once, in about five seconds, and the server works without it. `make docs` builds it again, with
# warnings as errors (with --quiet, MkDocs does not count warnings).
$(SITE): | $(VENV)/installed
	@$(BIN)/python -m mkdocs build --quiet || echo "The documentation could not be built; the server starts without it."

docs: $(VENV)/installed
	$(BIN)/python -m mkdocs build

lock: $(VENV)/installed-dev
	$(BIN)/python scripts/lock.py

run: $(VENV)/installed $(SITE)
	@exec $(BIN)/collapse serve $(RUN_ARGS)

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Test files are distributed over three processes, long ones first: a file's servers and stores are its own, and a test
# waits about as long as it computes, so that three processes keep two cores busy.
PYTEST := $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --durations 20

test: check $(VENV)/browser $(VENV)/postgres $(VENV)/poppler
	$(PYTEST)

test-all: check $(VENV)/browser $(VENV)/postgres $(VENV)/poppler
	$(PYTEST) --exhaustive --timeout 3600
	@echo "Every test passed, with all repetitions."

# Results are kept in mutants/, and only functions that changed are tried again; `rm -r mutants` starts anew.
mutate: $(VENV)/installed-dev $(VENV)/postgres
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[mutation]'
	OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES= nice -n 19 $(BIN)/python -m tests.mutation.run run
	$(BIN)/python -m tests.mutation.run results

bench: $(VENV)/browser
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) backend/api/site build dist *.egg-info
