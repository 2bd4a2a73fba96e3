# An alarm for each thing that can go wrong. Thresholds are defaults that alarm_thresholds overrides by name.
#
# treat_missing_data: a metric that is only sent when something happens is missing when all is well (notBreaching); a
# metric that must always be there is not (breaching); where silence says nothing, the alarm keeps its state (ignore).
#
# The age of the oldest message leaves out what has been received more than three times and not deleted. An outage makes
# that of every event within the hour, and a dead letter that can't be written is that soon. So no alarm here rests on an age
# alone: queue-depth, queue-growth and queue-stuck see such events, and dead-letters-stuck such letters, because numbers of
# messages leave nothing out. Errors of deliver and deadletter would not do: both answer in part, and that is no error.

locals {
  default_thresholds = {
    api-4xx-share           = 0.2    # of requests
    api-5xx                 = 0      # requests in 5 min
    api-latency-ms          = 2000   # p99
    api-anomaly-band        = 3      # standard deviations
    function-errors         = 0      # in 5 min
    function-throttles      = 0      # in 5 min
    function-duration-share = 0.8    # of the timeout
    queue-age-s             = 900    # low
    queue-late-s            = 86400  # high
    queue-depth             = 10000  # waiting or in hand
    queue-in-flight         = 100000 # SQS hands out no more than about 120,000
    queue-growth            = 1000   # sent and not deleted, in each of six times 5 min
    queue-stuck             = 0      # handed out in 5 min of which none was deleted, for an hour
    dead-letters            = 0      # in 5 min
    dead-letters-stuck      = 0      # waiting or in hand, for an hour
    table-user-errors       = 0      # in 5 min; AWS counts them for the account and region
    table-system-errors     = 0      # in 5 min
    table-throttled         = 0      # requests in 5 min
    table-throttle-events   = 0      # in 5 min
    table-write-units       = 1000   # a second
    table-read-units        = 1000   # a second
    firewall-blocked        = 1000   # requests in 5 min
    trace-faults-percent    = 1      # of the traces in 5 min
    trace-latency-s         = 2      # average of the traces in 5 min
  }
  thresholds = merge(local.default_thresholds, var.alarm_thresholds)

  api_dimensions   = { ApiName = aws_api_gateway_rest_api.front.name, Stage = var.stage_name }
  queue_dimensions = { QueueName = aws_sqs_queue.events.name }
  dead_dimensions  = { QueueName = aws_sqs_queue.dead_letters.name }
  table_dimensions = { TableName = aws_dynamodb_table.events.name }
  trace_dimensions = { GroupName = var.name }
  table_operations = ["BatchWriteItem", "PutItem", "GetItem", "BatchGetItem", "Query", "Scan"]

  age_blind = "This age leaves out events that were received more than three times: see queue-depth, queue-growth and queue-stuck"

  # What every one-metric alarm has unless it says otherwise.
  alarm_defaults = { period = 300, periods = 1, of = 1, comparison = "GreaterThanThreshold", missing = "notBreaching" }

  alarms = merge(
    {
      api-4xx              = { priority = "low", namespace = "AWS/ApiGateway", metric = "4XXError", stat = "Average", dimensions = local.api_dimensions, threshold = local.thresholds.api-4xx-share, periods = 3, of = 3, text = "many requests are refused: a client is wrong, over its rate, or turned away" }
      api-5xx              = { priority = "high", namespace = "AWS/ApiGateway", metric = "5XXError", stat = "Sum", dimensions = local.api_dimensions, threshold = local.thresholds.api-5xx, text = "requests were not accepted, or nobody knows whether they were, and it is our fault" }
      api-latency          = { priority = "low", namespace = "AWS/ApiGateway", metric = "Latency", stat = "p99", dimensions = local.api_dimensions, threshold = local.thresholds.api-latency-ms, periods = 3, of = 3, text = "one answer in a hundred is slow" }
      queue-age            = { priority = "low", namespace = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage", stat = "Maximum", dimensions = local.queue_dimensions, threshold = local.thresholds.queue-age-s, text = "events wait; delivery is slow, or the table refuses some. ${local.age_blind}" }
      queue-late           = { priority = "high", namespace = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage", stat = "Maximum", dimensions = local.queue_dimensions, threshold = local.thresholds.queue-late-s, missing = "ignore", text = "events wait for very long; after ${local.delivery_days} days they become dead letters. ${local.age_blind}" }
      queue-in-flight      = { priority = "high", namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesNotVisible", stat = "Maximum", dimensions = local.queue_dimensions, threshold = local.thresholds.queue-in-flight, text = "SQS soon hands out no more messages: too many wait for another attempt" }
      table-user-errors    = { priority = "low", namespace = "AWS/DynamoDB", metric = "UserErrors", stat = "Sum", dimensions = {}, threshold = local.thresholds.table-user-errors, text = "DynamoDB refused requests of this account and region as malformed" }
      table-write-throttle = { priority = "high", namespace = "AWS/DynamoDB", metric = "WriteThrottleEvents", stat = "Sum", dimensions = local.table_dimensions, threshold = local.thresholds.table-throttle-events, periods = 3, of = 3, text = "writes to the table are throttled; delivery falls behind" }
      table-read-throttle  = { priority = "low", namespace = "AWS/DynamoDB", metric = "ReadThrottleEvents", stat = "Sum", dimensions = local.table_dimensions, threshold = local.thresholds.table-throttle-events, periods = 3, of = 3, text = "reads of the table are throttled" }
      table-write-units    = { priority = "low", namespace = "AWS/DynamoDB", metric = "ConsumedWriteCapacityUnits", stat = "Sum", dimensions = local.table_dimensions, threshold = 300 * local.thresholds.table-write-units, text = "the table is written to more than expected" }
      table-read-units     = { priority = "low", namespace = "AWS/DynamoDB", metric = "ConsumedReadCapacityUnits", stat = "Sum", dimensions = local.table_dimensions, threshold = 300 * local.thresholds.table-read-units, text = "the table is read more than expected" }
    },
    { for role, function in local.functions : "${role}-errors" => {
      priority  = role == "accept" ? "high" : "low", namespace = "AWS/Lambda", metric = "Errors", stat = "Sum", dimensions = { FunctionName = "${var.name}-${role}" },
      threshold = local.thresholds.function-errors, periods = role == "accept" ? 1 : 3, of = role == "accept" ? 1 : 3, text = "the function ${role} fails; its log says why"
    } },
    { for role, function in local.functions : "${role}-throttles" => {
      priority  = role == "accept" ? "high" : "low", namespace = "AWS/Lambda", metric = "Throttles", stat = "Sum", dimensions = { FunctionName = "${var.name}-${role}" },
      threshold = local.thresholds.function-throttles, text = "the function ${role} is throttled: raise its concurrency or the account's"
    } },
    { for role, function in local.functions : "${role}-duration" => {
      priority  = "low", namespace = "AWS/Lambda", metric = "Duration", stat = "Maximum", dimensions = { FunctionName = "${var.name}-${role}" },
      threshold = floor(1000 * function.timeout * local.thresholds.function-duration-share), text = "the function ${role} comes near its timeout of ${function.timeout} s"
    } },
    { for name, alarm in {
      index-write-throttle = { priority = "high", namespace = "AWS/DynamoDB", metric = "WriteThrottleEvents", stat = "Sum", dimensions = merge(local.table_dimensions, { GlobalSecondaryIndexName = local.time_index_name }), threshold = local.thresholds.table-throttle-events, periods = 3, of = 3, text = "writes to the time index are throttled, and hold up the table: raise time_index_shards" }
    } : name => alarm if var.time_index },
    { for name, alarm in {
      firewall-blocked = { priority = "low", namespace = "AWS/WAFV2", metric = "BlockedRequests", stat = "Sum", dimensions = { WebACL = var.name, Region = local.region, Rule = "ALL" }, threshold = local.thresholds.firewall-blocked, text = "the firewall turns many requests away" }
    } : name => alarm if var.waf && !var.cloudfront },
    # Traces are a sample, so these see what is frequent. A trace goes from the door to the table, which no other metric does.
    {
      trace-faults  = { priority = "low", namespace = "AWS/X-Ray", metric = "FaultRate", stat = "Average", dimensions = local.trace_dimensions, threshold = local.thresholds.trace-faults-percent, periods = 3, of = 3, text = "traces hold faults; X-Ray shows in which part" }
      trace-latency = { priority = "low", namespace = "AWS/X-Ray", metric = "ResponseTime", stat = "Average", dimensions = local.trace_dimensions, threshold = local.thresholds.trace-latency-s, periods = 3, of = 3, text = "traces are slow; X-Ray shows in which part" }
    },
    # AWS Backup tells of jobs that end badly, and of none that never begin.
    { for name, alarm in {
      backup-missing = { priority = "high", namespace = "AWS/Backup", metric = "NumberOfBackupJobsCompleted", stat = "Sum", dimensions = { BackupVaultName = var.name }, threshold = 1, period = local.day, periods = 2, of = 2, comparison = "LessThanThreshold", missing = "breaching", text = "for two days no backup of the table was made" }
    } : name => alarm if var.backup },
    { for name, alarm in {
      canary-errors  = { priority = "high", namespace = "AWS/Lambda", metric = "Errors", stat = "Sum", dimensions = { FunctionName = "${var.name}-canary" }, threshold = 0, period = 60 * var.canary_minutes, periods = 2, of = 2, text = "a posted event can't be read back from the table" }
      canary-missing = { priority = "high", namespace = "AWS/Lambda", metric = "Invocations", stat = "Sum", dimensions = { FunctionName = "${var.name}-canary" }, threshold = 1, period = 60 * var.canary_minutes, periods = 3, of = 3, comparison = "LessThanThreshold", missing = "breaching", text = "the canary does not run" }
    } : name => alarm if var.canary },
  )
}

resource "aws_cloudwatch_metric_alarm" "metric" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${upper(each.value.priority)}: ${each.value.text}"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.stat, "p") ? null : each.value.stat
  extended_statistic  = startswith(each.value.stat, "p") ? each.value.stat : null
  period              = try(each.value.period, local.alarm_defaults.period)
  evaluation_periods  = try(each.value.of, local.alarm_defaults.of)
  datapoints_to_alarm = try(each.value.periods, local.alarm_defaults.periods)
  comparison_operator = try(each.value.comparison, local.alarm_defaults.comparison)
  threshold           = each.value.threshold
  treat_missing_data  = try(each.value.missing, local.alarm_defaults.missing)

  evaluate_low_sample_count_percentiles = startswith(each.value.stat, "p") ? "ignore" : null

  alarm_actions = [aws_sns_topic.alarms[each.value.priority].arn]
  ok_actions    = [aws_sns_topic.alarms[each.value.priority].arn]
  tags          = { Priority = each.value.priority }
}

# Too few or too many requests, against what is usual at this hour of the week. CloudWatch learns for up to two weeks.
# No request at all is no data point: where requests always come, that is an alarm of its own, by the canary.
resource "aws_cloudwatch_metric_alarm" "requests" {
  for_each = {
    few  = { comparison = "LessThanLowerThreshold", text = "fewer requests than usual: can clients reach us?" }
    many = { comparison = "GreaterThanUpperThreshold", text = "more requests than usual" }
  }

  alarm_name          = "${var.name}-requests-${each.key}"
  alarm_description   = "LOW: ${each.value.text}"
  comparison_operator = each.value.comparison
  threshold_metric_id = "band"
  evaluation_periods  = 3
  datapoints_to_alarm = 3
  treat_missing_data  = "ignore"

  metric_query {
    id          = "count"
    return_data = true
    metric {
      namespace   = "AWS/ApiGateway"
      metric_name = "Count"
      dimensions  = local.api_dimensions
      stat        = "SampleCount"
      period      = 300
    }
  }
  metric_query {
    id          = "band"
    label       = "usual"
    expression  = "ANOMALY_DETECTION_BAND(count, ${local.thresholds.api-anomaly-band})"
    return_data = true
  }

  alarm_actions = [aws_sns_topic.alarms["low"].arn]
  ok_actions    = [aws_sns_topic.alarms["low"].arn]
  tags          = { Priority = "low" }
}

locals {
  # Every alarm of the stack's own region.
  every_alarm = concat(values(aws_cloudwatch_metric_alarm.metric), values(aws_cloudwatch_metric_alarm.math), values(aws_cloudwatch_metric_alarm.requests))
}

# Alarms over several metrics. SUM(METRICS()) adds up those that have data: DynamoDB sends nothing for an operation without
# an error, and a "+" with such a one would have no result. { name = { expression, metrics = { id = [namespace, metric, stat, dimensions] } } }
locals {
  math_alarms = {
    # What dies by SQS's own hand is not counted as sent, and the bucket takes it away at once: so count what was handed
    # out, and what lies there.
    dead-letters = {
      priority   = "high", periods = 1, threshold = local.thresholds.dead-letters, text = "events became dead letters; `pillarbox dead list` shows them with their reasons"
      expression = "SUM(METRICS())"
      metrics = {
        received = ["AWS/SQS", "NumberOfMessagesReceived", "Sum", local.dead_dimensions]
        waiting  = ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", local.dead_dimensions]
      }
    }
    # A letter that can't be written is hidden for six timeouts, comes back, and is hidden again: only both numbers
    # together show that it is there, and only of the same minute, which is how often SQS tells them. The few minutes that
    # may be missing are for numbers that are approximate. No number at all means that nothing has been there for hours.
    dead-letters-stuck = {
      priority   = "high", period = 60, of = 60, periods = 55, threshold = local.thresholds.dead-letters-stuck
      text       = "for an hour dead letters have not reached the bucket; the oldest may have only ${var.dead_letter_reserve_days} days left"
      expression = "SUM(METRICS())"
      metrics = {
        waiting = ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "Minimum", local.dead_dimensions]
        in_hand = ["AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "Minimum", local.dead_dimensions]
      }
    }
    # Events that wait for another attempt are hidden, so what is visible is not all. Averages may be added up.
    queue-depth = {
      priority   = "low", periods = 3, threshold = local.thresholds.queue-depth, text = "many events wait, for the first attempt or for another"
      expression = "SUM(METRICS())"
      metrics = {
        waiting = ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "Average", local.queue_dimensions]
        in_hand = ["AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "Average", local.queue_dimensions]
      }
    }
    # What a whole outage of the table looks like, also where few events come. With no traffic there is no data above zero.
    queue-stuck = {
      priority   = "high", periods = 12, threshold = local.thresholds.queue-stuck, text = "for an hour events were handed out and not one was delivered"
      expression = "IF(FILL(deleted, 0) > 0, 0, received)"
      metrics = {
        received = ["AWS/SQS", "NumberOfMessagesReceived", "Sum", local.queue_dimensions]
        deleted  = ["AWS/SQS", "NumberOfMessagesDeleted", "Sum", local.queue_dimensions]
      }
    }
    # Sent against deleted: what comes in and does not go out.
    queue-growth = {
      priority   = "low", periods = 6, threshold = local.thresholds.queue-growth, text = "delivery falls behind: for half an hour more events came than were delivered"
      expression = "sent - FILL(deleted, 0)"
      metrics = {
        sent    = ["AWS/SQS", "NumberOfMessagesSent", "Sum", local.queue_dimensions]
        deleted = ["AWS/SQS", "NumberOfMessagesDeleted", "Sum", local.queue_dimensions]
      }
    }
    table-system-errors = {
      priority   = "low", periods = 3, threshold = local.thresholds.table-system-errors, text = "DynamoDB has faults of its own; events wait in the queue"
      expression = "SUM(METRICS())"
      metrics    = { for operation in local.table_operations : lower(operation) => ["AWS/DynamoDB", "SystemErrors", "Sum", merge(local.table_dimensions, { Operation = operation })] }
    }
    table-throttled = {
      priority   = "high", periods = 3, threshold = local.thresholds.table-throttled, text = "requests to the table are throttled"
      expression = "SUM(METRICS())"
      metrics    = { for operation in local.table_operations : lower(operation) => ["AWS/DynamoDB", "ThrottledRequests", "Sum", merge(local.table_dimensions, { Operation = operation })] }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "math" {
  for_each = local.math_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${upper(each.value.priority)}: ${each.value.text}"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  evaluation_periods  = try(each.value.of, each.value.periods)
  datapoints_to_alarm = each.value.periods
  treat_missing_data  = "notBreaching"

  metric_query {
    id          = "result"
    label       = each.key
    expression  = each.value.expression
    return_data = true
  }
  dynamic "metric_query" {
    for_each = each.value.metrics
    content {
      id          = metric_query.key
      return_data = false
      metric {
        namespace   = metric_query.value[0]
        metric_name = metric_query.value[1]
        stat        = metric_query.value[2]
        dimensions  = metric_query.value[3]
        period      = try(each.value.period, local.alarm_defaults.period)
      }
    }
  }

  alarm_actions = [aws_sns_topic.alarms[each.value.priority].arn]
  ok_actions    = [aws_sns_topic.alarms[each.value.priority].arn]
  tags          = { Priority = each.value.priority }
}
