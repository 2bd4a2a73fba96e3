# Two topics for alarms: high means that a person must act now, low that one should look in working hours. And one for
# backups, because AWS Backup tells of every job that ends, and only those that failed are for people.

locals {
  topics = var.backup ? ["high", "low", "backups"] : ["high", "low"]
}

resource "aws_sns_topic" "alarms" {
  for_each = toset(local.topics)

  name              = "${var.name}-alarms-${each.key}"
  kms_master_key_id = aws_kms_key.main.arn
}

# Somebody has to confirm each subscription, by the link in the first mail.
resource "aws_sns_topic_subscription" "email" {
  for_each = merge(
    { for address in var.alarm_emails_high : "high ${address}" => { topic = "high", address = address } },
    { for address in var.alarm_emails_low : "low ${address}" => { topic = "low", address = address } },
    { for address in var.alarm_emails_high : "backups ${address}" => { topic = "backups", address = address } if var.backup },
  )

  topic_arn = aws_sns_topic.alarms[each.value.topic].arn
  protocol  = "email"
  endpoint  = each.value.address

  # AWS Backup sends no event of its own for a job that failed, expired or was stopped: BACKUP_JOB_COMPLETED comes for
  # each, with the outcome in the attribute State.
  filter_policy       = each.value.topic == "backups" ? jsonencode({ State = [{ "anything-but" = ["COMPLETED"] }] }) : null
  filter_policy_scope = each.value.topic == "backups" ? "MessageAttributes" : null
}

resource "aws_sns_topic_policy" "alarms" {
  for_each = aws_sns_topic.alarms

  arn    = each.value.arn
  policy = data.aws_iam_policy_document.topic[each.key].json
}

data "aws_iam_policy_document" "topic" {
  for_each = aws_sns_topic.alarms

  statement {
    sid       = "Publishers"
    actions   = ["sns:Publish"]
    resources = [each.value.arn]
    principals {
      type        = "Service"
      identifiers = [for service in local.publishers[each.key] : "${service}.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }

  statement {
    sid       = "OnlyOverTLS"
    effect    = "Deny"
    actions   = ["sns:Publish"]
    resources = [each.value.arn]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}
