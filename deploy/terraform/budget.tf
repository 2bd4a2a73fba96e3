# What the stack may cost in a month. The filter works once the tag (tag_key, Application) is active as a cost allocation tag, which
# only the account that pays can switch on (Billing, Cost allocation tags). Until then the budget sees no cost.

locals {
  budget = var.budget_monthly_usd > 0
}

resource "aws_budgets_budget" "monthly" {
  count = local.budget ? 1 : 0

  depends_on = [aws_sns_topic_policy.alarms]

  name         = var.name
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_amount = tostring(var.budget_monthly_usd)
  limit_unit   = "USD"

  cost_filter {
    name   = "TagKeyValue"
    values = [join("$", ["user:${var.tag_key}", var.name])]
  }

  notification {
    notification_type         = "ACTUAL"
    comparison_operator       = "GREATER_THAN"
    threshold                 = 80
    threshold_type            = "PERCENTAGE"
    subscriber_sns_topic_arns = [aws_sns_topic.alarms["low"].arn]
  }

  notification {
    notification_type         = "ACTUAL"
    comparison_operator       = "GREATER_THAN"
    threshold                 = 100
    threshold_type            = "PERCENTAGE"
    subscriber_sns_topic_arns = [aws_sns_topic.alarms["high"].arn]
  }

  notification {
    notification_type         = "FORECASTED"
    comparison_operator       = "GREATER_THAN"
    threshold                 = 100
    threshold_type            = "PERCENTAGE"
    subscriber_sns_topic_arns = [aws_sns_topic.alarms["low"].arn]
  }
}
