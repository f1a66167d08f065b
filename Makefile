# SPDX-License-Identifier: Apache-2.0
# make run     set up this machine, start zun_lite, and show the main job
# make test    everything that is tested, with what the tests need
# make bench   the measurements          make chaos   the long tests of faults
# make docs    the API reference       make test-openstack   the tests with OpenStack's own Keystone and Cinder
# make clean   take back all that was made (Debian's packages stay)
#
# To be set: STATE_DIR PORT AGENT_PORT GATEWAY_PORT DOCKER_SOCKET (see zun-lite up --help), VENV, CLIENTS_VENV, PYTHON.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test test-setup test-openstack bench chaos docs clean packages test-packages

PYTHON ?= python3
VENV ?= .venv
CLIENTS_VENV ?= .venv-clients
OPENSTACK_VENV ?= .venv-openstack
KEYSTONE_VENV ?= .venv-keystone
STATE := $(if $(STATE_DIR),--state-dir $(STATE_DIR))
UP := $(STATE) $(if $(PORT),--port $(PORT)) $(if $(AGENT_PORT),--agent-port $(AGENT_PORT)) \
      $(if $(GATEWAY_PORT),--gateway-port $(GATEWAY_PORT)) \
      $(if $(DOCKER_SOCKET),--docker-socket $(DOCKER_SOCKET))
PIP_FLAGS := -qq --disable-pip-version-check --no-input

# An engine or an interpreter that was not installed from Debian's packages does as well.
DOCKER_PACKAGE := $(if $(shell command -v dockerd || command -v /usr/sbin/dockerd),,docker.io)
VENV_PACKAGE := $(if $(shell $(PYTHON) -c 'import ensurepip; print(1)' 2>/dev/null),,python3-venv)
RUN_PACKAGES := $(DOCKER_PACKAGE) $(VENV_PACKAGE) nftables iproute2 iptables busybox-static xfsprogs e2fsprogs \
      util-linux ca-certificates
TEST_PACKAGES := $(RUN_PACKAGES) postgresql mariadb-server docker-registry git
BENCH_PACKAGES := wrk fio
CHAOS_PACKAGES := prometheus debootstrap docker-compose slirp4netns
OPENSTACK_PACKAGES := rabbitmq-server shellcheck curl

help:
	@sed -n '2,9s/^# \{0,1\}//p' Makefile

run: packages $(VENV)/.run
	@echo "==> zun-lite up"
	@$(VENV)/bin/zun-lite up $(UP) --detach
	@echo "==> zun-lite demo"
	@$(VENV)/bin/zun-lite demo $(STATE)

test: test-setup
	@CLIENTS_VENV="$(abspath $(CLIENTS_VENV))" $(VENV)/bin/python -m tests.run

test-setup: test-packages $(VENV)/.test $(CLIENTS_VENV)/.clients

bench: test-setup $(KEYSTONE_VENV)/.keystone
	@$(call install,$(BENCH_PACKAGES))
	@CLIENTS_VENV="$(abspath $(CLIENTS_VENV))" KEYSTONE_VENV="$(abspath $(KEYSTONE_VENV))" $(VENV)/bin/python -m tests.bench

chaos: test-setup
	@$(call install,$(CHAOS_PACKAGES))
	@CLIENTS_VENV="$(abspath $(CLIENTS_VENV))" TEST_PATH=./tests/chaos $(VENV)/bin/stestr run --concurrency 1

docs: $(VENV)/.docs
	@$(VENV)/bin/python -m sphinx -W --keep-going -q -b html api-ref/source api-ref/build
	@echo "==> api-ref/build/index.html"

test-openstack: test-setup $(OPENSTACK_VENV)/.openstack $(KEYSTONE_VENV)/.keystone
	@CLIENTS_VENV="$(abspath $(CLIENTS_VENV))" OPENSTACK_VENV="$(abspath $(OPENSTACK_VENV))" \
	  KEYSTONE_VENV="$(abspath $(KEYSTONE_VENV))" \
	  TEST_PATH=./tests/openstack $(VENV)/bin/stestr run --concurrency 1

clean:
	@$(PYTHON) -B -m zun_lite.cmd.up clean --yes $(STATE)
	@rm -rf $(filter $(CURDIR)/%,$(abspath $(VENV) $(CLIENTS_VENV) $(OPENSTACK_VENV) $(KEYSTONE_VENV))) .stestr .mypy_cache .ruff_cache .hypothesis .import_linter_cache zun_lite.egg-info build api-ref/build
	@find zun_lite tests -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "==> clean; Debian's packages stay"

# dpkg is asked first, so that nothing is said or fetched where nothing is missing.
define install
	missing=; \
	for package in $(1); do \
	  [[ "$$(dpkg-query -W -f '$${db:Status-Abbrev}' $$package 2>/dev/null)" == ii* ]] || missing+=" $$package"; \
	done; \
	if [[ -n "$$missing" ]]; then \
	  echo "==> apt-get install$$missing"; \
	  if [[ $$(id -u) != 0 ]]; then echo "this needs root: sudo make $(MAKECMDGOALS)" >&2; exit 1; fi; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get install -y -qq --no-install-recommends $$missing </dev/null >/dev/null 2>&1 || \
	    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing </dev/null >/dev/null; } || \
	    { echo "Debian's packages could not be installed; see above, then try again" >&2; exit 1; }; \
	fi
endef

packages:
	@$(call install,$(RUN_PACKAGES))

test-packages:
	@$(call install,$(TEST_PACKAGES))

$(VENV)/bin/python: | packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; name another: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: setup.cfg setup.py pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "==> the package and what it needs into $(VENV) (a minute, the first time)"
	@$(VENV)/bin/pip install $(PIP_FLAGS) -c constraints.txt -e .
	@touch $@

$(VENV)/.test: setup.cfg setup.py pyproject.toml constraints.txt | $(VENV)/bin/python test-packages
	@echo "==> the package and what its tests need into $(VENV) (a minute, the first time)"
	@$(VENV)/bin/pip install $(PIP_FLAGS) -c constraints.txt -e '.[test,postgresql,mysql]'
	@touch $@ $(VENV)/.run

$(VENV)/.docs: setup.cfg setup.py pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "==> what the API reference is built with into $(VENV) (a minute, the first time)"
	@$(VENV)/bin/pip install $(PIP_FLAGS) -c constraints.txt -e '.[docs]'
	@touch $@

$(KEYSTONE_VENV)/.keystone: tests/keystone.txt | test-packages
	@echo "==> OpenStack's Keystone into $(KEYSTONE_VENV) (a minute, the first time)"
	@$(PYTHON) -m venv $(KEYSTONE_VENV)
	@$(KEYSTONE_VENV)/bin/pip install $(PIP_FLAGS) -r tests/keystone.txt
	@touch $@

$(CLIENTS_VENV)/.clients: tests/clients.txt | test-packages
	@echo "==> OpenStack's own clients into $(CLIENTS_VENV) (a minute, the first time)"
	@$(PYTHON) -m venv $(CLIENTS_VENV)
	@$(CLIENTS_VENV)/bin/pip install $(PIP_FLAGS) -r tests/clients.txt
	@touch $@

$(OPENSTACK_VENV)/.openstack: tests/openstack/requirements.txt | test-packages
	@$(call install,$(OPENSTACK_PACKAGES))
	@echo "==> OpenStack's own services into $(OPENSTACK_VENV) (a minute, the first time)"
	@$(PYTHON) -m venv $(OPENSTACK_VENV)
	@$(OPENSTACK_VENV)/bin/pip install $(PIP_FLAGS) -r tests/openstack/requirements.txt
	@touch $@
