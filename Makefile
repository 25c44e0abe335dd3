SHELL := /bin/bash
GO ?= go
export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help
.PHONY: help build demo test browser race lint fuzz crash e2e peers bench check tidy

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the three programs into bin/
	@scripts/build.sh

demo: build ## five plants, a cloud and their systems on this machine; CHECK=1 proves the release under faults instead
	@bin/holdfast-demo $(if $(CHECK),check,run)

test: ## all tests but the long ones, with the race detector where a C compiler is found
	@scripts/test.sh

browser: ## the console's pages in headless Chromium
	@scripts/browser.sh

race: ## the tests of the packages with goroutines, with the race detector
	@CGO_ENABLED=1 $(GO) test -race ./agent/... ./cloud/... ./pkg/...

lint: ## golangci-lint at its pinned version, installed into bin/ if missing
	@scripts/lint.sh

fuzz: ## fuzz every decoder for FUZZTIME each (10s)
	@scripts/fuzz.sh

crash: ## kill -9 loops on real processes and the mutants that they must catch
	@scripts/crash.sh

e2e: ## the end-to-end tests alone
	@$(GO) test -count=1 ./test/e2e

peers: ## suites against real servers: node-opcua, Kafka, Mosquitto, PostgreSQL, Request Tracker, Chromium
	@scripts/peers.sh

bench: ## the agent and the intake beside a bare pipeline of the same libraries; writes deploy/docs/performance.md
	@scripts/bench.sh

check: lint test ## what must pass before a change lands

tidy: ## go.mod and go.sum as the imports need them
	@$(GO) mod tidy && $(GO) mod verify
