# canary = true: every few minutes an event is posted at the door and read back from the table.
#
# It is a small function on a schedule and not CloudWatch Synthetics. A canary there can't say that the event has arrived,
# unless it brings the SDK along; its runtimes are retired every year; a run costs a thousand times as much. Here boto3 is
# in the runtime, the errors of the function are the alarm, and its duration is the time of the whole way.
#
# Terraform can't make a zip without the archive provider, so canary/canary.zip is in the repository, made by
# canary/build. It holds the script uncompressed, and the script begins at byte 39, a multiple of three: so the base64 of
# the script stands within the base64 of the archive, and the plan can see whether the two belong together.

locals {
  canary_zip     = "${path.module}/canary/canary.zip"
  canary_script  = filebase64("${path.module}/canary/canary.py")
  canary_current = strcontains(filebase64(local.canary_zip), substr(local.canary_script, 0, 4 * floor((length(local.canary_script) - 4) / 4)))
}

resource "aws_lambda_function" "canary" {
  #checkov:skip=CKV_AWS_272:it holds no rights on data
  #checkov:skip=CKV_AWS_116:a run that fails is what its alarm tells
  #checkov:skip=CKV_AWS_117:it comes from outside, as clients do
  #checkov:skip=CKV_AWS_115:one run at a time, by its schedule
  count = var.canary ? 1 : 0

  depends_on = [aws_cloudwatch_log_group.canary, aws_iam_role_policy.canary]

  function_name = "${var.name}-canary"
  description   = "Posts an event and reads it back"
  role          = aws_iam_role.canary[0].arn

  filename         = local.canary_zip
  source_code_hash = filebase64sha256(local.canary_zip)

  runtime       = var.canary_runtime
  architectures = ["arm64"]
  handler       = "canary.handler"
  memory_size   = 128
  timeout       = var.canary_wait_seconds + 20

  kms_key_arn = aws_kms_key.main.arn

  environment {
    variables = merge(
      {
        URL          = "${local.url}/${var.source_name}"
        TABLE        = aws_dynamodb_table.events.name
        WAIT_SECONDS = tostring(var.canary_wait_seconds)
      },
      { for name, key in { API_KEY = one(aws_api_gateway_api_key.canary[*].value) } : name => key if local.canary_key },
    )
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.canary[0].name
  }

  tracing_config {
    mode = "Active"
  }

  lifecycle {
    precondition {
      condition     = local.canary_current
      error_message = "canary/canary.zip does not hold canary/canary.py: run canary/build."
    }
  }
}

# A key and a plan of its own, without quota and rate: what clients use up is not the canary's, and it has nothing of theirs.
# The rate of the whole door is everybody's; there it asks again when it is told to.
locals {
  canary_key = var.canary && length(var.api_keys) > 0
}

resource "aws_api_gateway_api_key" "canary" {
  count = local.canary_key ? 1 : 0

  name        = "${var.name}-canary"
  description = "Posts to ${var.name} as its canary"
}

resource "aws_api_gateway_usage_plan" "canary" {
  count = local.canary_key ? 1 : 0

  name        = "${var.name}-canary"
  description = "The canary, which has no limit"

  api_stages {
    api_id = aws_api_gateway_rest_api.front.id
    stage  = aws_api_gateway_stage.live.stage_name
  }
}

resource "aws_api_gateway_usage_plan_key" "canary" {
  count = local.canary_key ? 1 : 0

  usage_plan_id = aws_api_gateway_usage_plan.canary[0].id
  key_id        = aws_api_gateway_api_key.canary[0].id
  key_type      = "API_KEY"
}

# One failure is one error: a second try would hide it.
resource "aws_lambda_function_event_invoke_config" "canary" {
  count = var.canary ? 1 : 0

  function_name          = aws_lambda_function.canary[0].function_name
  maximum_retry_attempts = 0
}

resource "aws_cloudwatch_log_group" "canary" {
  #checkov:skip=CKV_AWS_338:how long is a choice (log_retention_days); no event is in a log
  count = var.canary ? 1 : 0

  name              = "/aws/lambda/${var.name}-canary"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.main.arn
}

resource "aws_iam_role" "canary" {
  count = var.canary ? 1 : 0

  name                 = "${var.name}-canary"
  path                 = local.role_path
  assume_role_policy   = data.aws_iam_policy_document.lambda_trust.json
  permissions_boundary = aws_iam_policy.boundary.arn
}

resource "aws_iam_role_policy" "canary" {
  count = var.canary ? 1 : 0

  name   = "work"
  role   = aws_iam_role.canary[0].name
  policy = data.aws_iam_policy_document.canary[0].json
}

data "aws_iam_policy_document" "canary" {
  count = var.canary ? 1 : 0

  statement {
    sid       = "ReadOneEvent"
    actions   = ["dynamodb:GetItem"]
    resources = [aws_dynamodb_table.events.arn]
  }

  statement {
    sid       = "UseTheKey"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = [local.via.dynamodb]
    }
  }

  statement {
    sid       = "ReadItsEnvironment"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:EncryptionContext:aws:lambda:FunctionArn"
      values   = ["${local.arn_prefix.lambda}function:${var.name}-canary"]
    }
  }

  statement {
    sid       = "WriteItsLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.canary[0].arn}:*"]
  }

  statement {
    sid       = "SendTraces"
    actions   = local.xray_actions
    resources = ["*"]
  }
}

resource "aws_scheduler_schedule" "canary" {
  #checkov:skip=CKV_AWS_297:a schedule holds nothing but the name of the function
  count = var.canary ? 1 : 0

  name                = "${var.name}-canary"
  description         = "Runs the canary"
  schedule_expression = var.canary_minutes == 1 ? "rate(1 minute)" : "rate(${var.canary_minutes} minutes)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.canary[0].arn
    role_arn = aws_iam_role.canary_schedule[0].arn

    retry_policy {
      maximum_retry_attempts       = 0
      maximum_event_age_in_seconds = 60
    }
  }
}

resource "aws_iam_role" "canary_schedule" {
  count = var.canary ? 1 : 0

  name                 = "${var.name}-canary-schedule"
  path                 = local.role_path
  assume_role_policy   = data.aws_iam_policy_document.scheduler_trust.json
  permissions_boundary = aws_iam_policy.boundary.arn
}

resource "aws_iam_role_policy" "canary_schedule" {
  count = var.canary ? 1 : 0

  name   = "work"
  role   = aws_iam_role.canary_schedule[0].name
  policy = data.aws_iam_policy_document.canary_schedule[0].json
}

data "aws_iam_policy_document" "scheduler_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "canary_schedule" {
  count = var.canary ? 1 : 0

  statement {
    sid       = "RunTheCanary"
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.canary[0].arn]
  }
}
