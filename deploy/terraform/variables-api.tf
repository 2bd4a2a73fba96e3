# The front door and who may come in.

variable "source_name" {
  description = "The source. Clients post to /NAME"
  type        = string
  default     = "app"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.source_name))
    error_message = "source_name must have 1 to 31 lower-case letters, digits and hyphens, and begin with a letter."
  }
}

variable "stage_name" {
  description = "Stage of the API; the first part of the path, unless you use a domain of your own"
  type        = string
  default     = "live"
  nullable    = false

  validation {
    condition     = can(regex("^[a-zA-Z0-9_]{1,64}$", var.stage_name))
    error_message = "stage_name must have 1 to 64 letters, digits and underscores."
  }
}

variable "throttle_per_second" {
  description = "Requests a second; more are answered with 429"
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.throttle_per_second >= 1 && var.throttle_per_second <= 10000 && floor(var.throttle_per_second) == var.throttle_per_second
    error_message = "throttle_per_second must be a whole number from 1 to 10000."
  }
}

variable "throttle_burst" {
  description = "Requests at once; more are answered with 429"
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.throttle_burst >= 1 && var.throttle_burst <= 5000 && floor(var.throttle_burst) == var.throttle_burst
    error_message = "throttle_burst must be a whole number from 1 to 5000."
  }
}

variable "api_logs" {
  description = "Logs of the API, one line for each request and one for each error: off, json or clf (Common Log Format). They need a role that is one for the account and region, which account/ sets and no stack does"
  type        = string
  default     = "off"
  nullable    = false

  validation {
    condition     = contains(["off", "json", "clf"], var.api_logs)
    error_message = "api_logs must be off, json or clf."
  }
}

variable "api_keys" {
  description = "Names of API keys. With any, POST asks for one in X-Api-Key"
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for key in var.api_keys : can(regex("^[a-z0-9-]{1,40}$", key)) && !contains(["canary", "origin"], key)])
    error_message = "api_keys must hold names of 1 to 40 lower-case letters, digits and hyphens, and not canary or origin, which the stack makes."
  }
}

variable "api_key_per_second" {
  description = "Requests a second of one key"
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.api_key_per_second >= 1 && var.api_key_per_second <= 10000 && floor(var.api_key_per_second) == var.api_key_per_second
    error_message = "api_key_per_second must be a whole number from 1 to 10000."
  }
}

variable "api_key_burst" {
  description = "Requests at once of one key"
  type        = number
  default     = 25
  nullable    = false

  validation {
    condition     = var.api_key_burst >= 1 && var.api_key_burst <= 5000 && floor(var.api_key_burst) == var.api_key_burst
    error_message = "api_key_burst must be a whole number from 1 to 5000."
  }
}

variable "api_key_daily_quota" {
  description = "Requests a day of one key; 0 for no quota"
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.api_key_daily_quota >= 0 && var.api_key_daily_quota <= 2000000000 && floor(var.api_key_daily_quota) == var.api_key_daily_quota
    error_message = "api_key_daily_quota must be a whole number from 0 to 2000000000."
  }
}

variable "ip_allow_list" {
  description = "IPv4 ranges that may post; empty for all"
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for range in var.ip_allow_list : can(cidrnetmask(range))])
    error_message = "ip_allow_list must hold IPv4 ranges such as 203.0.113.0/24."
  }
}

variable "authorizer" {
  description = "none, cognito, or function (a Lambda authorizer, for tokens of other issuers)"
  type        = string
  default     = "none"
  nullable    = false

  validation {
    condition     = contains(["none", "cognito", "function"], var.authorizer)
    error_message = "authorizer must be none, cognito or function."
  }
}

variable "cognito_user_pool_arns" {
  description = "User pools whose tokens are taken; empty makes one with a client for machines"
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.cognito_user_pool_arns : can(regex("^arn:[a-z-]+:cognito-idp:[a-z0-9-]+:[0-9]{12}:userpool/", arn))])
    error_message = "cognito_user_pool_arns must hold ARNs of user pools."
  }
}

variable "cognito_scopes" {
  description = "Scopes of a token, one of which it needs; for pools of your own"
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for scope in var.cognito_scopes : length(scope) > 0])
    error_message = "cognito_scopes must hold no empty scope."
  }
}

variable "authorizer_function_arn" {
  description = "The Lambda authorizer, for authorizer = \"function\""
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.authorizer_function_arn == "" || can(regex("^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:function:", var.authorizer_function_arn))
    error_message = "authorizer_function_arn must be the ARN of a function."
  }
}

variable "domain_name" {
  description = "A name of your own, such as events.example.com; empty for none"
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.domain_name == "" || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?[.])+[a-z]{2,}$", var.domain_name))
    error_message = "domain_name must be a host name in lower case, such as events.example.com."
  }
}

variable "zone_id" {
  description = "The Route 53 zone that holds domain_name"
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.zone_id == "" || can(regex("^Z[A-Z0-9]{5,31}$", var.zone_id))
    error_message = "zone_id must be the id of a Route 53 zone, such as Z0123456789ABCDEFGHIJ."
  }
}

variable "certificate_arn" {
  description = "A certificate of ACM in this region for domain_name; empty makes one"
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.certificate_arn == "" || can(regex("^arn:[a-z-]+:acm:[a-z0-9-]+:[0-9]{12}:certificate/", var.certificate_arn))
    error_message = "certificate_arn must be the ARN of a certificate of ACM."
  }
}

variable "domain_only" {
  description = "The name that AWS gives the API no longer answers"
  type        = bool
  default     = false
  nullable    = false
}

variable "health_check" {
  description = "With domain_name: a health check of Route 53 and its alarm"
  type        = bool
  default     = true
  nullable    = false
}

variable "direct" {
  description = "API Gateway writes to the queue without a function; direct.tf lists the limits"
  type        = bool
  default     = false
  nullable    = false
}

variable "direct_content_types" {
  description = "With direct: the content types that are taken; 415 for others"
  type        = set(string)
  default     = ["application/json", "application/x-ndjson", "application/xml", "application/octet-stream", "application/x-www-form-urlencoded", "application/cloudevents+json", "text/plain", "text/csv", "text/xml"]
  nullable    = false

  validation {
    condition     = length(var.direct_content_types) > 0 && alltrue([for type in var.direct_content_types : can(regex("^[a-z0-9.+-]+/[a-z0-9.+-]+$", type))])
    error_message = "direct_content_types must hold content types such as application/json, without parameters."
  }
}

variable "waf" {
  description = "A firewall before the API"
  type        = bool
  default     = false
  nullable    = false
}

variable "cloudfront" {
  description = "CloudFront before the API, with the firewall if there is one; the API itself then takes only what CloudFront sends"
  type        = bool
  default     = false
  nullable    = false
}

variable "waf_requests_per_5_minutes" {
  description = "Requests of one address in 5 minutes; more are answered with 429"
  type        = number
  default     = 10000
  nullable    = false

  validation {
    condition     = var.waf_requests_per_5_minutes >= 10 && var.waf_requests_per_5_minutes <= 2000000000 && floor(var.waf_requests_per_5_minutes) == var.waf_requests_per_5_minutes
    error_message = "waf_requests_per_5_minutes must be a whole number from 10 to 2000000000."
  }
}
