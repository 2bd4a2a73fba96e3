# Every alarm and who is told: high means that a person must act now.

locals {
  alarms = merge(
    { for name in [
      "api-5xx", "queue-late", "queue-in-flight", "queue-stuck", "dead-letters", "dead-letters-stuck", "table-write-throttle",
      "table-throttled", "index-write-throttle",
    ] : "pillarbox-${name}" => "high" },
    { for name in [
      "api-4xx", "api-latency", "requests-few", "requests-many", "queue-age", "queue-depth", "queue-growth", "table-user-errors",
      "table-system-errors", "table-read-throttle", "table-write-units", "table-read-units", "deliver-errors", "deliver-throttles",
      "deliver-duration", "deadletter-errors", "deadletter-throttles", "deadletter-duration",
    ] : "pillarbox-${name}" => "low" },
    { for name, priority in { accept-errors = "high", accept-throttles = "high", accept-duration = "low" } : "pillarbox-${name}" => priority if !contains(var.options, "direct") },
    { for name in ["canary-errors", "canary-missing"] : "pillarbox-${name}" => "high" if contains(var.options, "canary") },
    { for name in ["firewall-blocked"] : "pillarbox-${name}" => "low" if contains(var.options, "waf") },
    { for name in ["health"] : "pillarbox-${name}" => "high in us-east-1" if contains(var.options, "health_check") },
  )
}
