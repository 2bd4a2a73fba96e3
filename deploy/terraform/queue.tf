# The queue between accepting and delivering, and the queue of what could not be delivered.
#
# Why both keep messages for 14 days, the longest that SQS offers. On a standard queue the age of a message counts from
# its first sending, also after a move to the dead-letter queue: a message that dies after A days has 14 - A days left
# there. The usual advice is to make the source's retention shorter. That only takes time away: when it ends, SQS
# deletes the message and moves nothing. Every message that would live with 10 and 14 days lives with 14 and 14 as well.
#
# What has to end early is not the retention but the trying, so that the last dead_letter_reserve_days (4) are left for
# the way to the bucket. Three things see to it:
#
#   1. deliver gives up on an event that is older than PILLARBOX_MAX_AGE (14 - 4 = 10 days) and sends it to the
#      dead-letter queue itself. A message that is sent is new, and has 14 days again.
#   2. deliver never hides a message for longer than PILLARBOX_MAX_RETRY_WAIT, so that max_receive_count receives end
#      within those 10 days: 10 days / 20 = 12 h, which is the longest that SQS can hide a message anyway.
#   3. Alarms: the age of the oldest message long before, the dead-letter queue when anything stays in it for an hour.
#      That one counts letters. The dead-letter queue's age metric counts from the move and not from the sending, and
#      leaves out what was received more than three times: no limit on it would be safe.

locals {
  retention_seconds = var.queue_retention_days * local.day
  delivery_days     = var.queue_retention_days - var.dead_letter_reserve_days

  sqs_longest_visibility = 12 * 60 * 60
  max_retry_wait_seconds = min(local.sqs_longest_visibility, floor(local.delivery_days * local.day / var.max_receive_count))

  # Lambda asks for six times the timeout of the function, so that it can retry while it is throttled.
  queue_visibility_seconds       = 6 * var.deliver_timeout_seconds
  dead_letter_visibility_seconds = 6 * var.deadletter_timeout_seconds

  sqs_longest_retention = 14 * local.day
  sqs_largest_message   = 1024 * 1024
}

resource "aws_sqs_queue" "events" {
  name = "${var.name}-events"

  message_retention_seconds  = local.retention_seconds
  visibility_timeout_seconds = local.queue_visibility_seconds
  max_message_size           = local.sqs_largest_message
  receive_wait_time_seconds  = 20

  kms_master_key_id                 = aws_kms_key.main.arn
  kms_data_key_reuse_period_seconds = 300

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.max_receive_count
  })
}

resource "aws_sqs_queue" "dead_letters" {
  name = "${var.name}-dead-letters"

  message_retention_seconds  = local.sqs_longest_retention
  visibility_timeout_seconds = local.dead_letter_visibility_seconds
  max_message_size           = local.sqs_largest_message
  receive_wait_time_seconds  = 20

  kms_master_key_id                 = aws_kms_key.main.arn
  kms_data_key_reuse_period_seconds = 300
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.url

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.events.arn]
  })
}

# No statement allows anything, so other accounts have no way in. Roles of this account need a policy of their own.
data "aws_iam_policy_document" "queue" {
  for_each = { events = aws_sqs_queue.events.arn, dead_letters = aws_sqs_queue.dead_letters.arn }

  statement {
    sid       = "OnlyOverTLS"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [each.value]
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

resource "aws_sqs_queue_policy" "events" {
  queue_url = aws_sqs_queue.events.url
  policy    = data.aws_iam_policy_document.queue["events"].json
}

resource "aws_sqs_queue_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.url
  policy    = data.aws_iam_policy_document.queue["dead_letters"].json
}
