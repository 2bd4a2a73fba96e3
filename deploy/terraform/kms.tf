# One key encrypts everything: queues, table, bucket, logs, topics, the environment of functions, backups.

resource "aws_kms_key" "main" {
  description             = "Everything that ${var.name} keeps"
  enable_key_rotation     = true
  rotation_period_in_days = 365
  deletion_window_in_days = var.kms_deletion_window_days
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "main" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.main.key_id
}

# A replica of the table lives in another region and needs a key there. It has one of its own: turning the first key
# into a multi-region one would replace it, and with it everything that it encrypts.
resource "aws_kms_key" "replica" {
  for_each = toset(var.replica_regions)
  region   = each.key

  description             = "The replica of the table of ${var.name} in ${each.key}"
  enable_key_rotation     = true
  rotation_period_in_days = 365
  deletion_window_in_days = var.kms_deletion_window_days
  policy                  = data.aws_iam_policy_document.replica_key[each.key].json
}

resource "aws_kms_alias" "replica" {
  for_each = aws_kms_key.replica
  region   = each.key

  name          = "alias/${var.name}"
  target_key_id = each.value.key_id
}

locals {
  root_arn = "arn:${local.partition}:iam::${local.account}:root"

  # Managing the key is left to this account's IAM, and it gives no use of the key. RetireGrant stands here and not beside
  # CreateGrant below, because kms:GrantIsForAWSResource is not known to it: who makes a vault of AWS Backup needs both.
  key_admin_actions = [
    "kms:CancelKeyDeletion", "kms:CreateAlias", "kms:DeleteAlias", "kms:DescribeKey", "kms:DisableKey", "kms:DisableKeyRotation",
    "kms:EnableKey", "kms:EnableKeyRotation", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListGrants", "kms:ListKeyPolicies",
    "kms:ListKeyRotations", "kms:ListResourceTags", "kms:PutKeyPolicy", "kms:RetireGrant", "kms:RevokeGrant", "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource", "kms:UpdateAlias", "kms:UpdateKeyDescription",
  ]
  key_use_actions = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"]

  # Principals use the key through these services only, and only as far as their own policies allow.
  key_services = ["backup", "dynamodb", "lambda", "s3", "secretsmanager", "sns", "sqs"]

  # Services that publish by themselves, to which topics. Each needs the key, and topics.tf lets it publish.
  publishers = {
    high    = concat(["cloudwatch"], local.budget ? ["budgets"] : [])
    low     = concat(["cloudwatch"], local.budget ? ["budgets"] : [])
    backups = ["backup"]
  }

  # Every log group of the stack. No pattern: one that begins with the name of this stack is that of another stack as well.
  log_groups = concat(
    [for role in local.roles : "/aws/lambda/${var.name}-${role}"],
    var.canary ? ["/aws/lambda/${var.name}-canary"] : [],
    local.api_logs ? ["/aws/apigateway/${var.name}", "API-Gateway-Execution-Logs_${aws_api_gateway_rest_api.front.id}/${var.stage_name}"] : [],
    var.waf && !var.cloudfront ? ["aws-waf-logs-${var.name}"] : [], # that of CloudFront is in us-east-1
  )
}

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:the resource of a key policy is the key
  #checkov:skip=CKV_AWS_111:the resource of a key policy is the key
  statement {
    sid       = "AccountManagesTheKey"
    actions   = local.key_admin_actions
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = [local.root_arn]
    }
  }

  statement {
    sid       = "AccountUsesTheKeyThroughServices"
    actions   = local.key_use_actions
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = [local.root_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = [for service in local.key_services : "${service}.${local.region}.amazonaws.com"]
    }
  }

  # DynamoDB, Lambda and Backup work with grants for as long as the resource lives.
  statement {
    sid       = "ServicesHoldGrants"
    actions   = ["kms:CreateGrant"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = [local.root_arn]
    }
    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }

  statement {
    sid       = "LogsOfThisStack"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["logs.${local.region}.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = [for group in local.log_groups : "${local.arn_prefix.logs}log-group:${group}"]
    }
  }

  # Whoever publishes to an encrypted topic needs the key itself.
  statement {
    sid       = "PublishersToTheTopics"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = [for service in distinct(flatten([for topic in local.topics : local.publishers[topic]])) : "${service}.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "replica_key" {
  #checkov:skip=CKV_AWS_356:in the policy of a key, * is that key
  #checkov:skip=CKV_AWS_111:in the policy of a key, * is that key, and who may is named
  for_each = toset(var.replica_regions)

  statement {
    sid       = "AccountManagesTheKey"
    actions   = local.key_admin_actions
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = [local.root_arn]
    }
  }

  statement {
    sid       = "AccountUsesTheKeyThroughDynamoDB"
    actions   = local.key_use_actions
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = [local.root_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["dynamodb.${each.key}.amazonaws.com"]
    }
  }

  statement {
    sid       = "DynamoDBHoldsGrants"
    actions   = ["kms:CreateGrant"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = [local.root_arn]
    }
    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }
}
