# `make demo` shows everything, `make test` proves it. `make help` lists the rest.

SHELL := /bin/bash
CARGO ?= cargo
E2E ?= $(CARGO) run --locked --package e2e --
XTASK ?= $(CARGO) run --locked --package xtask --
# Of the whole workspace, so that every test is built with the same features of the same dependencies.
TEST := $(CARGO) test --locked --workspace
# The same for all tests that need an API server or a runtime, so that what they share is built once.
LIVE_TEST := $(TEST) --features e2e/api-server,e2e/cluster,e2e/runtimes
NODES ?= 2
PROFILES ?= 20
PODS ?= 0
ROUNDS ?= 3
REST ?= 300
# The agents' own code runs in this process: as fast as it is in the images.
BENCH := $(CARGO) run --locked --profile bench-fast --package bench --
# By default a cluster has two nodes, and a bench a thousand.
BENCH_NODES = $(if $(filter file default,$(origin NODES)),1000,$(NODES))
BENCH_OPTIONS = --profiles $(PROFILES) --pods $(PODS) --rounds $(ROUNDS) --rest $(REST)
CARGO_DENY_VERSION := 0.20.2
CARGO_FUZZ_VERSION := 0.13.1
MDBOOK_VERSION := 0.5.4
TYPOS_VERSION := 1.52.0
FUZZ_SECONDS ?= 20

.DEFAULT_GOAL := help
# The parts share one machine and one cluster.
.NOTPARALLEL:
.PHONY: help setup demo cluster-up cluster-down test lint style clippy deny advisories chart docs test-unit fuzz fuzz-keep test-api-server test-runtimes test-cluster test-cluster-first test-cluster-second test-documented test-long bench bench-sweep bench-ways bench-code bench-latency bench-memory bench-strangers bench-derive bench-derive-angr bench-derive-breadth bench-derive-starts generate images fmt

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install the Debian packages that are missing
	@e2e/setup.sh

demo: setup ## Show the whole life of a profile on a local cluster (KEEP=1 leaves the cluster up)
	@$(E2E) demo $(if $(filter-out 0,$(KEEP)),--keep)

cluster-up: setup ## Start a local cluster with the chart installed (NODES=3)
	@$(E2E) up --nodes $(NODES)

cluster-down: ## End the local cluster
	@$(E2E) down

# What `make test` runs side by side: tests on a cluster mostly wait, and the checks compile meanwhile. Each lane runs its
# targets one after the other. There are two clusters, and about half of the tests' time is on each. Clippy is the last of
# its lane: cargo has one lock for all that is built, and the clusters' tests need it for a moment when they begin.
# The fuzzing has a fixed seed, so that a change is tried with the same inputs wherever it is: other seeds are for `make fuzz`.
LANE_CLUSTER := test-cluster-first
LANE_SECOND_CLUSTER := test-documented test-cluster-second
LANE_API_SERVER := test-api-server test-runtimes
LANE_CHECKS := style deny chart docs test-unit fuzz clippy

TARGET := $(or $(CARGO_TARGET_DIR),target)
LANES_BIN := $(TARGET)/lanes

test: setup ## All of the below: formatting, lints, the chart, the book, unit and property tests, fuzzing, tests on an API server, cluster tests
	$(CARGO) build --locked --workspace --all-targets
	$(LIVE_TEST) --no-run --test api_server --test cluster --test runtimes
	@mkdir -p $(LANES_BIN) && cp $(TARGET)/debug/e2e $(TARGET)/debug/xtask $(LANES_BIN)
	$(LANES_BIN)/xtask programs
	@FUZZ_SECONDS=5 FUZZ_SEED=1 E2E=$(LANES_BIN)/e2e XTASK=$(LANES_BIN)/xtask MAKE="$(MAKE)" \
	e2e/lanes.sh "$(LANE_CLUSTER)" "$(LANE_SECOND_CLUSTER)" "$(LANE_API_SERVER)" "~$(LANE_CHECKS)"

lint: style clippy ## Formatting, spelling and lints

style:
	$$(CARGO=$(CARGO) e2e/tools.sh typos-cli $(TYPOS_VERSION))
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check

clippy:
	$(CARGO) clippy --workspace --all-targets --all-features -- --deny warnings

deny: ## What the dependencies are: licences, sources, versions that stand twice (deny.toml)
	@deny=$$(CARGO=$(CARGO) e2e/tools.sh cargo-deny $(CARGO_DENY_VERSION)) && set -x && \
	$$deny --locked check --allow license-exception-not-encountered --hide-inclusion-graph licenses bans sources && \
	$$deny --manifest-path fuzz/Cargo.toml --config deny.toml --locked check --hide-inclusion-graph licenses bans sources

advisories: ## Known faults of the dependencies; needs GitHub, which `make test` does not
	$$(CARGO=$(CARGO) e2e/tools.sh cargo-deny $(CARGO_DENY_VERSION)) --locked check advisories

chart: ## The chart without a cluster: lint, unit tests, schemas of Kubernetes 1.33 to 1.37, its README
	$(XTASK) chart

docs: ## The book, in target/book; fails on dead links and on pages that are not in it
	$$(CARGO=$(CARGO) e2e/tools.sh mdbook $(MDBOOK_VERSION) --no-default-features) build docs
	$(TEST) --test docs -- --include-ignored

test-unit: ## Tests that need no cluster
	$(TEST) --quiet

fuzz: setup ## Throw bytes at all that reads what others wrote (FUZZ_SECONDS=600 a target, FUZZ_SANITIZER=address)
	@export CARGO_FUZZ && CARGO_FUZZ=$$(CARGO=$(CARGO) e2e/tools.sh cargo-fuzz $(CARGO_FUZZ_VERSION)) && fuzz/run.sh run $(FUZZ_SECONDS)

fuzz-keep: setup ## Keep in fuzz/corpus what the fuzzing has found that reaches new code
	@export CARGO_FUZZ && CARGO_FUZZ=$$(CARGO=$(CARGO) e2e/tools.sh cargo-fuzz $(CARGO_FUZZ_VERSION)) && fuzz/run.sh keep

test-api-server: setup ## Tests of many nodes and many faults, on a real API server without a cluster
	$(XTASK) programs
	$(LIVE_TEST) --test api_server -- --test-threads=1

test-runtimes: setup ## What profiles do, in containers of runc
	$(XTASK) programs
	$(LIVE_TEST) --test runtimes

# The tests of the docs, and those that `make test` runs on the second cluster. All others are the first one's, so that a
# new test runs without being named here.
DOCUMENTED := documented:: transcripts::
SECOND := deletion displaced:: installing:: restarts:: upgrade:: webhook_removal::
ON_CLUSTER := $(LIVE_TEST) --test cluster -- --test-threads=1

test-cluster: setup ## Tests on a real local cluster
	$(E2E) run --nodes 2 -- $(ON_CLUSTER) $(DOCUMENTED:%=--skip %)

test-cluster-first: setup
	$(E2E) run --nodes 2 -- $(ON_CLUSTER) $(DOCUMENTED:%=--skip %) $(SECOND:%=--skip %)

test-cluster-second: setup
	$(E2E) run --instance 2 --nodes 2 -- $(ON_CLUSTER) $(SECOND) $(DOCUMENTED:%=--skip %)

test-documented: setup ## Every command of the docs, on a real local cluster of their own
	$(E2E) run --instance 2 --nodes 2 -- $(ON_CLUSTER) $(DOCUMENTED)

test-long: setup ## The tests that are too long for every change; under an hour
	$(CARGO) test --locked --package operator --lib -- --ignored
	$(CARGO) test --locked --package filter --test libseccomp -- --ignored
	$(CARGO) test --locked --package registry --test keyring -- --ignored
	$(CARGO) test --locked --package admission --test images -- --ignored
	$(CARGO) test --locked --package e2e --test registries -- --ignored
	$(XTASK) programs
	$(LIVE_TEST) --test api_server -- --test-threads=1 --ignored
	$(LIVE_TEST) --test runtimes -- --test-threads=1 --ignored --nocapture
	$(E2E) run --nodes 2 -- $(ON_CLUSTER) --ignored
	$(CARGO) test --locked --package e2e --test local_cluster -- --ignored

bench: setup ## Measure what many nodes cost, beside a floor (NODES=1000 PROFILES=20 PODS=0 ROUNDS=3 REST=300)
	@$(BENCH) scale --nodes $(BENCH_NODES) $(BENCH_OPTIONS)

bench-sweep: setup ## The same from 100 to 1,000 nodes, and the plot in docs/images
	@$(BENCH) sweep $(BENCH_OPTIONS)

bench-ways: setup ## Compare other ways to learn of profiles and to report, on bare watchers
	@$(BENCH) ways --nodes $(BENCH_NODES) $(BENCH_OPTIONS)

bench-code: ## Measure the parts: the operator's index, the canonical bytes, the agent's full check, profiles checked and compared, a simulated log
	@e2e/setup.sh valgrind
	$(CARGO) bench --locked --profile bench-fast --package bench --bench index -- --instructions
	$(CARGO) bench --locked --profile bench-fast --package bench --bench canonical
	$(CARGO) bench --locked --profile bench-fast --package bench --bench check
	$(CARGO) bench --locked --profile bench-fast --package bench --bench simulate
	$(CARGO) build --locked --profile bench-fast --package cli
	KUBECTL_SECCOMP=$(abspath $(TARGET))/bench-fast/kubectl-seccomp \
		$(CARGO) bench --locked --profile bench-fast --package bench --bench filter

bench-latency: setup ## Measure apply to disk and to Ready, beside a bare watch echo
	@$(E2E) run --nodes $(NODES) -- $(CARGO) run --locked --package bench -- latency --rounds 200

bench-memory: setup ## Measure what the programs take with up to 1,000 profiles
	@$(E2E) run --nodes $(NODES) -- $(CARGO) run --locked --package bench -- memory

bench-derive: setup ## Compare what servers, most of Debian 12, do under load with what is derived from their files; needs root
	$(CARGO) bench --locked --profile bench-fast --package derive --bench servers

bench-derive-breadth: ## Derive 300 programs of Debian 12, and start each; needs root, and some gigabytes of disk
	$(CARGO) bench --locked --profile bench-fast --package derive --bench breadth

bench-derive-starts: setup ## Start these 300 programs under runc and crun with what is derived; needs root, and the same disk
	$(XTASK) programs
	$(LIVE_TEST) --test breadth

bench-derive-angr: setup ## Measure angr's CFGFast beside `derive` on the six servers; needs Python, PyPI and half an hour or more
	@crates/derive/benches/angr/run.sh

bench-strangers: ## Measure what 500 connections that mean no good cost each program
	@$(CARGO) run --locked --package bench -- strangers

generate: ## Write the generated files anew: the CRDs and README of the chart, runtime-default, the tables of syscalls and in docs, the plot of derived calls, the manual pages
	$(CARGO) run --quiet --package api --features crds --bin crds -- charts/seccomp-profile/charts/crds/templates
	$(XTASK) generate
	UPDATE_TABLES=1 $(CARGO) test --quiet --package syscalls --test tables the_tables
	UPDATE_TABLES=1 $(CARGO) test --quiet --package node-agent --test dictionary
	UPDATE_DOCS=1 $(CARGO) test --quiet --package derive --test plot
	UPDATE_DOCS=1 $(CARGO) test --quiet --package lint --test pages the_pages
	UPDATE_DOCS=1 $(CARGO) test --quiet --package e2e --test security the_tables_in_the_docs
	UPDATE_DOCS=1 $(CARGO) test --quiet --package cli --test pages
	UPDATE_DOCS=1 $(CARGO) test --quiet --package e2e --test metrics the_reference_in_the_docs
	UPDATE_DOCS=1 $(CARGO) test --quiet --package e2e --test api_reference the_api_reference

images: setup ## Write the two images as OCI archives into dist/
	@$(XTASK) images dist

fmt: ## Format the code
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml
