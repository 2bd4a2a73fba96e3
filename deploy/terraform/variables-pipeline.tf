# Roles of a CI pipeline.

variable "pipeline_subjects" {
  description = "Who may take on the two pipeline roles: { functions = [...], infrastructure = [...] } with subjects of tokens, such as repo:you/repo:ref:refs/heads/main. Empty makes no roles"
  type        = map(list(string))
  default     = {}
  nullable    = false

  # Owner and repository in full, and something behind them that is no wildcard: repo:acme* would let in repo:acme-evil/x,
  # and repo:acme/app:* every branch and every pull request.
  validation {
    condition     = alltrue([for role, subjects in var.pipeline_subjects : contains(["functions", "infrastructure"], role) && length(subjects) > 0 && alltrue([for subject in subjects : can(regex("^[^:*?]+:[^:/*?]+(/[^:/*?]+)+:[^*?]", subject))])])
    error_message = "pipeline_subjects must have functions and infrastructure, each with subjects that name owner and repository in full, and a branch, tag or environment of it: repo:you/repo:ref:refs/heads/main. A wildcard may stand only behind the beginning of the last."
  }
}

variable "pipeline_issuer" {
  description = "Who issues the tokens"
  type        = string
  default     = "https://token.actions.githubusercontent.com"
  nullable    = false

  validation {
    condition     = can(regex("^https://[a-z0-9./-]+$", var.pipeline_issuer)) && !endswith(var.pipeline_issuer, "/")
    error_message = "pipeline_issuer must be an https address without a slash at its end."
  }
}

variable "pipeline_audience" {
  description = "For whom the tokens are issued"
  type        = string
  default     = "sts.amazonaws.com"
  nullable    = false

  validation {
    condition     = length(var.pipeline_audience) > 0
    error_message = "pipeline_audience must not be empty."
  }
}

variable "pipeline_provider_arn" {
  description = "The provider in IAM for that issuer, which pipeline_subjects needs. An account has one for all stacks: account/ makes it"
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.pipeline_provider_arn == "" || can(regex("^arn:[a-z-]+:iam::[0-9]{12}:oidc-provider/", var.pipeline_provider_arn))
    error_message = "pipeline_provider_arn must be the ARN of an OpenID Connect provider."
  }
}

variable "pipeline_state_bucket_arn" {
  description = "The bucket that holds the state of Terraform, below NAME/, for the infrastructure role"
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.pipeline_state_bucket_arn == "" || can(regex("^arn:[a-z-]+:s3:::[a-z0-9.-]+$", var.pipeline_state_bucket_arn))
    error_message = "pipeline_state_bucket_arn must be the ARN of a bucket."
  }
}
