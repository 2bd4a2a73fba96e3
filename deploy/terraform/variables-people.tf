# Who takes on the role for people.

variable "people" {
  description = "Who may take on the role for people, with a second factor: ARNs of IAM users. Empty makes no role"
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.people : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:user/[^*?]+$", arn))])
    error_message = "people must hold ARNs of IAM users, each in full: arn:aws:iam::123456789012:user/alice."
  }
}
