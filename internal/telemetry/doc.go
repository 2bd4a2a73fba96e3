// Package telemetry is how the service tells what it does: the logger, the keys of log attributes
// and the metrics.
//
// The names are an interface that dashboards and alerts rely on. Each metric is declared once, in
// Table, from which docs/METRICS.md is generated; label values come from closed sets (routes,
// results, and the names in the configuration), never from a request. Nothing here is global: a
// registry and a writer are handed in, and a nil
// *Metrics works everywhere and measures nothing.
package telemetry
