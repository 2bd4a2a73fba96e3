# The plain `go test ./...` needs nothing outside the machine. `make test` adds the race detector.

GO ?= go
STATICCHECK_VERSION := v0.8.2
N ?= 200
FS ?= ext4,xfs
comma := ,

.PHONY: packages packages-tools schemathesis terraform terraform-mutants checkov second-opinions all build test check lint vet fmt staticcheck race crash-model ioerr bitrot mutants sim kill9 diskfull powercut powercut-tools bench bench-tools fuzz docs clean tools

all: check test

build: ## the binary, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/pillarbox ./cmd/pillarbox

test: tools ## everything with the race detector, the stories of a user without the event loop, those of AWS, a certificate of pebble, and brokers
	PILLARBOX_TEST_SIM_HOURS=1000 PILLARBOX_TEST_CRASH_STATES=10000 $(GO) test -race -timeout 20m $$($(GO) list ./... | grep -v '/test/mutants\|/test/packages\|/test/browser')
	PILLARBOX_LISTEN_EXPRESS=false $(GO) test -count=1 -timeout 15m -skip 'Postgres|AWebhook|OnAWebhook|Backfill|TheSameEverywhere|Filters' ./test/e2e
	cd test/aws && $(GO) test -race -timeout 15m ./...
	cd test/cloudevents && $(GO) test -race -timeout 5m ./...
	cd test/acme && $(GO) test -timeout 10m ./...
	cd test/otlp && $(GO) test -timeout 10m ./...
	cd test/xray && $(GO) test -timeout 10m ./...
	@if command -v java >/dev/null && command -v mvn >/dev/null || [ -n "$$CI" ]; then \
		cd test/bus && ./kafka.sh $(GO) test -race -timeout 15m ./...; \
	else echo "SKIPPED: Apache Kafka itself: java or mvn is missing, install Java 17 or newer and Maven"; \
		cd test/bus && $(GO) test -race -timeout 10m ./...; fi
	@if command -v node >/dev/null || [ -n "$$CI" ]; then \
		test/emulators/run $(GO) test -count=1 -timeout 15m ./internal/engine/sqs ./internal/engine/dynamodb; \
	else echo "SKIPPED: SQS and DynamoDB against emulators: node is missing, install Node.js 20 or newer"; fi
	@if command -v npm >/dev/null || [ -n "$$CI" ]; then \
		test/browser/run $(GO) test -count=1 -timeout 15m ./test/browser; \
	else echo "SKIPPED: the dashboard in a browser: npm is missing, install Node.js 20 or newer"; fi
	@if command -v npm >/dev/null || [ -n "$$CI" ]; then \
		test/pgserver/postgres18 $(GO) test -count=1 -timeout 10m ./internal/engine/postgres; \
	else echo "SKIPPED: PostgreSQL 18: npm is missing, install Node.js 20 or newer"; fi

tools: ## name what is missing, install PostgreSQL where root can, and what reads Parquet files
	@command -v $(GO) >/dev/null || { echo "Go is missing: install Go 1.26 or newer from https://go.dev/dl/"; exit 1; }
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq postgresql; } || \
		{ echo "PostgreSQL is missing, and its tests are skipped: install it (Debian: apt-get install postgresql)"; [ -z "$$CI" ]; }
	@PYTHON=$${PARQUET_PYTHON:-$(HOME)/.cache/pillarbox/python/bin/python}; $$PYTHON -c 'import duckdb, pyarrow, chdb' 2>/dev/null || \
		{ python3 -m venv $(HOME)/.cache/pillarbox/python && $(HOME)/.cache/pillarbox/python/bin/pip install -q duckdb pyarrow chdb; } || \
		{ echo "DuckDB, pyarrow and chdb are missing, and what reads Parquet files with them is skipped: install Python 3 with venv, or set PARQUET_PYTHON"; [ -z "$$CI" ]; }

check: fmt vet staticcheck ## the checks of CI

fmt:
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...
	cd test/aws && $(GO) vet ./...
	cd test/cloudevents && $(GO) vet ./...
	cd test/acme && $(GO) vet ./...
	cd test/otlp && $(GO) vet ./...
	cd test/xray && $(GO) vet ./...
	cd test/charts && $(GO) vet ./...
	cd test/bus && $(GO) vet ./...
	cd bench/peers && $(GO) vet ./...

staticcheck:
	$(GO) run honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION) ./...
	cd test/cloudevents && $(GO) run honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION) ./...
	cd test/bus && $(GO) run honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION) ./...
	cd test/acme && $(GO) run honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION) ./...
	cd test/otlp && $(GO) run honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION) ./...
	cd test/xray && $(GO) run honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION) ./...
	cd test/charts && $(GO) run honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION) ./...
	cd test/aws && $(GO) run honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION) ./...

crash-model: ## cut the power of a disk in memory after every operation: STATES=1500000 SEED=1, then the planted bugs
	GOGC=400 PILLARBOX_TEST_CRASH_STATES=$(or $(STATES),1500000) $(if $(SEED),PILLARBOX_TEST_SEED=$(SEED)) $(GO) test -count=1 -timeout 12h -run '^TestCrashModel$$' -v ./internal/crashmodel
	$(GO) test -count=1 -timeout 60m -run 'TestMutants/crash-model' -v ./test/mutants

ioerr: ## every single call to the disk fails, once and for ever, and the power goes after each, then the planted bugs; exhaustive, so there is no seed
	$(GO) test -count=1 -timeout 30m -run 'TestEvery.*(MayFail|FailingCallIsSurvived)$$|TestPowerCut|TestTwoWritersAtOnce' -v ./test/ioerr ./internal/engine/seglog ./internal/engine/files ./internal/engine/sqlite ./internal/engine/parquet
	$(GO) test -count=1 -timeout 30m -run 'TestMutants/(ioerr|start)' -v ./test/mutants

bitrot: ## every bit of a sealed and of a live segment and of the metadata is flipped: BYTES=8192 SEED=1, then the planted bugs
	PILLARBOX_TEST_BIT_STEP=1 $(if $(BYTES),PILLARBOX_TEST_SEGMENT_BYTES=$(BYTES)) $(if $(SEED),PILLARBOX_TEST_SEED=$(SEED)) $(GO) test -count=1 -timeout 12h -run 'TestEveryFlippedBit|Rotten' -v ./internal/engine/seglog
	$(GO) test -count=1 -timeout 30m -run 'TestMutants/bitrot' -v ./test/mutants

mutants: ## plant every bug, or HUNTS='files|lock', and see that its harness finds it
	$(GO) test -count=1 -run 'TestEveryBugHasItsPlace|TestPartsAreAll' ./test/mutants
	$(GO) test -count=1 -timeout 60m -parallel 3 -run 'TestMutants/($(or $(HUNTS),.*))' -v ./test/mutants

terraform: ## apply the module for AWS against a stand-in, and look at all that is made: MIRROR=DIR with the stand-in
	@[ -n "$(MIRROR)" ] || { echo "MIRROR is missing: name the mirror of providers that has the stand-in for the AWS provider"; exit 1; }
	PILLARBOX_TEST_TERRAFORM_MIRROR=$(MIRROR) $(GO) test -count=1 -timeout 30m ./test/terraform

terraform-mutants: ## plant every bug into the module, and see that each is noticed: MIRROR=DIR, and RUN='alarm|canary' for some
	@[ -n "$(MIRROR)" ] || { echo "MIRROR is missing: name the mirror of providers that has the stand-in for the AWS provider"; exit 1; }
	PILLARBOX_TEST_TERRAFORM_MIRROR=$(MIRROR) PILLARBOX_TEST_TERRAFORM_BUGS=all $(GO) test -count=1 -timeout 60m -parallel 2 -run 'TestEveryBugIsNoticed/($(or $(RUN),.*))' -v ./test/terraform

checkov: ## hold the module for AWS against checkov's rules; each exception has its reason beside what it excepts
	@command -v checkov >/dev/null || { echo "checkov is missing: pip install checkov"; exit 1; }
	checkov -d deploy/terraform --framework terraform --compact --quiet

schemathesis: ## hold a server to its OpenAPI document, on both listeners: N=100 SEED=1
	test/schemathesis/run

second-opinions: ## hold what talks to AWS against moto and ElasticMQ, and the policies against parliament: MIRROR=DIR, PARTS='moto-sqs elasticmq'
	GO="$(GO)" $(if $(MIRROR),PILLARBOX_TEST_TERRAFORM_MIRROR=$(MIRROR)) test/emulators/second $(PARTS)

sim: ## the whole service on a fake clock with seeded faults: HOURS=100000 SEED=1, then the planted bugs
	PILLARBOX_TEST_SIM_HOURS=$(or $(HOURS),100000) $(if $(SEED),PILLARBOX_TEST_SEED=$(SEED)) $(GO) test -count=1 -timeout 12h -run '^Test(Sim|Clock)$$' -v ./internal/sim
	$(GO) test -count=1 -timeout 30m -run 'TestMutants/sim' -v ./test/mutants

kill9: ## kill the real binary under clients that post again: N=200 SEED=1, then the planted bugs
	PILLARBOX_TEST_KILL_CYCLES=$(N) $(if $(SEED),PILLARBOX_TEST_SEED=$(SEED)) $(GO) test -count=1 -timeout 12h -run 'Kill' -v ./test/crash

diskfull: ## fill small disks under the real binary, as root or in a user namespace: N=200 SEED=1, then the planted bugs
	PILLARBOX_TEST_FILLS=$(N) $(if $(SEED),PILLARBOX_TEST_SEED=$(SEED)) $(GO) test -count=1 -timeout 12h -run 'FullDisk' -v ./test/crash

powercut: tools powercut-tools ## cut the power of real file systems under the real binary, as root: N=200 FS=ext4,xfs SEED=1, then the planted bugs
	PILLARBOX_TEST_POWERCUTS=$(N) PILLARBOX_TEST_POWERCUT_FS=$(FS) $(if $(SEED),PILLARBOX_TEST_SEED=$(SEED)) $(GO) test -count=1 -timeout 24h -run 'PowerCut' -v ./test/crash

bench: ## measure pillarbox beside yardsticks and other products: LONG=1 for everything, ARGS="-peers none" or "-soak 1h"
	$(GO) run ./bench $(if $(LONG),-long) $(ARGS)

bench-tools: ## install the products that bench compares with, as root
	$(GO) run ./bench -install

powercut-tools:
	@[ "$$(uname -s)" = Linux ] || { echo "Power cuts need Linux."; exit 1; }
	@[ "$$(id -u)" = 0 ] || { echo "Power cuts need root: they make and mount a file system. Run: sudo make powercut N=$(N) FS=$(FS)"; exit 1; }
	@command -v mount >/dev/null || { echo "mount is missing: install the package util-linux"; exit 1; }
	@[ -e /dev/loop-control ] || { echo "/dev/loop-control is missing: load the kernel module loop"; exit 1; }
	@for fs in $(subst $(comma), ,$(FS)); do command -v mkfs.$$fs >/dev/null || { echo "mkfs.$$fs is missing: install e2fsprogs for ext4, xfsprogs for xfs"; exit 1; }; done

packages: packages-tools ## what deploy/ ships: the image by buildah, the units by systemd-analyze, the chart and the compose files, a rolling restart behind haproxy
	CI=1 $(GO) test -count=1 -timeout 10m ./test/packages
	cd test/charts && $(GO) test -count=1 -timeout 10m ./...

packages-tools:
	@[ "$$(uname -s)" = Linux ] || { echo "Packages are tried on Linux."; exit 1; }
	@[ "$$(id -u)" = 0 ] || { echo "The image is put together and run by root. Run: sudo make packages"; exit 1; }
	@for tool in buildah haproxy systemd-analyze:systemd systemd-socket-activate:systemd strace pgrep:procps unshare:util-linux promtool:prometheus; do \
		command -v $${tool%:*} >/dev/null || { \
			command -v apt-get >/dev/null && apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $${tool#*:}; } || \
			{ echo "$${tool%:*} is missing: install the package $${tool#*:}"; exit 1; }; done

fuzz: ## each fuzz target, EXECS=1000000x
	./.ci/fuzz $(or $(EXECS),1000000x)

docs: ## rewrite the generated parts of docs/
	$(GO) test ./internal/telemetry ./internal/config ./internal/alert ./cmd/pillarbox -run 'Doc|Reference' -update

clean:
	rm -rf bin
