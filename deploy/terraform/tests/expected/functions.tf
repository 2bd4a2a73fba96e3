# The policies of what runs. Each statement: whether it allows, what, on what, on which conditions.

locals {
  every_function = {
    for role in ["accept", "deliver", "deadletter", "canary"] : role => [
      "Allow kms:Decrypt on ${var.key} if StringEquals kms:EncryptionContext:aws:lambda:FunctionArn arn:aws:lambda:eu-west-2:123456789012:function:pillarbox-${role}",
      "Allow logs:CreateLogStream logs:PutLogEvents on arn:aws:logs:eu-west-2:123456789012:log-group:/aws/lambda/pillarbox-${role}:*",
      "Allow xray:PutTelemetryRecords xray:PutTraceSegments on *",
    ]
  }

  interfaces = "ec2:AssignPrivateIpAddresses ec2:CreateNetworkInterface ec2:DeleteNetworkInterface ec2:DescribeNetworkInterfaces ec2:DescribeSubnets ec2:UnassignPrivateIpAddresses on *"
  in_network = {
    for role in ["accept", "deliver", "deadletter"] : role => [
      "Allow ${local.interfaces}",
      "Deny ${local.interfaces} if ArnEquals lambda:SourceFunctionArn arn:aws:lambda:eu-west-2:123456789012:function:pillarbox-${role}",
    ] if contains(var.options, "vpc")
  }

  work = {
    accept = [
      "Allow sqs:GetQueueAttributes sqs:SendMessage on ${local.queue}",
      "Allow s3:PutObject on ${local.bucket}/bodies/*",
      "Allow kms:Decrypt kms:GenerateDataKey on ${var.key} if StringEquals kms:ViaService s3.eu-west-2.amazonaws.com,sqs.eu-west-2.amazonaws.com",
    ]
    deliver = [
      "Allow sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage on ${local.queue}",
      "Allow sqs:SendMessage on ${local.dead}",
      "Allow sqs:SendMessage on ${local.queue}",
      "Allow s3:GetObject s3:PutObject on ${local.bucket}/bodies/*",
      "Allow s3:ListBucket on ${local.bucket}",
      "Allow dynamodb:BatchWriteItem dynamodb:PutItem on ${local.table}",
      "Allow kms:Decrypt kms:GenerateDataKey on ${var.key} if StringEquals kms:ViaService dynamodb.eu-west-2.amazonaws.com,s3.eu-west-2.amazonaws.com,sqs.eu-west-2.amazonaws.com",
    ]
    deadletter = [
      "Allow sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage on ${local.dead}",
      "Allow s3:PutObject on ${local.bucket}/dead-letters/*",
      "Allow s3:GetObject on ${local.bucket}/bodies/*",
      "Allow s3:ListBucket on ${local.bucket}",
      "Allow kms:Decrypt kms:GenerateDataKey on ${var.key} if StringEquals kms:ViaService s3.eu-west-2.amazonaws.com,sqs.eu-west-2.amazonaws.com",
    ]
  }

  functions = {
    for role, work in local.work : "function ${role}" => concat(work, local.every_function[role], lookup(local.in_network, role, []))
    if role != "accept" || !contains(var.options, "direct")
  }

  canary = { for name, statements in {
    "canary" = concat([
      "Allow dynamodb:GetItem on ${local.table}",
      "Allow kms:Decrypt on ${var.key} if StringEquals kms:ViaService dynamodb.eu-west-2.amazonaws.com",
    ], local.every_function["canary"])
    "canary_schedule" = [
      "Allow lambda:InvokeFunction on arn:aws:lambda:eu-west-2:123456789012:function:pillarbox-canary",
    ]
  } : name => statements if contains(var.options, "canary") }

  backup = { for name, statements in {
    "backup" = [
      "Allow dynamodb:CreateBackup dynamodb:DescribeTable dynamodb:ListTagsOfResource dynamodb:StartAwsBackupJob on ${local.table}",
      "Allow dynamodb:DeleteBackup dynamodb:DescribeBackup on ${local.table}/backup/*",
      "Allow backup:CopyIntoBackupVault backup:DescribeBackupVault on ${local.vault}",
      "Allow kms:Decrypt kms:DescribeKey kms:GenerateDataKey on ${var.key} if StringEquals kms:ViaService backup.eu-west-2.amazonaws.com,dynamodb.eu-west-2.amazonaws.com",
      "Allow kms:CreateGrant on ${var.key} if Bool kms:GrantIsForAWSResource true",
    ]
  } : name => statements if contains(var.options, "backup") }

  # What stands there whatever is chosen.
  others = {
    "direct" = [
      "Allow sqs:SendMessage on ${local.queue}",
      "Allow kms:Decrypt kms:GenerateDataKey on ${var.key} if StringEquals kms:ViaService sqs.eu-west-2.amazonaws.com",
    ]
    "boundary" = [
      "Allow sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:GetQueueUrl sqs:ReceiveMessage sqs:SendMessage on arn:aws:sqs:eu-west-2:123456789012:pillarbox-*",
      "Allow dynamodb:BatchGetItem dynamodb:BatchWriteItem dynamodb:CreateBackup dynamodb:DeleteBackup dynamodb:DescribeBackup dynamodb:DescribeTable dynamodb:GetItem dynamodb:ListTagsOfResource dynamodb:PutItem dynamodb:Query dynamodb:StartAwsBackupJob on arn:aws:dynamodb:eu-west-2:123456789012:table/pillarbox-*",
      "Allow s3:GetObject s3:ListBucket s3:PutObject on arn:aws:s3:::pillarbox-* arn:aws:s3:::pillarbox-*/*",
      "Allow kms:CreateGrant kms:Decrypt kms:DescribeKey kms:GenerateDataKey on ${var.key}",
      "Allow lambda:InvokeFunction on arn:aws:lambda:eu-west-2:123456789012:function:pillarbox-*",
      "Allow logs:CreateLogStream logs:PutLogEvents on arn:aws:logs:eu-west-2:123456789012:log-group:/aws/lambda/pillarbox-*",
      "Allow backup:CopyIntoBackupVault backup:DescribeBackupVault on arn:aws:backup:eu-west-2:123456789012:backup-vault:pillarbox",
      "Allow ec2:AssignPrivateIpAddresses ec2:CreateNetworkInterface ec2:DeleteNetworkInterface ec2:DescribeNetworkInterfaces ec2:DescribeSubnets ec2:UnassignPrivateIpAddresses xray:PutTelemetryRecords xray:PutTraceSegments on *",
    ]
    "operate" = [
      "Allow sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:GetQueueUrl sqs:ReceiveMessage sqs:SendMessage on ${local.dead} ${local.queue}",
      "Allow sqs:CancelMessageMoveTask sqs:ListMessageMoveTasks sqs:StartMessageMoveTask on ${local.dead}",
      "Allow dynamodb:BatchGetItem dynamodb:BatchWriteItem dynamodb:DescribeTable dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:Scan on ${local.table} ${local.table}/index/TimeIndex",
      "Allow s3:GetBucketLocation s3:ListBucket on ${local.bucket}",
      "Allow s3:GetObject s3:PutObject on ${local.bucket}/bodies/*",
      "Allow s3:DeleteObject s3:GetObject s3:PutObject on ${local.bucket}/dead-letters/*",
      "Allow kms:Decrypt kms:GenerateDataKey on ${var.key} if StringEquals kms:ViaService dynamodb.eu-west-2.amazonaws.com,s3.eu-west-2.amazonaws.com,sqs.eu-west-2.amazonaws.com",
    ]
  }

  trust = merge({
    "lambda_trust" = [
      "Allow sts:AssumeRole on to Service:lambda.amazonaws.com",
    ]
    "scheduler_trust" = [
      "Allow sts:AssumeRole on if StringEquals aws:SourceAccount 123456789012 to Service:scheduler.amazonaws.com",
    ]
    "api_gateway_trust" = [
      "Allow sts:AssumeRole on to Service:apigateway.amazonaws.com",
    ]
    "backup_trust" = [
      "Allow sts:AssumeRole on if StringEquals aws:SourceAccount 123456789012 to Service:backup.amazonaws.com",
    ]
    }, { for name, statements in {
      "pipeline_trust functions" = [
        "Allow sts:AssumeRoleWithWebIdentity on if StringEquals token.actions.githubusercontent.com:aud sts.amazonaws.com if StringLike token.actions.githubusercontent.com:sub repo:you/repo:ref:refs/heads/main to Federated:arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
      ]
      "pipeline_trust infrastructure" = [
        "Allow sts:AssumeRoleWithWebIdentity on if StringEquals token.actions.githubusercontent.com:aud sts.amazonaws.com if StringLike token.actions.githubusercontent.com:sub repo:you/repo:environment:production to Federated:arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
      ]
  } : name => statements if contains(var.options, "pipeline") })
}
