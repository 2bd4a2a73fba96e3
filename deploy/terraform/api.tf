# The front door: POST /app and GET /app. The path is that of the source. Where a file says what sources there are, every path and
# method leads to the function, which knows them: a REST API has no answer of its own to OPTIONS, HEAD or a path with a variable part.

locals {
  methods   = local.with_sources && !var.direct ? toset(["ANY"]) : toset(["GET", "POST"])
  path_part = local.with_sources ? "{proxy+}" : var.source_name
  door_part = local.with_sources ? "*" : var.source_name

  # A function that takes too long is told off by its own timeout first, which leaves a log line. 29 s is the most that
  # API Gateway waits.
  integration_timeout_ms = min(29, var.accept_timeout_seconds + 1) * 1000

  problems = {
    # One for each answer that API Gateway gives by itself. Our fault is 5xx, and what may be tried again says when.
    # A function that dies, runs out of time or answers nonsense may have put the event into the queue before: where the
    # integration was asked, nobody knows, and a promise of "not accepted" would be a lie. DEFAULT_5XX is among these.
    #
    # Each keeps the status that AWS gives it, and "status" only repeats it in the body. API Gateway counts an answer whose
    # status was changed as 4XXError, whatever it was changed to: the alarm on 5XXError would stay silent. So "changed" is
    # for the client's faults alone.
    ACCESS_DENIED                  = { status = 403, title = "access denied" }
    AUTHORIZER_FAILURE             = { status = 500, title = "the authorizer could not be asked" }
    BAD_REQUEST_BODY               = { status = 400, title = "the request can't be understood" }
    DEFAULT_5XX                    = { status = null, title = "not known whether accepted; try again", retry = "1" }
    INVALID_API_KEY                = { status = 403, title = "the API key is missing or unknown" }
    MISSING_AUTHENTICATION_TOKEN   = { status = 404, title = "no such path or method", changed = "404" }
    QUOTA_EXCEEDED                 = { status = 429, title = "the quota of this API key is used up", retry = "3600" }
    REQUEST_TOO_LARGE              = { status = 413, title = "the request is too large" }
    THROTTLED                      = { status = 429, title = "too many requests", retry = "1" }
    UNAUTHORIZED                   = { status = 401, title = "credentials are missing or not valid" }
    UNSUPPORTED_MEDIA_TYPE         = { status = 415, title = "this content type is not taken" }
    WAF_FILTERED                   = { status = 403, title = "the firewall refused the request" }
    INTEGRATION_TIMEOUT            = { status = 504, title = "not known whether accepted; try again", retry = "1" }
    INTEGRATION_FAILURE            = { status = null, title = "not known whether accepted; try again", retry = "1" }
    API_CONFIGURATION_ERROR        = { status = 500, title = "not known whether accepted; the service is not set up right", retry = "60" }
    AUTHORIZER_CONFIGURATION_ERROR = { status = 500, title = "the authorizer is not set up right", retry = "60" }
  }
}

resource "aws_api_gateway_rest_api" "front" {
  name                         = var.name
  description                  = "The front door of ${var.name}"
  disable_execute_api_endpoint = var.domain_name != "" && var.domain_only

  # Every body is bytes. Without this, API Gateway reads it as text and mends what is no valid UTF-8.
  binary_media_types = ["*/*"]

  endpoint_configuration {
    types = ["REGIONAL"]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_resource" "source" {
  rest_api_id = aws_api_gateway_rest_api.front.id
  parent_id   = aws_api_gateway_rest_api.front.root_resource_id
  path_part   = local.path_part
}

# GET only says that the door stands: it asks for no key and no token, so that health checks need none.
resource "aws_api_gateway_method" "source" {
  #checkov:skip=CKV2_AWS_53:any body is taken: that is what the door is for
  for_each = local.methods

  rest_api_id          = aws_api_gateway_rest_api.front.id
  resource_id          = aws_api_gateway_resource.source.id
  http_method          = each.key
  api_key_required     = each.key != "GET" && (length(var.api_keys) > 0 || var.cloudfront)
  authorization        = each.key != "GET" ? local.authorization : "NONE"
  authorizer_id        = each.key != "GET" ? local.authorizer_id : null
  authorization_scopes = each.key != "GET" ? local.authorization_scopes : null
}

resource "aws_api_gateway_integration" "accept" {
  for_each = var.direct ? toset([]) : local.methods

  rest_api_id             = aws_api_gateway_rest_api.front.id
  resource_id             = aws_api_gateway_resource.source.id
  http_method             = aws_api_gateway_method.source[each.key].http_method
  type                    = "AWS_PROXY"
  integration_http_method = "POST"
  uri                     = aws_lambda_alias.live["accept"].invoke_arn
  timeout_milliseconds    = local.integration_timeout_ms
}

resource "aws_lambda_permission" "accept" {
  for_each = var.direct ? toset([]) : local.methods

  statement_id  = "ApiGateway${each.key}"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.role["accept"].function_name
  qualifier     = aws_lambda_alias.live["accept"].name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.front.execution_arn}/${var.stage_name}/${each.key == "ANY" ? "*" : each.key}/${local.door_part}"
}

resource "aws_api_gateway_gateway_response" "problem" {
  for_each = local.problems

  rest_api_id   = aws_api_gateway_rest_api.front.id
  response_type = each.key
  status_code   = try(each.value.changed, null)

  response_parameters = merge(
    { "gatewayresponse.header.Content-Type" = "'application/problem+json'" },
    try({ "gatewayresponse.header.Retry-After" = "'${each.value.retry}'" }, {}),
  )

  response_templates = {
    "application/json" = jsonencode(merge(
      { title = each.value.title, instance = "$context.extendedRequestId" },
      each.value.status == null ? {} : { status = each.value.status },
    ))
  }
}

# A deployment is a picture of the API. It is taken anew when anything in it changes.
resource "aws_api_gateway_deployment" "front" {
  depends_on = [
    aws_api_gateway_integration.accept, aws_api_gateway_integration.queue, aws_api_gateway_integration.alive,
    aws_api_gateway_integration_response.queue, aws_api_gateway_integration_response.alive,
    aws_api_gateway_gateway_response.problem, aws_api_gateway_rest_api_policy.allow_list,
  ]

  rest_api_id = aws_api_gateway_rest_api.front.id

  triggers = {
    redeployment = sha1(jsonencode([
      aws_api_gateway_rest_api.front.binary_media_types, aws_api_gateway_rest_api.front.disable_execute_api_endpoint,
      aws_api_gateway_resource.source, aws_api_gateway_method.source, aws_api_gateway_integration.accept,
      aws_api_gateway_integration.queue, aws_api_gateway_integration.alive, aws_api_gateway_integration_response.queue,
      aws_api_gateway_integration_response.alive, aws_api_gateway_gateway_response.problem,
      aws_api_gateway_authorizer.post, var.ip_allow_list,
    ]))
  }

  lifecycle {
    create_before_destroy = true
  }
}

# Logs of the API are written with a role that is one for the whole account and region. This stack never sets that role:
# a second stack, or a destroy, would take it from every other API. account/ is a stack of its own that sets it.
locals {
  api_logs = var.api_logs != "off"

  # No query and no header: they may hold credentials.
  access_log_fields = {
    request_id         = "$context.extendedRequestId"
    gateway_request_id = "$context.requestId"
    trace_id           = "$context.xrayTraceId"
    time               = "$context.requestTime"
    time_epoch_ms      = "$context.requestTimeEpoch"
    remote_addr        = "$context.identity.sourceIp"
    user_agent         = "$context.identity.userAgent"
    method             = "$context.httpMethod"
    path               = "$context.path"
    protocol           = "$context.protocol"
    status             = "$context.status"
    response_bytes     = "$context.responseLength"
    response_ms        = "$context.responseLatency"
    integration_ms     = "$context.integration.latency"
    integration_status = "$context.integration.status"
    integration_error  = "$context.integration.error"
    error              = "$context.error.message"
    api_key_id         = "$context.identity.apiKeyId"
    authorizer_error   = "$context.authorizer.error"
    waf_status         = "$context.waf.status"
  }

  access_log_formats = {
    off  = ""
    json = jsonencode(local.access_log_fields)
    # The Common Log Format, with the request id at its end: API Gateway asks for one in every format.
    clf = "$context.identity.sourceIp - - [$context.requestTime] \"$context.httpMethod $context.path $context.protocol\" $context.status $context.responseLength $context.extendedRequestId"
  }
}

resource "aws_api_gateway_stage" "live" {
  #checkov:skip=CKV_AWS_120:answers to posts are not to be cached
  #checkov:skip=CKV2_AWS_77:the rules of the firewall are a choice (waf); nothing here is Java
  #checkov:skip=CKV2_AWS_51:there is no HTTP backend that a certificate could be shown to
  depends_on = [aws_cloudwatch_log_group.api_errors]

  rest_api_id          = aws_api_gateway_rest_api.front.id
  deployment_id        = aws_api_gateway_deployment.front.id
  stage_name           = var.stage_name
  xray_tracing_enabled = true

  dynamic "access_log_settings" {
    for_each = aws_cloudwatch_log_group.api
    content {
      destination_arn = access_log_settings.value.arn
      format          = local.access_log_formats[var.api_logs]
    }
  }
}

resource "aws_api_gateway_method_settings" "all" {
  #checkov:skip=CKV_AWS_225:answers to posts are not to be cached
  rest_api_id = aws_api_gateway_rest_api.front.id
  stage_name  = aws_api_gateway_stage.live.stage_name
  method_path = "*/*"

  settings {
    throttling_rate_limit  = var.throttle_per_second
    throttling_burst_limit = var.throttle_burst
    metrics_enabled        = true
    logging_level          = local.api_logs ? "ERROR" : "OFF"
    data_trace_enabled     = false # it would log payloads
  }
}

resource "aws_cloudwatch_log_group" "api" {
  #checkov:skip=CKV_AWS_338:how long is a choice (log_retention_days); no event is in a log
  count = local.api_logs ? 1 : 0

  name              = "/aws/apigateway/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.main.arn
}

# API Gateway writes its errors to a group of this name. Made here, it has a retention and the key.
resource "aws_cloudwatch_log_group" "api_errors" {
  #checkov:skip=CKV_AWS_338:how long is a choice (log_retention_days); no event is in a log
  count = local.api_logs ? 1 : 0

  name              = "API-Gateway-Execution-Logs_${aws_api_gateway_rest_api.front.id}/${var.stage_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.main.arn
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
