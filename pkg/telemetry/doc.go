// Package telemetry is what both programs tell about themselves: the root logger and its keys, the metrics registry,
// and the pages /metrics, /healthz and /readyz.
//
// Nothing here is global: logger and registry are values that are handed down, so two programs can stand in one test.
// No payload and no secret is ever a field.
package telemetry
