output "url" {
  description = "Post here"
  value       = "${local.url}/${var.source_name}"
}

output "api_url" {
  description = "The address that AWS gives the API, with its stage"
  value       = local.own_url
}

output "region" {
  description = "The region of the stack"
  value       = local.region
}

output "queue_url" {
  description = "The queue"
  value       = aws_sqs_queue.events.url
}

output "dead_letter_queue_url" {
  description = "The dead-letter queue"
  value       = aws_sqs_queue.dead_letters.url
}

output "table" {
  description = "The table of events"
  value       = aws_dynamodb_table.events.name
}

output "idempotency_table" {
  description = "The table of idempotency keys; null where there is none"
  value       = one(aws_dynamodb_table.idempotency[*].name)
}

output "sources_secret" {
  description = "The secret that holds what the file of sources refers to; null where there is no file"
  value       = one(aws_secretsmanager_secret.sources[*].name)
}

output "time_index" {
  description = "The index of the table by time; null where there is none"
  value       = var.time_index ? local.time_index_name : null
}

output "dead_letter_bucket" {
  description = "The bucket of dead letters"
  value       = aws_s3_bucket.dead_letters.bucket
}

output "key_arn" {
  description = "The key that encrypts everything"
  value       = aws_kms_key.main.arn
}

output "operate_policy_arn" {
  description = "Attach it to whoever runs the command line or `pillarbox serve` on this stack"
  value       = aws_iam_policy.operate.arn
}

output "restore_policy_arn" {
  description = "Attach it to whoever restores the table, letters or the key of this stack"
  value       = aws_iam_policy.restore.arn
}

output "people_role_arn" {
  description = "The role for people, with a second factor; null where there is none"
  value       = one(aws_iam_role.people[*].arn)
}

output "functions" {
  description = "The functions, by role"
  value       = { for role, function in aws_lambda_function.role : role => function.function_name }
}

output "alarm_topics" {
  description = "The topics of alarms, by priority, and that of backups"
  value       = { for priority, topic in aws_sns_topic.alarms : priority => topic.arn }
}

output "dashboard_url" {
  description = "The dashboard"
  value       = "https://${local.region}.console.aws.amazon.com/cloudwatch/home?region=${local.region}#dashboards/dashboard/${var.name}"
}

output "api_key_values" {
  description = "The API keys by name, for the header X-Api-Key"
  value       = { for name, key in aws_api_gateway_api_key.client : name => key.value }
  sensitive   = true
}

output "token_client" {
  description = "Where and as whom a client gets a token, if the stack made a user pool"
  sensitive   = true
  value = local.make_pool ? {
    url    = "https://${aws_cognito_user_pool_domain.clients[0].domain}.auth.${local.region}.amazoncognito.com/oauth2/token"
    id     = aws_cognito_user_pool_client.client[0].id
    secret = aws_cognito_user_pool_client.client[0].client_secret
    scope  = "${local.cognito_identifier}/post"
  } : null
}

output "pipeline_roles" {
  description = "The roles of the pipeline"
  value       = { for role, made in aws_iam_role.pipeline : role => made.arn }
}

# The sources of a server on this stack: it delivers their events. Where a file has rules for them, which need their secrets,
# nobody comes in by such a server, unless they are put there.
locals {
  served_names   = local.with_sources ? keys(local.source_rules) : [var.source_name]
  served_sources = { for name in local.served_names : name => { path = try(local.source_rules[name].path, "/${name}"), deny = local.with_sources ? ["0.0.0.0/0", "::/0"] : [] } }
}

# The part of a configuration file that points `pillarbox serve` at this stack.
output "serve_config" {
  description = "A configuration file for `pillarbox serve`"
  value       = <<-YAML
    queue: { url: "${replace(aws_sqs_queue.events.url, "https://", "sqs://")}", max_age: ${local.delivery_days}d }
    idempotency: { url: "${local.idempotency_url}" }
    api_keys: { url: "${local.api_keys_url}" }
    sources: ${jsonencode(local.served_sources)}
    destinations:
      ${local.destination_name}: { url: "dynamodb://${local.region}/${aws_dynamodb_table.events.name}${var.time_index ? "?index=${local.time_index_name}&shards=${var.time_index_shards}" : ""}", sources: ${jsonencode(local.served_names)}, max_attempts: ${var.max_receive_count} }
    dead_letters: { url: "s3://${aws_s3_bucket.dead_letters.bucket}/${trimsuffix(local.dead_letter_prefix, "/")}?region=${local.region}" }
    bodies: { url: "s3://${aws_s3_bucket.dead_letters.bucket}/${trimsuffix(local.bodies_prefix, "/")}?region=${local.region}" }
  YAML
}
