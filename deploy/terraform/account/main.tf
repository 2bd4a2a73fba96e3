# What an account has once, whatever number of stacks: the role with which API Gateway writes logs, and the providers
# of identities for pipelines. It has a state of its own, so that no stack takes these from others when it is destroyed.
#
# Apply it once for each account and region, by hand, and only where nobody else has set the role: there is one role, and
# the last who sets it wins. To see which is set: aws apigateway get-account.
#
# To destroy it is to switch off the logs of every API of the account in this region: the provider resets the setting. To
# leave the setting as it is: terraform state rm aws_api_gateway_account.logs, and then destroy nothing else here.

terraform {
  required_version = ">= 1.6.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25.0, < 7.0.0"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { Application = "pillarbox-account", ManagedBy = "terraform" }
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

variable "api_logs" {
  description = "Set the role with which API Gateway writes the logs of every API of the account in this region"
  type        = bool
  default     = true
  nullable    = false
}

variable "pipeline_issuers" {
  description = "Whose tokens the account takes, by OpenID Connect; IAM has one provider for each, in all regions. GitHub's is https://token.actions.githubusercontent.com"
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for issuer in var.pipeline_issuers : can(regex("^https://[a-z0-9./-]+$", issuer)) && !endswith(issuer, "/")])
    error_message = "pipeline_issuers must hold https addresses without a slash at their end."
  }
}

variable "pipeline_audience" {
  description = "For whom the tokens are issued"
  type        = string
  default     = "sts.amazonaws.com"
  nullable    = false
}

data "aws_partition" "current" {}
data "aws_region" "current" {}

# Roles are known in all regions, so the name has the region in it.
resource "aws_iam_role" "api_logs" {
  count = var.api_logs ? 1 : 0

  name               = "pillarbox-api-logs-${data.aws_region.current.region}"
  path               = "/pillarbox-account/"
  assume_role_policy = data.aws_iam_policy_document.api_gateway_trust.json
}

# AWS's own policy for the purpose, because the role serves every API of the account.
resource "aws_iam_role_policy_attachment" "api_logs" {
  count = var.api_logs ? 1 : 0

  role       = aws_iam_role.api_logs[0].name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
}

data "aws_iam_policy_document" "api_gateway_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["apigateway.amazonaws.com"]
    }
  }
}

resource "aws_api_gateway_account" "logs" {
  count = var.api_logs ? 1 : 0

  cloudwatch_role_arn = aws_iam_role.api_logs[0].arn

  depends_on = [aws_iam_role_policy_attachment.api_logs]
}

resource "aws_iam_openid_connect_provider" "pipeline" {
  for_each = var.pipeline_issuers

  url            = each.key
  client_id_list = [var.pipeline_audience]
}

output "pipeline_provider_arns" {
  description = "For pipeline_provider_arn of a stack, by issuer"
  value       = { for issuer, provider in aws_iam_openid_connect_provider.pipeline : issuer => provider.arn }
}
