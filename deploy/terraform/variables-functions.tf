# The three functions.

variable "functions_zip" {
  description = "Path of the zip that holds the binary, named bootstrap, for linux/arm64"
  type        = string
  nullable    = false

  validation {
    condition     = try(fileexists(var.functions_zip), false)
    error_message = "functions_zip must be the path of a zip that exists. README.md says how to make it."
  }
}

variable "accept_zip" {
  description = "Another zip for accept; null for functions_zip"
  type        = string
  default     = null

  validation {
    condition     = var.accept_zip == null || try(fileexists(var.accept_zip), false)
    error_message = "accept_zip must be the path of a zip that exists, or null for functions_zip."
  }
}

variable "deliver_zip" {
  description = "Another zip for deliver; null for functions_zip"
  type        = string
  default     = null

  validation {
    condition     = var.deliver_zip == null || try(fileexists(var.deliver_zip), false)
    error_message = "deliver_zip must be the path of a zip that exists, or null for functions_zip."
  }
}

variable "deadletter_zip" {
  description = "Another zip for deadletter; null for functions_zip"
  type        = string
  default     = null

  validation {
    condition     = var.deadletter_zip == null || try(fileexists(var.deadletter_zip), false)
    error_message = "deadletter_zip must be the path of a zip that exists, or null for functions_zip."
  }
}

variable "sources_file" {
  description = "Path of the file of sources that is packed with accept as sources.yaml, which `pillarbox deploy --sources` does; null for one source that asks for nothing, source_name"
  type        = string
  default     = null

  validation {
    condition     = var.sources_file == null || can(keys(yamldecode(file(var.sources_file)).sources))
    error_message = "sources_file must be the path of a file in YAML or JSON that has sources, or null for one source."
  }
}

variable "max_body_bytes" {
  description = "The largest body that accept takes, in bytes; null for the default of the binary"
  type        = number
  default     = null

  validation {
    condition     = var.max_body_bytes == null ? true : var.max_body_bytes >= 1 && var.max_body_bytes <= 4 * 1024 * 1024 && floor(var.max_body_bytes) == var.max_body_bytes
    error_message = "max_body_bytes must be a whole number from 1 to 4194304, which is what API Gateway can hand to a function."
  }
}

variable "accept_memory_mb" {
  description = "Memory of accept; CPU grows with it"
  type        = number
  default     = 256
  nullable    = false

  validation {
    condition     = var.accept_memory_mb >= 128 && var.accept_memory_mb <= 10240 && floor(var.accept_memory_mb) == var.accept_memory_mb
    error_message = "accept_memory_mb must be a whole number from 128 to 10240."
  }
}

variable "accept_timeout_seconds" {
  description = "Timeout of accept"
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.accept_timeout_seconds >= 1 && var.accept_timeout_seconds <= 28 && floor(var.accept_timeout_seconds) == var.accept_timeout_seconds
    error_message = "accept_timeout_seconds must be a whole number from 1 to 28. API Gateway waits for 29 s."
  }
}

variable "accept_reserved_concurrency" {
  description = "How many of accept may run at once, taken from the account's; -1 for no reservation. A reservation of 0 stops it"
  type        = number
  default     = -1
  nullable    = false

  validation {
    condition     = var.accept_reserved_concurrency == -1 || (var.accept_reserved_concurrency >= 0 && floor(var.accept_reserved_concurrency) == var.accept_reserved_concurrency)
    error_message = "accept_reserved_concurrency must be -1 (no reservation) or a whole number from 0."
  }
}

variable "accept_provisioned_concurrency" {
  description = "How many of accept are always warm; 0 for none"
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.accept_provisioned_concurrency >= 0 && var.accept_provisioned_concurrency <= 1000 && floor(var.accept_provisioned_concurrency) == var.accept_provisioned_concurrency
    error_message = "accept_provisioned_concurrency must be a whole number from 0 to 1000."
  }
}

variable "deliver_memory_mb" {
  description = "Memory of deliver"
  type        = number
  default     = 256
  nullable    = false

  validation {
    condition     = var.deliver_memory_mb >= 128 && var.deliver_memory_mb <= 10240 && floor(var.deliver_memory_mb) == var.deliver_memory_mb
    error_message = "deliver_memory_mb must be a whole number from 128 to 10240."
  }
}

variable "deliver_timeout_seconds" {
  description = "Timeout of deliver. A message is hidden for six times as long"
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.deliver_timeout_seconds >= 5 && var.deliver_timeout_seconds <= 900 && floor(var.deliver_timeout_seconds) == var.deliver_timeout_seconds
    error_message = "deliver_timeout_seconds must be a whole number from 5 to 900."
  }
}

variable "deliver_reserved_concurrency" {
  description = "How many of deliver may run at once, taken from the account's; -1 for no reservation"
  type        = number
  default     = -1
  nullable    = false

  validation {
    condition     = var.deliver_reserved_concurrency == -1 || (var.deliver_reserved_concurrency >= 0 && floor(var.deliver_reserved_concurrency) == var.deliver_reserved_concurrency)
    error_message = "deliver_reserved_concurrency must be -1 (no reservation) or a whole number from 0."
  }
}

variable "deliver_maximum_concurrency" {
  description = "How many batches are delivered at once"
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.deliver_maximum_concurrency >= 2 && var.deliver_maximum_concurrency <= 1000 && floor(var.deliver_maximum_concurrency) == var.deliver_maximum_concurrency
    error_message = "deliver_maximum_concurrency must be a whole number from 2 to 1000."
  }
}

variable "deliver_batch_size" {
  description = "Events of one batch; above 10 it needs a window"
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.deliver_batch_size >= 1 && var.deliver_batch_size <= 10000 && floor(var.deliver_batch_size) == var.deliver_batch_size
    error_message = "deliver_batch_size must be a whole number from 1 to 10000."
  }
}

variable "deliver_batch_window_seconds" {
  description = "How long a batch waits to fill"
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.deliver_batch_window_seconds >= 0 && var.deliver_batch_window_seconds <= 300 && floor(var.deliver_batch_window_seconds) == var.deliver_batch_window_seconds
    error_message = "deliver_batch_window_seconds must be a whole number from 0 to 300."
  }
}

variable "deadletter_memory_mb" {
  description = "Memory of deadletter"
  type        = number
  default     = 128
  nullable    = false

  validation {
    condition     = var.deadletter_memory_mb >= 128 && var.deadletter_memory_mb <= 10240 && floor(var.deadletter_memory_mb) == var.deadletter_memory_mb
    error_message = "deadletter_memory_mb must be a whole number from 128 to 10240."
  }
}

variable "deadletter_timeout_seconds" {
  description = "Timeout of deadletter. A message is hidden for six times as long"
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.deadletter_timeout_seconds >= 5 && var.deadletter_timeout_seconds <= 900 && floor(var.deadletter_timeout_seconds) == var.deadletter_timeout_seconds
    error_message = "deadletter_timeout_seconds must be a whole number from 5 to 900."
  }
}

variable "deadletter_reserved_concurrency" {
  description = "How many of deadletter may run at once, taken from the account's; -1 for no reservation"
  type        = number
  default     = -1
  nullable    = false

  validation {
    condition     = var.deadletter_reserved_concurrency == -1 || (var.deadletter_reserved_concurrency >= 0 && floor(var.deadletter_reserved_concurrency) == var.deadletter_reserved_concurrency)
    error_message = "deadletter_reserved_concurrency must be -1 (no reservation) or a whole number from 0."
  }
}

variable "deadletter_maximum_concurrency" {
  description = "How many batches of dead letters are written at once"
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.deadletter_maximum_concurrency >= 2 && var.deadletter_maximum_concurrency <= 1000 && floor(var.deadletter_maximum_concurrency) == var.deadletter_maximum_concurrency
    error_message = "deadletter_maximum_concurrency must be a whole number from 2 to 1000."
  }
}

variable "deadletter_batch_size" {
  description = "Dead letters of one batch"
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.deadletter_batch_size >= 1 && var.deadletter_batch_size <= 10 && floor(var.deadletter_batch_size) == var.deadletter_batch_size
    error_message = "deadletter_batch_size must be a whole number from 1 to 10."
  }
}
