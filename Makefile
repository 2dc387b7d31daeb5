# The targets of paywatch; `make` alone lists them.

CARGO ?= cargo
# Debian packages that the build and the tests need and a bare machine lacks.
BUILD_PACKAGES = g++ pkg-config libssl-dev
TEST_PACKAGES = systemd buildah chromium chromium-driver fonts-dejavu-core python3-venv curl
TARGET = $(or $(CARGO_TARGET_DIR),target)
# Programs of the trade, built once.
TOOLS = $(TARGET)/tools
CARGO_DENY = $(TOOLS)/bin/cargo-deny
CARGO_FUZZ = $(TOOLS)/bin/cargo-fuzz
PROMTOOL = $(TOOLS)/bin/promtool
SCHEMATHESIS = $(TOOLS)/schemathesis/bin/schemathesis
OPENAPI_VALIDATOR = $(TOOLS)/schemathesis/bin/openapi-spec-validator

# Installs those of some Debian packages that are missing.
define install
missing=$$(for p in $(1); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
if [ -n "$$missing" ]; then \
	sudo=$$([ $$(id -u) = 0 ] || echo sudo); \
	$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing; \
fi
endef

.PHONY: help setup setup-tests demo pay test sim sim-many fuzz fixtures screenshots lint deny docs bench bench-decode bench-quick bench-peers build image install install-files build-bench

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: ## Install the Debian packages that the build needs (asks nothing, does nothing if they are there)
	@$(call install,$(BUILD_PACKAGES))

setup-tests: setup
	@$(call install,$(TEST_PACKAGES))

# What embeds the network is built with the whole workspace: with less of it, the features of its hundreds of crates are others, and
# all of them are built again.
demo: setup ## Confirm two payments on an embedded local network (KEEP=1 leaves everything running)
	$(CARGO) build --locked --workspace --bin paywatch --example demo
	$(if $(KEEP),KEEP=1) $(TARGET)/debug/examples/demo

pay: ## Pay what a Solana Pay address asks for (URL='solana:…'), from the demo's buyer
	@$(TARGET)/debug/examples/demo pay '$(URL)'

build: setup ## Build the release binary
	$(CARGO) build --locked --release --bin paywatch

image: ## Build the container image TAG=paywatch with buildah
	@$(call install,buildah)
	buildah bud --format docker --isolation chroot $(IMAGE_ARGS) -f deploy/Dockerfile -t $(or $(TAG),paywatch) .

# Where things go. DESTDIR is for packagers, who put them somewhere else first.
PREFIX ?= /usr/local
BINARY = $(TARGET)/release/paywatch
ROOT = $(DESTDIR)$(PREFIX)

install: build install-files ## Install binary, completions, man pages, units and example configuration under PREFIX=/usr/local

# What `install` does with a binary that is there (BINARY=file).
install-files:
	install -D -m 755 $(BINARY) $(ROOT)/bin/paywatch
	install -d $(ROOT)/share/man/man1 $(ROOT)/lib/systemd/system
	$(BINARY) man $(ROOT)/share/man/man1
	for file in bash:bash-completion/completions/paywatch zsh:zsh/site-functions/_paywatch fish:fish/vendor_completions.d/paywatch.fish; do \
		install -d $$(dirname $(ROOT)/share/$${file#*:}) && $(BINARY) completions $${file%%:*} > $(ROOT)/share/$${file#*:} || exit 1; \
	done
	for unit in paywatch.service paywatch-backfill.service paywatch-backfill.timer; do \
		sed 's|/usr/local/bin|$(PREFIX)/bin|' deploy/$$unit > $(ROOT)/lib/systemd/system/$$unit || exit 1; \
	done
	install -D -m 644 config/example.toml $(ROOT)/share/paywatch/example.toml
	install -D -m 644 deploy/runbook.md $(ROOT)/share/doc/paywatch/runbook.md
	install -D -m 644 deploy/metrics.md $(ROOT)/share/doc/paywatch/metrics.md

# Most tests wait for somebody else most of the time: more of them than cores.
test: setup-tests $(PROMTOOL) $(SCHEMATHESIS) $(OPENAPI_VALIDATOR) ## Run all tests, on an embedded local network (or PAYWATCH_TEST_RPC and PAYWATCH_TEST_WS)
	PROMTOOL=$(abspath $(PROMTOOL)) SCHEMATHESIS=$(abspath $(SCHEMATHESIS)) OPENAPI_VALIDATOR=$(abspath $(OPENAPI_VALIDATOR)) RUST_TEST_THREADS=$${RUST_TEST_THREADS:-4} $(CARGO) test --locked --workspace

sim: setup ## Try to break it: the daemon in virtual time, killed and lied to (SEEDS=500 fresh ones, FROM=a run again, SEED=7 one)
	SEEDS=$(or $(SEEDS),100) $(if $(FROM),FROM=$(FROM)) $(if $(SEED),SEED=$(SEED)) $(CARGO) test --locked --workspace --test it -- sim::whatever --nocapture

# An optimised build in a folder of its own takes 20 minutes on two cores, and then a third of the time for each seed.
sim-many: setup ## The same for many seeds, from an optimised build (SEEDS=20000, FROM=a run again)
	SEEDS=$(or $(SEEDS),20000) $(if $(FROM),FROM=$(FROM)) CARGO_TARGET_DIR=$(TARGET)/sim CARGO_INCREMENTAL=0 \
		CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=false CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false CARGO_PROFILE_DEV_OVERFLOW_CHECKS=true \
		$(CARGO) test --locked -p paywatch --test it -- sim::whatever --nocapture

# Built without a sanitizer: there is no unsafe code here, so the pinned compiler will do.
fuzz: setup $(CARGO_FUZZ) ## Throw bytes at whatever reads bytes: each target for SECONDS=60
	@for target in transaction rpc history memo configuration; do \
		case $$target in \
			rpc) seeds=tests/fixtures/transactions ;; \
			configuration) seeds=config ;; \
			transaction) seeds= ;; \
			*) seeds=fuzz/seeds/$$target ;; \
		esac; \
		mkdir -p $(TARGET)/fuzz/corpus/$$target; \
		echo "== $$target"; \
		$(CARGO_FUZZ) run --sanitizer none --target-dir $(TARGET)/fuzz $$target $(TARGET)/fuzz/corpus/$$target $$seeds -- \
			-max_total_time=$(or $(SECONDS),60) -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
			-artifact_prefix=$(TARGET)/fuzz/$$target- >$(TARGET)/fuzz/$$target.log 2>&1 \
			|| { tail -n 60 $(TARGET)/fuzz/$$target.log; exit 1; }; \
		grep '^Done' $(TARGET)/fuzz/$$target.log; \
	done

fixtures: setup ## Make the corpus of transactions in tests/fixtures anew, on an embedded network
	PAYWATCH_WRITE_FIXTURES=1 $(CARGO) test --locked --workspace --test it corpus::the_network

screenshots: setup-tests ## Take the README's pictures anew
	PAYWATCH_SCREENSHOTS=$(CURDIR)/docs/screenshots $(CARGO) test --locked --workspace --test it pages::
	cd docs/screenshots && ls | grep -vE '^(now|needs-a-person)\.png$$' | xargs rm -f

lint: setup ## Formatting and lints, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

$(CARGO_DENY):
	$(CARGO) install --quiet --locked --root $(TOOLS) cargo-deny@0.20.2

$(CARGO_FUZZ):
	$(CARGO) install --quiet --locked --root $(TOOLS) cargo-fuzz@0.13.2

# Taken out of Debian's package: to install it would start a Prometheus.
$(PROMTOOL):
	mkdir -p $(TOOLS)/bin && cd $(TOOLS) && { apt-get download -qq prometheus || { $$([ $$(id -u) = 0 ] || echo sudo) apt-get update -qq && apt-get download -qq prometheus; }; }
	cd $(TOOLS) && dpkg -x prometheus_*.deb prometheus && cp prometheus/usr/bin/promtool bin/ && rm -r prometheus prometheus_*.deb

$(SCHEMATHESIS): | setup-tests
	python3 -m venv $(TOOLS)/schemathesis
	$(TOOLS)/schemathesis/bin/pip install --quiet --disable-pip-version-check schemathesis==4.32.5

$(OPENAPI_VALIDATOR): | $(SCHEMATHESIS)
	$(TOOLS)/schemathesis/bin/pip install --quiet --disable-pip-version-check openapi-spec-validator==0.9.0

deny: setup $(CARGO_DENY) ## Check the dependencies: licences, versions, sources, and advisories if their database can be had
	$(CARGO_DENY) --log-level error check --hide-inclusion-graph licenses bans sources
	@if $(CARGO_DENY) --log-level off fetch db; then \
		$(CARGO_DENY) --log-level error check --disable-fetch advisories; \
	else \
		echo "advisories: not checked, their database cannot be had from here"; \
	fi

docs: setup ## Build the documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

bench-decode: setup ## Print how long reading and decoding a transaction takes
	$(CARGO) bench --locked -p benches

# Every figure beside its floor. The daemon and the bare work are release binaries, the network is embedded, and optimised more than for
# the tests.
BENCH = $(CARGO) build --locked --workspace --example bench --config 'profile.dev.package."*".opt-level=1' && \
	$(TARGET)/debug/examples/bench $(TARGET)/release/paywatch $(TARGET)/release/bare
BENCH_JSON = $(if $(JSON),--json $(abspath $(JSON)))

bench: build-bench ## Print every figure beside its floor (JSON=file writes them too; ONLY=latency,calls some of them)
	$(BENCH) $(BENCH_JSON) $(if $(ONLY),--only $(ONLY))

bench-quick: build-bench ## Print the quick figures: latency and backfill
	$(BENCH) --quick $(BENCH_JSON)

bench-peers: build-bench ## Print other watchers beside paywatch: backfill, latency, memory, losses, traps (needs node 20 and npm)
	cd benches/peers && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	$(CARGO) build --locked --release --manifest-path benches/peers/carbon/Cargo.toml --target-dir $(TARGET)/peers
	$(BENCH) --peers benches/peers --carbon $(TARGET)/peers/release/carbon-peer

build-bench: build
	$(CARGO) build --locked --release -p benches --bin bare
