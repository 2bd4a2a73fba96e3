# What stands there when nothing is chosen. Plans only: nothing is made. Who is tied to what is in test/terraform.

variables {
  functions_zip = "canary/canary.zip"
}

run "queue" {
  command = plan

  assert {
    condition     = aws_sqs_queue.events.message_retention_seconds == 14 * 86400 && aws_sqs_queue.dead_letters.message_retention_seconds == 14 * 86400
    error_message = "both queues keep messages for 14 days"
  }
  assert {
    condition     = aws_sqs_queue.events.visibility_timeout_seconds == 6 * aws_lambda_function.role["deliver"].timeout
    error_message = "a message is hidden for six timeouts of deliver"
  }
  assert {
    condition     = aws_sqs_queue.dead_letters.visibility_timeout_seconds == 6 * aws_lambda_function.role["deadletter"].timeout
    error_message = "a dead letter is hidden for six timeouts of deadletter"
  }
  assert {
    condition     = local.max_retry_wait_seconds * var.max_receive_count <= local.delivery_days * 86400 && local.max_retry_wait_seconds <= 43200
    error_message = "all receives end before the days that are reserved for the dead-letter queue"
  }
  assert {
    condition     = local.max_retry_wait_seconds == 43200 && local.delivery_days == 10
    error_message = "20 receives in 10 days are 12 h apart at most"
  }
  assert {
    condition     = aws_sqs_queue.events.max_message_size == 1048576
    error_message = "a message may have 1 MiB"
  }
  assert {
    condition = alltrue([
      for policy in data.aws_iam_policy_document.queue :
      policy.statement[0].effect == "Deny" && anytrue([for condition in policy.statement[0].condition : condition.variable == "aws:SecureTransport"])
    ])
    error_message = "queues answer over TLS only"
  }
}

run "functions" {
  command = plan

  assert {
    condition     = toset(keys(aws_lambda_function.role)) == toset(["accept", "deliver", "deadletter"])
    error_message = "there are three functions"
  }
  assert {
    condition = alltrue([
      for role, function in aws_lambda_function.role :
      function.runtime == "provided.al2023" && function.handler == "bootstrap" && contains(function.architectures, "arm64") && function.publish
    ])
    error_message = "each runs the binary on arm64"
  }
  assert {
    condition     = alltrue([for function in aws_lambda_function.role : function.tracing_config[0].mode == "Active" && function.logging_config[0].log_format == "JSON"])
    error_message = "each is traced and logs JSON"
  }
  assert {
    condition = alltrue([
      for mapping in [aws_lambda_event_source_mapping.deliver, aws_lambda_event_source_mapping.deadletter] :
      contains(mapping.function_response_types, "ReportBatchItemFailures") && mapping.scaling_config[0].maximum_concurrency >= 2
    ])
    error_message = "batches are answered for in part, and concurrency has a limit"
  }
  assert {
    condition     = aws_lambda_event_source_mapping.deliver.batch_size == 100 && aws_lambda_event_source_mapping.deliver.maximum_batching_window_in_seconds == 1
    error_message = "a batch has 100 events and waits for 1 s"
  }
  assert {
    condition     = length(aws_lambda_provisioned_concurrency_config.accept) == 0 && length(aws_vpc.main) == 0
    error_message = "nothing is warm and nothing stands in a network"
  }
}

run "roles_name_what_they_reach" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for role, policy in data.aws_iam_policy_document.function : [
        for statement in policy.statement : [for action in statement.actions : !strcontains(action, "*")]
      ]
    ]))
    error_message = "no role of a function has a wildcard in an action"
  }
  # Without ListBucket, or with a condition on it, a body that is gone looks forbidden. accept reads none.
  assert {
    condition = jsonencode({ for role, policy in data.aws_iam_policy_document.function : role => length([
      for statement in policy.statement : statement if contains(statement.actions, "s3:ListBucket") && length(statement.condition) == 0
    ]) }) == jsonencode({ accept = 0, deadletter = 1, deliver = 1 })
    error_message = "who reads bodies can tell one that is gone from one that is forbidden"
  }
  assert {
    condition     = toset(data.aws_iam_policy_document.function["accept"].statement[0].actions) == toset(["sqs:SendMessage", "sqs:GetQueueAttributes"])
    error_message = "accept can put into the queue, and not take from it"
  }
  assert {
    condition     = alltrue([for role in aws_iam_role.function : role.path == "/pillarbox/"])
    error_message = "roles stand under the path of the stack"
  }
}

run "table" {
  command = plan

  assert {
    condition     = aws_dynamodb_table.events.hash_key == "Timestamp" && aws_dynamodb_table.events.range_key == "RequestId" && aws_dynamodb_table.events.billing_mode == "PAY_PER_REQUEST"
    error_message = "the key is Timestamp and RequestId, on demand"
  }
  assert {
    condition     = alltrue([for attribute in aws_dynamodb_table.events.attribute : attribute.type == "S"])
    error_message = "keys are text"
  }
  assert {
    condition     = aws_dynamodb_table.events.point_in_time_recovery[0].enabled && aws_dynamodb_table.events.point_in_time_recovery[0].recovery_period_in_days == 35 && aws_dynamodb_table.events.deletion_protection_enabled
    error_message = "it can be restored for 35 days and not be deleted"
  }
  assert {
    condition     = one(aws_dynamodb_table.events.global_secondary_index).hash_key == "TimeBucket" && one(aws_dynamodb_table.events.global_secondary_index).range_key == "TimeSort" && one(aws_dynamodb_table.events.global_secondary_index).name == "TimeIndex"
    error_message = "the time index is there"
  }
}

run "dead_letters" {
  command = plan

  assert {
    condition     = aws_s3_bucket_versioning.dead_letters.versioning_configuration[0].status == "Enabled" && !aws_s3_bucket.dead_letters.force_destroy
    error_message = "letters have versions, and the bucket is not emptied with the stack"
  }
  assert {
    condition     = aws_s3_bucket_public_access_block.dead_letters.block_public_acls && aws_s3_bucket_public_access_block.dead_letters.block_public_policy && aws_s3_bucket_public_access_block.dead_letters.ignore_public_acls && aws_s3_bucket_public_access_block.dead_letters.restrict_public_buckets
    error_message = "nothing in it is public"
  }
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.dead_letters.rule).bucket_key_enabled
    error_message = "the bucket key is used"
  }
  assert {
    condition     = alltrue([for rule in aws_s3_bucket_lifecycle_configuration.dead_letters.rule : alltrue([for expiration in rule.expiration : expiration.days == null])])
    error_message = "no letter expires"
  }
}

run "front" {
  command = plan

  assert {
    condition     = toset(keys(aws_api_gateway_integration.accept)) == toset(["GET", "POST"]) && alltrue([for integration in aws_api_gateway_integration.accept : integration.type == "AWS_PROXY" && integration.timeout_milliseconds == 11000])
    error_message = "GET and POST go to accept, which has 1 s less than the API waits"
  }
  assert {
    condition     = aws_api_gateway_method_settings.all.settings[0].throttling_rate_limit == 100 && aws_api_gateway_method_settings.all.settings[0].throttling_burst_limit == 50 && !aws_api_gateway_method_settings.all.settings[0].data_trace_enabled
    error_message = "100 a second, 50 at once, and no payload in a log"
  }
  assert {
    condition     = contains(aws_api_gateway_rest_api.front.binary_media_types, "*/*") && aws_api_gateway_resource.source.path_part == "app" && aws_api_gateway_stage.live.xray_tracing_enabled
    error_message = "bodies are bytes, at /app, traced"
  }
  assert {
    condition     = length(aws_api_gateway_stage.live.access_log_settings) == 0 && aws_api_gateway_method_settings.all.settings[0].logging_level == "OFF" && length(aws_cloudwatch_log_group.api) == 0
    error_message = "the API logs, for which it needs a role of the whole account"
  }
  assert {
    condition     = alltrue([for method in aws_api_gateway_method.source : method.authorization == "NONE" && !method.api_key_required])
    error_message = "nobody is asked for anything"
  }
  assert {
    condition = alltrue([
      for kind in ["THROTTLED", "QUOTA_EXCEEDED", "DEFAULT_5XX", "INTEGRATION_TIMEOUT"] :
      contains(keys(aws_api_gateway_gateway_response.problem[kind].response_parameters), "gatewayresponse.header.Retry-After")
    ])
    error_message = "what may be tried again says when"
  }
  # A function may die after the queue has confirmed.
  assert {
    condition = alltrue([
      for kind in ["DEFAULT_5XX", "INTEGRATION_FAILURE", "INTEGRATION_TIMEOUT", "API_CONFIGURATION_ERROR"] :
      startswith(jsondecode(aws_api_gateway_gateway_response.problem[kind].response_templates["application/json"]).title, "not known whether accepted; ")
    ])
    error_message = "an unknown outcome is called a refusal"
  }
}

run "watch" {
  command = plan

  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.metric), values(aws_cloudwatch_metric_alarm.math), values(aws_cloudwatch_metric_alarm.requests)) :
      contains(["high", "low"], alarm.tags.Priority) && contains(["breaching", "notBreaching", "ignore"], alarm.treat_missing_data)
    ])
    error_message = "each alarm has a priority and says what silence means"
  }
  assert {
    condition = alltrue([
      for name in [
        "api-4xx", "api-5xx", "api-latency", "accept-errors", "accept-throttles", "accept-duration", "deliver-errors", "deliver-throttles", "deliver-duration",
        "deadletter-errors", "deadletter-throttles", "deadletter-duration", "queue-age", "queue-late", "queue-in-flight", "table-user-errors",
        "table-write-units", "table-read-units", "canary-errors", "canary-missing",
      ] : contains(keys(aws_cloudwatch_metric_alarm.metric), name)
    ])
    error_message = "an alarm is missing"
  }
  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.math)) == toset(["dead-letters", "dead-letters-stuck", "queue-depth", "queue-growth", "queue-stuck", "table-system-errors", "table-throttled"]) && aws_cloudwatch_metric_alarm.math["dead-letters"].tags.Priority == "high" && aws_cloudwatch_metric_alarm.math["dead-letters"].threshold == 0
    error_message = "an alarm over several metrics is missing"
  }
  assert {
    condition = alltrue([
      for name, alarm in aws_cloudwatch_metric_alarm.metric : strcontains(alarm.alarm_description, "queue-stuck") if alarm.metric_name == "ApproximateAgeOfOldestMessage"
    ]) && !anytrue([for alarm in aws_cloudwatch_metric_alarm.metric : alarm.metric_name == "ApproximateAgeOfOldestMessage" && try(alarm.dimensions.QueueName, "") == "pillarbox-dead-letters"])
    error_message = "an alarm on an age does not say what it leaves out"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.metric["deliver-duration"].threshold == 48000
    error_message = "the limit of a duration follows the timeout"
  }
  assert {
    condition     = toset(keys(aws_sns_topic.alarms)) == toset(["high", "low"]) && length(aws_budgets_budget.monthly) == 1 && length(aws_lambda_function.canary) == 1
    error_message = "topics, budget or canary are missing"
  }
  assert {
    condition     = local.canary_current
    error_message = "canary.zip does not hold canary.py: run canary/build"
  }
}

run "key" {
  command = plan

  assert {
    condition     = aws_kms_key.main.enable_key_rotation && aws_kms_alias.main.name == "alias/pillarbox"
    error_message = "the key is turned over every year, and has a name"
  }
  assert {
    condition     = alltrue(flatten([for statement in data.aws_iam_policy_document.key.statement : [for action in statement.actions : !strcontains(action, "*")]]))
    error_message = "the key's policy has no wildcard in an action"
  }
  # kms:GrantIsForAWSResource is not known to RetireGrant, so a statement with that condition would not allow it.
  assert {
    condition = anytrue([
      for statement in data.aws_iam_policy_document.key.statement : contains(statement.actions, "kms:RetireGrant") && !anytrue([for condition in statement.condition : condition.variable == "kms:GrantIsForAWSResource"])
    ])
    error_message = "no vault of AWS Backup can be made with this key"
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.key.statement :
      statement.sid == "AccountManagesTheKey" || length(statement.condition) > 0
    ])
    error_message = "every use of the key has a condition"
  }
}

run "options_are_off" {
  command = plan

  assert {
    condition = 0 == sum([
      length(aws_api_gateway_domain_name.front), length(aws_api_gateway_api_key.client), length(aws_api_gateway_rest_api_policy.allow_list),
      length(aws_api_gateway_authorizer.post), length(aws_wafv2_web_acl.front), length(aws_appautoscaling_target.table), length(aws_kms_key.replica),
      length(aws_backup_plan.table), length(aws_vpc.main), length(aws_iam_role.pipeline), length(aws_api_gateway_integration.queue),
      length(aws_cloudfront_distribution.front), length(aws_iam_role.people), length(aws_api_gateway_api_key.canary),
    ])
    error_message = "an option is on without being asked for"
  }
}
