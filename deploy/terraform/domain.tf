# A name of your own: certificate, records, and a health check from outside.

locals {
  domain           = var.domain_name != ""
  make_certificate = local.domain && var.certificate_arn == ""
  certificate_arn  = local.make_certificate ? one(aws_acm_certificate_validation.front[*].certificate_arn) : var.certificate_arn
  health_check     = local.domain && var.health_check

  # The API's own name has the stage in its path, yours has not.
  own_url = "https://${aws_api_gateway_rest_api.front.id}.execute-api.${local.region}.amazonaws.com/${var.stage_name}"
  url     = local.domain ? "https://${var.domain_name}" : var.cloudfront ? "https://${one(aws_cloudfront_distribution.front[*].domain_name)}" : local.own_url
}

# CloudFront takes certificates of us-east-1 only.
resource "aws_acm_certificate" "front" {
  count  = local.make_certificate ? 1 : 0
  region = var.cloudfront ? "us-east-1" : null

  domain_name       = var.domain_name
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "certificate" {
  count = local.make_certificate ? 1 : 0

  # One name on the certificate, so one way to prove it.
  zone_id         = var.zone_id
  name            = one(aws_acm_certificate.front[0].domain_validation_options[*].resource_record_name)
  type            = one(aws_acm_certificate.front[0].domain_validation_options[*].resource_record_type)
  records         = aws_acm_certificate.front[0].domain_validation_options[*].resource_record_value
  ttl             = 300
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "front" {
  count  = local.make_certificate ? 1 : 0
  region = var.cloudfront ? "us-east-1" : null

  certificate_arn         = aws_acm_certificate.front[0].arn
  validation_record_fqdns = [aws_route53_record.certificate[0].fqdn]
}

resource "aws_api_gateway_domain_name" "front" {
  count = local.domain && !var.cloudfront ? 1 : 0

  domain_name              = var.domain_name
  regional_certificate_arn = local.certificate_arn
  security_policy          = "TLS_1_2"

  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

resource "aws_api_gateway_base_path_mapping" "front" {
  count = local.domain && !var.cloudfront ? 1 : 0

  domain_name = aws_api_gateway_domain_name.front[0].domain_name
  api_id      = aws_api_gateway_rest_api.front.id
  stage_name  = aws_api_gateway_stage.live.stage_name
}

resource "aws_route53_record" "front" {
  for_each = local.domain ? toset(["A", "AAAA"]) : toset([])

  zone_id = var.zone_id
  name    = var.domain_name
  type    = each.key

  alias {
    name                   = var.cloudfront ? one(aws_cloudfront_distribution.front[*].domain_name) : one(aws_api_gateway_domain_name.front[*].regional_domain_name)
    zone_id                = var.cloudfront ? local.cloudfront_zone : one(aws_api_gateway_domain_name.front[*].regional_zone_id)
    evaluate_target_health = false
  }
}

resource "aws_route53_health_check" "front" {
  count = local.health_check ? 1 : 0

  type              = "HTTPS"
  fqdn              = var.domain_name
  port              = 443
  resource_path     = "/${var.source_name}"
  request_interval  = 30
  failure_threshold = 3
  tags              = { Name = var.domain_name }
}

# Route 53 keeps its metrics in us-east-1, and an alarm can only tell a topic of its own region. The topic there has the
# key of SNS for lack of ours, which is in another region; a message says that the check failed and no more.
resource "aws_sns_topic" "health" {
  #checkov:skip=CKV_AWS_26:in us-east-1, where the key is not; it says that a health check fails, and nothing else
  count  = local.health_check ? 1 : 0
  region = "us-east-1"

  name = "${var.name}-health"
}

resource "aws_sns_topic_subscription" "health" {
  for_each = local.health_check ? var.alarm_emails_high : toset([])
  region   = "us-east-1"

  topic_arn = aws_sns_topic.health[0].arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_cloudwatch_metric_alarm" "health" {
  count  = local.health_check ? 1 : 0
  region = "us-east-1"

  alarm_name          = "${var.name}-health"
  alarm_description   = "HIGH: GET /${var.source_name} at ${var.domain_name} is not answered when asked from outside"
  namespace           = "AWS/Route53"
  metric_name         = "HealthCheckStatus"
  dimensions          = { HealthCheckId = aws_route53_health_check.front[0].id }
  statistic           = "Minimum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 3
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.health[0].arn]
  ok_actions          = [aws_sns_topic.health[0].arn]
  tags                = { Priority = "high" }
}
