# The functions. PILLARBOX_ROLE says which role the binary has; a zip for each leaves out what the others need. Each has an alias, so that provisioned
# concurrency can be switched on, and a version can be taken back, without a change of what calls it.

locals {
  alias_name = "live"
}

resource "aws_lambda_function" "role" {
  #checkov:skip=CKV_AWS_272:what may put code in is held by the role of the pipeline; signing needs a profile of the account
  #checkov:skip=CKV_AWS_116:SQS and API Gateway wait for the answer: nothing is invoked asynchronously
  for_each = local.functions

  # A function that starts before its log group exists would make one without retention and key; one that starts before
  # its role may use the key can't read its environment.
  depends_on = [aws_cloudwatch_log_group.function, aws_iam_role_policy.function]

  function_name = "${var.name}-${each.key}"
  description   = each.value.description
  role          = aws_iam_role.function[each.key].arn

  filename         = each.value.zip
  source_code_hash = filebase64sha256(each.value.zip)
  publish          = true

  runtime       = "provided.al2023"
  architectures = ["arm64"]
  handler       = "bootstrap"

  memory_size                    = each.value.memory_mb
  timeout                        = each.value.timeout
  reserved_concurrent_executions = each.value.reserved

  kms_key_arn = aws_kms_key.main.arn

  environment {
    variables = merge(
      {
        PILLARBOX_ROLE        = each.key
        PILLARBOX_SOURCE      = var.source_name
        PILLARBOX_DESTINATION = local.destination_name
        PILLARBOX_LOG_LEVEL   = var.log_level
        PILLARBOX_LOG_FORMAT  = "json"

        PILLARBOX_BODIES_BUCKET = aws_s3_bucket.dead_letters.bucket
        PILLARBOX_BODIES_PREFIX = local.bodies_prefix
      },
      each.value.environment,
    )
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.function[each.key].name
  }

  tracing_config {
    mode = "Active"
  }

  dynamic "vpc_config" {
    for_each = var.vpc ? [1] : []
    content {
      subnet_ids         = [for subnet in aws_subnet.private : subnet.id]
      security_group_ids = [aws_security_group.functions[0].id]
    }
  }
}

locals {
  # The destination that dead letters name. It is the one that design and configuration call so by default.
  destination_name = "events"
}

resource "aws_lambda_alias" "live" {
  for_each = local.functions

  name             = local.alias_name
  description      = "What is called"
  function_name    = aws_lambda_function.role[each.key].function_name
  function_version = aws_lambda_function.role[each.key].version
}

resource "aws_lambda_provisioned_concurrency_config" "accept" {
  count = !var.direct && var.accept_provisioned_concurrency > 0 ? 1 : 0

  function_name                     = aws_lambda_function.role["accept"].function_name
  qualifier                         = aws_lambda_alias.live["accept"].name
  provisioned_concurrent_executions = var.accept_provisioned_concurrency
}

# Without ReportBatchItemFailures one refused event would bring back its whole batch. The maximum concurrency stops
# polling instead of being throttled: a throttled receive counts as one of max_receive_count.
resource "aws_lambda_event_source_mapping" "deliver" {
  depends_on = [aws_iam_role_policy.function]

  event_source_arn                   = aws_sqs_queue.events.arn
  function_name                      = aws_lambda_alias.live["deliver"].arn
  batch_size                         = var.deliver_batch_size
  maximum_batching_window_in_seconds = var.deliver_batch_window_seconds
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = var.deliver_maximum_concurrency
  }
}

resource "aws_lambda_event_source_mapping" "deadletter" {
  depends_on = [aws_iam_role_policy.function]

  event_source_arn                   = aws_sqs_queue.dead_letters.arn
  function_name                      = aws_lambda_alias.live["deadletter"].arn
  batch_size                         = var.deadletter_batch_size
  maximum_batching_window_in_seconds = 0
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = var.deadletter_maximum_concurrency
  }
}

resource "aws_cloudwatch_log_group" "function" {
  #checkov:skip=CKV_AWS_338:how long is a choice (log_retention_days); no event is in a log
  for_each = local.functions

  name              = "/aws/lambda/${var.name}-${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.main.arn
}

# Traces of this stack alone, in the console and as metrics, on which two alarms are. What begins at the door names the API.
resource "aws_xray_group" "all" {
  group_name        = var.name
  filter_expression = "service(\"${var.name}/${var.stage_name}\") OR ${join(" OR ", [for role in local.roles : "service(\"${var.name}-${role}\")"])}"

  insights_configuration {
    insights_enabled      = false # they are paid for
    notifications_enabled = false
  }
}
