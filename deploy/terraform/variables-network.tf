# The network of the functions.

variable "vpc" {
  description = "The functions stand in a network without a way to the internet"
  type        = bool
  default     = false
  nullable    = false
}

variable "vpc_cidr" {
  description = "Addresses of the network, a /25 or larger"
  type        = string
  default     = "10.90.0.0/24"
  nullable    = false

  validation {
    condition     = can(cidrnetmask(var.vpc_cidr)) && try(tonumber(split("/", var.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.vpc_cidr)[1]) <= 25, false)
    error_message = "vpc_cidr must be an IPv4 range from /16 to /25."
  }
}

variable "vpc_zones" {
  description = "Letters of the availability zones, 2 to 6. An interface endpoint is paid for in each"
  type        = list(string)
  default     = ["a", "b"]
  nullable    = false

  validation {
    condition     = length(var.vpc_zones) >= 2 && length(var.vpc_zones) <= 6 && length(distinct(var.vpc_zones)) == length(var.vpc_zones) && alltrue([for zone in var.vpc_zones : can(regex("^[a-f]$", zone))])
    error_message = "vpc_zones must hold 2 to 6 different letters from a to f."
  }
}
