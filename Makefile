# Causerie's commands. `make help` lists them; CI calls the same names (.ci/run).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test test-scylla test-crash test-cluster check fmt clippy pure deny tidy web screenshots lighthouse sim bench bench-check load load-10k load-peers reports fuzz judges clean-data

# One choice of features and two profiles: dev for tests and checks, release for whoever runs or measures it. The features are those
# of the whole workspace, wherever something is built: for one package alone cargo would choose fewer, and build nearly all again.
# `make run PROFILE=dev` starts sooner after a change and runs slower.
PROFILE ?= release
CARGO := cargo
# More for the server's command line: make run ARGS="--config config/dev.toml"
ARGS ?=
export CARGO_TERM_COLOR ?= auto

help: ## This list.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build and start server and web client on https://localhost:8443, with the data in ./data.
	@scripts/setup run
	@$(CARGO) build --locked --profile $(PROFILE) --workspace --bin causerie
	@exec target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/causerie serve $(ARGS)

# What is tried over the second store too: that which hangs on what was kept.
ON_SCYLLA = at_rest::what deletion direct history order read_marker reload resume retry roles rooms sessions sign_in
test: ## Every test, over real sockets and with other people's clients too. Sets up what is missing.
	@scripts/setup test
	scripts/cassandra with .cache/database $(CARGO) test --locked --workspace
	@$(MAKE) --no-print-directory test-scylla

test-scylla: ## What of the tests hangs on what was kept, and SIGKILL under load, over the second store (a part of make test).
	CAUSERIE_TEST_STORE=scylla scripts/cassandra with .cache/database $(CARGO) test --locked --workspace --test server -- $(ON_SCYLLA)
	CAUSERIE_TEST_STORE=scylla CAUSERIE_CRASH_ROUNDS=3 scripts/cassandra with .cache/database $(CARGO) test --locked --workspace --test crash

test-crash: ## A hundred rounds of SIGKILL under load, each transcript held against the log (make test does five).
	@scripts/setup test
	CAUSERIE_CRASH_ROUNDS=100 $(CARGO) test --locked --test crash -- --nocapture

test-cluster: ## ScyllaDB's part: three database nodes of 512 MiB, one taken down and brought back under load.
	@scripts/setup test
	$(CARGO) test --locked --workspace --test scylla -- --ignored --nocapture

check: fmt clippy pure deny tidy web ## Format, lints, the pure half alone, dependencies, the house rules, the web client.

sim: ## The seeded simulation (src/sim): SIM_SEEDS=n tries more seeds, SIM_FIRST=seed SIM_SEEDS=1 one again.
	$(CARGO) test --locked --lib sim:: -- --nocapture

fmt: ## Whether all is formatted.
	$(CARGO) fmt --all --check

clippy: ## Lints; a warning is an error.
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

pure: ## The pure half must build without sockets, threads and disk.
	$(CARGO) clippy --locked --lib --no-default-features -- -D warnings

deny: ## Bans, licences and sources of dependencies.
	@scripts/setup check
	@scripts/deny

tidy: ## The house rules: layers, heads, orphans, lengths, dependencies.
	$(CARGO) test --locked --test tidy

web: ## The web client alone: generated sources, types, lints, unit tests, build, size of the first view.
	@scripts/setup web
	cd web && npm run --silent check && npm run --silent test
	@scripts/setup run
	scripts/web-size.mjs

screenshots: ## Pictures of every page and state of the web client in target/screenshots (ARGS="room settings": only these).
	@scripts/setup test
	$(CARGO) build --locked --workspace --bin causerie
	node tests/browser/screenshots.mjs $(ARGS)

lighthouse: ## Lighthouse's accessibility and best practices of the web client, into docs/lighthouse.md.
	@scripts/setup lighthouse
	$(CARGO) build --locked --profile $(PROFILE) --workspace --bin causerie
	CAUSERIE_BIN=target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/causerie scripts/lighthouse/run.mjs

# RENEW=1 keeps what was measured in benches/recorded.json. ARGS: only benchmarks with one of these words in the name.
BENCH = target/release/examples/bench
RENEW ?=
bench: ## Benchmarks: instructions, time, allocations beside the recorded ones (RENEW=1 records, ARGS="publish tls" only some).
	@scripts/setup bench
	$(CARGO) build --locked --release --workspace --example bench
	$(BENCH) $(ARGS) $(if $(RENEW),--renew)

bench-check: ## Whether instructions and allocations are within 5 % of the recorded ones (RENEW=1 records them).
	@scripts/setup bench
	$(CARGO) build --locked --release --workspace --example bench
	$(BENCH) check $(ARGS) $(if $(RENEW),--renew)

load: ## 2,000 WSS connections in rooms of 100 for 20 s against a server of its own (ARGS="mix --seconds 30": another scenario).
	@scripts/setup run
	$(CARGO) build --locked --release --workspace
	scripts/load $(ARGS)

# How long make load-10k lasts.
MINUTES ?= 10
load-10k: ## 10,000 connections in rooms of 10, 1,000 messages a second for ten minutes (MINUTES=1: shorter).
	@scripts/setup run
	$(CARGO) build --locked --release --workspace
	scripts/load rooms-10 --connections 10000 --rate 1000 --seconds $$(($(MINUTES) * 60)) $(ARGS)

load-peers: ## The same load on Causerie and on gorilla, ws, Socket.IO (Centrifugo if it is installed), and one table: scripts/load-peers --help
	@scripts/setup run
	$(CARGO) build --locked --release --workspace
	scripts/load-peers $(ARGS)

reports: ## The runs whose reports lie in docs/performance/, on a machine that does nothing else (ARGS="--minutes 20", names of some, --list).
	@scripts/setup run
	$(CARGO) build --locked --release --workspace
	scripts/reports $(ARGS)

fuzz: ## A minute of fuzzing for each target.
	scripts/fuzz $(ARGS)

judges: ## Only the outside judges: Autobahn's cases, other people's clients, the contract.
	@scripts/setup test
	$(CARGO) test --locked --test autobahn --test peers --test contract

clean-data: ## Remove ./data: messages, keys, certificate. There is no way back.
	rm -rf data
