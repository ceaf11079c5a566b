# `make run` and `make test` do everything on a bare machine that has Go and make
# (e2e wants Node, too); scripts/need.sh provides the rest or says what is missing.
.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
export CGO_ENABLED := 0

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BUILD := -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
TOOLS := bin/tools
ARCH ?= $(shell go env GOARCH)
GENERATED = git ls-files -co --exclude-standard -- 'modules/*/internal/*db/*.go' '*_templ.go' db/schema.sql

.PHONY: help run build test check lint fmt gen verify race e2e bench kill fuzz migrate image clean

help: ## Say what can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## Build and start the demo (ARGS="--listen 127.0.0.1:9000" adds flags)
	@./scripts/need.sh postgresql
	@exec bin/inventiv serve --demo $(ARGS)

build: ## Build bin/inventiv
	@./scripts/need.sh go
	@go build $(BUILD) -o bin/inventiv .

test: build ## Run every Go test (no browser)
	@./scripts/need.sh postgresql
	go test -p 2 ./...

check: lint verify test race e2e ## Everything that must hold before a change lands

lint: $(TOOLS)/golangci-lint ## Lint, formatting included
	$(TOOLS)/golangci-lint run --allow-parallel-runners ./...

fmt: $(TOOLS)/golangci-lint ## Format
	$(TOOLS)/golangci-lint fmt ./...

gen: $(TOOLS)/sqlc $(TOOLS)/templ ## Generate the queries' and the pages' Go code
	@$(TOOLS)/sqlc generate
	@$(TOOLS)/templ generate -path views -log-level error
	@./scripts/need.sh postgresql
	@go test ./db -run TestSchema -update >/dev/null

verify: ## Generated code and go.mod are what they should be
	@before=$$($(GENERATED) | xargs cksum); $(MAKE) gen; after=$$($(GENERATED) | xargs cksum); \
	  [ "$$before" = "$$after" ] || { echo "make gen changed generated code; commit what it wrote:"; git status --short -- modules views db; exit 1; }
	go mod tidy -diff

race: ## Run every Go test under the race detector
	@./scripts/need.sh postgresql gcc libc6-dev
	CGO_ENABLED=1 go test -race -p 2 ./...

e2e: build ## Use a running demo with the official SDKs and a real browser
	@./scripts/need.sh npm postgresql chromium
	./e2e/run.sh

bench: build ## Measure next to nginx and write docs/performance.md
	@./scripts/need.sh postgresql nginx
	go run ./bench/compare

kill: ## Kill 100 processes under load, stop PostgreSQL for AWAY (20m), and write docs/exactness.md
	@./scripts/need.sh postgresql
	go test ./app/apptest -count=1 -timeout 40m -v -kills 100 -away $(or $(AWAY),20m) -figures $(CURDIR)/docs/exactness.md

fuzz: ## Fuzz every target for FUZZ (30s)
	@grep -rlE '^func Fuzz' --include='*_test.go' app db modules | xargs -n1 dirname | sort -u | while read -r pkg; do \
	  for target in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$pkg/*_test.go | cut -c6-); do \
	    go test ./$$pkg -run '^$$' -fuzz "^$$target$$" -fuzztime $(or $(FUZZ),30s) || exit 1; done; done

migrate: build ## Bring the database up to date (ARGS=status only looks)
	@bin/inventiv migrate $(or $(ARGS),up)

image: ## Build the container image with docker, podman or buildah (ARCH=amd64 or arm64)
	@GOOS=linux GOARCH=$(ARCH) go build $(BUILD) -o bin/linux-$(ARCH)/inventiv .
	@./scripts/image.sh $(ARCH) $(VERSION)

clean: ## Remove what was built
	rm -rf bin e2e/node_modules

# Tools come from modules of their own, and are built again when those change.
$(TOOLS)/sqlc: tools/go.mod tools/go.sum
	go build -C tools -o ../$@ github.com/sqlc-dev/sqlc/cmd/sqlc
$(TOOLS)/templ: tools/go.mod tools/go.sum
	go build -C tools -o ../$@ github.com/a-h/templ/cmd/templ
$(TOOLS)/golangci-lint: tools/lint/go.mod tools/lint/go.sum
	go build -C tools/lint -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
