# Every step of CI is one target. `make help` lists them.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
T       ?= 10s
export CGO_ENABLED ?= 0

.PHONY: help build test race fuzz vet lint fmt fmt-check arch gen gen-check tidy-check cross check

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

test: ## run all tests
	$(GO) test -shuffle=on ./...

race: ## run the tests of the concurrent packages under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short $(shell $(GO) list ./node/... ./engine/kernel 2>/dev/null)

fuzz: ## run every fuzz target for T (default 10s)
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(T) $$pkg; \
	  done; done

vet: ## go vet
	$(GO) vet ./...

lint: ## staticcheck, at the version pinned in .ci/tools.mod
	$(GO) tool -modfile=.ci/tools.mod staticcheck ./...

fmt: ## format all code
	$(GO) tool -modfile=.ci/tools.mod gofumpt -l -w .

fmt-check: ## fail if code is not formatted
	@out=$$($(GO) tool -modfile=.ci/tools.mod gofumpt -l .); test -z "$$out" || { echo "not formatted:"; echo "$$out"; exit 1; }

arch: ## check the import arrows, package comments and sizes
	$(GO) test .

tidy-check: ## fail if go.mod or go.sum is not tidy
	$(GO) mod tidy -diff

cross: ## compile for linux, darwin and windows on amd64 and arm64
	@set -e; for os in linux darwin windows; do for arch in amd64 arm64; do \
	  echo "$$os/$$arch"; GOOS=$$os GOARCH=$$arch $(GO) build ./...; done; done

check: vet lint arch test ## what to run before a commit
