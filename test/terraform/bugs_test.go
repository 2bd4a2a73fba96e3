package terraform_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bugsVariable says which bugs are planted: all, or those of the sample where it is not set.
const bugsVariable = "PILLARBOX_TEST_TERRAFORM_BUGS"

// bug is one planted into a copy of the module: a text that is there once becomes another. The rule
// or picture that is named must notice it, in the scenario where it shows.
type bug struct {
	name     string
	file     string
	old, new string
	scenario string // "defaults" where it is empty
	noticed  string // name of a rule or picture, or apply where nothing can be made
	sample   bool   // planted in every run
}

const (
	rings     = "every alarm rings in its direction and tells the topic of its priority"
	metricsOK = "every metric is one that AWS documents"
	sourcesOK = "accept has the rules, secrets and keys of its sources"
	calledBy  = "each is called by whom it should be"
	queues    = "each function has the queue of its work"
	theKey    = "who writes to an encrypted topic or queue has the key"
	faults    = "a server's fault keeps its status"
	noLimit   = "clients never stop the canary"
	clocks    = "what runs by the clock runs as often as chosen"
	inFull    = "policies name what they reach in full"
	tagsRule  = "everything bears the tags of the stack"
	backups   = "backups that fail are told"
	trusts    = "a role is taken on by whom it should be"
	encrypts  = "everything is encrypted with the key"
	accounts  = "nothing is set for the whole account"
	fitting   = "a function may what it calls, and no more"
	operating = "a server may what it calls, and no more"
	ceiling   = "the ceiling is no higher than what is below it"
)

// bugs is one table, and so this file is longer than others.
var bugs = []bug{
	// Queues, and who calls whom.
	{
		name: "accept puts events into the dead-letter queue", file: "locals.tf",
		noticed: queues, sample: true,
		old: `{ PILLARBOX_SQS_QUEUE_URL = aws_sqs_queue.events.url }`,
		new: `{ PILLARBOX_SQS_QUEUE_URL = aws_sqs_queue.dead_letters.url }`,
	},
	{
		name: "deliver gives up into the queue of events", file: "locals.tf", noticed: queues,
		old: "PILLARBOX_SQS_DEAD_LETTER_QUEUE_URL = aws_sqs_queue.dead_letters.url",
		new: "PILLARBOX_SQS_DEAD_LETTER_QUEUE_URL = aws_sqs_queue.events.url",
	},
	{
		name: "deliver sends anew into the dead-letter queue", file: "locals.tf", noticed: queues,
		old: "PILLARBOX_SQS_QUEUE_URL             = aws_sqs_queue.events.url",
		new: "PILLARBOX_SQS_QUEUE_URL             = aws_sqs_queue.dead_letters.url",
	},
	{
		name: "the API calls deliver", file: "api.tf", noticed: calledBy, sample: true,
		old: `aws_lambda_alias.live["accept"].invoke_arn`,
		new: `aws_lambda_alias.live["deliver"].invoke_arn`,
	},
	{
		name: "the API may call another stage", file: "api.tf", noticed: calledBy,
		old: `/${var.stage_name}/${each.key == "ANY"`,
		new: `/test/${each.key == "ANY"`,
	},
	{
		name: "the API may call another method", file: "api.tf", noticed: calledBy,
		old: `"*" : each.key}/${local.door_part}"`,
		new: `"*" : "PUT"}/${local.door_part}"`,
	},
	{
		name: "the API may call deliver", file: "api.tf", noticed: calledBy,
		old: `function_name = aws_lambda_function.role["accept"].function_name`,
		new: `function_name = aws_lambda_function.role["deliver"].function_name`,
	},
	{
		name: "S3 may call accept", file: "api.tf", noticed: calledBy,
		old: `principal     = "apigateway.amazonaws.com"`,
		new: `principal     = "s3.amazonaws.com"`,
	},
	{
		name: "deliver is fed by the dead-letter queue", file: "functions.tf", noticed: calledBy,
		old: "event_source_arn                   = aws_sqs_queue.events.arn",
		new: "event_source_arn                   = aws_sqs_queue.dead_letters.arn",
	},
	{
		name: "deadletter delivers", file: "functions.tf", noticed: calledBy,
		old: `aws_lambda_alias.live["deadletter"].arn`,
		new: `aws_lambda_alias.live["deliver"].arn`,
	},
	{
		name: "one refused event brings back its batch", file: "functions.tf", noticed: calledBy,
		old: "maximum_batching_window_in_seconds = var.deliver_batch_window_seconds\n  function_response_types            = [\"ReportBatchItemFailures\"]",
		new: "maximum_batching_window_in_seconds = var.deliver_batch_window_seconds",
	},
	{
		name: "letters die into the queue of events", file: "queue.tf", noticed: calledBy,
		old: "deadLetterTargetArn = aws_sqs_queue.dead_letters.arn",
		new: `deadLetterTargetArn = "${aws_sqs_queue.dead_letters.arn}-2"`,
	},
	{
		name: "any queue moves letters", file: "queue.tf", noticed: "kept",
		old: `redrivePermission = "byQueue"`,
		new: `redrivePermission = "allowAll"`,
	},
	{
		name: "without a function, the API sends to the dead-letter queue", file: "direct.tf", scenario: "direct",
		noticed: calledBy,
		old:     "sqs:path/${local.account}/${aws_sqs_queue.events.name}",
		new:     "sqs:path/${local.account}/${aws_sqs_queue.dead_letters.name}",
	},
	{
		name: "without a function, the API sends as the canary", file: "direct.tf", scenario: "direct",
		noticed: "calls",
		old:     "aws_iam_role.direct[0].arn",
		new:     "aws_iam_role.canary[0].arn",
	},
	{
		name: "the alias of accept is that of deliver", file: "functions.tf", noticed: calledBy,
		old: "function_name    = aws_lambda_function.role[each.key].function_name",
		new: `function_name    = aws_lambda_function.role["deliver"].function_name`,
	},
	{
		name: "deliver is warm instead of accept", file: "functions.tf", scenario: "options",
		noticed: "calls",
		old:     "function_name                     = aws_lambda_function.role[\"accept\"].function_name",
		new:     "function_name                     = aws_lambda_function.role[\"deliver\"].function_name",
	},

	// The environment of functions.
	{
		name: "the role of a function is another", file: "functions.tf", noticed: queues,
		old: "PILLARBOX_ROLE        = each.key",
		new: `PILLARBOX_ROLE        = "accept"`,
	},
	{
		name: "the source has another name", file: "functions.tf", noticed: "environment",
		old: "PILLARBOX_SOURCE      = var.source_name",
		new: `PILLARBOX_SOURCE      = var.name`,
	},
	{
		name: "the destination has another name", file: "functions.tf", noticed: "environment",
		old: "PILLARBOX_DESTINATION = local.destination_name",
		new: `PILLARBOX_DESTINATION = var.source_name`,
	},
	{
		name: "functions log everything", file: "functions.tf", noticed: "environment",
		old: "PILLARBOX_LOG_LEVEL   = var.log_level",
		new: `PILLARBOX_LOG_LEVEL   = "debug"`,
	},
	{
		name: "functions log text", file: "functions.tf", noticed: "environment",
		old: `PILLARBOX_LOG_FORMAT  = "json"`,
		new: `PILLARBOX_LOG_FORMAT  = "text"`,
	},
	{
		name: "bodies are kept among the letters", file: "functions.tf", noticed: "environment",
		old: "PILLARBOX_BODIES_PREFIX = local.bodies_prefix",
		new: "PILLARBOX_BODIES_PREFIX = local.dead_letter_prefix",
	},
	{
		name: "bodies go to another bucket", file: "functions.tf", noticed: "environment",
		old: "PILLARBOX_BODIES_BUCKET = aws_s3_bucket.dead_letters.bucket",
		new: `PILLARBOX_BODIES_BUCKET = var.name`,
	},
	{
		name: "the path lacks its slash", file: "locals.tf", noticed: "environment",
		old: `PILLARBOX_SOURCE_PATH = "/${var.source_name}"`,
		new: `PILLARBOX_SOURCE_PATH = var.source_name`,
	},
	{
		name: "the limit on bodies is not told", file: "locals.tf", scenario: "options",
		noticed: "environment",
		old:     "PILLARBOX_MAX_BODY = tostring(var.max_body_bytes)",
		new:     "PILLARBOX_MAX_BODY = tostring(2 * var.max_body_bytes)",
	},
	{
		name: "deliver writes to another table", file: "locals.tf", scenario: "direct",
		noticed: queues,
		old:     "PILLARBOX_DYNAMODB_TABLE            = aws_dynamodb_table.events.name",
		new:     `PILLARBOX_DYNAMODB_TABLE            = "${var.name}-events"`,
	},
	{
		name: "the index is not told", file: "locals.tf", noticed: "environment",
		old: `var.time_index ? local.time_index_name : ""`,
		new: `var.time_index ? "" : local.time_index_name`,
	},
	{
		name: "the index has other shards", file: "locals.tf", noticed: "environment",
		old: "PILLARBOX_DYNAMODB_TIME_SHARDS      = tostring(var.time_index_shards)",
		new: `PILLARBOX_DYNAMODB_TIME_SHARDS      = "1"`,
	},
	{
		name: "deliver counts other receives than SQS", file: "locals.tf", noticed: "environment",
		old: "PILLARBOX_MAX_RECEIVES              = tostring(var.max_receive_count)",
		new: `PILLARBOX_MAX_RECEIVES              = "100"`,
	},
	{
		name: "an event is hidden for too long", file: "locals.tf", noticed: "environment",
		old: `"${local.max_retry_wait_seconds}s"`,
		new: `"${2 * local.max_retry_wait_seconds}s"`,
	},
	{
		name: "delivery is given up too late", file: "locals.tf", noticed: "environment",
		old: `"${local.delivery_days * 24}h"`,
		new: `"${var.queue_retention_days * 24}h"`,
	},
	{
		name: "letters go to another bucket", file: "locals.tf", noticed: "environment",
		old: "PILLARBOX_DEAD_LETTER_BUCKET = aws_s3_bucket.dead_letters.bucket",
		new: `PILLARBOX_DEAD_LETTER_BUCKET = var.name`,
	},
	{
		name: "letters are kept among the bodies", file: "locals.tf", noticed: "environment",
		old: "PILLARBOX_DEAD_LETTER_PREFIX = local.dead_letter_prefix",
		new: "PILLARBOX_DEAD_LETTER_PREFIX = local.bodies_prefix",
	},

	// Alarms: what, of whom, when, to whom.
	{
		name: "an alarm of another namespace", file: "alarms.tf", noticed: metricsOK,
		old: `api-5xx              = { priority = "high", namespace = "AWS/ApiGateway"`,
		new: `api-5xx              = { priority = "high", namespace = "AWS/ApiGatewayV2"`,
	},
	{
		name: "an alarm of a misspelt metric", file: "alarms.tf", noticed: metricsOK, sample: true,
		old: `metric = "5XXError"`,
		new: `metric = "5xxErrors"`,
	},
	{
		name: "the alarm on 5xx watches 4xx", file: "alarms.tf", noticed: rings,
		old: `metric = "5XXError"`,
		new: `metric = "4XXError"`,
	},
	{
		name: "an alarm on errors watches throttles", file: "alarms.tf", noticed: rings,
		old: `namespace = "AWS/Lambda", metric = "Errors", stat = "Sum", dimensions = { FunctionName = "${var.name}-${role}" },`,
		new: `namespace = "AWS/Lambda", metric = "Throttles", stat = "Sum", dimensions = { FunctionName = "${var.name}-${role}" },`,
	},
	{
		name: "the alarm on age watches the dead-letter queue", file: "alarms.tf",
		noticed: rings, sample: true,
		old: `stat = "Maximum", dimensions = local.queue_dimensions, threshold = local.thresholds.queue-age-s`,
		new: `stat = "Maximum", dimensions = local.dead_dimensions, threshold = local.thresholds.queue-age-s`,
	},
	{
		name: "the alarm on dead letters watches the queue of events", file: "alarms.tf",
		noticed: rings,
		old:     `received = ["AWS/SQS", "NumberOfMessagesReceived", "Sum", local.dead_dimensions]`,
		new:     `received = ["AWS/SQS", "NumberOfMessagesReceived", "Sum", local.queue_dimensions]`,
	},
	{
		name: "an alarm of a function that is not there", file: "alarms.tf", noticed: metricsOK,
		old: `metric = "Duration", stat = "Maximum", dimensions = { FunctionName = "${var.name}-${role}" }`,
		new: `metric = "Duration", stat = "Maximum", dimensions = { FunctionName = "${var.name}-${role}s" }`,
	},
	{
		name: "an alarm with a dimension too many", file: "alarms.tf", noticed: metricsOK,
		old: "trace_dimensions = { GroupName = var.name }",
		new: "trace_dimensions = { GroupName = var.name, ServiceName = var.name }",
	},
	{
		name: "every alarm in the other direction", file: "alarms.tf", noticed: rings,
		old: `comparison = "GreaterThanThreshold", missing = "notBreaching" }`,
		new: `comparison = "LessThanThreshold", missing = "notBreaching" }`,
	},
	{
		name: "the alarm on a silent canary rings when it runs", file: "alarms.tf", noticed: rings,
		old: `period = 60 * var.canary_minutes, periods = 3, of = 3, comparison = "LessThanThreshold"`,
		new: `period = 60 * var.canary_minutes, periods = 3, of = 3, comparison = "GreaterThanThreshold"`,
	},
	{
		name: "a silent canary is well", file: "alarms.tf", noticed: rings,
		old: `of = 3, comparison = "LessThanThreshold", missing = "breaching"`,
		new: `of = 3, comparison = "LessThanThreshold", missing = "notBreaching"`,
	},
	{
		name: "the health alarm is inverted", file: "domain.tf", scenario: "direct", noticed: rings,
		old: `comparison_operator = "LessThanThreshold"`,
		new: `comparison_operator = "GreaterThanThreshold"`,
	},
	{
		name: "the health alarm sleeps when nobody is heard", file: "domain.tf", scenario: "direct",
		noticed: rings,
		old:     `treat_missing_data  = "breaching"`,
		new:     `treat_missing_data  = "notBreaching"`,
	},
	{
		name: "the threshold of another alarm", file: "alarms.tf", noticed: "alarms",
		old: "threshold = local.thresholds.queue-late-s",
		new: "threshold = local.thresholds.queue-depth",
	},
	{
		name: "an alarm in milliseconds with a threshold in seconds", file: "alarms.tf",
		noticed: "alarms",
		old:     "threshold = floor(1000 * function.timeout",
		new:     "threshold = floor(function.timeout",
	},
	{
		name: "write units a second beside units in 5 min", file: "alarms.tf", noticed: "alarms",
		old: "threshold = 300 * local.thresholds.table-write-units",
		new: "threshold = local.thresholds.table-write-units",
	},
	{
		name: "an average where one is too many", file: "alarms.tf", noticed: "alarms",
		old: `metric = "5XXError", stat = "Sum"`,
		new: `metric = "5XXError", stat = "Average"`,
	},
	{
		name: "letters are stuck for an hour, and one minute is looked at", file: "alarms.tf",
		noticed: "alarms",
		old:     "period = 60, of = 60, periods = 55",
		new:     "period = 60, of = 1, periods = 1",
	},
	{
		name: "the expression leaves out what is deleted", file: "alarms.tf", noticed: "alarms",
		old: `"IF(FILL(deleted, 0) > 0, 0, received)"`,
		new: `"received"`,
	},
	{
		name: "high alarms tell the low topic", file: "alarms.tf", noticed: rings,
		old: "  alarm_actions = [aws_sns_topic.alarms[each.value.priority].arn]\n  ok_actions    = [aws_sns_topic.alarms[each.value.priority].arn]\n  tags          = { Priority = each.value.priority }\n}\n\n# Too few",
		new: "  alarm_actions = [aws_sns_topic.alarms[\"low\"].arn]\n  ok_actions    = [aws_sns_topic.alarms[each.value.priority].arn]\n  tags          = { Priority = each.value.priority }\n}\n\n# Too few",
	},
	{
		name: "dead letters can wait", file: "alarms.tf", noticed: "alarms",
		old: `priority   = "high", periods = 1, threshold = local.thresholds.dead-letters`,
		new: `priority   = "low", periods = 1, threshold = local.thresholds.dead-letters`,
	},
	{
		name: "a graph of a misspelt metric", file: "dashboard.tf", noticed: metricsOK,
		old: `"NumberOfMessagesSent"`,
		new: `"NumberOfMessageSent"`,
	},
	{
		name: "the firewall's alarm lacks its region", file: "alarms.tf", scenario: "options",
		noticed: metricsOK,
		old:     `{ WebACL = var.name, Region = local.region, Rule = "ALL" }`,
		new:     `{ WebACL = var.name, Rules = "ALL" }`,
	},

	// Clocks, budget, tags.
	{
		name: "the canary runs every five days", file: "canary.tf", noticed: clocks, sample: true,
		old: `"rate(${var.canary_minutes} minutes)"`,
		new: `"rate(${var.canary_minutes} days)"`,
	},
	{
		name: "the canary is run a second time", file: "canary.tf", noticed: "schedules",
		old: "maximum_retry_attempts = 0\n}",
		new: "maximum_retry_attempts = 2\n}",
	},
	{
		name: "the schedule runs accept", file: "canary.tf", noticed: calledBy,
		old: "arn      = aws_lambda_function.canary[0].arn",
		new: `arn      = aws_lambda_function.role["accept"].arn`,
	},
	{
		name: "the canary reads another table", file: "canary.tf", noticed: calledBy,
		old: "TABLE        = aws_dynamodb_table.events.name",
		new: `TABLE        = var.name`,
	},
	{
		name: "daily backups are monthly", file: "backup.tf", scenario: "options", noticed: clocks,
		old: `"cron(0 3 * * ? *)"`,
		new: `"cron(0 3 1 * ? *)"`,
	},
	{
		name: "daily backups are kept like monthly ones", file: "backup.tf", scenario: "options",
		noticed: "schedules",
		old:     "delete_after = var.backup_daily_days",
		new:     "delete_after = var.backup_monthly_days",
	},
	{
		name: "the budget counts another tag", file: "budget.tf", noticed: tagsRule,
		old: `"user:${var.tag_key}"`,
		new: `"aws:${var.tag_key}"`,
	},
	{
		name: "the budget is for a year", file: "budget.tf", noticed: "told",
		old: `time_unit    = "MONTHLY"`,
		new: `time_unit    = "ANNUALLY"`,
	},
	{
		name: "things bear another name", file: "locals.tf", noticed: tagsRule,
		old: "{ (var.tag_key) = var.name, ManagedBy",
		new: "{ (var.tag_key) = var.source_name, ManagedBy",
	},
	{
		name: "the environment is not on things", file: "locals.tf", scenario: "options",
		noticed: tagsRule,
		old:     `{ Environment = var.environment }`,
		new:     `{ Env = var.environment }`,
	},
	{
		name: "the group looks for another tag", file: "main.tf", noticed: tagsRule,
		old: "Key = var.tag_key",
		new: `Key = "Name"`,
	},

	// Backups, topics, the key.
	{
		name: "failed backups are told by an event that is sent no more", file: "backup.tf", scenario: "options",
		noticed: backups, sample: true,
		old: `["BACKUP_JOB_COMPLETED"]`,
		new: `["BACKUP_JOB_FAILED", "BACKUP_JOB_EXPIRED"]`,
	},
	{
		name: "backups that went well are told", file: "topics.tf", scenario: "options",
		noticed: backups,
		old:     `{ "anything-but" = ["COMPLETED"] }`,
		new:     `"COMPLETED"`,
	},
	{
		name: "alarms are left out by the filter for backups", file: "topics.tf", scenario: "options",
		noticed: backups,
		old:     `filter_policy       = each.value.topic == "backups" ?`,
		new:     `filter_policy       = each.value.topic == "high" ?`,
	},
	{
		name: "a backup can't be tagged", file: "backup.tf", scenario: "options", noticed: backups,
		old: `["backup:TagResource"]`,
		new: `["backup:ListTags"]`,
	},
	{
		name: "backups may not use the key for their topic", file: "kms.tf", scenario: "options",
		noticed: theKey,
		old:     `backups = ["backup"]`,
		new:     `backups = ["events"]`,
	},
	{
		name: "budgets may not use the key", file: "kms.tf", noticed: theKey,
		old: "    low     = concat([\"cloudwatch\"], local.budget ? [\"budgets\"] : [])\n",
		new: "    low     = [\"cloudwatch\"]\n",
	},
	{
		name: "alarms may not use the key", file: "kms.tf", noticed: theKey,
		old: "  # Whoever publishes to an encrypted topic needs the key itself.\n  statement {\n    sid       = \"PublishersToTheTopics\"\n    actions   = [\"kms:Decrypt\", \"kms:GenerateDataKey\"]",
		new: "  # Whoever publishes to an encrypted topic needs the key itself.\n  statement {\n    sid       = \"PublishersToTheTopics\"\n    actions   = [\"kms:Decrypt\"]",
	},
	{
		name: "a role sends without the key", file: "direct.tf", scenario: "direct", noticed: theKey,
		old: `actions   = ["kms:Decrypt", "kms:GenerateDataKey"]`,
		new: `actions   = ["kms:Decrypt"]`,
	},
	{
		name: "a queue is not encrypted with the key", file: "queue.tf", noticed: encrypts,
		old: "  kms_master_key_id                 = aws_kms_key.main.arn\n  kms_data_key_reuse_period_seconds = 300\n}",
		new: "  kms_master_key_id                 = \"alias/aws/sqs\"\n  kms_data_key_reuse_period_seconds = 300\n}",
	},
	{
		name: "the bucket may be read without TLS", file: "deadletters.tf", noticed: "policies",
		old: `variable = "aws:SecureTransport"`,
		new: `variable = "aws:EpochTime"`,
	},
	{
		name: "the bucket is public", file: "deadletters.tf", noticed: "kept",
		old: "block_public_policy     = true",
		new: "block_public_policy     = false",
	},
	{
		name: "letters expire", file: "deadletters.tf", noticed: "kept",
		old: "expired_object_delete_marker = true",
		new: "days = 30",
	},
	{
		name: "the table is not protected", file: "table.tf", noticed: "kept",
		old: "deletion_protection_enabled = var.protect\n\n",
		new: "deletion_protection_enabled = !var.protect\n\n",
	},
	{
		name: "the queue forgets after four days", file: "queue.tf", noticed: "kept",
		old: "message_retention_seconds  = local.retention_seconds",
		new: "message_retention_seconds  = 4 * local.day",
	},
	{
		name: "a message comes back while it is in hand", file: "queue.tf", noticed: "kept",
		old: "queue_visibility_seconds       = 6 * var.deliver_timeout_seconds",
		new: "queue_visibility_seconds       = var.deliver_timeout_seconds",
	},

	// The door.
	{
		name: "a failed integration has a status of ours", file: "api.tf", noticed: faults,
		old: `INTEGRATION_FAILURE            = { status = null,`,
		new: `INTEGRATION_FAILURE            = { changed = "502", status = 502,`,
	},
	{
		name: "a failed integration promises that nothing was accepted", file: "api.tf",
		noticed: faults,
		old:     `INTEGRATION_TIMEOUT            = { status = 504, title = "not known whether accepted; try again"`,
		new:     `INTEGRATION_TIMEOUT            = { status = 504, title = "not accepted; try again"`,
	},
	{
		name: "bodies are text", file: "api.tf", noticed: "door",
		old: `binary_media_types = ["*/*"]`,
		new: `binary_media_types = ["application/octet-stream"]`,
	},
	{
		name: "payloads are logged", file: "api.tf", noticed: "door",
		old: "data_trace_enabled     = false",
		new: "data_trace_enabled     = true",
	},
	{
		name: "the door is ten times as wide", file: "api.tf", noticed: "door",
		old: "throttling_rate_limit  = var.throttle_per_second",
		new: "throttling_rate_limit  = 10 * var.throttle_per_second",
	},
	{
		name: "nobody is asked for a key", file: "api.tf", scenario: "options", noticed: "door",
		old: `api_key_required     = each.key != "GET"`,
		new: `api_key_required     = each.key == "PUT"`,
	},
	{
		name: "the canary has a quota", file: "canary.tf", scenario: "direct",
		noticed: noLimit, sample: true,
		old: "description = \"The canary, which has no limit\"\n",
		new: "description = \"The canary, which has no limit\"\n\n  quota_settings {\n    limit  = 100\n    period = \"DAY\"\n  }\n",
	},
	{
		name: "the canary posts as a client", file: "canary.tf", scenario: "direct",
		noticed: noLimit,
		old:     "key_id        = aws_api_gateway_api_key.canary[0].id",
		new:     `key_id        = aws_api_gateway_api_key.client["alice"].id`,
	},
	{
		name: "the API is open beside CloudFront", file: "api.tf", scenario: "cloudfront",
		noticed: "door",
		old:     "(length(var.api_keys) > 0 || var.cloudfront)",
		new:     "length(var.api_keys) > 0",
	},
	{
		name: "CloudFront keeps answers", file: "cloudfront.tf", scenario: "cloudfront",
		noticed: "door",
		old:     "cache_policy_id          = local.caching_disabled",
		new:     `cache_policy_id          = "658327ea-f89d-4fab-a63d-7e88639e58f6"`,
	},
	{
		name: "a rule on bodies blocks", file: "waf.tf", scenario: "options", noticed: "door",
		old: `"Log4JRCE_BODY", `,
		new: "",
	},
	{
		name: "endpoints that nobody uses", file: "network.tf", scenario: "options", noticed: "door",
		old: `concat(["sqs", "xray"],`,
		new: `concat(["kms", "sqs", "xray"],`,
	},

	// Roles and what they reach.
	{
		name: "accept reads the queue", file: "roles.tf", noticed: "policies",
		old: `{ sid = "PutIntoTheQueue", actions = ["sqs:SendMessage", "sqs:GetQueueAttributes"]`,
		new: `{ sid = "PutIntoTheQueue", actions = ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:GetQueueAttributes"]`,
	},
	{
		name: "the pipeline reaches functions of other stacks", file: "pipeline.tf", scenario: "options",
		noticed: inFull, sample: true,
		old: `  function_arns = [for role in local.roles : "${local.arn_prefix.lambda}function:${var.name}-${role}"]`,
		new: `  function_arns = ["${local.arn_prefix.lambda}function:${var.name}-*"]`,
	},
	{
		name: "the ceiling reaches queues of other stacks", file: "roles.tf", noticed: inFull,
		old: "resources = [aws_sqs_queue.events.arn, aws_sqs_queue.dead_letters.arn]",
		new: `resources = ["arn:${local.partition}:sqs:${local.region}:${local.account}:${var.name}-*"]`,
	},
	{
		name: "the pipeline says who may take on a role", file: "pipeline.tf", scenario: "options",
		noticed: inFull,
		old:     `actions   = ["iam:PutRolePolicy"]`,
		new:     `actions   = ["iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy"]`,
	},
	{
		name: "the pipeline writes policies above the ceiling", file: "pipeline.tf", scenario: "options",
		noticed: inFull,
		old:     `variable = "iam:PermissionsBoundary"`,
		new:     `variable = "iam:ResourceTag/Application"`,
	},
	{
		name: "the pipeline tags whatever it likes", file: "pipeline.tf", scenario: "options",
		noticed: inFull,
		old:     `variable = "ec2:CreateAction"`,
		new:     `variable = "ec2:Region"`,
	},
	{
		name: "the pipeline changes every record", file: "pipeline.tf", scenario: "options",
		noticed: inFull,
		old:     `variable = "route53:ChangeResourceRecordSetsNormalizedRecordNames"`,
		new:     `variable = "route53:ChangeResourceRecordSetsActions"`,
	},
	{
		name: "the pipeline decrypts what the queues hold", file: "pipeline.tf", scenario: "options",
		noticed: inFull,
		old:     "    actions   = [\"kms:CreateGrant\", \"kms:Decrypt\", \"kms:Encrypt\", \"kms:GenerateDataKey\"]\n    resources = [aws_kms_key.main.arn]\n    condition {\n      test     = \"StringEquals\"\n      variable = \"kms:ViaService\"\n      values   = [\"lambda.",
		new:     "    actions   = [\"kms:CreateGrant\", \"kms:Decrypt\", \"kms:Encrypt\", \"kms:GenerateDataKey\"]\n    resources = [aws_kms_key.main.arn]\n    condition {\n      test     = \"StringEquals\"\n      variable = \"kms:ViaService\"\n      values   = [\"sqs.",
	},
	{
		name: "the pipeline reads the letters", file: "pipeline.tf", scenario: "options",
		noticed: inFull,
		old:     `"s3:ListBucket", "s3:PutBucketTagging"`,
		new:     `"s3:ListBucket", "s3:GetObject", "s3:PutBucketTagging"`,
	},
	{
		name: "people need no second factor", file: "people.tf", scenario: "options",
		noticed: trusts,
		old:     `variable = "aws:MultiFactorAuthPresent"`,
		new:     `variable = "aws:SecureTransport"`,
	},
	{
		name: "a function has no ceiling", file: "roles.tf", noticed: trusts,
		old: "  assume_role_policy   = data.aws_iam_policy_document.lambda_trust.json\n  permissions_boundary = aws_iam_policy.boundary.arn",
		new: "  assume_role_policy   = data.aws_iam_policy_document.lambda_trust.json",
	},
	{
		name: "a function has the role of another", file: "functions.tf", noticed: trusts,
		old: "role          = aws_iam_role.function[each.key].arn",
		new: `role          = aws_iam_role.function["deliver"].arn`,
	},
	{
		name: "a role has the policy of another", file: "roles.tf", noticed: "roles",
		old: "policy = data.aws_iam_policy_document.function[each.key].json",
		new: `policy = data.aws_iam_policy_document.function["deliver"].json`,
	},
	{
		name: "any service takes on the role for backups", file: "backup.tf", scenario: "options",
		noticed: trusts,
		old:     `identifiers = ["backup.amazonaws.com"]`,
		new:     `identifiers = ["lambda.amazonaws.com"]`,
	},

	// Roles beside what is called.
	{
		name: "deliver may write single items", file: "roles.tf", noticed: fitting, sample: true,
		old: `actions = ["dynamodb:BatchWriteItem"]`,
		new: `actions = ["dynamodb:BatchWriteItem", "dynamodb:PutItem"]`,
	},
	{
		name: "deliver may not hide messages", file: "roles.tf", noticed: fitting, sample: true,
		old: `"sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"], resources = [aws_sqs_queue.events.arn] }`,
		new: `"sqs:DeleteMessage", "sqs:GetQueueAttributes"], resources = [aws_sqs_queue.events.arn] }`,
	},
	{
		name: "accept may not ask what the queue takes", file: "roles.tf", noticed: fitting,
		old: `actions = ["sqs:SendMessage", "sqs:GetQueueAttributes"]`,
		new: `actions = ["sqs:SendMessage"]`,
	},
	{
		name: "accept may read bodies", file: "roles.tf", noticed: fitting,
		old: `{ sid = "KeepLargeBodies", actions = ["s3:PutObject"]`,
		new: `{ sid = "KeepLargeBodies", actions = ["s3:GetObject", "s3:PutObject"]`,
	},
	{
		name: "Lambda may not take dead letters", file: "roles.tf", noticed: fitting,
		old: `{ sid = "TakeFromTheDeadLetterQueue", actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", `,
		new: `{ sid = "TakeFromTheDeadLetterQueue", actions = ["sqs:ReceiveMessage", `,
	},
	{
		name: "deadletter can't read what it lists", file: "roles.tf", noticed: fitting,
		old: `{ sid = "ReadLargeBodies", actions = ["s3:GetObject"]`,
		new: `{ sid = "ReadLargeBodies", actions = ["s3:GetObjectVersion"]`,
	},
	{
		name: "a role does not meet the key through its table", file: "roles.tf", noticed: fitting,
		old: `deliver    = ["sqs", "dynamodb", "s3"]`,
		new: `deliver    = ["sqs", "s3"]`,
	},
	{
		name: "accept meets the key through a vault", file: "roles.tf", noticed: fitting,
		old: `accept     = concat(["sqs", "s3"],`,
		new: `accept     = concat(["sqs", "s3", "backup"],`,
	},
	{
		name: "the canary may read the table in lists", file: "canary.tf", noticed: fitting,
		old: `actions   = ["dynamodb:GetItem"]`,
		new: `actions   = ["dynamodb:GetItem", "dynamodb:Query"]`,
	},
	{
		name: "a server can't scan a table without an index", file: "people.tf",
		noticed: operating,
		old:     `"dynamodb:Query", "dynamodb:Scan"]`,
		new:     `"dynamodb:Query"]`,
	},
	{
		name: "a server may purge the queue", file: "people.tf", noticed: operating,
		old: `"sqs:GetQueueAttributes", "sqs:GetQueueUrl"]`,
		new: `"sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:PurgeQueue"]`,
	},
	{
		name: "the ceiling lets letters be deleted", file: "roles.tf", noticed: ceiling,
		old: `actions   = ["s3:GetObject", "s3:PutObject", "s3:ListBucket"]`,
		new: `actions   = ["s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject"]`,
	},
	{
		name: "the ceiling is below what deliver does", file: "roles.tf", noticed: ceiling,
		old: `"sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.events.arn, aws`,
		new: `"sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.events.arn, aws`,
	},
	{
		name: "idempotency keys are kept in the table of events", file: "locals.tf", noticed: sourcesOK, sample: true,
		old: `aws_dynamodb_table.idempotency[0].name`,
		new: `aws_dynamodb_table.events.name`,
	},
	{
		name: "idempotency keys are forgotten by another attribute", file: "idempotency.tf", noticed: sourcesOK,
		old: `attribute_name = "ExpiresAt"`,
		new: `attribute_name = "ClaimedUntil"`,
	},
	{
		name: "idempotency keys are never forgotten", file: "idempotency.tf", noticed: sourcesOK,
		old: `enabled        = true`,
		new: `enabled        = false`,
	},
	{
		name: "idempotency keys have another key", file: "idempotency.tf", noticed: sourcesOK,
		old: `hash_key     = "Key"`,
		new: `hash_key     = "Digest"`,
	},
	{
		name: "idempotency keys are encrypted with AWS's key", file: "idempotency.tf", noticed: encrypts,
		old: "    enabled     = true\n    kms_key_arn = aws_kms_key.main.arn",
		new: "    enabled     = true",
	},
	{
		name: "accept can't forget a claim", file: "idempotency.tf", noticed: fitting,
		old: `["dynamodb:DeleteItem", "dynamodb:GetItem",`,
		new: `["dynamodb:GetItem",`,
	},
	{
		name: "accept may look through the keys", file: "idempotency.tf", noticed: fitting,
		old: `"dynamodb:GetItem", "dynamodb:PutItem"]`,
		new: `"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Scan"]`,
	},
	{
		name: "accept keeps keys in any table", file: "idempotency.tf", noticed: inFull,
		old: `idempotency_arns    = aws_dynamodb_table.idempotency[*].arn`,
		new: `idempotency_arns    = ["${local.arn_prefix.dynamodb}table/${var.name}*"]`,
	},
	{
		name: "a secret of a source is in the state", file: "sources.tf", scenario: "sources", noticed: sourcesOK, sample: true,
		old: `resource "aws_secretsmanager_secret" "sources" {`,
		new: "resource \"aws_secretsmanager_secret_version\" \"sources\" {\n  secret_id     = one(aws_secretsmanager_secret.sources[*].id)\n" +
			"  secret_string = \"{}\"\n}\n\nresource \"aws_secretsmanager_secret\" \"sources\" {",
	},
	{
		name: "secrets of sources are encrypted with AWS's key", file: "sources.tf", scenario: "sources", noticed: encrypts,
		old: "  kms_key_id  = aws_kms_key.main.arn\n",
		new: "",
	},
	{
		name: "accept may change secrets of sources", file: "roles.tf", scenario: "sources", noticed: fitting,
		old: `actions = ["secretsmanager:GetSecretValue"], resources`,
		new: `actions = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"], resources`,
	},
	{
		name: "accept can't read API keys", file: "roles.tf", scenario: "sources", noticed: fitting,
		old: "      { sid = \"ReadAPIKeys\", actions = [\"s3:GetObject\"], resources = [local.api_keys_arn] },\n",
		new: "",
	},
	{
		name: "accept reads every object", file: "sources.tf", scenario: "sources", noticed: "policies",
		old: `/${local.api_keys_object}"`,
		new: `/*"`,
	},
	{
		name: "API keys are looked for among the letters", file: "locals.tf", scenario: "sources", noticed: sourcesOK,
		old: `PILLARBOX_API_KEYS_OBJECT = local.api_keys_object`,
		new: `PILLARBOX_API_KEYS_OBJECT = "${local.dead_letter_prefix}api-keys.json"`,
	},
	{
		name: "the file of sources has another name", file: "sources.tf", scenario: "sources", noticed: sourcesOK,
		old: `packed_sources = "sources.yaml"`,
		new: `packed_sources = "pillarbox.yaml"`,
	},
	{
		name: "the API may call accept for one source", file: "api.tf", scenario: "sources", noticed: calledBy,
		old: `door_part = local.with_sources ? "*"`,
		new: `door_part = local.with_sources ? "app"`,
	},
	{
		name: "one source of the file is reached", file: "api.tf", scenario: "sources", noticed: "door",
		old: `path_part = local.with_sources ? "{proxy+}"`,
		new: `path_part = local.with_sources ? "app"`,
	},
	{
		name: "the log role of the account is set", file: "api.tf", noticed: accounts,
		old: "resource \"aws_api_gateway_resource\" \"source\" {",
		new: "resource \"aws_api_gateway_account\" \"logs\" {}\n\nresource \"aws_api_gateway_resource\" \"source\" {",
	},
}

// plant makes the change of a bug in a copy of the module.
func (b bug) plant(directory string) error {
	file := filepath.Join(directory, b.file)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if found := strings.Count(string(text), b.old); found != 1 {
		return fmt.Errorf("%s: the text to replace is in %s %d times, want once", b.name, b.file, found)
	}
	return os.WriteFile(file, []byte(strings.Replace(string(text), b.old, b.new, 1)), 0o644)
}

// leastBugs is how many bugs the table must hold.
const leastBugs = 40

// TestEveryBugCanBePlanted, each in the text of the module as it is now.
func TestEveryBugCanBePlanted(t *testing.T) {
	if len(bugs) < leastBugs {
		t.Errorf("%d bugs, want at least %d", len(bugs), leastBugs)
	}
	known, names := map[string]bool{}, map[string]bool{}
	for _, r := range rules {
		known[r.name] = true
	}
	for _, p := range pictures {
		known[p.name] = true
	}
	used := map[string]bool{}
	for _, b := range bugs {
		directory := t.TempDir()
		if err := copyModule(module, directory); err != nil {
			t.Fatal(err)
		}
		if err := b.plant(directory); err != nil {
			t.Error(err)
		}
		if !known[b.noticed] || names[b.name] {
			t.Errorf("%s: noticed by %q, which is none, or planted twice", b.name, b.noticed)
		}
		names[b.name], used[b.noticed] = true, true
	}
	for name := range known {
		if !used[name] && name != "policies fit" {
			t.Errorf("no bug shows that %q notices anything", name)
		}
	}
}

// TestEveryBugIsNoticed plants each bug in a copy of the module, applies it, and wants the rule or
// picture of the table to say something that it does not say without the bug.
func TestEveryBugIsNoticed(t *testing.T) {
	if *update {
		t.Skip("the pictures are written anew, and no bug must be in them")
	}
	tool, all := terraform(t), os.Getenv(bugsVariable) == "all"
	for _, b := range bugs {
		if !all && !b.sample {
			continue
		}
		t.Run(strings.ReplaceAll(b.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			name := b.scenario
			if name == "" {
				name = "defaults"
			}
			made, err := tool.apply(t, module, variablesOf(t, name), b.plant)
			if err != nil {
				t.Fatalf("can't be applied, which is no proof of a test: %v", err)
			}
			said := problems(t, name, made)
			if len(said[b.noticed]) == 0 {
				t.Fatalf("not noticed by %q; said was %v", b.noticed, said)
			}
			t.Logf("noticed by %q: %s", b.noticed, said[b.noticed][0])
		})
	}
}

func variablesOf(t *testing.T, name string) map[string]any {
	t.Helper()
	for _, sc := range scenarios {
		if sc.name == name {
			return sc.variables
		}
	}
	t.Fatalf("there is no scenario %s", name)
	return nil
}
