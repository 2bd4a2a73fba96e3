# Alarms, budget, canary.

variable "alarm_emails_high" {
  description = "Addresses for alarms on which somebody must act now"
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for address in var.alarm_emails_high : can(regex("^[^@ ]+@[^@ ]+[.][^@ ]+$", address))])
    error_message = "alarm_emails_high must hold e-mail addresses."
  }
}

variable "alarm_emails_low" {
  description = "Addresses for all other alarms"
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for address in var.alarm_emails_low : can(regex("^[^@ ]+@[^@ ]+[.][^@ ]+$", address))])
    error_message = "alarm_emails_low must hold e-mail addresses."
  }
}

variable "alarm_thresholds" {
  description = "Thresholds other than the defaults, by name; alarms.tf lists them"
  type        = map(number)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for threshold in values(var.alarm_thresholds) : threshold >= 0])
    error_message = "alarm_thresholds must not be negative."
  }
}

variable "budget_monthly_usd" {
  description = "What a month may cost, in US dollars; 0 for no budget"
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.budget_monthly_usd >= 0
    error_message = "budget_monthly_usd must be 0 (no budget) or more."
  }
}

variable "canary" {
  description = "A small function posts an event every few minutes and reads it back from the table"
  type        = bool
  default     = true
  nullable    = false
}

variable "canary_minutes" {
  description = "Minutes between two of them"
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.canary_minutes >= 1 && var.canary_minutes <= 60 && floor(var.canary_minutes) == var.canary_minutes
    error_message = "canary_minutes must be a whole number from 1 to 60."
  }
}

variable "canary_wait_seconds" {
  description = "How long an event may take to be stored"
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.canary_wait_seconds >= 5 && var.canary_wait_seconds <= 600 && floor(var.canary_wait_seconds) == var.canary_wait_seconds
    error_message = "canary_wait_seconds must be a whole number from 5 to 600."
  }
}

variable "canary_runtime" {
  description = "Runtime of the canary"
  type        = string
  default     = "python3.13"
  nullable    = false

  validation {
    condition     = can(regex("^python3[.][0-9]+$", var.canary_runtime))
    error_message = "canary_runtime must be a Python runtime of Lambda, such as python3.13."
  }
}
