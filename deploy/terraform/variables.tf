# What concerns everything. The other variables stand by concern in variables-*.tf.

variable "name" {
  description = "Name of the stack. Everything bears it, so two stacks of one account need two names"
  type        = string
  default     = "pillarbox"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name)) && !endswith(var.name, "-")
    error_message = "name must have 2 to 20 lower-case letters, digits and hyphens, begin with a letter, and not end with a hyphen."
  }
}

variable "region" {
  description = "AWS region; null takes that of the environment"
  type        = string
  default     = null

  validation {
    condition     = var.region == null || can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must look like eu-west-2, or be null."
  }
}

variable "tags" {
  description = "Tags of everything, besides that of tag_key, ManagedBy and Environment"
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setintersection(keys(var.tags), ["ManagedBy", "Environment"])) == 0 && length(var.tags) <= 40
    error_message = "tags must not hold ManagedBy or Environment, which the stack sets, and at most 40 others."
  }
}

variable "tag_key" {
  description = "Key of the tag that holds the name of the stack; resource group and budget go by it"
  type        = string
  default     = "Application"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_.:/+@-]{1,128}$", var.tag_key)) && !startswith(lower(var.tag_key), "aws:") && !contains(["ManagedBy", "Environment"], var.tag_key)
    error_message = "tag_key must have 1 to 128 letters, digits and characters of _.:/+@-, not begin with aws:, and not be ManagedBy or Environment."
  }
}

variable "environment" {
  description = "Value of the tag Environment, such as production; empty for no such tag"
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9 _.:/=+@-]{0,256}$", var.environment))
    error_message = "environment must have at most 256 letters, digits, spaces and characters of _.:/=+@-."
  }
}

variable "protect" {
  description = "Table and user pool can't be deleted, and bucket and vault not while they hold anything. Set it to false, and apply, before you destroy the stack"
  type        = bool
  default     = true
  nullable    = false
}

variable "kms_deletion_window_days" {
  description = "How long a deleted key can still be rescued"
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.kms_deletion_window_days >= 7 && var.kms_deletion_window_days <= 30 && floor(var.kms_deletion_window_days) == var.kms_deletion_window_days
    error_message = "kms_deletion_window_days must be a whole number from 7 to 30."
  }
}

variable "log_level" {
  description = "What the functions log: debug, info, warn or error"
  type        = string
  default     = "info"
  nullable    = false

  validation {
    condition     = contains(["debug", "info", "warn", "error"], var.log_level)
    error_message = "log_level must be debug, info, warn or error."
  }
}

variable "log_retention_days" {
  description = "How long logs are kept; one of the numbers that CloudWatch offers"
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one that CloudWatch offers: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}
