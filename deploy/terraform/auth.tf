# Who may post: API keys with a usage plan, an allow list of addresses, a token. All are off by default, and all that
# are on are asked for together.

# API keys tell clients apart and count what they use. They are no proof of identity: add a token for that.
resource "aws_api_gateway_api_key" "client" {
  for_each = var.api_keys

  name        = "${var.name}-${each.key}"
  description = "Posts to ${var.name} as ${each.key}"
}

resource "aws_api_gateway_usage_plan" "clients" {
  count = length(var.api_keys) > 0 ? 1 : 0

  name        = var.name
  description = "What each API key may use"

  api_stages {
    api_id = aws_api_gateway_rest_api.front.id
    stage  = aws_api_gateway_stage.live.stage_name
  }

  throttle_settings {
    rate_limit  = var.api_key_per_second
    burst_limit = var.api_key_burst
  }

  dynamic "quota_settings" {
    for_each = var.api_key_daily_quota > 0 ? [var.api_key_daily_quota] : []
    content {
      limit  = quota_settings.value
      period = "DAY"
    }
  }
}

resource "aws_api_gateway_usage_plan_key" "client" {
  for_each = aws_api_gateway_api_key.client

  usage_plan_id = aws_api_gateway_usage_plan.clients[0].id
  key_id        = each.value.id
  key_type      = "API_KEY"
}

# The allow list. Resource policies are part of the deployment.
resource "aws_api_gateway_rest_api_policy" "allow_list" {
  count = length(var.ip_allow_list) > 0 ? 1 : 0

  rest_api_id = aws_api_gateway_rest_api.front.id
  policy      = data.aws_iam_policy_document.allow_list[0].json
}

data "aws_iam_policy_document" "allow_list" {
  count = length(var.ip_allow_list) > 0 ? 1 : 0

  statement {
    sid       = "Anybody"
    actions   = ["execute-api:Invoke"]
    resources = ["${aws_api_gateway_rest_api.front.execution_arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }

  statement {
    sid       = "FromNoOtherAddress"
    effect    = "Deny"
    actions   = ["execute-api:Invoke"]
    resources = ["${aws_api_gateway_rest_api.front.execution_arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "NotIpAddress"
      variable = "aws:SourceIp"
      values   = var.ip_allow_list
    }
  }
}

# Tokens. A REST API checks the tokens of Cognito by itself. It knows no JWT of other issuers: for those, "function" asks
# a Lambda authorizer of yours, which gets the Authorization header.
locals {
  authorization        = { none = "NONE", cognito = "COGNITO_USER_POOLS", function = "CUSTOM" }[var.authorizer]
  authorizer_id        = one(aws_api_gateway_authorizer.post[*].id)
  make_pool            = var.authorizer == "cognito" && length(var.cognito_user_pool_arns) == 0
  cognito_identifier   = var.name
  authorization_scopes = var.authorizer != "cognito" ? null : local.make_pool ? ["${local.cognito_identifier}/post"] : var.cognito_scopes
}

resource "aws_api_gateway_authorizer" "post" {
  count = var.authorizer == "none" ? 0 : 1

  name            = "${var.name}-post"
  rest_api_id     = aws_api_gateway_rest_api.front.id
  type            = var.authorizer == "cognito" ? "COGNITO_USER_POOLS" : "TOKEN"
  identity_source = "method.request.header.Authorization"

  provider_arns = var.authorizer == "cognito" ? (local.make_pool ? [aws_cognito_user_pool.clients[0].arn] : var.cognito_user_pool_arns) : null

  authorizer_uri                   = var.authorizer == "function" ? "arn:${local.partition}:apigateway:${local.region}:lambda:path/2015-03-31/functions/${var.authorizer_function_arn}/invocations" : null
  authorizer_result_ttl_in_seconds = var.authorizer == "function" ? 300 : null
}

resource "aws_lambda_permission" "authorizer" {
  count = var.authorizer == "function" ? 1 : 0

  statement_id  = "${var.name}-authorizer"
  action        = "lambda:InvokeFunction"
  function_name = var.authorizer_function_arn
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.front.execution_arn}/authorizers/${aws_api_gateway_authorizer.post[0].id}"
}

# A pool for machines: no users, one client that swaps its id and secret for a token with the scope "post".
resource "aws_cognito_user_pool" "clients" {
  count = local.make_pool ? 1 : 0

  name                = var.name
  deletion_protection = var.protect ? "ACTIVE" : "INACTIVE"

  admin_create_user_config {
    allow_admin_create_user_only = true
  }
}

resource "aws_cognito_user_pool_domain" "clients" {
  count = local.make_pool ? 1 : 0

  user_pool_id = aws_cognito_user_pool.clients[0].id
  domain       = "${var.name}-${local.account}"
}

resource "aws_cognito_resource_server" "front" {
  count = local.make_pool ? 1 : 0

  user_pool_id = aws_cognito_user_pool.clients[0].id
  identifier   = local.cognito_identifier
  name         = var.name

  scope {
    scope_name        = "post"
    scope_description = "Post events"
  }
}

resource "aws_cognito_user_pool_client" "client" {
  count = local.make_pool ? 1 : 0

  depends_on = [aws_cognito_resource_server.front]

  user_pool_id                         = aws_cognito_user_pool.clients[0].id
  name                                 = "${var.name}-client"
  generate_secret                      = true
  allowed_oauth_flows                  = ["client_credentials"]
  allowed_oauth_flows_user_pool_client = true
  allowed_oauth_scopes                 = ["${local.cognito_identifier}/post"]
  explicit_auth_flows                  = []
}
