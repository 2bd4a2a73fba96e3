# Everything that is off by default, on. Plans only: nothing is made. Who is tied to what is in test/terraform.

variables {
  functions_zip = "canary/canary.zip"
}

run "everything_with_tokens" {
  command = plan

  variables {
    name                           = "post"
    region                         = "eu-west-2"
    protect                        = false
    api_keys                       = ["alice", "bob"]
    api_key_daily_quota            = 1000
    authorizer                     = "cognito"
    ip_allow_list                  = ["203.0.113.0/24"]
    domain_name                    = "events.example.com"
    zone_id                        = "Z0123456789ABCDEF"
    domain_only                    = true
    health_check                   = false
    waf                            = true
    accept_provisioned_concurrency = 2
    replica_regions                = ["eu-west-1", "eu-central-1"]
    backup                         = true
    vpc                            = true
    canary                         = false
    alarm_emails_high              = ["a@example.com", "b@example.com"]
    alarm_emails_low               = ["b@example.com"]
    alarm_thresholds               = { queue-depth = 5 }
    api_logs                       = "json"
    pipeline_provider_arn          = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    pipeline_state_bucket_arn      = "arn:aws:s3:::state"
    pipeline_subjects = {
      functions      = ["repo:you/repo:ref:refs/heads/main"]
      infrastructure = ["repo:you/repo:environment:production"]
    }
  }

  assert {
    condition     = aws_api_gateway_method.source["POST"].api_key_required && aws_api_gateway_method.source["POST"].authorization == "COGNITO_USER_POOLS" && toset(aws_api_gateway_method.source["POST"].authorization_scopes) == toset(["post/post"])
    error_message = "POST asks for a key and for a token with the scope"
  }
  assert {
    condition     = !aws_api_gateway_method.source["GET"].api_key_required && aws_api_gateway_method.source["GET"].authorization == "NONE"
    error_message = "GET asks for nothing"
  }
  assert {
    condition     = length(aws_api_gateway_usage_plan_key.client) == 2 && aws_api_gateway_usage_plan.clients[0].quota_settings[0].limit == 1000
    error_message = "keys have a plan with a quota"
  }
  assert {
    condition     = one(data.aws_iam_policy_document.allow_list[0].statement[1].condition).test == "NotIpAddress"
    error_message = "other addresses are refused"
  }
  assert {
    condition     = aws_api_gateway_rest_api.front.disable_execute_api_endpoint && length(aws_acm_certificate.front) == 1 && length(aws_route53_health_check.front) == 0 && output.url == "https://events.example.com/app"
    error_message = "the domain has a certificate and is the only way in"
  }
  assert {
    condition     = length(aws_wafv2_web_acl.front[0].rule) == 4 && contains(keys(aws_cloudwatch_metric_alarm.metric), "firewall-blocked")
    error_message = "the firewall has a rate, three groups, labels of two of them, and an alarm"
  }
  assert {
    condition     = aws_lambda_provisioned_concurrency_config.accept[0].qualifier == "live" && aws_lambda_provisioned_concurrency_config.accept[0].provisioned_concurrent_executions == 2
    error_message = "two of accept are warm"
  }
  assert {
    condition     = aws_dynamodb_table.events.stream_enabled && toset(keys(aws_kms_key.replica)) == toset(["eu-west-1", "eu-central-1"])
    error_message = "each replica has its key"
  }
  assert {
    condition     = length(aws_backup_plan.table[0].rule) == 2 && anytrue([for rule in aws_backup_plan.table[0].rule : rule.lifecycle[0].delete_after == 2555])
    error_message = "monthly backups stay for seven years"
  }
  assert {
    condition     = toset(keys(aws_vpc_endpoint.interface)) == toset(["sqs", "xray"]) && toset(keys(aws_vpc_endpoint.gateway)) == toset(["dynamodb", "s3"]) && alltrue([for function in aws_lambda_function.role : length(function.vpc_config) == 1])
    error_message = "the functions meet each service that they call at an endpoint, and no other is paid for"
  }
  assert {
    condition     = toset(keys(aws_iam_role.pipeline)) == toset(["functions", "infrastructure"]) && alltrue([for role in aws_iam_role.pipeline : role.max_session_duration == 3600])
    error_message = "the pipeline has two roles"
  }
  assert {
    condition     = can(jsondecode(aws_api_gateway_stage.live.access_log_settings[0].format).request_id) && aws_api_gateway_method_settings.all.settings[0].logging_level == "ERROR"
    error_message = "the access log is JSON, and errors are logged"
  }
  assert {
    condition     = length(aws_sns_topic_subscription.email) == 5 && aws_cloudwatch_metric_alarm.math["queue-depth"].threshold == 5
    error_message = "three subscriptions, two more for backups, and the threshold that was asked for"
  }
  assert {
    condition     = !aws_dynamodb_table.events.deletion_protection_enabled && aws_s3_bucket.dead_letters.force_destroy
    error_message = "without protection it can be destroyed"
  }
}

run "direct" {
  command = plan

  variables {
    direct      = true
    source_name = "hooks"
    domain_name = "events.example.com"
    zone_id     = "Z0123456789ABCDEF"
    # A certificate of your own.
    certificate_arn = "arn:aws:acm:eu-west-2:123456789012:certificate/x"
  }

  assert {
    condition     = toset(keys(aws_lambda_function.role)) == toset(["deliver", "deadletter"]) && length(aws_api_gateway_integration.accept) == 0 && length(aws_acm_certificate.front) == 0
    error_message = "there is no accept, and no second certificate"
  }
  assert {
    condition     = aws_api_gateway_integration.queue[0].type == "AWS" && aws_api_gateway_integration.queue[0].content_handling == "CONVERT_TO_TEXT" && aws_api_gateway_integration.queue[0].passthrough_behavior == "NEVER"
    error_message = "the API sends to the queue, bodies as base64, other content types refused"
  }
  assert {
    condition = alltrue([
      for template in values(aws_api_gateway_integration.queue[0].request_templates) :
      !strcontains(template, "\n") && strcontains(template, "Action=SendMessage&") && strcontains(template, "/hooks$${q}") && !strcontains(template, "SOURCE")
    ])
    error_message = "the template is one line and names the source"
  }
  assert {
    condition     = toset(keys(aws_api_gateway_integration_response.queue)) == toset(["202", "503"]) && !contains(keys(aws_cloudwatch_metric_alarm.metric), "accept-errors")
    error_message = "202 or 503, and no alarm of a function that is not there"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.health[0].region == "us-east-1" && aws_sns_topic.health[0].region == "us-east-1" && aws_route53_health_check.front[0].resource_path == "/hooks"
    error_message = "the health check has its alarm where its metric is"
  }
  assert {
    condition     = toset(data.aws_iam_policy_document.direct.statement[0].actions) == toset(["sqs:SendMessage"])
    error_message = "the API can send, and no more"
  }
}

run "provisioned" {
  command = plan

  variables {
    table_capacity  = "provisioned"
    table_write_min = 10
  }

  assert {
    condition     = aws_dynamodb_table.events.billing_mode == "PROVISIONED" && aws_dynamodb_table.events.write_capacity == 10 && toset(keys(aws_appautoscaling_policy.table)) == toset(["table-read", "table-write", "index-read", "index-write"])
    error_message = "table and index are scaled"
  }
}

run "without_index" {
  command = plan

  variables {
    time_index         = false
    table_capacity     = "provisioned"
    budget_monthly_usd = 0
    canary             = false
  }

  assert {
    condition     = length(aws_dynamodb_table.events.global_secondary_index) == 0 && length(aws_dynamodb_table.events.attribute) == 2 && toset(keys(aws_appautoscaling_policy.table)) == toset(["table-read", "table-write"]) && output.time_index == null
    error_message = "the table has its key and no more"
  }
  assert {
    condition     = length(aws_budgets_budget.monthly) == 0 && length(aws_lambda_function.canary) == 0 && !contains(keys(aws_cloudwatch_metric_alarm.metric), "canary-errors")
    error_message = "no budget, no canary"
  }
}

run "tokens_of_others" {
  command = plan

  variables {
    canary                  = false
    authorizer              = "function"
    authorizer_function_arn = "arn:aws:lambda:eu-west-2:123456789012:function:check"
  }

  assert {
    condition     = aws_api_gateway_authorizer.post[0].type == "TOKEN" && aws_api_gateway_method.source["POST"].authorization == "CUSTOM" && length(aws_cognito_user_pool.clients) == 0
    error_message = "a function of yours is asked"
  }
}

run "pools_of_yours" {
  command = plan

  variables {
    canary                 = false
    authorizer             = "cognito"
    cognito_user_pool_arns = ["arn:aws:cognito-idp:eu-west-2:123456789012:userpool/eu-west-2_abc"]
    cognito_scopes         = ["events/write"]
  }

  assert {
    condition     = length(aws_cognito_user_pool.clients) == 0 && toset(aws_api_gateway_method.source["POST"].authorization_scopes) == toset(["events/write"])
    error_message = "no pool is made"
  }
}

run "short_retention" {
  command = plan

  variables {
    queue_retention_days     = 3
    dead_letter_reserve_days = 1
    max_receive_count        = 10
    deliver_timeout_seconds  = 30
  }

  assert {
    condition     = local.max_retry_wait_seconds == 17280 && aws_sqs_queue.events.visibility_timeout_seconds == 180
    error_message = "2 days for 10 receives are 4.8 h for each"
  }
}

run "common_log_format" {
  command = plan

  variables {
    api_logs    = "clf"
    tag_key     = "Stack"
    environment = "staging"
  }

  assert {
    condition     = startswith(aws_api_gateway_stage.live.access_log_settings[0].format, "$context.identity.sourceIp - - [$context.requestTime] ") && strcontains(aws_api_gateway_stage.live.access_log_settings[0].format, "RequestId")
    error_message = "the access log is in the Common Log Format, with a request id"
  }
  assert {
    condition     = local.tags == { Stack = "pillarbox", ManagedBy = "terraform", Environment = "staging" }
    error_message = "the tags are those that were chosen"
  }
}

run "sources" {
  command = plan

  variables {
    sources_file = "tests/sources/all.yaml"
    vpc          = true
    canary       = false
  }

  assert {
    condition     = keys(aws_api_gateway_method.source) == ["ANY"] && aws_api_gateway_resource.source.path_part == "{proxy+}" && aws_api_gateway_method.source["ANY"].authorization == "NONE"
    error_message = "every path and method leads to the function"
  }
  assert {
    condition     = aws_lambda_function.role["accept"].environment[0].variables.PILLARBOX_SOURCES_FILE == "sources.yaml" && !can(aws_lambda_function.role["accept"].environment[0].variables.PILLARBOX_SOURCE_PATH)
    error_message = "the function is told of the file, and of no path beside it"
  }
  assert {
    condition     = aws_secretsmanager_secret.sources[0].name == "pillarbox-sources" && length(aws_vpc_endpoint.interface) == 3
    error_message = "there is a place for secrets, and a way to it"
  }
}

run "no_idempotency_keys" {
  command = plan

  variables {
    idempotency_keys = false
  }

  assert {
    condition     = length(aws_dynamodb_table.idempotency) == 0 && !can(aws_lambda_function.role["accept"].environment[0].variables.PILLARBOX_IDEMPOTENCY_TABLE) && !contains(local.key_ways.accept, "dynamodb")
    error_message = "there is no table, nobody is told of one, and none may be reached"
  }
}
