# Choices that only go together. A variable's own rule stands beside the variable.

resource "terraform_data" "choices" {
  lifecycle {
    precondition {
      condition     = var.dead_letter_reserve_days < var.queue_retention_days
      error_message = "dead_letter_reserve_days must be less than queue_retention_days: the rest is the time for delivery."
    }
    precondition {
      condition     = var.deliver_batch_size <= 10 || var.deliver_batch_window_seconds >= 1
      error_message = "deliver_batch_size above 10 needs deliver_batch_window_seconds of 1 or more: SQS hands out 10 messages at a time."
    }
    precondition {
      condition     = var.deliver_batch_window_seconds <= var.deliver_timeout_seconds
      error_message = "deliver_batch_window_seconds must not be above deliver_timeout_seconds: messages that are gathered are hidden for 6 timeouts in all."
    }
    precondition {
      condition     = var.deliver_reserved_concurrency < 0 || var.deliver_maximum_concurrency <= var.deliver_reserved_concurrency
      error_message = "deliver_maximum_concurrency must not be above deliver_reserved_concurrency: what is throttled spends receives."
    }
    precondition {
      condition     = var.deadletter_reserved_concurrency < 0 || var.deadletter_maximum_concurrency <= var.deadletter_reserved_concurrency
      error_message = "deadletter_maximum_concurrency must not be above deadletter_reserved_concurrency: what is throttled spends receives."
    }
    precondition {
      condition     = var.accept_reserved_concurrency < 0 || var.accept_provisioned_concurrency <= var.accept_reserved_concurrency
      error_message = "accept_provisioned_concurrency must not be above accept_reserved_concurrency."
    }
    precondition {
      condition     = !contains(keys(var.tags), var.tag_key)
      error_message = "tags must not hold the key of tag_key: its value is the name of the stack."
    }
    precondition {
      condition     = local.table_name == "${var.name}-events" || startswith(local.table_name, "${var.name}-events.")
      error_message = "table_name must be NAME-events, or begin with it and a dot: the roles of the stack reach no other table."
    }
    precondition {
      condition     = var.table_read_min <= var.table_read_max && var.table_write_min <= var.table_write_max
      error_message = "table_read_min and table_write_min must not be above their maximum."
    }
    precondition {
      condition     = !contains(var.replica_regions, local.region)
      error_message = "replica_regions must not hold the region of the stack itself."
    }
    precondition {
      condition     = length(var.replica_regions) == 0 || var.table_capacity == "on-demand"
      error_message = "replica_regions needs table_capacity = \"on-demand\": a provisioned table would need its autoscaling before its replicas."
    }
    precondition {
      condition     = var.domain_name == "" || var.zone_id != ""
      error_message = "domain_name needs zone_id, the Route 53 zone that holds it."
    }
    precondition {
      condition     = !(var.domain_name != "" && var.health_check && length(var.ip_allow_list) > 0)
      error_message = "health_check comes from addresses of Route 53: with an ip_allow_list set health_check = false."
    }
    precondition {
      condition     = !var.domain_only || var.domain_name != ""
      error_message = "domain_only needs domain_name."
    }
    precondition {
      condition     = !(var.cloudfront && var.domain_only)
      error_message = "domain_only would close the address by which CloudFront comes: with cloudfront leave it out, the API takes only what CloudFront sends."
    }
    precondition {
      condition     = !(var.cloudfront && length(var.ip_allow_list) > 0)
      error_message = "ip_allow_list is compared with the address that comes to the API, and with cloudfront that is one of CloudFront: leave one of them out."
    }
    precondition {
      condition     = !var.cloudfront || var.certificate_arn == "" || strcontains(var.certificate_arn, ":us-east-1:")
      error_message = "certificate_arn must be of us-east-1 with cloudfront: CloudFront takes no other."
    }
    precondition {
      condition     = var.authorizer != "function" || var.authorizer_function_arn != ""
      error_message = "authorizer = \"function\" needs authorizer_function_arn."
    }
    precondition {
      condition     = var.authorizer != "cognito" || length(var.cognito_user_pool_arns) == 0 || length(var.cognito_scopes) > 0
      error_message = "cognito_user_pool_arns needs cognito_scopes: without a scope an id token would do as well as an access token."
    }
    precondition {
      condition     = !var.canary || (var.authorizer == "none" && length(var.ip_allow_list) == 0)
      error_message = "canary has no token and no fixed address: set it to false with an authorizer or an ip_allow_list."
    }
    precondition {
      condition     = !var.canary || 60 * var.canary_minutes > var.canary_wait_seconds + 20
      error_message = "canary_wait_seconds must end 20 s before the next run, after canary_minutes."
    }
    precondition {
      condition     = var.backup_monthly_days >= var.backup_cold_after_days + 90
      error_message = "backup_monthly_days must be 90 days above backup_cold_after_days: cold storage keeps for that long at least."
    }
    precondition {
      condition     = length(setsubtract(keys(var.alarm_thresholds), keys(local.default_thresholds))) == 0
      error_message = "alarm_thresholds has unknown names: ${join(", ", setsubtract(keys(var.alarm_thresholds), keys(local.default_thresholds)))}."
    }
    precondition {
      condition     = !(local.with_sources && var.direct)
      error_message = "sources_file has no effect with direct: API Gateway writes to the queue itself, and asks for nothing that a source can ask for."
    }
    precondition {
      condition     = !local.with_sources || var.max_body_bytes == null
      error_message = "max_body_bytes has no effect with a sources_file: set max_body of the sources in that file."
    }
    precondition {
      condition     = !local.with_sources || try(local.source_rules[var.source_name].path, "/${var.source_name}") == "/${var.source_name}" && contains(keys(local.source_rules), var.source_name)
      error_message = "sources_file must have the source source_name at the path of its name: the address that is put out, the health check and the canary are that of it."
    }
    precondition {
      condition     = !local.with_sources || (length(var.api_keys) == 0 && var.authorizer == "none")
      error_message = "api_keys and authorizer would be asked for on every path and method of a sources_file, also by browsers that ask beforehand and by senders that sign: let the sources ask (auth, signature)."
    }
    precondition {
      condition     = !(var.cloudfront && anytrue([for way in local.source_ways : try(way.api_key, false)]))
      error_message = "a source of sources_file asks for an API key, and with cloudfront the header X-Api-Key is CloudFront's own: let it ask for something else, or leave cloudfront out."
    }
    precondition {
      condition     = !(var.cloudfront && anytrue([for rule in values(local.source_rules) : try(length(rule.allow), 0) + try(length(rule.deny), 0) > 0]))
      error_message = "allow and deny of sources are compared with the address that comes to the API, and with cloudfront that is one of CloudFront: leave one of them out."
    }
    precondition {
      condition     = !(var.vpc && anytrue([for way in local.source_ways : can(way.jwt.issuer)]))
      error_message = "a source of sources_file takes tokens of an issuer, whose keys the function has to fetch, and with vpc there is no way to the internet: leave one of them out."
    }
    precondition {
      condition     = !(var.canary && local.with_sources) || length(setsubtract(local.own_rules, ["path", "max_body", "idempotency", "headers", "redact", "hash", "cors", "methods", "cloudevents"])) == 0
      error_message = "canary posts without a credential and wants a receipt: set it to false, or let the source source_name ask for nothing."
    }
    precondition {
      condition     = (length(var.pipeline_subjects) == 0) || length(setsubtract(["functions", "infrastructure"], keys(var.pipeline_subjects))) == 0
      error_message = "pipeline_subjects needs both functions and infrastructure."
    }
    precondition {
      condition     = length(var.pipeline_subjects) == 0 || var.pipeline_provider_arn != ""
      error_message = "pipeline_subjects needs pipeline_provider_arn: an account has one provider for each issuer, so no stack makes it. account/ does."
    }
  }
}
