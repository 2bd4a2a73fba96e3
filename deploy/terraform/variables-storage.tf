# Queue, table, dead letters, backups.

variable "queue_retention_days" {
  description = "How long SQS keeps an event that is not delivered; queue.tf says why 14"
  type        = number
  default     = 14
  nullable    = false

  validation {
    condition     = var.queue_retention_days >= 1 && var.queue_retention_days <= 14 && floor(var.queue_retention_days) == var.queue_retention_days
    error_message = "queue_retention_days must be a whole number from 1 to 14."
  }
}

variable "dead_letter_reserve_days" {
  description = "How many of these days are left for the way from the dead-letter queue to the bucket. Delivery is given up before"
  type        = number
  default     = 4
  nullable    = false

  validation {
    condition     = var.dead_letter_reserve_days >= 1 && var.dead_letter_reserve_days <= 13 && floor(var.dead_letter_reserve_days) == var.dead_letter_reserve_days
    error_message = "dead_letter_reserve_days must be a whole number from 1 to 13."
  }
}

variable "max_receive_count" {
  description = "How often an event is handed out before it is a dead letter"
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.max_receive_count >= 5 && var.max_receive_count <= 1000 && floor(var.max_receive_count) == var.max_receive_count
    error_message = "max_receive_count must be a whole number from 5 to 1000. AWS advises 5 at least."
  }
}

variable "table_name" {
  description = "Name of the table; null for NAME-events. Another name makes another table, so set it only after you have imported one that was restored: NAME-events.SUFFIX"
  type        = string
  default     = null

  validation {
    condition     = var.table_name == null || can(regex("^[a-zA-Z0-9_.-]{3,255}$", var.table_name))
    error_message = "table_name must have 3 to 255 letters, digits, dots, hyphens and underscores."
  }
}

variable "time_index" {
  description = "An index of the table by time. Without it, reading by time is a scan; with it, each write costs twice"
  type        = bool
  default     = true
  nullable    = false
}

variable "time_index_projection" {
  description = "What the index holds: KEYS_ONLY or ALL, which stores every event twice and spares a second read"
  type        = string
  default     = "KEYS_ONLY"
  nullable    = false

  validation {
    condition     = contains(["KEYS_ONLY", "ALL"], var.time_index_projection)
    error_message = "time_index_projection must be KEYS_ONLY or ALL."
  }
}

variable "time_index_shards" {
  description = "Parts of one hour in the index; each takes 1,000 writes a second. Readers ask all of them, so never make it smaller"
  type        = number
  default     = 8
  nullable    = false

  validation {
    condition     = var.time_index_shards >= 1 && var.time_index_shards <= 100 && floor(var.time_index_shards) == var.time_index_shards
    error_message = "time_index_shards must be a whole number from 1 to 100."
  }
}

variable "table_capacity" {
  description = "on-demand, or provisioned with autoscaling"
  type        = string
  default     = "on-demand"
  nullable    = false

  validation {
    condition     = contains(["on-demand", "provisioned"], var.table_capacity)
    error_message = "table_capacity must be on-demand or provisioned."
  }
}

variable "table_read_min" {
  description = "Provisioned: least read units"
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.table_read_min >= 1 && var.table_read_min <= 40000 && floor(var.table_read_min) == var.table_read_min
    error_message = "table_read_min must be a whole number from 1 to 40000."
  }
}

variable "table_read_max" {
  description = "Provisioned: most read units"
  type        = number
  default     = 1000
  nullable    = false

  validation {
    condition     = var.table_read_max >= 1 && var.table_read_max <= 40000 && floor(var.table_read_max) == var.table_read_max
    error_message = "table_read_max must be a whole number from 1 to 40000."
  }
}

variable "table_write_min" {
  description = "Provisioned: least write units"
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.table_write_min >= 1 && var.table_write_min <= 40000 && floor(var.table_write_min) == var.table_write_min
    error_message = "table_write_min must be a whole number from 1 to 40000."
  }
}

variable "table_write_max" {
  description = "Provisioned: most write units"
  type        = number
  default     = 1000
  nullable    = false

  validation {
    condition     = var.table_write_max >= 1 && var.table_write_max <= 40000 && floor(var.table_write_max) == var.table_write_max
    error_message = "table_write_max must be a whole number from 1 to 40000."
  }
}

variable "table_target_percent" {
  description = "Provisioned: how full autoscaling keeps them"
  type        = number
  default     = 70
  nullable    = false

  validation {
    condition     = var.table_target_percent >= 20 && var.table_target_percent <= 90 && floor(var.table_target_percent) == var.table_target_percent
    error_message = "table_target_percent must be a whole number from 20 to 90."
  }
}

variable "replica_regions" {
  description = "Other regions that hold a copy of the table, each with a key of its own"
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for region in var.replica_regions : can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", region))]) && length(distinct(var.replica_regions)) == length(var.replica_regions)
    error_message = "replica_regions must hold regions such as eu-west-1, each once."
  }
}

variable "dead_letter_infrequent_days" {
  description = "When a dead letter moves to storage that is cheaper to keep and dearer to read"
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.dead_letter_infrequent_days >= 30 && var.dead_letter_infrequent_days <= 3650 && floor(var.dead_letter_infrequent_days) == var.dead_letter_infrequent_days
    error_message = "dead_letter_infrequent_days must be a whole number from 30 to 3650."
  }
}

variable "dead_letter_noncurrent_days" {
  description = "How long a dead letter can be brought back after it was overwritten or deleted"
  type        = number
  default     = 365
  nullable    = false

  validation {
    condition     = var.dead_letter_noncurrent_days >= 30 && var.dead_letter_noncurrent_days <= 3650 && floor(var.dead_letter_noncurrent_days) == var.dead_letter_noncurrent_days
    error_message = "dead_letter_noncurrent_days must be a whole number from 30 to 3650."
  }
}

variable "backup" {
  description = "AWS Backup of the table, besides the 35 days of point-in-time recovery"
  type        = bool
  default     = false
  nullable    = false
}

variable "backup_daily_days" {
  description = "How long a daily backup is kept"
  type        = number
  default     = 35
  nullable    = false

  validation {
    condition     = var.backup_daily_days >= 1 && var.backup_daily_days <= 36500 && floor(var.backup_daily_days) == var.backup_daily_days
    error_message = "backup_daily_days must be a whole number from 1 to 36500."
  }
}

variable "backup_monthly_days" {
  description = "How long a monthly backup is kept"
  type        = number
  default     = 2555
  nullable    = false

  validation {
    condition     = var.backup_monthly_days >= 91 && var.backup_monthly_days <= 36500 && floor(var.backup_monthly_days) == var.backup_monthly_days
    error_message = "backup_monthly_days must be a whole number from 91 to 36500."
  }
}

variable "backup_cold_after_days" {
  description = "When a monthly backup moves to cold storage"
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.backup_cold_after_days >= 1 && var.backup_cold_after_days <= 36500 && floor(var.backup_cold_after_days) == var.backup_cold_after_days
    error_message = "backup_cold_after_days must be a whole number from 1 to 36500."
  }
}

variable "idempotency_keys" {
  description = "Requests that come again with the same Idempotency-Key get their first receipt and are stored once, for a day: a table of keys"
  type        = bool
  default     = true
  nullable    = false
}
