locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  # The resource group, the budget and the pipeline find everything by the first of these tags.
  tags = merge(
    var.tags,
    { (var.tag_key) = var.name, ManagedBy = "terraform" },
    var.environment == "" ? {} : { Environment = var.environment },
  )

  day = 24 * 60 * 60

  # ARNs of things whose names are chosen here. Policies use them where a reference would make a circle.
  arn_prefix = {
    for service in ["dynamodb", "ec2", "lambda", "logs", "scheduler"] :
    service => "arn:${local.partition}:${service}:${local.region}:${local.account}:"
  }

  # The functions that exist. With direct = true, API Gateway takes the place of accept.
  roles = var.direct ? ["deliver", "deadletter"] : ["accept", "deliver", "deadletter"]

  functions = { for role, function in local.all_functions : role => function if contains(local.roles, role) }

  all_functions = {
    accept = {
      zip         = coalesce(var.accept_zip, var.functions_zip)
      memory_mb   = var.accept_memory_mb
      timeout     = var.accept_timeout_seconds
      reserved    = var.accept_reserved_concurrency
      description = "Accepts requests and puts them into the queue"
      environment = merge(
        { PILLARBOX_SQS_QUEUE_URL = aws_sqs_queue.events.url },
        local.with_sources ? {} : { PILLARBOX_SOURCE_PATH = "/${var.source_name}" },
        !local.with_sources ? {} : {
          PILLARBOX_SOURCES_FILE    = local.packed_sources
          PILLARBOX_SECRETS         = aws_secretsmanager_secret.sources[0].arn
          PILLARBOX_API_KEYS_BUCKET = aws_s3_bucket.dead_letters.bucket
          PILLARBOX_API_KEYS_OBJECT = local.api_keys_object
        },
        !local.remembers_keys ? {} : { PILLARBOX_IDEMPOTENCY_TABLE = aws_dynamodb_table.idempotency[0].name },
        var.max_body_bytes == null ? {} : { PILLARBOX_MAX_BODY = tostring(var.max_body_bytes) },
      )
    }
    deliver = {
      zip         = coalesce(var.deliver_zip, var.functions_zip)
      memory_mb   = var.deliver_memory_mb
      timeout     = var.deliver_timeout_seconds
      reserved    = var.deliver_reserved_concurrency
      description = "Delivers events from the queue to the table"
      environment = {
        PILLARBOX_SQS_QUEUE_URL             = aws_sqs_queue.events.url
        PILLARBOX_SQS_DEAD_LETTER_QUEUE_URL = aws_sqs_queue.dead_letters.url
        PILLARBOX_DYNAMODB_TABLE            = aws_dynamodb_table.events.name
        PILLARBOX_DYNAMODB_TIME_INDEX       = var.time_index ? local.time_index_name : ""
        PILLARBOX_DYNAMODB_TIME_SHARDS      = tostring(var.time_index_shards)
        PILLARBOX_MAX_RECEIVES              = tostring(var.max_receive_count)
        PILLARBOX_MAX_RETRY_WAIT            = "${local.max_retry_wait_seconds}s"
        PILLARBOX_MAX_AGE                   = "${local.delivery_days * 24}h"
      }
    }
    deadletter = {
      zip         = coalesce(var.deadletter_zip, var.functions_zip)
      memory_mb   = var.deadletter_memory_mb
      timeout     = var.deadletter_timeout_seconds
      reserved    = var.deadletter_reserved_concurrency
      description = "Writes dead letters from the dead-letter queue to the bucket"
      environment = {
        PILLARBOX_DEAD_LETTER_BUCKET = aws_s3_bucket.dead_letters.bucket
        PILLARBOX_DEAD_LETTER_PREFIX = local.dead_letter_prefix
      }
    }
  }
}
