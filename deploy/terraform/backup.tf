# backup = true: copies of the table in a vault, for longer than the 35 days of point-in-time recovery.

resource "aws_backup_vault" "main" {
  count = var.backup ? 1 : 0

  name          = var.name
  kms_key_arn   = aws_kms_key.main.arn
  force_destroy = !var.protect
}

# Nobody shortens what is kept, except those who may take away the lock.
resource "aws_backup_vault_lock_configuration" "main" {
  count = var.backup ? 1 : 0

  backup_vault_name  = aws_backup_vault.main[0].name
  min_retention_days = min(var.backup_daily_days, var.backup_monthly_days)
}

resource "aws_backup_plan" "table" {
  count = var.backup ? 1 : 0

  name = var.name

  rule {
    rule_name         = "daily"
    target_vault_name = aws_backup_vault.main[0].name
    schedule          = "cron(0 3 * * ? *)"
    start_window      = 60
    completion_window = 720

    lifecycle {
      delete_after = var.backup_daily_days
    }
  }

  rule {
    rule_name         = "monthly"
    target_vault_name = aws_backup_vault.main[0].name
    schedule          = "cron(0 5 1 * ? *)"
    start_window      = 60
    completion_window = 720

    # What is cold has to stay for 90 days at least; choices.tf sees to it.
    lifecycle {
      cold_storage_after = var.backup_cold_after_days
      delete_after       = var.backup_monthly_days
    }
  }
}

resource "aws_backup_selection" "table" {
  count = var.backup ? 1 : 0

  depends_on = [aws_iam_role_policy.backup]

  name         = "table"
  plan_id      = aws_backup_plan.table[0].id
  iam_role_arn = aws_iam_role.backup["backup"].arn
  resources    = [aws_dynamodb_table.events.arn]
}

# Of the events of a vault AWS sends BACKUP_JOB_FAILED and BACKUP_JOB_EXPIRED no more. BACKUP_JOB_COMPLETED comes for every
# job that ended, however it did; the subscriptions in topics.tf leave out those that went well. That none ended is told by
# the alarm backup-missing.
resource "aws_backup_vault_notifications" "main" {
  count = var.backup ? 1 : 0

  depends_on = [aws_sns_topic_policy.alarms]

  backup_vault_name   = aws_backup_vault.main[0].name
  sns_topic_arn       = aws_sns_topic.alarms["backups"].arn
  backup_vault_events = ["BACKUP_JOB_COMPLETED"]
}

# Two roles that AWS Backup takes on: one makes backups, and one makes a table of a backup. Neither can do the other's work.
locals {
  backup_roles = var.backup ? {
    backup  = data.aws_iam_policy_document.backup[0].json
    restore = data.aws_iam_policy_document.restore[0].json
  } : {}

  # What backups and restores do, which the ceiling and the policy for people know too. DynamoDB asks for reading and writing
  # on a new table: it fills it in the name of who restores.
  back_up_actions = ["dynamodb:CreateBackup", "dynamodb:DescribeTable", "dynamodb:ListTagsOfResource", "dynamodb:StartAwsBackupJob"]
  backups_actions = ["dynamodb:DeleteBackup", "dynamodb:DescribeBackup"]
  restore_actions = ["dynamodb:RestoreTableFromAwsBackup", "dynamodb:RestoreTableFromBackup"]
  fill_actions = [
    "dynamodb:BatchWriteItem", "dynamodb:DeleteItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query",
    "dynamodb:Scan", "dynamodb:UpdateItem",
  ]
  backup_key_actions = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]

  recovery_points = "arn:${local.partition}:backup:${local.region}:${local.account}:recovery-point:*"
}

# From the time when there was one role.
moved {
  from = aws_iam_role.backup[0]
  to   = aws_iam_role.backup["backup"]
}

moved {
  from = aws_iam_role_policy.backup[0]
  to   = aws_iam_role_policy.backup["backup"]
}

resource "aws_iam_role" "backup" {
  for_each = local.backup_roles

  name                 = "${var.name}-${each.key}"
  path                 = local.role_path
  assume_role_policy   = data.aws_iam_policy_document.backup_trust.json
  permissions_boundary = aws_iam_policy.boundary.arn
}

resource "aws_iam_role_policy" "backup" {
  for_each = local.backup_roles

  name   = "work"
  role   = aws_iam_role.backup[each.key].name
  policy = each.value
}

data "aws_iam_policy_document" "backup_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["backup.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

# AWS's own policy for the purpose reaches every table, disk and database of the account. This is its part on one table.
data "aws_iam_policy_document" "backup" {
  count = var.backup ? 1 : 0

  statement {
    sid       = "ReadTheTable"
    actions   = local.back_up_actions
    resources = [aws_dynamodb_table.events.arn]
  }

  statement {
    sid       = "ItsBackups"
    actions   = local.backups_actions
    resources = ["${aws_dynamodb_table.events.arn}/backup/*"]
  }

  statement {
    sid       = "IntoTheVault"
    actions   = ["backup:CopyIntoBackupVault", "backup:DescribeBackupVault"]
    resources = [aws_backup_vault.main[0].arn]
  }

  # A backup inherits the tags of the table, and without this a job on a table with tags fails. What the id of a recovery
  # point will be, nobody knows before.
  statement {
    sid       = "TagTheBackup"
    actions   = ["backup:TagResource"]
    resources = [local.recovery_points]
  }

  statement {
    sid       = "UseTheKey"
    actions   = local.backup_key_actions
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = [local.via.backup, local.via.dynamodb]
    }
  }

  statement {
    sid       = "GrantTheKeyToTheVault"
    actions   = ["kms:CreateGrant"]
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }
}

# A backup becomes a new table, whose name begins with that of the table and a dot. The table itself is out of reach.
data "aws_iam_policy_document" "restore" {
  count = var.backup ? 1 : 0

  statement {
    sid       = "OutOfABackup"
    actions   = local.restore_actions
    resources = ["${local.arn_prefix.dynamodb}table/${var.name}-events/backup/*", local.restored_tables]
  }

  statement {
    sid       = "FillTheNewTable"
    actions   = local.fill_actions
    resources = [local.restored_tables]
  }

  statement {
    sid       = "UseTheKey"
    actions   = local.backup_key_actions
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = [local.via.backup, local.via.dynamodb]
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
}
