# What people may do: `operate` is for the command line and the runbooks of every day, `restore` for those of a bad one.
# docs/AWS.md has the runbooks; a test compares the commands in them with these two policies.

# For people and programs that run the command line or `pillarbox serve` on this stack: attach it to their role.
resource "aws_iam_policy" "operate" {
  name        = "${var.name}-operate"
  path        = local.role_path
  description = "Use the queue, the table and the dead letters of ${var.name}"
  policy      = data.aws_iam_policy_document.operate.json
}

data "aws_iam_policy_document" "operate" {
  statement {
    sid       = "Queues"
    actions   = ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
    resources = [aws_sqs_queue.events.arn, aws_sqs_queue.dead_letters.arn]
  }

  statement {
    sid       = "MoveDeadLettersBack"
    actions   = ["sqs:StartMessageMoveTask", "sqs:ListMessageMoveTasks", "sqs:CancelMessageMoveTask"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }

  statement {
    sid       = "Table"
    actions   = ["dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"]
    resources = concat([aws_dynamodb_table.events.arn], local.time_index_arns)
  }

  # For a server beside the functions, which remembers the same keys.
  dynamic "statement" {
    for_each = local.remembers_keys ? [1] : []
    content {
      sid       = "IdempotencyKeys"
      actions   = concat(local.idempotency_actions, ["dynamodb:DescribeTable"])
      resources = local.idempotency_arns
    }
  }

  dynamic "statement" {
    for_each = local.with_sources ? [1] : []
    content {
      sid       = "APIKeys"
      actions   = ["s3:GetObject", "s3:PutObject"]
      resources = [local.api_keys_arn]
    }
  }

  # To exchange one. Nobody but the function reads them.
  dynamic "statement" {
    for_each = aws_secretsmanager_secret.sources
    content {
      sid       = "PutSecretsOfSources"
      actions   = ["secretsmanager:PutSecretValue"]
      resources = [statement.value.arn]
    }
  }

  # Also what tells a missing object from a forbidden one.
  statement {
    sid       = "ListDeadLetters"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.dead_letters.arn]
  }

  statement {
    sid       = "LargeBodies"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = [local.bodies_arn]
  }

  # A letter that is replayed or discarded gets another name, so the old one is deleted; versions keep it.
  statement {
    sid       = "DeadLetters"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = ["${aws_s3_bucket.dead_letters.arn}/${local.dead_letter_prefix}*"]
  }

  statement {
    sid       = "UseTheKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = concat([local.via.sqs, local.via.dynamodb, local.via.s3], local.with_sources ? [local.via.secretsmanager] : [])
    }
  }

  statement {
    sid       = "StopAndStartDelivering"
    actions   = ["lambda:GetEventSourceMapping", "lambda:UpdateEventSourceMapping"]
    resources = local.mapping_arns
  }

  # The list of them can only be asked of all.
  statement {
    sid       = "FindThem"
    actions   = ["lambda:ListEventSourceMappings"]
    resources = ["*"]
  }

  statement {
    sid       = "ReadTheLogs"
    actions   = ["logs:FilterLogEvents", "logs:GetLogEvents", "logs:DescribeLogStreams"]
    resources = flatten([for group in local.log_groups : ["${local.arn_prefix.logs}log-group:${group}", "${local.arn_prefix.logs}log-group:${group}:*"]])
  }
}

locals {
  mapping_arns = [for mapping in [aws_lambda_event_source_mapping.deliver, aws_lambda_event_source_mapping.deadletter] : "${local.arn_prefix.lambda}event-source-mapping:${mapping.uuid}"]
}

# For a bad day and for the drill: a table out of a backup or out of a second of the last 35 days, under a name of its own;
# deleted letters; the key. It changes the table of events in nothing. Putting a restored one in its place is Terraform's.
resource "aws_iam_policy" "restore" {
  name        = "${var.name}-restore"
  path        = local.role_path
  description = "Make a table of a backup of ${var.name}, bring back letters and the key"
  policy      = data.aws_iam_policy_document.restore_by_people.json
}

data "aws_iam_policy_document" "restore_by_people" {
  statement {
    sid       = "OutOfASecond"
    actions   = ["dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable", "dynamodb:RestoreTableToPointInTime"]
    resources = [aws_dynamodb_table.events.arn]
  }

  # Also to look at it, and to make an end of it.
  statement {
    sid       = "TheNewTable"
    actions   = concat(local.fill_actions, ["dynamodb:BatchGetItem", "dynamodb:DeleteTable", "dynamodb:DescribeContinuousBackups", "dynamodb:RestoreTableToPointInTime"])
    resources = [local.restored_tables]
  }

  statement {
    sid       = "UseTheKey"
    actions   = local.backup_key_actions
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = [local.via.dynamodb, local.via.s3]
    }
  }

  statement {
    sid       = "GrantTheKeyToTheNewTable"
    actions   = ["kms:CreateGrant"]
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }

  statement {
    sid       = "RescueTheKey"
    actions   = ["kms:CancelKeyDeletion", "kms:DescribeKey", "kms:EnableKey"]
    resources = [aws_kms_key.main.arn]
  }

  statement {
    sid       = "SeeOldVersions"
    actions   = ["s3:ListBucketVersions"]
    resources = [aws_s3_bucket.dead_letters.arn]
  }

  # To delete a delete marker is to bring back what it hides. It would delete an old version as well.
  statement {
    sid       = "TakeAwayDeleteMarkers"
    actions   = ["s3:DeleteObjectVersion", "s3:GetObjectVersion"]
    resources = ["${aws_s3_bucket.dead_letters.arn}/*"]
  }

  dynamic "statement" {
    for_each = aws_backup_vault.main
    content {
      sid       = "SeeTheVault"
      actions   = ["backup:DescribeBackupVault", "backup:ListRecoveryPointsByBackupVault"]
      resources = [statement.value.arn]
    }
  }

  # What DynamoDB keeps in the vault is named by DynamoDB or by AWS Backup, as the account's settings say.
  dynamic "statement" {
    for_each = var.backup ? [1] : []
    content {
      sid       = "OutOfABackup"
      actions   = ["backup:DescribeRecoveryPoint", "backup:GetRecoveryPointRestoreMetadata", "backup:StartRestoreJob"]
      resources = [local.recovery_points, "${local.arn_prefix.dynamodb}table/${var.name}-events/backup/*", local.restored_tables]
    }
  }

  dynamic "statement" {
    for_each = var.backup ? [1] : []
    content {
      sid       = "FollowTheJob"
      actions   = ["backup:DescribeRestoreJob"]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = var.backup ? [1] : []
    content {
      sid       = "HandOverTheRole"
      actions   = ["iam:PassRole"]
      resources = [aws_iam_role.backup["restore"].arn]
      condition {
        test     = "StringEquals"
        variable = "iam:PassedToService"
        values   = ["backup.amazonaws.com"]
      }
    }
  }
}

# A role for people, with both policies. It asks for a second factor, and for one that is not older than the session may last.
# The key of the condition is in sessions of IAM users who gave their code when they got it. Who comes by IAM Identity Center
# gives the code there, and the key is missing: attach the two policies to a permission set instead.
resource "aws_iam_role" "people" {
  count = length(var.people) > 0 ? 1 : 0

  name                 = "${var.name}-people"
  path                 = local.people_path
  assume_role_policy   = data.aws_iam_policy_document.people_trust[0].json
  max_session_duration = local.people_session_seconds
}

locals {
  # Not below role_path: the pipeline writes policies of the roles there.
  people_path            = "/${var.name}-people/"
  people_session_seconds = 3600 # the least that IAM offers
}

data "aws_iam_policy_document" "people_trust" {
  count = length(var.people) > 0 ? 1 : 0

  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = var.people
    }
    condition {
      test     = "Bool"
      variable = "aws:MultiFactorAuthPresent"
      values   = ["true"]
    }
    condition {
      test     = "NumericLessThan"
      variable = "aws:MultiFactorAuthAge"
      values   = [tostring(local.people_session_seconds)]
    }
  }
}

resource "aws_iam_role_policy_attachment" "people" {
  for_each = length(var.people) > 0 ? { operate = aws_iam_policy.operate.arn, restore = aws_iam_policy.restore.arn } : {}

  role       = aws_iam_role.people[0].name
  policy_arn = each.value
}
