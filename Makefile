# The plain `go test ./...` needs nothing outside the machine. `make test` adds the race detector.

GO ?= go
STATICCHECK_VERSION := v0.8.2
KILL_CYCLES ?= 50

.PHONY: all build test check lint vet fmt staticcheck race kill9 fuzz docs clean tools

all: check test

build: ## the binary, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/pillarbox ./cmd/pillarbox

test: tools ## everything with the race detector
	$(GO) test -race -timeout 15m ./...

tools: ## name what is missing
	@command -v $(GO) >/dev/null || { echo "Go is missing: install Go 1.26 or newer from https://go.dev/dl/"; exit 1; }

check: fmt vet staticcheck ## the checks of CI

fmt:
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...

staticcheck:
	$(GO) run honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION) ./...

kill9: ## kill the real binary under load: KILL_CYCLES=50
	PILLARBOX_KILL_CYCLES=$(KILL_CYCLES) $(GO) test -count=1 -timeout 60m -run TestAckedEventSurvivesKill -v ./test/crash

fuzz: ## each fuzz target for FUZZTIME=30s
	./.ci/fuzz $(or $(FUZZTIME),30s)

docs: ## rewrite the generated parts of docs/
	$(GO) test ./internal/telemetry ./internal/config ./cmd/pillarbox -run 'Doc|Reference' -update

clean:
	rm -rf bin
