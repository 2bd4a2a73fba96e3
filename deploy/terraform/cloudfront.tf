# cloudfront = true: CloudFront stands in front of the API, takes requests near the client, and keeps nothing: every request
# goes on to the API. The firewall (waf) stands there too.
#
# The address that AWS gives the API would be a way around it. So POST asks for an API key there, which CloudFront alone has
# and puts into each request; pillarbox keeps no X-Api-Key. Where api_keys are used, clients bring keys of their own, and
# CloudFront adds none: who has a key can post past CloudFront then.
#
# What the functions see as the address of the client is one of CloudFront; the client's is in X-Forwarded-For.

locals {
  # Whether CloudFront brings the key, and not the client.
  origin_key = var.cloudfront && length(var.api_keys) == 0

  # Policies that AWS keeps for all accounts under these ids: no caching; all that the viewer sent but the host.
  caching_disabled    = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
  all_but_host_header = "b689b0a8-53d0-40ab-baf2-68738e2966ac"

  # The zone in which all names of CloudFront are, for records of Route 53.
  cloudfront_zone = "Z2FDTNDATAQYW2"
}

resource "aws_api_gateway_api_key" "origin" {
  count = local.origin_key ? 1 : 0

  name        = "${var.name}-origin"
  description = "CloudFront's, in front of ${var.name}"
}

# Without quota and rate: all clients come with this key.
resource "aws_api_gateway_usage_plan" "origin" {
  count = local.origin_key ? 1 : 0

  name        = "${var.name}-origin"
  description = "CloudFront, which has no limit of its own"

  api_stages {
    api_id = aws_api_gateway_rest_api.front.id
    stage  = aws_api_gateway_stage.live.stage_name
  }
}

resource "aws_api_gateway_usage_plan_key" "origin" {
  count = local.origin_key ? 1 : 0

  usage_plan_id = aws_api_gateway_usage_plan.origin[0].id
  key_id        = aws_api_gateway_api_key.origin[0].id
  key_type      = "API_KEY"
}

resource "aws_cloudfront_distribution" "front" {
  #checkov:skip=CKV2_AWS_47:the rules of the firewall are a choice (waf); nothing here is Java
  #checkov:skip=CKV2_AWS_42:clients reach it by its name at cloudfront.net, whose certificate is AWS's
  #checkov:skip=CKV2_AWS_32:answers are JSON for programs
  count = var.cloudfront ? 1 : 0

  comment         = "The front door of ${var.name}"
  enabled         = true
  is_ipv6_enabled = true
  http_version    = "http2and3"
  price_class     = "PriceClass_All"
  aliases         = local.domain ? [var.domain_name] : []
  web_acl_id      = one(aws_wafv2_web_acl.front[*].arn)

  origin {
    origin_id   = "api"
    domain_name = "${aws_api_gateway_rest_api.front.id}.execute-api.${local.region}.amazonaws.com"
    origin_path = "/${aws_api_gateway_stage.live.stage_name}"

    custom_origin_config {
      http_port              = 80
      https_port             = 443
      origin_protocol_policy = "https-only"
      origin_ssl_protocols   = ["TLSv1.2"]
      origin_read_timeout    = 30 # API Gateway answers within 29 s
    }

    dynamic "custom_header" {
      for_each = aws_api_gateway_api_key.origin
      content {
        name  = "X-Api-Key"
        value = custom_header.value.value
      }
    }
  }

  default_cache_behavior {
    target_origin_id         = "api"
    viewer_protocol_policy   = "https-only"
    allowed_methods          = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
    cached_methods           = ["GET", "HEAD"]
    compress                 = false
    cache_policy_id          = local.caching_disabled
    origin_request_policy_id = local.all_but_host_header
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    cloudfront_default_certificate = !local.domain
    acm_certificate_arn            = local.domain ? local.certificate_arn : null
    ssl_support_method             = local.domain ? "sni-only" : null
    minimum_protocol_version       = local.domain ? "TLSv1.2_2021" : null
  }
}

# What the firewall at CloudFront turns away is counted in us-east-1, and an alarm can only tell a topic of its own region.
# That topic has the key of SNS for lack of ours, as that of the health check in domain.tf.
resource "aws_cloudwatch_metric_alarm" "firewall" {
  count  = var.cloudfront && var.waf ? 1 : 0
  region = "us-east-1"

  alarm_name          = "${var.name}-firewall-blocked"
  alarm_description   = "LOW: the firewall turns many requests away"
  namespace           = "AWS/WAFV2"
  metric_name         = "BlockedRequests"
  dimensions          = { WebACL = var.name, Rule = "ALL" }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.thresholds.firewall-blocked
  period              = 300
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.far[0].arn]
  ok_actions          = [aws_sns_topic.far[0].arn]
  tags                = { Priority = "low" }
}

resource "aws_sns_topic" "far" {
  count  = var.cloudfront && var.waf ? 1 : 0
  region = "us-east-1"

  name = "${var.name}-alarms-low"
}

resource "aws_sns_topic_subscription" "far" {
  for_each = var.cloudfront && var.waf ? var.alarm_emails_low : toset([])
  region   = "us-east-1"

  topic_arn = aws_sns_topic.far[0].arn
  protocol  = "email"
  endpoint  = each.key
}
