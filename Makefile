# The tasks of this repository: `make` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo check format lint unit docs deny generate release cluster cluster-down test test-node test-transit test-cluster bench

CACHE := $(or $(SECRETVAULT_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/secretvault)
CARGO_DENY := $(CACHE)/tools/bin/cargo-deny
TIMED := tests/timed

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## The main job on one machine, step by step: no cluster, no server, no root
	@$(TIMED) "secretvault" cargo build --locked --package secretvault-cli
	@examples/one-machine/demo "$${CARGO_TARGET_DIR:-target}/debug/secretvault"

check: format lint unit docs deny ## All that needs neither root nor a cluster: what a contributor runs all day

format: ## Check the format
	@$(TIMED) "format" cargo fmt --all --check

lint: ## clippy, with warnings as errors
	@$(TIMED) "clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
	@$(TIMED) "clippy, cluster tests" cargo clippy --workspace --test cluster --locked -- -D warnings

unit: ## Unit tests
	@$(TIMED) "unit tests" cargo test --workspace --locked

docs: ## Documentation, with warnings as errors
	@RUSTDOCFLAGS="-D warnings" $(TIMED) "documentation" cargo doc --workspace --locked --no-deps --document-private-items

deny: $(CARGO_DENY) ## Licences, sources, banned crates and the layering rule
	@cargo fetch --locked
	@$(TIMED) "cargo-deny" $(CARGO_DENY) --offline check licenses bans sources

$(CARGO_DENY):
	@$(TIMED) "installing cargo-deny" cargo install cargo-deny --version 0.20.2 --locked --debug --root $(CACHE)/tools

generate: ## Write the generated files anew: CRDs, and their copies in the chart
	cargo build --workspace --locked --bin crdgen
	$${CARGO_TARGET_DIR:-target}/debug/crdgen crds/generated charts/secretvault/files/crds

release: ## Build the static release binaries into target/images
	@$(TIMED) "release binaries" tests/build-binaries

cluster: ## Raise a real two-node Kubernetes with SecretVault installed from its chart (root)
	@tests/cluster/up
	@$(MAKE) --no-print-directory release
	@tests/install

cluster-down: ## Stop that cluster; nothing is left of it
	@tests/cluster/down

test: ## Everything: check, the volume writer as root, and the real cluster (root)
	@$(TIMED) "all" tests/all

test-node: ## Tests that need root: the node agent, the volume writer, the launcher, and commands in namespaces, on the real kernel
	@RUST_TEST_THREADS=8 $(TIMED) "tests as root" tests/as-root cargo test --workspace --locked --test agent --test volume --test run --test transcripts --test launcher -- --ignored

test-transit: ## The key providers against a real Transit server on this machine: no root, no cluster
	@$(TIMED) "OpenBao" tests/bao/install >/dev/null
	@BAO="$$(tests/bao/install)" RUST_TEST_THREADS=8 $(TIMED) "key providers" cargo test --workspace --locked --test providers -- --include-ignored

test-cluster: cluster ## The tests on the real cluster
	@$(TIMED) "cluster tests" tests/cluster-tests

bench: cluster ## How fast it is and what it costs, measured on the real cluster into docs/benchmarks.md (root)
	@$(TIMED) "benchmarks" tests/benchmarks docs/benchmarks.md
