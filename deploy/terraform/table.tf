# The table of events. The key is (Timestamp, RequestId): a second write of the same event finds the first.
#
# The whole timestamp is the partition key, which spreads writes evenly and makes reading by time a scan. The time index
# is for that: TimeBucket is the hour and a shard ("2026-11-23T14#3"), TimeSort is the whole key ("<Timestamp>#<RequestId>"),
# so that order is total and a page can go on after any event. A bucket takes 1,000 writes a second for each shard.

locals {
  # A table that is restored has another name, and takes the place of the first by table_name. No name of a stack has a dot,
  # so "pillarbox-events.*" is nobody else's.
  table_name      = coalesce(var.table_name, "${var.name}-events")
  restored_tables = "${local.arn_prefix.dynamodb}table/${var.name}-events.*"
  time_index_name = "TimeIndex"
  provisioned     = var.table_capacity == "provisioned"

  table_attributes = concat(
    ["Timestamp", "RequestId"],
    var.time_index ? ["TimeBucket", "TimeSort"] : [],
  )
}

resource "aws_dynamodb_table" "events" {
  name      = local.table_name
  hash_key  = "Timestamp"
  range_key = "RequestId"

  billing_mode   = local.provisioned ? "PROVISIONED" : "PAY_PER_REQUEST"
  read_capacity  = local.provisioned ? var.table_read_min : null
  write_capacity = local.provisioned ? var.table_write_min : null

  # Global tables are kept in step by the stream.
  stream_enabled   = length(var.replica_regions) > 0
  stream_view_type = length(var.replica_regions) > 0 ? "NEW_AND_OLD_IMAGES" : null

  deletion_protection_enabled = var.protect

  dynamic "attribute" {
    for_each = local.table_attributes
    content {
      name = attribute.value
      type = "S"
    }
  }

  dynamic "global_secondary_index" {
    for_each = var.time_index ? [local.time_index_name] : []
    content {
      name            = global_secondary_index.value
      hash_key        = "TimeBucket"
      range_key       = "TimeSort"
      projection_type = var.time_index_projection
      read_capacity   = local.provisioned ? var.table_read_min : null
      write_capacity  = local.provisioned ? var.table_write_min : null
    }
  }

  point_in_time_recovery {
    enabled                 = true
    recovery_period_in_days = 35
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = aws_kms_key.main.arn
  }

  dynamic "replica" {
    for_each = toset(var.replica_regions)
    content {
      region_name                 = replica.value
      kms_key_arn                 = aws_kms_key.replica[replica.value].arn
      point_in_time_recovery      = true
      deletion_protection_enabled = var.protect
      propagate_tags              = true
    }
  }

  lifecycle {
    # Autoscaling moves them. That of the index can't be named here: an apply sets it back to the minimum for a moment.
    ignore_changes = [read_capacity, write_capacity]
  }
}

locals {
  scaled = !local.provisioned ? {} : merge(
    {
      table-read  = { resource = "table/${aws_dynamodb_table.events.name}", dimension = "dynamodb:table:ReadCapacityUnits", metric = "DynamoDBReadCapacityUtilization", min = var.table_read_min, max = var.table_read_max }
      table-write = { resource = "table/${aws_dynamodb_table.events.name}", dimension = "dynamodb:table:WriteCapacityUnits", metric = "DynamoDBWriteCapacityUtilization", min = var.table_write_min, max = var.table_write_max }
    },
    !var.time_index ? {} : {
      index-read  = { resource = "table/${aws_dynamodb_table.events.name}/index/${local.time_index_name}", dimension = "dynamodb:index:ReadCapacityUnits", metric = "DynamoDBReadCapacityUtilization", min = var.table_read_min, max = var.table_read_max }
      index-write = { resource = "table/${aws_dynamodb_table.events.name}/index/${local.time_index_name}", dimension = "dynamodb:index:WriteCapacityUnits", metric = "DynamoDBWriteCapacityUtilization", min = var.table_write_min, max = var.table_write_max }
    },
  )
}

resource "aws_appautoscaling_target" "table" {
  for_each = local.scaled

  service_namespace  = "dynamodb"
  resource_id        = each.value.resource
  scalable_dimension = each.value.dimension
  min_capacity       = each.value.min
  max_capacity       = each.value.max
}

resource "aws_appautoscaling_policy" "table" {
  for_each = local.scaled

  name               = "${var.name}-${each.key}"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.table[each.key].service_namespace
  resource_id        = aws_appautoscaling_target.table[each.key].resource_id
  scalable_dimension = aws_appautoscaling_target.table[each.key].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value = var.table_target_percent

    predefined_metric_specification {
      predefined_metric_type = each.value.metric
    }
  }
}
