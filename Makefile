# Hypertick. `make` or `make help` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help

SQLC     := go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1
GOOSE    := go run github.com/pressly/goose/v3/cmd/goose@v3.29.0
OASDIFF  := go run github.com/oasdiff/oasdiff@v1.36.0
LINT     := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
PKGS     := ./...
FUZZTIME ?= 10s
ARGS     ?=

# What `hypertick --version` prints.
VERSION  ?= $(shell git describe --tags --match 'v[0-9]*' 2>/dev/null || echo devel)
COMMIT   ?= $(shell git rev-parse -q --verify HEAD 2>/dev/null)
DATE     ?= $(shell git show -s --format=%cI HEAD 2>/dev/null)
STAMP    = -X github.com/hypertick/hypertick/cli.buildVersion=$(VERSION) -X github.com/hypertick/hypertick/cli.buildCommit=$(COMMIT) -X github.com/hypertick/hypertick/cli.buildDate=$(DATE)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: demo
demo: bin/hypertick ## Run everything on the embedded stack (ARGS="--listen 127.0.0.1:9000" passes flags)
	@exec bin/hypertick demo $(ARGS)

.PHONY: build
build: bin/hypertick ## Build the binary into bin/

.PHONY: bin/hypertick
bin/hypertick: web/dist/index.html
	@mkdir -p bin
	@go build -ldflags '$(STAMP)' -o $@ .

.PHONY: image
image: ## Build the image hypertick:local with its version, for docker compose
	docker build --build-arg HYPERTICK_VERSION=$(VERSION) --build-arg HYPERTICK_COMMIT=$(COMMIT) --build-arg HYPERTICK_DATE=$(DATE) -t hypertick:local .

.PHONY: web
web: web/dist/index.html ## Build the chart page and the API reference, which the binary embeds

WEB := $(wildcard web/*.html web/*.ts web/*.json web/*.mjs web/src/* web/public/*)

web/dist/index.html: web/node_modules $(WEB)
	cd web && npm run --silent build
	@touch $@

web/node_modules: web/package-lock.json
	cd web && npm ci --no-audit --no-fund --silent
	@touch $@

.PHONY: test
test: test-js test-go ## Run every test, from a fresh clone

.PHONY: test-go
test-go: testdata/npm/node_modules web/dist/index.html
	go test -race -vet=off -timeout 45m $(PKGS)

testdata/npm/node_modules: testdata/npm/package-lock.json
	cd testdata/npm && npm ci --no-audit --no-fund --silent
	@touch $@

.PHONY: test-js
test-js: embedded/pgserver/node_modules web/node_modules
	cd embedded/pgserver && npm test --silent
	cd web && npm test --silent

embedded/pgserver/node_modules: embedded/pgserver/package-lock.json
	cd embedded/pgserver && npm ci --no-audit --no-fund --silent
	@touch $@

.PHONY: fuzz
fuzz: ## Fuzz every decoder, FUZZTIME each (10s)
	@set -e; for pkg in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$pkg | grep ^Fuzz || true); do \
	    echo "$$pkg $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

.PHONY: bench
bench: ## Run benchmarks, with ratios to a peer in the same run (on HYPERTICK_TEST_DATABASE_URL or the embedded database)
	go test -run '^$$' -bench . -benchtime 1x -timeout 60m ./ingest ./db/... ./api ./indicator
	go test -run '^$$' -bench . ./feed/...

.PHONY: kill
kill: ## Kill each component in turn under load, 20 rounds (HYPERTICK_TEST_SEED repeats an order)
	HYPERTICK_TEST_ROUNDS=20 HYPERTICK_TEST_KILLS=20 go test ./cli ./ingest -run 'TestKill|TestBrokerKills' -v -count 1 -timeout 30m

HISTORIES ?= 20000
.PHONY: histories
histories: testdata/npm/node_modules ## Run HISTORIES (20000) random histories of feeds: hours (best on HYPERTICK_TEST_DATABASE_URL)
	go test ./internal/history -count 1 -v -timeout 12h -args -histories $(HISTORIES)

.PHONY: test-kafka
test-kafka: ## Test ingest on a real Apache Kafka (needs Java 17, and Maven once)
	testdata/kafka/run go test ./ingest -run 'Topic|Retention|Partitions|ZombieOf|Hostile|UnpackBombs' -count 1 -timeout 5m

.PHONY: soak
soak: ## A minute of 1,000 streams and 5,000 ticks/s (best on HYPERTICK_TEST_DATABASE_URL)
	HYPERTICK_SOAK=1 go test -run '^TestStreamSoak$$' -count 1 -v -timeout 10m ./api

.PHONY: lint
lint: web/node_modules ## Run the linters
	$(LINT) run
	cd web && npm run --silent check
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }

.PHONY: generate
generate: ## Generate the Go code of queries/ with sqlc
	$(SQLC) generate

.PHONY: openapi
openapi: ## Write docs/openapi.yaml from the API
	go test ./api -run '^TestSpec$$' -update

# The last release, or the commit before this one.
API_BASE ?= $(shell git describe --tags --abbrev=0 HEAD^ 2>/dev/null || git rev-parse -q --verify HEAD^)

.PHONY: openapi-breaking
openapi-breaking: ## Fail if docs/openapi.yaml breaks clients of API_BASE
	@base=$$(mktemp --suffix .yaml); trap 'rm -f '$$base EXIT; \
	if git show $(API_BASE):docs/openapi.yaml >$$base 2>/dev/null; then \
	  $(OASDIFF) breaking --fail-on ERR $$base docs/openapi.yaml; \
	else echo "$(API_BASE) has no docs/openapi.yaml to compare with"; fi

.PHONY: dashboards
dashboards: ## Write Grafana's dashboards and alert rules
	go run ./grafana/gen

.PHONY: baseline
baseline: ## Write the baseline migration from schema/, until 0.1.0
	go run ./migrations/gen baseline

.PHONY: migration
migration: ## Write the migration of the edits in schema/ (NAME=add_side), from 0.1.0 on
	@go run ./migrations/gen new "$(NAME)"

.PHONY: freeze
freeze: ## Freeze the migrations, for a release
	go run ./migrations/gen freeze

.PHONY: check
check: ## Check that generated code is current and no frozen migration has changed
	$(SQLC) diff
	$(SQLC) vet
	go run ./calendar/gen check
	@before=$$(mktemp); trap 'rm -f '$$before EXIT; \
	git show $(API_BASE):migrations/frozen.txt >$$before 2>/dev/null || true; \
	go run ./migrations/gen check -before $$before

.PHONY: goose
goose: ## Apply the migrations with the stock goose CLI (DSN=postgres://...)
	$(GOOSE) -dir migrations postgres "$(DSN)" up

.PHONY: env
env: ## Create .env for docker compose with random passwords, readable by its owner only; never overwrites
	@deploy/env.sh

.PHONY: backup
backup: ## Back up the database of docker compose into backups/
	@docker compose run --rm --no-deps backup

.PHONY: restore
restore: ## Restore backups/FROM into an empty database of docker compose (FROM=hypertick-20260102T030405Z)
	@test -n "$(FROM)" || { echo "usage: make restore FROM=NAME (a directory in backups/)" >&2; exit 2; }
	@docker compose run --rm --no-deps backup /deploy/restore.sh "/backups/$(notdir $(FROM))"

.PHONY: clean
clean: ## Remove build results; data in .hypertick/ stays
	rm -rf bin embedded/pgserver/node_modules web/node_modules web/dist/assets web/dist/*.*
