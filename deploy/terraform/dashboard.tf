# One page: what comes in, what waits, what is stored, what died, and which alarms ring. Rows of three graphs.

locals {
  graphs = [
    { title = "Requests", stat = "Sum", metrics = [
      ["AWS/ApiGateway", "Count", "ApiName", var.name, "Stage", var.stage_name, { label = "all" }],
      ["AWS/ApiGateway", "4XXError", "ApiName", var.name, "Stage", var.stage_name, { label = "4xx" }],
      ["AWS/ApiGateway", "5XXError", "ApiName", var.name, "Stage", var.stage_name, { label = "5xx" }],
    ] },
    { title = "Answer in ms", stat = "p99", metrics = [
      ["AWS/ApiGateway", "Latency", "ApiName", var.name, "Stage", var.stage_name, { label = "p99" }],
      ["AWS/ApiGateway", "Latency", "ApiName", var.name, "Stage", var.stage_name, { label = "p50", stat = "p50" }],
      ["AWS/ApiGateway", "IntegrationLatency", "ApiName", var.name, "Stage", var.stage_name, { label = "behind the door, p99" }],
    ] },
    { title = "Sent and deleted", stat = "Sum", metrics = [
      ["AWS/SQS", "NumberOfMessagesSent", "QueueName", aws_sqs_queue.events.name, { label = "sent" }],
      ["AWS/SQS", "NumberOfMessagesReceived", "QueueName", aws_sqs_queue.events.name, { label = "received" }],
      ["AWS/SQS", "NumberOfMessagesDeleted", "QueueName", aws_sqs_queue.events.name, { label = "deleted" }],
    ] },
    { title = "Waiting events", stat = "Maximum", metrics = [
      ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", aws_sqs_queue.events.name, { label = "waiting" }],
      ["AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "QueueName", aws_sqs_queue.events.name, { label = "in hand" }],
    ] },
    { title = "Age of the oldest in s, received 3 times at most", stat = "Maximum", metrics = [
      ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", aws_sqs_queue.events.name, { label = "queue" }],
      ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", aws_sqs_queue.dead_letters.name, { label = "dead-letter queue" }],
    ] },
    { title = "Dead letters", stat = "Sum", metrics = [
      ["AWS/SQS", "NumberOfMessagesReceived", "QueueName", aws_sqs_queue.dead_letters.name, { label = "handed out" }],
      ["AWS/SQS", "NumberOfMessagesDeleted", "QueueName", aws_sqs_queue.dead_letters.name, { label = "written to the bucket" }],
      ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", aws_sqs_queue.dead_letters.name, { label = "waiting", stat = "Maximum" }],
      ["AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "QueueName", aws_sqs_queue.dead_letters.name, { label = "in hand", stat = "Maximum" }],
    ] },
    { title = "Function errors and throttles", stat = "Sum", metrics = concat(
      [for role in local.roles : ["AWS/Lambda", "Errors", "FunctionName", "${var.name}-${role}", { label = "${role} errors" }]],
      [for role in local.roles : ["AWS/Lambda", "Throttles", "FunctionName", "${var.name}-${role}", { label = "${role} throttles" }]],
    ) },
    { title = "Function duration in ms", stat = "Maximum", metrics = [for role in local.roles : ["AWS/Lambda", "Duration", "FunctionName", "${var.name}-${role}", { label = role }]] },
    { title = "Functions at once", stat = "Maximum", metrics = [for role in local.roles : ["AWS/Lambda", "ConcurrentExecutions", "FunctionName", "${var.name}-${role}", { label = role }]] },
    { title = "Table capacity", stat = "Sum", metrics = [
      ["AWS/DynamoDB", "ConsumedWriteCapacityUnits", "TableName", aws_dynamodb_table.events.name, { label = "written" }],
      ["AWS/DynamoDB", "ConsumedReadCapacityUnits", "TableName", aws_dynamodb_table.events.name, { label = "read" }],
    ] },
    { title = "Table throttles", stat = "Sum", metrics = [
      ["AWS/DynamoDB", "WriteThrottleEvents", "TableName", aws_dynamodb_table.events.name, { label = "writes" }],
      ["AWS/DynamoDB", "ReadThrottleEvents", "TableName", aws_dynamodb_table.events.name, { label = "reads" }],
    ] },
    { title = "Table answers in ms", stat = "p99", metrics = [
      ["AWS/DynamoDB", "SuccessfulRequestLatency", "TableName", aws_dynamodb_table.events.name, "Operation", "BatchWriteItem", { label = "batch write" }],
      ["AWS/DynamoDB", "SuccessfulRequestLatency", "TableName", aws_dynamodb_table.events.name, "Operation", "Query", { label = "query" }],
    ] },
  ]
}

resource "aws_cloudwatch_dashboard" "main" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type = "alarm", x = 0, y = 0, width = 24, height = 4
        properties = {
          title  = "Alarms"
          alarms = [for alarm in local.every_alarm : alarm.arn]
        }
      }],
      [for index, graph in local.graphs : {
        type = "metric", x = 8 * (index % 3), y = 4 + 6 * floor(index / 3), width = 8, height = 6
        properties = {
          title = graph.title, region = local.region, view = "timeSeries", period = 300, stat = graph.stat, metrics = graph.metrics
          yAxis = { left = { min = 0 } }
        }
      }],
    )
  })
}
