# One role for each function, with what its work needs and no more, and a ceiling above all roles of the stack.

locals {
  # Roles stand under a path of their own, so that a pipeline can be let at them and at no others.
  role_path = "/${var.name}/"
}

data "aws_iam_policy_document" "lambda_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "function" {
  for_each = local.functions

  name                 = "${var.name}-${each.key}"
  path                 = local.role_path
  assume_role_policy   = data.aws_iam_policy_document.lambda_trust.json
  permissions_boundary = aws_iam_policy.boundary.arn
}

resource "aws_iam_role_policy" "function" {
  for_each = local.functions

  name   = "work"
  role   = aws_iam_role.function[each.key].name
  policy = data.aws_iam_policy_document.function[each.key].json
}

locals {
  # A test compares this with the calls that the binary of each function is linked with, both ways.
  work = {
    accept = concat([
      { sid = "PutIntoTheQueue", actions = ["sqs:SendMessage", "sqs:GetQueueAttributes"], resources = [aws_sqs_queue.events.arn] },
      { sid = "KeepLargeBodies", actions = ["s3:PutObject"], resources = [local.bodies_arn] },
      ], local.remember_keys, !local.with_sources ? [] : [
      { sid = "ReadSecretsOfSources", actions = ["secretsmanager:GetSecretValue"], resources = aws_secretsmanager_secret.sources[*].arn },
      { sid = "ReadAPIKeys", actions = ["s3:GetObject"], resources = [local.api_keys_arn] },
      local.see_what_is_gone,
    ])
    deliver = [
      # ChangeMessageVisibility is how a single event waits longer than its neighbours.
      { sid = "TakeFromTheQueue", actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"], resources = [aws_sqs_queue.events.arn] },
      { sid = "GiveUpAtOnce", actions = ["sqs:SendMessage"], resources = [aws_sqs_queue.dead_letters.arn] },
      # An event whose receives an outage has nearly used up is sent anew.
      { sid = "SendAgain", actions = ["sqs:SendMessage"], resources = [aws_sqs_queue.events.arn] },
      { sid = "ReadAndKeepLargeBodies", actions = ["s3:GetObject", "s3:PutObject"], resources = [local.bodies_arn] },
      local.see_what_is_gone,
      { sid = "WriteTheTable", actions = ["dynamodb:BatchWriteItem"], resources = [aws_dynamodb_table.events.arn] },
    ]
    deadletter = [
      { sid = "TakeFromTheDeadLetterQueue", actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], resources = [aws_sqs_queue.dead_letters.arn] },
      { sid = "WriteDeadLetters", actions = ["s3:PutObject"], resources = ["${aws_s3_bucket.dead_letters.arn}/${local.dead_letter_prefix}*"] },
      { sid = "ReadLargeBodies", actions = ["s3:GetObject"], resources = [local.bodies_arn] },
      local.see_what_is_gone,
    ]
  }

  # Who may read an object but not list its bucket is told 403 where the object is missing, and can't tell a lost body
  # from a policy that is wrong: the event would be retried for days instead of becoming a dead letter that says so. A
  # condition on the prefix would take the permission away again, because GetObject has no prefix to compare.
  see_what_is_gone = { sid = "SeeWhatIsGone", actions = ["s3:ListBucket"], resources = [aws_s3_bucket.dead_letters.arn] }

  bodies_arn = "${aws_s3_bucket.dead_letters.arn}/${local.bodies_prefix}*"

  # The services through which the key is met, as conditions name them, and those through which each role meets it.
  via = { for service in ["backup", "dynamodb", "s3", "secretsmanager", "sqs"] : service => "${service}.${local.region}.amazonaws.com" }
  key_ways = {
    accept     = concat(["sqs", "s3"], local.remembers_keys ? ["dynamodb"] : [], local.with_sources ? ["secretsmanager"] : [])
    deliver    = ["sqs", "dynamodb", "s3"]
    deadletter = ["sqs", "s3"]
  }

  # X-Ray has no resources to name. Nor have the calls with which Lambda puts a function into a VPC.
  xray_actions      = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
  interface_actions = ["ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses"]
}

data "aws_iam_policy_document" "function" {
  for_each = local.functions

  dynamic "statement" {
    for_each = local.work[each.key]
    content {
      sid       = statement.value.sid
      actions   = statement.value.actions
      resources = statement.value.resources
    }
  }

  # Sending to an encrypted queue needs Decrypt as well, which checks the data key that is used again.
  statement {
    sid       = "UseTheKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = [for service in local.key_ways[each.key] : local.via[service]]
    }
  }

  statement {
    sid       = "ReadItsEnvironment"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:EncryptionContext:aws:lambda:FunctionArn"
      values   = ["${local.arn_prefix.lambda}function:${var.name}-${each.key}"]
    }
  }

  statement {
    sid       = "WriteItsLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.function[each.key].arn}:*"]
  }

  statement {
    sid       = "SendTraces"
    actions   = local.xray_actions
    resources = ["*"]
  }

  dynamic "statement" {
    for_each = var.vpc ? [1] : []
    content {
      sid       = "StandInTheNetwork"
      actions   = local.interface_actions
      resources = ["*"]
    }
  }

  # Lambda makes the interfaces. The code in the function has no business with them.
  dynamic "statement" {
    for_each = var.vpc ? [1] : []
    content {
      sid       = "CodeStaysOutOfTheNetwork"
      effect    = "Deny"
      actions   = local.interface_actions
      resources = ["*"]
      condition {
        test     = "ArnEquals"
        variable = "lambda:SourceFunctionArn"
        values   = ["${local.arn_prefix.lambda}function:${var.name}-${each.key}"]
      }
    }
  }
}

# The ceiling: no role of the stack can do more than this, whatever its policy says. A pipeline may write policies of
# roles below it only, and may not change it, so that it can't make itself an administrator. It names everything in full:
# what begins with the name of this stack may be another stack's.
resource "aws_iam_policy" "boundary" {
  name        = "${var.name}-boundary"
  path        = local.role_path
  description = "The most that a role of ${var.name} can do"
  policy      = data.aws_iam_policy_document.boundary.json
}

data "aws_iam_policy_document" "boundary" {
  statement {
    sid       = "Queues"
    actions   = ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.events.arn, aws_sqs_queue.dead_letters.arn]
  }

  statement {
    sid       = "Table"
    actions   = concat(["dynamodb:BatchWriteItem"], var.canary ? ["dynamodb:GetItem"] : [])
    resources = [aws_dynamodb_table.events.arn]
  }

  dynamic "statement" {
    for_each = local.remembers_keys ? [1] : []
    content {
      sid       = "IdempotencyKeys"
      actions   = local.idempotency_actions
      resources = local.idempotency_arns
    }
  }

  dynamic "statement" {
    for_each = aws_secretsmanager_secret.sources
    content {
      sid       = "SecretsOfSources"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [statement.value.arn]
    }
  }

  # ListBucket is on the bucket, the others are on objects; without it a missing object looks forbidden.
  statement {
    sid       = "DeadLetters"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:ListBucket"]
    resources = [aws_s3_bucket.dead_letters.arn, "${aws_s3_bucket.dead_letters.arn}/*"]
  }

  statement {
    sid       = "Key"
    actions   = concat(["kms:Decrypt", "kms:GenerateDataKey"], var.backup ? ["kms:CreateGrant", "kms:DescribeKey"] : [])
    resources = [aws_kms_key.main.arn]
  }

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = [for group in local.log_groups : "${local.arn_prefix.logs}log-group:${group}:*" if startswith(group, "/aws/lambda/")]
  }

  dynamic "statement" {
    for_each = var.canary ? [1] : []
    content {
      sid       = "Canary"
      actions   = ["lambda:InvokeFunction"]
      resources = ["${local.arn_prefix.lambda}function:${var.name}-canary"]
    }
  }

  dynamic "statement" {
    for_each = var.backup ? [1] : []
    content {
      sid       = "BackUpTheTable"
      actions   = concat(local.back_up_actions, local.backups_actions)
      resources = [aws_dynamodb_table.events.arn, "${aws_dynamodb_table.events.arn}/backup/*"]
    }
  }

  dynamic "statement" {
    for_each = aws_backup_vault.main
    content {
      sid       = "IntoTheVault"
      actions   = ["backup:CopyIntoBackupVault", "backup:DescribeBackupVault"]
      resources = [statement.value.arn]
    }
  }

  dynamic "statement" {
    for_each = var.backup ? [1] : []
    content {
      sid       = "TagBackups"
      actions   = ["backup:TagResource"]
      resources = [local.recovery_points]
    }
  }

  dynamic "statement" {
    for_each = var.backup ? [1] : []
    content {
      sid       = "MakeATableOfABackup"
      actions   = concat(local.restore_actions, local.fill_actions)
      resources = ["${local.arn_prefix.dynamodb}table/${var.name}-events/backup/*", local.restored_tables]
    }
  }

  statement {
    sid       = "WhatHasNoResources"
    actions   = concat(local.xray_actions, var.vpc ? local.interface_actions : [])
    resources = ["*"]
  }
}

locals {
  time_index_arns = var.time_index ? ["${aws_dynamodb_table.events.arn}/index/${local.time_index_name}"] : []
}
