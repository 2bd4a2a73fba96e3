# A firewall before the door: addresses of bad repute, known bad inputs, AWS's common rules, and a rate for each address.
# Rules that look into the body only count: a body is data here, is never shown as a page, and any content is legal.
#
# One that AWS adds later blocks until its name is written down here. A fixed version of a group would not keep it out: AWS
# lets versions expire, and uses the newest all the same. Whoever sent such a body is told 403, and nothing was accepted.

locals {
  waf_groups = {
    AWSManagedRulesAmazonIpReputationList = []
    AWSManagedRulesKnownBadInputsRuleSet  = ["JavaDeserializationRCE_BODY", "Log4JRCE_BODY", "ReactJSRCE_BODY"]
    AWSManagedRulesCommonRuleSet = [
      "CrossSiteScripting_BODY", "EC2MetaDataSSRF_BODY", "GenericLFI_BODY", "GenericRFI_BODY", "SizeRestrictions_BODY",
    ]
  }
  # A rate first: it is the cheapest to look at.
  waf_priorities = { for index, group in sort(keys(local.waf_groups)) : group => index + 1 }
}

resource "aws_wafv2_web_acl" "front" {
  count = var.waf ? 1 : 0

  # What stands at CloudFront is kept in us-east-1.
  region = var.cloudfront ? "us-east-1" : null

  name        = var.name
  description = "Before ${var.name}"
  scope       = var.cloudfront ? "CLOUDFRONT" : "REGIONAL"

  default_action {
    allow {}
  }

  rule {
    name     = "rate"
    priority = 0

    action {
      block {
        custom_response {
          response_code = 429
          response_header {
            name  = "Retry-After"
            value = "60"
          }
        }
      }
    }

    statement {
      rate_based_statement {
        aggregate_key_type    = "IP"
        limit                 = var.waf_requests_per_5_minutes
        evaluation_window_sec = 300
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${var.name}-rate"
      sampled_requests_enabled   = false # samples hold headers
    }
  }

  dynamic "rule" {
    for_each = local.waf_groups
    content {
      name     = rule.key
      priority = local.waf_priorities[rule.key]

      override_action {
        none {}
      }

      statement {
        managed_rule_group_statement {
          name        = rule.key
          vendor_name = "AWS"

          dynamic "rule_action_override" {
            for_each = rule.value
            content {
              name = rule_action_override.value
              action_to_use {
                count {}
              }
            }
          }
        }
      }

      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "${var.name}-${rule.key}"
        sampled_requests_enabled   = false
      }
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = false
  }
}

resource "aws_wafv2_web_acl_association" "front" {
  count = var.waf && !var.cloudfront ? 1 : 0

  resource_arn = aws_api_gateway_stage.live.arn
  web_acl_arn  = aws_wafv2_web_acl.front[0].arn
}

# The name of a log group of the firewall has to begin like this.
# At CloudFront it is in us-east-1, where the key is not: CloudWatch encrypts it with a key of its own then.
resource "aws_cloudwatch_log_group" "waf" {
  count  = var.waf ? 1 : 0
  region = var.cloudfront ? "us-east-1" : null

  name              = "aws-waf-logs-${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.cloudfront ? null : aws_kms_key.main.arn
}

resource "aws_wafv2_web_acl_logging_configuration" "front" {
  count  = var.waf ? 1 : 0
  region = var.cloudfront ? "us-east-1" : null

  resource_arn            = aws_wafv2_web_acl.front[0].arn
  log_destination_configs = [aws_cloudwatch_log_group.waf[0].arn]

  # What was let through is in the access log. Credentials are in neither.
  logging_filter {
    default_behavior = "DROP"
    filter {
      behavior    = "KEEP"
      requirement = "MEETS_ANY"
      condition {
        action_condition {
          action = "BLOCK"
        }
      }
      condition {
        action_condition {
          action = "COUNT"
        }
      }
    }
  }

  dynamic "redacted_fields" {
    for_each = ["authorization", "cookie", "x-api-key"]
    content {
      single_header {
        name = redacted_fields.value
      }
    }
  }

  redacted_fields {
    query_string {}
  }
}
