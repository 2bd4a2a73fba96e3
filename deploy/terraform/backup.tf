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
  iam_role_arn = aws_iam_role.backup[0].arn
  resources    = [aws_dynamodb_table.events.arn]
}

resource "aws_backup_vault_notifications" "main" {
  count = var.backup ? 1 : 0

  depends_on = [aws_sns_topic_policy.alarms]

  backup_vault_name   = aws_backup_vault.main[0].name
  sns_topic_arn       = aws_sns_topic.alarms["high"].arn
  backup_vault_events = ["BACKUP_JOB_FAILED", "BACKUP_JOB_EXPIRED"]
}

resource "aws_iam_role" "backup" {
  count = var.backup ? 1 : 0

  name                 = "${var.name}-backup"
  path                 = local.role_path
  assume_role_policy   = data.aws_iam_policy_document.backup_trust.json
  permissions_boundary = aws_iam_policy.boundary.arn
}

resource "aws_iam_role_policy" "backup" {
  count = var.backup ? 1 : 0

  name   = "work"
  role   = aws_iam_role.backup[0].name
  policy = data.aws_iam_policy_document.backup[0].json
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
    actions   = ["dynamodb:CreateBackup", "dynamodb:DescribeTable", "dynamodb:ListTagsOfResource", "dynamodb:StartAwsBackupJob"]
    resources = [aws_dynamodb_table.events.arn]
  }

  statement {
    sid       = "ItsBackups"
    actions   = ["dynamodb:DescribeBackup", "dynamodb:DeleteBackup"]
    resources = ["${aws_dynamodb_table.events.arn}/backup/*"]
  }

  statement {
    sid       = "IntoTheVault"
    actions   = ["backup:CopyIntoBackupVault", "backup:DescribeBackupVault"]
    resources = [aws_backup_vault.main[0].arn]
  }

  statement {
    sid       = "UseTheKey"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = [for service in ["backup", "dynamodb"] : "${service}.${local.region}.amazonaws.com"]
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
