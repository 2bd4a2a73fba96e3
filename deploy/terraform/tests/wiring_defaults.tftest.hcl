# Who is tied to what, when nothing is chosen. Made in the state of the stand-in, because a plan knows no ARN.
#
# The assertions of the files wiring_* are the same text, except for the last ones of each.

variables {
  functions_zip = "canary/canary.zip"
}

# A provider that can reach no account: against the real one these runs fail before anything is made.
provider "aws" {
  region     = "eu-west-2"
  access_key = "none"
  secret_key = "none"
}

# The ARNs are known once all is made.
run "made" {
  command = apply
}

run "expected" {
  command = apply

  module {
    source = "./tests/expected"
  }

  variables {
    key     = run.made.key_arn
    options = ["canary"]
  }
}

run "wired" {
  command = apply

  # From here: the same in each tests/wiring_*.tftest.hcl. A test of the repository compares them.

  # Queues.
  assert {
    condition     = try(jsondecode(aws_sqs_queue.events.redrive_policy), null) == { deadLetterTargetArn = aws_sqs_queue.dead_letters.arn, maxReceiveCount = 20 }
    error_message = "after 20 receives an event moves to the dead-letter queue"
  }
  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_allow_policy.dead_letters.redrive_allow_policy) == { redrivePermission = "byQueue", sourceQueueArns = [aws_sqs_queue.events.arn] } && aws_sqs_queue_redrive_allow_policy.dead_letters.queue_url == aws_sqs_queue.dead_letters.url
    error_message = "no other queue moves anything there"
  }
  assert {
    condition = (
      aws_sqs_queue.events.visibility_timeout_seconds == 6 * aws_lambda_function.role["deliver"].timeout &&
      aws_sqs_queue.dead_letters.visibility_timeout_seconds == 6 * aws_lambda_function.role["deadletter"].timeout
    )
    error_message = "a message is hidden for six timeouts of its function"
  }
  assert {
    condition = alltrue([
      for want in [
        { mapping = aws_lambda_event_source_mapping.deliver, queue = aws_sqs_queue.events.arn, function = aws_lambda_alias.live["deliver"].arn },
        { mapping = aws_lambda_event_source_mapping.deadletter, queue = aws_sqs_queue.dead_letters.arn, function = aws_lambda_alias.live["deadletter"].arn },
      ] :
      want.mapping.function_response_types == toset(["ReportBatchItemFailures"]) && want.mapping.event_source_arn == want.queue && want.mapping.function_name == want.function
    ])
    error_message = "each queue feeds its function, which answers for each message"
  }

  # The key. The stand-in gives all keys one ARN, so that of a replica is only seen to be there.
  assert {
    condition = alltrue([
      for key in flatten([
        aws_sqs_queue.events.kms_master_key_id, aws_sqs_queue.dead_letters.kms_master_key_id,
        values(aws_sns_topic.alarms)[*].kms_master_key_id,
        values(aws_lambda_function.role)[*].kms_key_arn, aws_lambda_function.canary[*].kms_key_arn,
        aws_cloudwatch_log_group.api.kms_key_id, aws_cloudwatch_log_group.api_errors.kms_key_id, values(aws_cloudwatch_log_group.function)[*].kms_key_id,
        aws_cloudwatch_log_group.canary[*].kms_key_id, aws_cloudwatch_log_group.waf[*].kms_key_id,
        try(aws_dynamodb_table.events.server_side_encryption[0].kms_key_arn, ""),
        one(one(aws_s3_bucket_server_side_encryption_configuration.dead_letters.rule).apply_server_side_encryption_by_default).kms_master_key_id,
        aws_backup_vault.main[*].kms_key_arn,
      ]) : try(key == aws_kms_key.main.arn, false)
    ])
    error_message = "something is not encrypted with the key"
  }
  assert {
    condition = (
      try(aws_dynamodb_table.events.server_side_encryption[0].enabled, false) &&
      one(one(aws_s3_bucket_server_side_encryption_configuration.dead_letters.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms" &&
      one(aws_s3_bucket_server_side_encryption_configuration.dead_letters.rule).bucket_key_enabled &&
      aws_s3_bucket_server_side_encryption_configuration.dead_letters.bucket == aws_s3_bucket.dead_letters.bucket &&
      aws_sqs_queue.events.kms_data_key_reuse_period_seconds == 300 && aws_sqs_queue.dead_letters.kms_data_key_reuse_period_seconds == 300
    )
    error_message = "table, bucket and queues are encrypted with a key of KMS, which is not asked for each message"
  }
  assert {
    condition = (
      jsonencode({ for replica in aws_dynamodb_table.events.replica : replica.region_name => replica.kms_key_arn }) == jsonencode({ for region, key in aws_kms_key.replica : region => key.arn }) &&
      jsonencode(keys(aws_kms_key.replica)) == jsonencode(sort(var.replica_regions)) &&
      alltrue([for key in concat([aws_kms_key.main], values(aws_kms_key.replica)) : key.enable_key_rotation])
    )
    error_message = "each replica has the key of its region, and all keys are turned over"
  }

  # Nobody else, and over TLS only. What the policies say is in tests/expected; here is that they are put on.
  assert {
    condition = alltrue([
      for blocked in ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"] : aws_s3_bucket_public_access_block.dead_letters[blocked]
    ]) && aws_s3_bucket_public_access_block.dead_letters.bucket == aws_s3_bucket.dead_letters.bucket
    error_message = "nothing in the bucket is public"
  }
  assert {
    condition = alltrue([
      aws_sqs_queue_policy.events.policy == data.aws_iam_policy_document.queue["events"].json, aws_sqs_queue_policy.events.queue_url == aws_sqs_queue.events.url,
      aws_sqs_queue_policy.dead_letters.policy == data.aws_iam_policy_document.queue["dead_letters"].json, aws_sqs_queue_policy.dead_letters.queue_url == aws_sqs_queue.dead_letters.url,
      aws_s3_bucket_policy.dead_letters.policy == data.aws_iam_policy_document.dead_letters_bucket.json, aws_s3_bucket_policy.dead_letters.bucket == aws_s3_bucket.dead_letters.bucket,
      aws_kms_key.main.policy == data.aws_iam_policy_document.key.json,
      alltrue([for region, key in aws_kms_key.replica : key.policy == data.aws_iam_policy_document.replica_key[region].json]),
      toset(keys(aws_sns_topic_policy.alarms)) == toset(["high", "low"]),
      alltrue([for priority, put in aws_sns_topic_policy.alarms : put.policy == data.aws_iam_policy_document.topic[priority].json && put.arn == aws_sns_topic.alarms[priority].arn]),
      alltrue([for name, endpoint in merge(aws_vpc_endpoint.interface, aws_vpc_endpoint.gateway) : endpoint.policy == data.aws_iam_policy_document.endpoint[name].json]),
      alltrue([for put in aws_api_gateway_rest_api_policy.allow_list : put.policy == data.aws_iam_policy_document.allow_list[0].json]),
    ])
    error_message = "a queue, bucket, topic, key, endpoint or the API is without its policy"
  }

  # Alarms.
  assert {
    condition = { for alarm in concat(
      values(aws_cloudwatch_metric_alarm.metric), values(aws_cloudwatch_metric_alarm.math), values(aws_cloudwatch_metric_alarm.requests), aws_cloudwatch_metric_alarm.health,
      ) : alarm.alarm_name => jsonencode([alarm.alarm_actions, alarm.ok_actions, alarm.actions_enabled != false]) } == { for name, priority in run.expected.alarms : name => jsonencode([
        [{ high = aws_sns_topic.alarms["high"].arn, low = aws_sns_topic.alarms["low"].arn, "high in us-east-1" = one(aws_sns_topic.health[*].arn) }[priority]],
        [{ high = aws_sns_topic.alarms["high"].arn, low = aws_sns_topic.alarms["low"].arn, "high in us-east-1" = one(aws_sns_topic.health[*].arn) }[priority]], true,
    ]) }
    error_message = "an alarm is missing, or new, or tells another topic than that of its priority"
  }

  # Roles.
  assert {
    condition = toset(flatten([for name, statements in merge(
      { for role, policy in data.aws_iam_policy_document.function : "function ${role}" => policy.statement },
      { for name, policy in data.aws_iam_policy_document.queue : "queue ${name}" => policy.statement },
      { for name, policy in data.aws_iam_policy_document.topic : "topic ${name}" => policy.statement },
      { for name, policy in data.aws_iam_policy_document.endpoint : "endpoint ${name}" => policy.statement },
      { for name, policy in data.aws_iam_policy_document.replica_key : "replica_key ${name}" => policy.statement },
      { for name, policy in data.aws_iam_policy_document.pipeline_trust : "pipeline_trust ${name}" => policy.statement },
      { for policy in data.aws_iam_policy_document.allow_list : "allow_list" => policy.statement },
      { for policy in data.aws_iam_policy_document.backup : "backup" => policy.statement },
      { for policy in data.aws_iam_policy_document.canary : "canary" => policy.statement },
      { for policy in data.aws_iam_policy_document.canary_schedule : "canary_schedule" => policy.statement },
      {
        key                  = data.aws_iam_policy_document.key.statement
        dead_letters_bucket  = data.aws_iam_policy_document.dead_letters_bucket.statement
        direct               = data.aws_iam_policy_document.direct.statement
        boundary             = data.aws_iam_policy_document.boundary.statement
        operate              = data.aws_iam_policy_document.operate.statement
        pipeline_functions   = data.aws_iam_policy_document.pipeline_functions.statement
        infrastructure_keep  = data.aws_iam_policy_document.infrastructure_keep.statement
        infrastructure_run   = data.aws_iam_policy_document.infrastructure_run.statement
        infrastructure_watch = data.aws_iam_policy_document.infrastructure_watch.statement
        infrastructure_open  = data.aws_iam_policy_document.infrastructure_open.statement
        lambda_trust         = data.aws_iam_policy_document.lambda_trust.statement
        scheduler_trust      = data.aws_iam_policy_document.scheduler_trust.statement
        api_gateway_trust    = data.aws_iam_policy_document.api_gateway_trust.statement
        backup_trust         = data.aws_iam_policy_document.backup_trust.statement
      },
      ) : [for statement in statements : "${name}: ${join(" ", concat(
        [try(coalesce(statement.effect), "Allow")], sort(statement.actions), ["on"], try(sort(statement.resources), []),
        sort([for condition in statement.condition : "if ${condition.test} ${condition.variable} ${join(",", sort(condition.values))}"]),
        sort([for principal in statement.principals : "to ${principal.type}:${join(",", sort(principal.identifiers))}"]),
    ))}"]])) == run.expected.policies
    error_message = "a statement of a policy is not the one of tests/expected"
  }
  assert {
    condition = alltrue([
      for want in concat(
        [for role, made in aws_iam_role.function : { role = made, trust = data.aws_iam_policy_document.lambda_trust, work = data.aws_iam_policy_document.function[role], put = aws_iam_role_policy.function[role] }],
        [for made in aws_iam_role.canary : { role = made, trust = data.aws_iam_policy_document.lambda_trust, work = data.aws_iam_policy_document.canary[0], put = aws_iam_role_policy.canary[0] }],
        [for made in aws_iam_role.canary_schedule : { role = made, trust = data.aws_iam_policy_document.scheduler_trust, work = data.aws_iam_policy_document.canary_schedule[0], put = aws_iam_role_policy.canary_schedule[0] }],
        [for made in aws_iam_role.backup : { role = made, trust = data.aws_iam_policy_document.backup_trust, work = data.aws_iam_policy_document.backup[0], put = aws_iam_role_policy.backup[0] }],
        [for made in aws_iam_role.direct : { role = made, trust = data.aws_iam_policy_document.api_gateway_trust, work = data.aws_iam_policy_document.direct, put = aws_iam_role_policy.direct[0] }],
      ) :
      want.put.policy == want.work.json && want.put.role == want.role.name && want.role.assume_role_policy == want.trust.json && want.role.permissions_boundary == aws_iam_policy.boundary.arn
    ]) && aws_iam_policy.boundary.policy == data.aws_iam_policy_document.boundary.json && aws_iam_policy.operate.policy == data.aws_iam_policy_document.operate.json
    error_message = "a role has another policy, another trust, or not the boundary"
  }
  assert {
    condition = alltrue([
      alltrue([for role, made in aws_iam_role.pipeline : made.assume_role_policy == data.aws_iam_policy_document.pipeline_trust[role].json]),
      alltrue([for put in aws_iam_role_policy.pipeline_functions : put.policy == data.aws_iam_policy_document.pipeline_functions.json && put.role == aws_iam_role.pipeline["functions"].name]),
      length(aws_iam_role_policy.pipeline_functions) == length(var.pipeline_subjects) / 2,
      { for name, policy in aws_iam_policy.infrastructure : name => policy.policy } == { for name, policy in {
        keep  = data.aws_iam_policy_document.infrastructure_keep.json
        run   = data.aws_iam_policy_document.infrastructure_run.json
        watch = data.aws_iam_policy_document.infrastructure_watch.json
        open  = data.aws_iam_policy_document.infrastructure_open.json
      } : name => policy if length(var.pipeline_subjects) > 0 },
      { for name, put in aws_iam_role_policy_attachment.infrastructure : name => [put.role, put.policy_arn] } == { for name, policy in aws_iam_policy.infrastructure : name => [aws_iam_role.pipeline["infrastructure"].name, policy.arn] },
    ])
    error_message = "a role of the pipeline has another policy or another trust"
  }
  assert {
    condition     = alltrue([for role, function in aws_lambda_function.role : function.role == aws_iam_role.function[role].arn]) && alltrue([for function in aws_lambda_function.canary : function.role == aws_iam_role.canary[0].arn])
    error_message = "a function has the role of another"
  }
  # To here.

  # No resource of these kinds escapes the assertions above. One that is new has to be named there, and then here.
  assert {
    condition = toset(flatten([for file in fileset(path.root, "*.tf") : [
      for found in regexall("(?m)^resource \"(aws_(?:cloudwatch_metric_alarm|cloudwatch_log_group|sqs_queue|sns_topic|lambda_function|lambda_event_source_mapping|dynamodb_table|s3_bucket|backup_vault|iam_role|iam_role_policy|iam_policy|kms_key))\" \"([a-z_]+)\"", file("${path.root}/${file}")) :
      join(".", found)
      ]])) == toset([
      "aws_backup_vault.main",
      "aws_cloudwatch_log_group.api", "aws_cloudwatch_log_group.api_errors", "aws_cloudwatch_log_group.canary", "aws_cloudwatch_log_group.function", "aws_cloudwatch_log_group.waf",
      "aws_cloudwatch_metric_alarm.health", "aws_cloudwatch_metric_alarm.math", "aws_cloudwatch_metric_alarm.metric", "aws_cloudwatch_metric_alarm.requests",
      "aws_dynamodb_table.events",
      "aws_iam_policy.boundary", "aws_iam_policy.infrastructure", "aws_iam_policy.operate",
      # api_logs serves the account and has a policy of AWS; api.tf says why. The assertion below is on it.
      "aws_iam_role.api_logs", "aws_iam_role.backup", "aws_iam_role.canary", "aws_iam_role.canary_schedule", "aws_iam_role.direct", "aws_iam_role.function", "aws_iam_role.pipeline",
      "aws_iam_role_policy.backup", "aws_iam_role_policy.canary", "aws_iam_role_policy.canary_schedule", "aws_iam_role_policy.direct", "aws_iam_role_policy.function", "aws_iam_role_policy.pipeline_functions",
      "aws_kms_key.main", "aws_kms_key.replica",
      "aws_lambda_event_source_mapping.deadletter", "aws_lambda_event_source_mapping.deliver",
      "aws_lambda_function.canary", "aws_lambda_function.role",
      "aws_s3_bucket.dead_letters",
      # health is in another region, where there is no key; domain.tf says why that is no loss.
      "aws_sns_topic.alarms", "aws_sns_topic.health",
      "aws_sqs_queue.dead_letters", "aws_sqs_queue.events",
    ])
    error_message = "a resource is there that no assertion knows"
  }
  assert {
    condition     = aws_iam_role.api_logs[0].assume_role_policy == data.aws_iam_policy_document.api_gateway_trust.json && aws_iam_role_policy_attachment.api_logs[0].role == aws_iam_role.api_logs[0].name && aws_iam_role_policy_attachment.api_logs[0].policy_arn == "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
    error_message = "API Gateway may write logs, and no more"
  }
}
