# Quittance. `make help` lists the targets. Each target installs what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := $(CURDIR)/.bin
MODULES := $(shell sed -n 's/^\t\.\///p' go.work)
# Not in go.work: what ingress and payments are compared with must choose no version of anything that we ship.
BENCH_MODULE := services/bench
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Pinned tools, built from source into .bin. They stay out of go.work: their dependencies are not ours.
GOLANGCI_VERSION := v2.15.0
STRIPE_NODE := services/ingress/testdata/stripe-node

GOVULNCHECK_VERSION := v1.9.0
CYCLONEDX_VERSION := v1.10.0
SERVICES := ingress payments notifier quotes console operator

# A proxy or sum database that is out of reach must not stop a build that has everything in its cache.
export GOFLAGS ?= -buildvcs=auto

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

.PHONY: build
build: ## build the all-in-one runner and quotectl into .bin
	@mkdir -p $(BIN)
	@echo 'building (the first time takes a minute) ...' >&2
	@go build -o $(BIN)/ ./services/allinone/cmd/allinone ./services/operator/cmd/quotectl

.PHONY: run
run: build ## run the whole system on embedded servers and print a tour (DEMO=1 goes through it, DEMO=once ends after it)
	@exec $(BIN)/allinone

# Half of what the tests take is waiting: for leases, timers, servers that come back. So twice as many packages at a time as cores.
TEST_PACKAGES ?= $$((2 * $$(getconf _NPROCESSORS_ONLN)))

.PHONY: test
test: servers ## run all tests with the race detector (TESTFLAGS=... adds flags, TEST_PACKAGES=n at a time)
	go test -race -timeout 40m -p $(TEST_PACKAGES) $(TESTFLAGS) work
	@go test -tags faults ./libs/platform/fault # the clock of the fault proofs

.PHONY: servers
servers: redis $(STRIPE_NODE)/node_modules/.installed promtool ## install what the tests run against: redis-server, chromium, promtool, node and Stripe's own SDK
	@if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then \
		$(MAKE) --no-print-directory debian PACKAGES="chromium fonts-dejavu-core"; fi

.PHONY: redis
redis: # or valkey
	@if ! command -v redis-server >/dev/null && ! command -v valkey-server >/dev/null; then \
		$(MAKE) --no-print-directory debian PACKAGES=redis-server; fi

.PHONY: promtool
promtool: # of Debian's package prometheus
	@if ! command -v promtool >/dev/null; then $(MAKE) --no-print-directory debian PACKAGES=prometheus; fi

$(STRIPE_NODE)/node_modules/.installed: $(STRIPE_NODE)/package.json $(STRIPE_NODE)/package-lock.json
	@if ! command -v npm >/dev/null; then $(MAKE) --no-print-directory debian PACKAGES="nodejs npm"; fi
	cd $(STRIPE_NODE) && npm ci --no-audit --no-fund --silent
	@touch $@

.PHONY: debian
debian: # install Debian packages, or say which
	@if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "The tests need: $(PACKAGES). On Debian: sudo apt-get install $(PACKAGES)" >&2; exit 1; fi
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $(PACKAGES)

$(BIN)/golangci-lint-$(GOLANGCI_VERSION):
	@mkdir -p $(BIN)
	GOBIN=$(BIN) GOFLAGS=-mod=mod go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(BIN)/golangci-lint $@

.PHONY: lint
lint: $(BIN)/golangci-lint-$(GOLANGCI_VERSION) ## style, bugs and the fences between packages
	$< run $(addsuffix /...,$(addprefix ./,$(MODULES)))
	cd $(BENCH_MODULE) && GOWORK=off $< run ./...

.PHONY: fmt
fmt: $(BIN)/golangci-lint-$(GOLANGCI_VERSION) ## format all Go files
	$< fmt $(MODULES) $(BENCH_MODULE)

.PHONY: alone
alone: ## build each module without the workspace: closes the import holes that go.work opens
	@for m in $(MODULES); do echo "alone $$m"; GOWORK=off go build -C $$m ./...; done
	@echo "alone $(BENCH_MODULE)"; GOWORK=off go vet -C $(BENCH_MODULE) ./...

.PHONY: tidy
tidy: ## bring go.work.sum and every go.mod up to date
	go work sync
	@for m in $(MODULES) $(BENCH_MODULE); do GOWORK=off go mod tidy -C $$m; done

.PHONY: drift
drift: ## fail where a go.mod or go.sum is not what `make tidy` makes
	@cp go.work.sum .bin/go.work.sum.before 2>/dev/null || true
	@for m in $(MODULES) $(BENCH_MODULE); do GOWORK=off go mod tidy -C $$m -diff; done

.PHONY: fences
fences: ## servers meant for development must be in no service's binary
	@mkdir -p $(BIN)
	@for s in ingress payments notifier quotes console operator; do \
		bad=$$(go list -deps ./services/$$s/cmd/... | grep -E 'nats-server|miniredis|go-smtp|services/sandbox|chromedp' || true); \
		if [ -n "$$bad" ]; then echo "services/$$s links $$bad" >&2; exit 1; fi; done
	@if go list -deps ./services/allinone/cmd/allinone ./services/sandbox/cmd/sandbox | grep -q chromedp; then \
		echo "the browser is for services/allinone/journey's tests alone" >&2; exit 1; fi
	@deps=$$(go list -deps ./services/ingress/cmd/ingress | grep -E 'stripe-go|go-redis|go-mail|cobra' || true); \
		if [ -n "$$deps" ]; then echo "ingress must stay thin, it links $$deps" >&2; exit 1; fi
	@if grep -q '^require' libs/domain/go.mod; then echo "libs/domain must require nothing" >&2; exit 1; fi

.PHONY: requirements
requirements: servers ## run the tests of each requirement and print the table (LIST=1 only lists them, ONLY=R1-R53 leaves the others out)
	@go run ./services/allinone/requirements $(if $(LIST),-list) $(if $(ONLY),-only '$(ONLY)')

.PHONY: alerts
alerts: promtool ## test the alert rules, and that rules, dashboard and runbooks fit the code (check does it too)
	go test -count=1 ./services/allinone/alerts

.PHONY: check
check: TESTFLAGS += -vet=off # lint has vetted it
check: lint alone drift fences test ## everything that CI runs

.PHONY: simulate
simulate: ## the production code through a million random schedules with faults, in memory (SEED=n tells one, SCHEDULES=n, FROM=seed, SABOTAGE=name)
	@go run ./services/allinone/simulate $(if $(SEED),-seed $(SEED)) $(if $(SCHEDULES),-schedules $(SCHEDULES)) \
		$(if $(FROM),-from $(FROM)) $(if $(SABOTAGE),-sabotage $(SABOTAGE))

.PHONY: chaos
chaos: servers ## kill all processes at random under load, then judge by the invariants; fill the disk; step the clocks; and sabotage (KILLS=1000 CLOCK_KILLS=200 WEBHOOKS=100000 SEED=random)
	@test "$$(id -u)" = 0 || echo 'chaos: NOT RUN without root, which mounts a small disk: TestAFullDisk...' >&2
	CHAOS_KILLS=$(or $(KILLS),$(if $(filter soak,$(TEST_SIZE)),50000,1000)) CHAOS_SEED=$(or $(SEED),random) \
	CHAOS_WEBHOOKS=$(or $(WEBHOOKS),$(if $(filter soak,$(TEST_SIZE)),1000000,100000)) \
	CHAOS_CLOCK_KILLS=$(or $(CLOCK_KILLS),$(if $(filter soak,$(TEST_SIZE)),5000,200)) \
		go test -tags chaos -count=1 -v -timeout 24h $$(test "$$(id -u)" = 0 || echo -skip=TestAFullDisk) ./services/allinone/chaos

.PHONY: drill
drill: servers ## rehearse incidents on real processes at full size and write what was typed to docs/drill.md
	DRILL_TRANSCRIPT=$(CURDIR)/docs/drill.md go test -count=1 -timeout 30m -run '^TestIncidentDrill$$' ./services/allinone/drill

.PHONY: cluster
cluster: servers ## three NATS servers, Redis Sentinels, Redis Cluster: leaders, masters, a quorum lost under load; prints the figures (TEST_SIZE=soak for hours)
	TEST_SIZE=$(or $(TEST_SIZE),nightly) go test -count=1 -v -timeout 12h ./services/allinone/cluster

.PHONY: partition
partition: redis ## hosts as network namespaces that lose each other in silence, under load; needs root and iproute2 (ROUNDS=3, SEED=n)
	@test "$$(id -u)" = 0 || { echo 'partition: NOT RUN, it makes network namespaces and needs root: sudo make partition' >&2; exit 1; }
	@command -v ip >/dev/null || $(MAKE) --no-print-directory debian PACKAGES=iproute2
	@mkdir -p $(BIN); go test -c -tags partition -o $(BIN)/partition.test ./services/allinone/cluster
	@# In namespaces of its own: the machine's network is not touched, and the kernel takes all of it away with the last process, also after a kill.
	@cd services/allinone/cluster && unshare --net --mount --pid --fork --kill-child --mount-proc \
		env PARTITION_SEED='$(SEED)' PARTITION_ROUNDS='$(or $(ROUNDS),$(if $(filter soak,$(TEST_SIZE)),200,3))' \
		$(BIN)/partition.test -test.v -test.timeout 24h -test.run '^TestPartitions'

.PHONY: upgrade
upgrade: servers ## follow the upgrade runbook under load, from FROM=<commit> to this checkout, back, and here again
	@test -n '$(FROM)' || { echo 'say which version to come from: make upgrade FROM=<commit>' >&2; exit 2; }
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	git clone -q --no-checkout . "$$dir"; git -C "$$dir" checkout -q --detach '$(FROM)'; mkdir "$$dir/bin"; \
	echo "building $$(git -C "$$dir" log -1 --format='%h of %cs, %s') ..." >&2; \
	for s in ingress payments notifier quotes console sandbox operator; do go build -C "$$dir" -o bin/ ./services/$$s/cmd/...; done; \
	UPGRADE_FROM="$$dir" go test -tags upgrade -count=1 -v -timeout 30m -run '^TestUpgradeAndBackUnderLoad$$' ./services/allinone/upgrade

.PHONY: powercut
powercut: redis ## cut the power off under every store in the middle of webhooks; needs root, loop devices, ext4 (CUTS=200, SEED=n)
	@test "$$(id -u)" = 0 || { echo 'powercut: NOT RUN, it mounts disks of its own and needs root, loop devices and ext4: sudo make powercut' >&2; exit 1; }
	@# In a mount namespace of its own: whoever makes one meanwhile would hold a copy of every mount, and a disk that is held is not cut.
	unshare --mount go test -tags powercut -count=1 -v -timeout 12h -run '^TestPowerCut$$' ./services/allinone/powercut

.PHONY: bench
bench: redis ## ingress, worker and the way from webhook to mail beside their limits and their peers, in one run; writes docs/performance.md (BENCH=Ingress, BENCH_ROUNDS=3, BENCHTIME=1.5s, BENCH_CONNECTIONS=64,256, BENCH_LATENCY_SECONDS=5, BENCH_ONLY=part of a name, BENCH_BASE=folder of older binaries to compare with, BENCH_DOCS= for the terminal alone)
	@mkdir -p $(BIN); cd $(BENCH_MODULE) && GOWORK=off go test -c -o $(BIN)/bench . && \
	BENCH_DOCS=$${BENCH_DOCS-$(if $(BENCH_ONLY)$(BENCH_BASE),,$(CURDIR)/docs)} $(BIN)/bench -test.run '^$$' -test.bench '$(or $(BENCH),Ingress|Worker|Latency)' -test.benchtime 1x -test.timeout 60m

.PHONY: growth
growth: ## cost, memory and times as the log grows, into docs/performance.md; a million takes five minutes and up, 3.5 GB of memory and 6 of disk, and where there is no room it says so first (GROWTH=10000,100000)
	@$(MAKE) --no-print-directory bench BENCH=Growth

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (default 30s) each
	@for f in $$(grep -rl --include='*_test.go' '^func Fuzz' libs services); do d=$$(dirname $$f); \
		for t in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$f); do \
			echo "fuzz $$d $$t"; go test ./$$d -run '^$$' -fuzz "^$$t$$" -fuzztime $(or $(FUZZTIME),30s); done; done

# As deploy/Dockerfile builds them, with the commit stamped in.
RELEASE_BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=true -tags timetzdata -ldflags='-s -w'

# The proofs at their larger sizes. Each step is a target of its own; all are run, and those that failed are named at the end.
NIGHTLY_STEPS := simulate sized chaos powercut partition drill fuzz reproducible vulncheck

.PHONY: nightly
nightly: servers ## the proofs at the size of a night: about an hour (STEPS=... runs only these)
	@$(MAKE) --no-print-directory steps TEST_SIZE=nightly FUZZTIME=$(or $(FUZZTIME),20s)

.PHONY: soak
soak: servers ## the proofs at the size of days: a hundred million schedules, ten million executions of each fuzz target, ...
	@$(MAKE) --no-print-directory steps TEST_SIZE=soak FUZZTIME=$(or $(FUZZTIME),10000000x) SCHEDULES=$(or $(SCHEDULES),100000000) CUTS=$(or $(CUTS),10000)

.PHONY: steps
steps: # what nightly and soak run
	@failed=; for step in $(or $(STEPS),$(NIGHTLY_STEPS)); do began=$$SECONDS; echo "== $$step" >&2; \
		$(MAKE) --no-print-directory $$step || failed="$$failed $$step"; echo "== $$step took $$((SECONDS - began)) s" >&2; done; \
	if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

.PHONY: sized
sized: servers ## the tests that have several sizes, at that of TEST_SIZE (check, nightly, soak)
	TEST_SIZE=$(or $(TEST_SIZE),nightly) go test -count=1 -timeout 12h $$(grep -rl --include='*_test.go' platform/testsize libs services | xargs -n1 dirname | sort -u | sed 's|^|./|')

.PHONY: release
release: ## the services' binaries as the images have them, static and reproducible, in .bin/release, each with its bill of materials
	@mkdir -p $(BIN)/release
	@for s in $(SERVICES); do $(RELEASE_BUILD) -o $(BIN)/release/ ./services/$$s/cmd/...; done
	@test -x $(BIN)/cyclonedx-gomod-$(CYCLONEDX_VERSION) || { \
		GOBIN=$(BIN) GOFLAGS=-mod=mod go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION) && \
		mv $(BIN)/cyclonedx-gomod $(BIN)/cyclonedx-gomod-$(CYCLONEDX_VERSION); }
	@cd $(BIN)/release && for b in $$(ls | grep -v '\.'); do \
		$(BIN)/cyclonedx-gomod-$(CYCLONEDX_VERSION) bin -json -noserial -notimestamp -output $$b.cdx.json $$b; sha256sum $$b; done

.PHONY: reproducible
reproducible: ## build all services in two clones of HEAD in different folders, each from nothing: the binaries must be equal, byte for byte
	@a=$$(mktemp -d) b=$$(mktemp -d /tmp/a-longer-name.XXXXXXXX); trap 'rm -rf "$$a" "$$b"' EXIT; \
	for dir in "$$a" "$$b"; do git clone -q . "$$dir/repo"; mkdir "$$dir/out"; \
		for s in $(SERVICES); do ( cd "$$dir/repo" && export GOCACHE="$$dir/cache" && $(RELEASE_BUILD) -o "$$dir/out/" ./services/$$s/cmd/... ); done; done; \
	diff -r "$$a/out" "$$b/out" && ( cd "$$a/out" && sha256sum * )

.PHONY: vulncheck
vulncheck: ## known vulnerabilities in what our code calls; fails with NOT RUN where the database is out of reach (GOVULNDB=url)
	@test -x $(BIN)/govulncheck-$(GOVULNCHECK_VERSION) || { mkdir -p $(BIN); \
		GOBIN=$(BIN) GOFLAGS=-mod=mod go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION) && \
		mv $(BIN)/govulncheck $(BIN)/govulncheck-$(GOVULNCHECK_VERSION); }
	@for m in $(MODULES); do echo "vulncheck $$m"; \
		out=$$($(BIN)/govulncheck-$(GOVULNCHECK_VERSION) $${GOVULNDB:+-db "$$GOVULNDB"} -C $$m ./... 2>&1) && rc=0 || rc=$$?; echo "$$out"; \
		if grep -q 'fetching vulnerabilities' <<<"$$out"; then \
			echo 'vulncheck: NOT RUN, the vulnerability database is out of reach. Give a mirror: make vulncheck GOVULNDB=https://... or file:///...' >&2; exit 1; fi; \
		if [ $$rc != 0 ]; then exit $$rc; fi; done

.PHONY: up
up: ## the whole system in containers, with a mail catcher
	docker compose up --build --detach --wait

.PHONY: down
down: ## stop the containers; the volumes stay
	docker compose down

.PHONY: image
image: ## build the image of one service: make image SERVICE=ingress
	docker build --file deploy/Dockerfile --build-arg SERVICE=$(or $(SERVICE),ingress) --tag quittance/$(or $(SERVICE),ingress):$(VERSION) .

.PHONY: clean
clean: ## remove what was built; data/ stays
	rm -rf $(BIN)
