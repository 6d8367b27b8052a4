# Copyright: (c) 2026, the streamkap.neon contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# What a developer runs. It sets up what it needs below .venv and .cache, and touches nothing else on the machine.

# Only paths relative to this folder, because a path with spaces in it means something else to make.

PYTHON ?= python3
# Twice quiet, pip still says what fails. Only a small part of all that is installed is ever imported, and compiled then.
PIP = -m pip --disable-pip-version-check install --quiet --quiet --no-compile
DEMO = .venv/demo
TEST = .venv/test
DEBEZIUM = .venv/debezium
BENCH = .venv/bench
# The versions of ansible-core that something is tested with.
CORES = 2.16 2.18 2.19 2.21
LAYERS = unit integration api ssh robustness matrix debezium molecule lint

# How many tests run at a time, each worker with servers of its own. Tests on servers often wait: three of them fill two cores.
JOBS ?= 2
SERVER_JOBS ?= 3
comma = ,
SELECTION = $(if $(FULL),--full) $(if $(PG),--postgres "$(PG)") $(if $(K),-k "$(K)")
BINARIES = tests/support/binaries.py $(subst $(comma), ,$(PG))

export FULL JOBS PYTHON PYTHON_OLDEST PYTHON_NEWEST
# Ansible refuses to run in a locale that is not UTF-8.
export LC_ALL = C.UTF-8
# git refuses a checkout of another user's, as a folder of a container's host is. Whoever runs make in it has chosen to trust it.
export GIT_CONFIG_COUNT = 1
export GIT_CONFIG_KEY_0 = safe.directory
export GIT_CONFIG_VALUE_0 = $(CURDIR)

.PHONY: help demo test test-all environments $(LAYERS) $(LAYERS:%=needs-%) debezium-with-java docs screens bench mutants clean
.NOTPARALLEL:

help: ## | | Show this list
	@awk -F ' *(:.*## |[|]) *' 'BEGIN { print "  make ...      time, once set up; with FULL=1    needs" } \
		/^[a-z-]+:.*## / { printf "  %-12s  %-32s  %s\n                %s\n", $$1, $$2, $$3, $$4 }' $(firstword $(MAKEFILE_LIST))
	@echo "  Every layer takes FULL=1, and those on servers PG=17 or PG=16,17 and K=expression, which select."
	@echo "  Python is 3.11 or newer, with venv: python3, or PYTHON=."

demo: $(DEMO)/.stamp ## 20 s | Python | Show the collection at work on a PostgreSQL of its own, or with DSN=postgresql://... in front of make on that
	@$(DEMO)/bin/python demo/run.py

test: python ## 26 min | all that the layers need; what is missing is listed | Run all layers, and print how long each took
	@MAKE="$(MAKE)" "$(PYTHON)" tests/run_layers.py $(LAYERS)

test-all: ## over an hour | the same | Run all layers in full, on every version, as for a release
	@$(MAKE) --no-print-directory test FULL=1

unit: needs-unit $(TEST)/.stamp ## ~1 min | Python | Test what needs no server
	@echo "Unit tests"
	@$(TEST)/bin/python -m pytest tests/unit -n $(JOBS) $(if $(FULL),--full) $(if $(K),-k "$(K)")

# The files left out are tested by `make matrix`, on two versions of ansible-core.
integration: needs-integration $(TEST)/.stamp ## 7 min | Python | Test modules, roles and playbooks on real servers, 14 to 18
	@echo "Integration tests on PostgreSQL $(or $(PG),14 to 18)"
	@$(TEST)/bin/python $(BINARIES)
	@$(TEST)/bin/python -m pytest tests/integration -n $(SERVER_JOBS) --dist worksteal $(SELECTION) \
		$(if $(FULL)$(K),,--ignore tests/integration/test_in_process.py --ignore tests/integration/test_terminal.py)

api: needs-api $(TEST)/.stamp ## 4 min | npm | Test against fakes of Neon's and Streamkap's API, the former validated by Neon's own description
	@echo "APIs of Neon and Streamkap on PostgreSQL $(or $(PG),14 to 18)"
	@$(TEST)/bin/python $(BINARIES)
	@$(TEST)/bin/python -m pytest tests/api -n $(SERVER_JOBS) --dist worksteal $(SELECTION)

# To the tunnel one version is like the other.
ssh: needs-ssh $(TEST)/.stamp ## 2 min | root, openssh-server, openssh-client | Test the tunnel on a real sshd
	@echo "The bastion, with PostgreSQL $(or $(PG),17) behind it"
	@$(TEST)/bin/python tests/support/binaries.py $(or $(subst $(comma), ,$(PG)),17)
	@$(TEST)/bin/python -m pytest tests/ssh -n $(JOBS) --dist loadgroup $(if $(FULL),--full) --postgres "$(or $(PG),17)" $(if $(K),-k "$(K)")

# The page is of a whole run.
robustness: needs-robustness $(TEST)/.stamp ## 5 min | Python | Try to break it, and with FULL=1 write docs/robustness.md
	@echo "Faults, attacks and crowds on PostgreSQL $(or $(PG),14 to 18)"
	@$(TEST)/bin/python $(BINARIES)
	@$(TEST)/bin/python -m pytest tests/robustness -n $(JOBS) --dist worksteal $(SELECTION) \
		$(if $(FULL),$(if $(PG)$(K),,--write-figures))

matrix: needs-matrix ## 5 min; 25 min | Python 3.12 or newer (PYTHON_NEWEST=), npm | Test on the oldest and newest ansible-core, modules in Ansible's process and in their own
	@echo "Tests in both ways of execution, on two versions of ansible-core"
	@MAKE="$(MAKE)" tests/matrix.sh $(if $(PG),--postgres "$(PG)") $(if $(K),-k "$(K)")

# Nothing is downloaded where it could not run.
debezium: python ## 2 min | Java 17 or newer | Test with the real Debezium as the connector
	@if "$(PYTHON)" tests/debezium/java.py; then \
		$(MAKE) --no-print-directory debezium-with-java; \
	else \
		[ "$${CI:-}" != true ]; \
	fi

debezium-with-java: needs-debezium $(DEBEZIUM)/.stamp
	@echo "Debezium on PostgreSQL $(or $(PG),14 to 18)"
	@$(DEBEZIUM)/bin/python $(BINARIES)
	@$(DEBEZIUM)/bin/python -m pytest tests/debezium -n $(JOBS) --dist loadgroup $(SELECTION)

molecule: needs-molecule $(TEST)/.stamp ## ~1 min | podman or docker | Run the role against a PostgreSQL container
	@echo "Molecule"
	@tests/molecule.sh

lint: needs-lint $(TEST)/.stamp ## 3 min; 7 min | Python 3.12 or newer (PYTHON_NEWEST=) | Run ansible-test sanity and all linters, on several ansible-core (CORE=2.19 selects)
	@echo "ansible-test sanity and the linters"
	@MAKE="$(MAKE)" tests/lint.sh $(CORE)

docs: $(TEST)/.stamp ## ~10 s | Python | Write the pages that are generated from the code
	@$(TEST)/bin/python tests/support/checks_page.py

screens: python ## 3 min | Python 3.12 or newer (PYTHON_NEWEST=) | Write what the terminal shows to the files that the tests compare it with
	@MAKE="$(MAKE)" tests/screens.sh

bench: $(BENCH)/.stamp ## ~60 min | Python | Measure beside community.postgresql, and write docs/benchmarks (QUICK=1 for a look, MINUTES=60 for more runs)
	@$(BENCH)/bin/python tests/support/binaries.py 17
	@PYTHONPATH=tests $(BENCH)/bin/python -m bench.run $(if $(QUICK),--quick) $(if $(MINUTES),--minutes $(MINUTES))

# The first run records which tests execute which lines; `rm -r .cache/mutation` has it recorded again.
mutants: .venv/mutation/.stamp ## hours | Python | Put faults into the code, see which tests notice, write docs/mutation_testing.md (N=200 SEED=1 BUDGET=120, seconds of tests for each)
	@.venv/mutation/bin/python tests/support/binaries.py
	@PYTHONPATH=tests .venv/mutation/bin/python -m mutation run --number $(or $(N),200) --seed $(or $(SEED),1) --jobs $(JOBS) \
		$(if $(BUDGET),--budget $(BUDGET))

environments: python ## ~1 min | Python | Set up the environments that the layers need, two at a time, as `make test` does
	@MAKE="$(MAKE)" tests/environments.sh

clean: ## | | Remove what this Makefile has set up
	rm -rf .venv .cache tests/output

# Before anything else, each layer says what it will leave out here.
$(LAYERS:%=needs-%): needs-%: python
	@"$(PYTHON)" tests/support/prerequisites.py $*

.PHONY: python
python:
	@command -v "$(PYTHON)" >/dev/null || { echo "$(PYTHON) is not here: install Python 3.11 or newer, or name one by PYTHON=." >&2; exit 1; }
	@"$(PYTHON)" tests/support/python_check.py

$(DEMO)/.stamp: demo/requirements.txt requirements.txt
$(TEST)/.stamp: tests/requirements.txt tests/requirements-pytest.txt tests/requirements-lint.txt requirements.txt
$(DEBEZIUM)/.stamp: tests/requirements-debezium.txt tests/requirements-pytest.txt requirements.txt
$(CORES:%=.venv/core-%/.stamp): .venv/core-%/.stamp: tests/requirements-core-%.txt tests/requirements-pytest.txt requirements.txt
$(CORES:%=.venv/core-%/.lint-stamp): .venv/core-%/.lint-stamp: .venv/core-%/.stamp tests/requirements-lint.txt
	@.venv/core-$*/bin/python $(PIP) -r tests/requirements-core-$*.txt -r tests/requirements-lint.txt
	@touch $@

$(BENCH)/.stamp: bench/requirements.txt requirements.txt
.venv/mutation/.stamp: tests/requirements-mutation.txt tests/requirements-pytest.txt requirements.txt

.venv/%/.stamp: | python
	@echo "Setting up .venv/$* with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv --clear .venv/$*
	@.venv/$*/bin/python $(PIP) -r $(firstword $^)
	@touch $@
