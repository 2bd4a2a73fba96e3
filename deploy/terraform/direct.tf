# direct = true: API Gateway writes to the queue by itself, without a function. Cheaper, and nothing to start. Its limits:
#
#   - timestamps have milliseconds (the last three decimals are zero) and may go back between two requests
#   - only the content types of direct_content_types are taken, 415 for others: templates are chosen by content type
#   - a body of up to about 768 KiB: SQS takes 1 MiB, and base64 makes four bytes of three. More is 413
#   - no batches, no Idempotency-Key, no Prefer: wait, no query, and a compressed body stays compressed
#   - headers are not kept, except the content type and traceparent
#
# The request id is API Gateway's extended one: the plain one can be overridden by the client, and the key of an event
# must be its own.

locals {
  # A template must come out as one line: a line break before "Action" would belong to its name.
  template = {
    for name in ["stamp", "send", "receipt", "refused"] :
    name => join("", [for line in split("\n", file("${path.module}/templates/${name}.vtl")) : trimspace(line) if !startswith(line, "##")])
  }

  direct_request  = replace("${local.template.stamp}${local.template.send}", "SOURCE", var.source_name)
  direct_receipt  = "${local.template.stamp}${local.template.receipt}"
  direct_statuses = { "202" = "2\\d{2}", "503" = null }
}

resource "aws_api_gateway_integration" "queue" {
  count = var.direct ? 1 : 0

  rest_api_id             = aws_api_gateway_rest_api.front.id
  resource_id             = aws_api_gateway_resource.source.id
  http_method             = aws_api_gateway_method.source["POST"].http_method
  type                    = "AWS"
  integration_http_method = "POST"
  uri                     = "arn:${local.partition}:apigateway:${local.region}:sqs:path/${local.account}/${aws_sqs_queue.events.name}"
  credentials             = aws_iam_role.direct[0].arn
  content_handling        = "CONVERT_TO_TEXT"
  passthrough_behavior    = "NEVER"

  request_parameters = {
    "integration.request.header.Content-Type" = "'application/x-www-form-urlencoded'"
  }
  request_templates = { for type in var.direct_content_types : type => local.direct_request }
}

resource "aws_api_gateway_method_response" "queue" {
  for_each = var.direct ? toset(keys(local.direct_statuses)) : toset([])

  rest_api_id = aws_api_gateway_rest_api.front.id
  resource_id = aws_api_gateway_resource.source.id
  http_method = aws_api_gateway_method.source["POST"].http_method
  status_code = each.key

  response_parameters = {
    "method.response.header.Content-Type" = true
    "method.response.header.X-Request-Id" = true
    "method.response.header.Retry-After"  = true
  }
}

resource "aws_api_gateway_integration_response" "queue" {
  for_each = var.direct ? local.direct_statuses : {}

  depends_on = [aws_api_gateway_integration.queue]

  rest_api_id       = aws_api_gateway_rest_api.front.id
  resource_id       = aws_api_gateway_resource.source.id
  http_method       = aws_api_gateway_method.source["POST"].http_method
  status_code       = aws_api_gateway_method_response.queue[each.key].status_code
  selection_pattern = each.value
  content_handling  = "CONVERT_TO_TEXT"

  response_parameters = {
    "method.response.header.Content-Type" = each.key == "202" ? "'application/json'" : "'application/problem+json'"
    "method.response.header.X-Request-Id" = "context.extendedRequestId"
  }
  response_templates = {
    "application/json" = each.key == "202" ? local.direct_receipt : local.template.refused
  }
}

# GET says that the door stands.
resource "aws_api_gateway_integration" "alive" {
  count = var.direct ? 1 : 0

  rest_api_id       = aws_api_gateway_rest_api.front.id
  resource_id       = aws_api_gateway_resource.source.id
  http_method       = aws_api_gateway_method.source["GET"].http_method
  type              = "MOCK"
  content_handling  = "CONVERT_TO_TEXT" # else the template below is taken for bytes, as every body is
  request_templates = { "application/json" = jsonencode({ statusCode = 200 }) }
}

resource "aws_api_gateway_method_response" "alive" {
  count = var.direct ? 1 : 0

  rest_api_id         = aws_api_gateway_rest_api.front.id
  resource_id         = aws_api_gateway_resource.source.id
  http_method         = aws_api_gateway_method.source["GET"].http_method
  status_code         = "200"
  response_parameters = { "method.response.header.Content-Type" = true }
}

resource "aws_api_gateway_integration_response" "alive" {
  count = var.direct ? 1 : 0

  depends_on = [aws_api_gateway_integration.alive]

  rest_api_id         = aws_api_gateway_rest_api.front.id
  resource_id         = aws_api_gateway_resource.source.id
  http_method         = aws_api_gateway_method.source["GET"].http_method
  status_code         = aws_api_gateway_method_response.alive[0].status_code
  content_handling    = "CONVERT_TO_TEXT"
  response_parameters = { "method.response.header.Content-Type" = "'application/json'" }
  response_templates  = { "application/json" = jsonencode({ status = "ok" }) }
}

resource "aws_iam_role" "direct" {
  count = var.direct ? 1 : 0

  name                 = "${var.name}-direct"
  path                 = local.role_path
  assume_role_policy   = data.aws_iam_policy_document.api_gateway_trust.json
  permissions_boundary = aws_iam_policy.boundary.arn
}

resource "aws_iam_role_policy" "direct" {
  count = var.direct ? 1 : 0

  name   = "work"
  role   = aws_iam_role.direct[0].name
  policy = data.aws_iam_policy_document.direct.json
}

data "aws_iam_policy_document" "direct" {
  statement {
    sid       = "PutIntoTheQueue"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.events.arn]
  }

  statement {
    sid       = "UseTheKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["sqs.${local.region}.amazonaws.com"]
    }
  }
}
