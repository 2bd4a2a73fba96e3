# Every variable that has a rule, against the rule. tests/messages sees that each says its own message.

run "each_is_refused" {
  command = plan

  variables {
    name                            = "Pillarbox"
    region                          = "London"
    tags                            = { ManagedBy = "other" }
    tag_key                         = "aws:x"
    environment                     = "a,b"
    people                          = ["arn:aws:iam::123456789012:root"]
    table_name                      = "a b"
    api_logs                        = "yes"
    kms_deletion_window_days        = 6
    log_level                       = "loud"
    log_retention_days              = 91
    functions_zip                   = "no-such.zip"
    accept_zip                      = "no-such.zip"
    deliver_zip                     = "no-such.zip"
    deadletter_zip                  = "no-such.zip"
    sources_file                    = "no-such.yaml"
    max_body_bytes                  = 0
    accept_memory_mb                = 127
    accept_timeout_seconds          = 29
    accept_reserved_concurrency     = -2
    accept_provisioned_concurrency  = -1
    deliver_memory_mb               = 10241
    deliver_timeout_seconds         = 901
    deliver_reserved_concurrency    = 0.5
    deliver_maximum_concurrency     = 1
    deliver_batch_size              = 10001
    deliver_batch_window_seconds    = 301
    deadletter_memory_mb            = 64
    deadletter_timeout_seconds      = 1
    deadletter_reserved_concurrency = -2
    deadletter_maximum_concurrency  = 1001
    deadletter_batch_size           = 11
    queue_retention_days            = 15
    dead_letter_reserve_days        = 0
    max_receive_count               = 4
    time_index_projection           = "SOME"
    time_index_shards               = 0
    table_capacity                  = "free"
    table_read_min                  = 0
    table_read_max                  = 0
    table_write_min                 = 0
    table_write_max                 = 0
    table_target_percent            = 95
    replica_regions                 = ["eu-west-1", "eu-west-1"]
    dead_letter_infrequent_days     = 29
    dead_letter_noncurrent_days     = 29
    backup_daily_days               = 0
    backup_monthly_days             = 90
    backup_cold_after_days          = 0
    source_name                     = "/app"
    stage_name                      = "a/b"
    throttle_per_second             = 0
    throttle_burst                  = 0
    api_keys                        = ["Alice"]
    api_key_per_second              = 0
    api_key_burst                   = 0
    api_key_daily_quota             = -1
    ip_allow_list                   = ["203.0.113.7"]
    authorizer                      = "jwt"
    cognito_user_pool_arns          = ["pool"]
    cognito_scopes                  = [""]
    authorizer_function_arn         = "check"
    domain_name                     = "https://events.example.com"
    zone_id                         = "example.com"
    certificate_arn                 = "mine"
    direct_content_types            = ["application/json; charset=utf-8"]
    waf_requests_per_5_minutes      = 9
    alarm_emails_high               = ["nobody"]
    alarm_emails_low                = ["a@b"]
    alarm_thresholds                = { queue-depth = -1 }
    budget_monthly_usd              = -1
    canary_minutes                  = 0
    canary_wait_seconds             = 601
    canary_runtime                  = "nodejs22.x"
    vpc_cidr                        = "10.90.0.0/28"
    vpc_zones                       = ["a"]
    pipeline_subjects               = { functions = ["*"] }
    pipeline_issuer                 = "http://issuer.example.com"
    pipeline_audience               = ""
    pipeline_provider_arn           = "github"
    pipeline_state_bucket_arn       = "state"
  }

  expect_failures = [
    var.name,
    var.region,
    var.tags,
    var.tag_key,
    var.environment,
    var.people,
    var.table_name,
    var.api_logs,
    var.kms_deletion_window_days,
    var.log_level,
    var.log_retention_days,
    var.functions_zip,
    var.accept_zip,
    var.deliver_zip,
    var.deadletter_zip,
    var.sources_file,
    var.max_body_bytes,
    var.accept_memory_mb,
    var.accept_timeout_seconds,
    var.accept_reserved_concurrency,
    var.accept_provisioned_concurrency,
    var.deliver_memory_mb,
    var.deliver_timeout_seconds,
    var.deliver_reserved_concurrency,
    var.deliver_maximum_concurrency,
    var.deliver_batch_size,
    var.deliver_batch_window_seconds,
    var.deadletter_memory_mb,
    var.deadletter_timeout_seconds,
    var.deadletter_reserved_concurrency,
    var.deadletter_maximum_concurrency,
    var.deadletter_batch_size,
    var.queue_retention_days,
    var.dead_letter_reserve_days,
    var.max_receive_count,
    var.time_index_projection,
    var.time_index_shards,
    var.table_capacity,
    var.table_read_min,
    var.table_read_max,
    var.table_write_min,
    var.table_write_max,
    var.table_target_percent,
    var.replica_regions,
    var.dead_letter_infrequent_days,
    var.dead_letter_noncurrent_days,
    var.backup_daily_days,
    var.backup_monthly_days,
    var.backup_cold_after_days,
    var.source_name,
    var.stage_name,
    var.throttle_per_second,
    var.throttle_burst,
    var.api_keys,
    var.api_key_per_second,
    var.api_key_burst,
    var.api_key_daily_quota,
    var.ip_allow_list,
    var.authorizer,
    var.cognito_user_pool_arns,
    var.cognito_scopes,
    var.authorizer_function_arn,
    var.domain_name,
    var.zone_id,
    var.certificate_arn,
    var.direct_content_types,
    var.waf_requests_per_5_minutes,
    var.alarm_emails_high,
    var.alarm_emails_low,
    var.alarm_thresholds,
    var.budget_monthly_usd,
    var.canary_minutes,
    var.canary_wait_seconds,
    var.canary_runtime,
    var.vpc_cidr,
    var.vpc_zones,
    var.pipeline_subjects,
    var.pipeline_issuer,
    var.pipeline_audience,
    var.pipeline_provider_arn,
    var.pipeline_state_bucket_arn,
  ]
}
