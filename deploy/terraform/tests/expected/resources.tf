# The policies of what is reached: keys, queues, topics, bucket, API, endpoints.

locals {
  publishers = join(",", [for service in ["backup", "budgets", "cloudwatch"] : "${service}.amazonaws.com" if service != "backup" || contains(var.options, "backup")])
  admins     = "kms:CancelKeyDeletion kms:CreateAlias kms:DeleteAlias kms:DescribeKey kms:DisableKey kms:DisableKeyRotation kms:EnableKey kms:EnableKeyRotation kms:GetKeyPolicy kms:GetKeyRotationStatus kms:ListGrants kms:ListKeyPolicies kms:ListKeyRotations kms:ListResourceTags kms:PutKeyPolicy kms:RetireGrant kms:RevokeGrant kms:RotateKeyOnDemand kms:ScheduleKeyDeletion kms:TagResource kms:UntagResource kms:UpdateAlias kms:UpdateKeyDescription"
  use        = "kms:Decrypt kms:DescribeKey kms:Encrypt kms:GenerateDataKey kms:GenerateDataKeyWithoutPlaintext kms:ReEncryptFrom kms:ReEncryptTo"
  account    = "AWS:arn:aws:iam::123456789012:root"

  resources = merge(
    {
      "key" = [
        "Allow ${local.admins} on * to ${local.account}",
        "Allow ${local.use} on * if StringEquals kms:ViaService backup.eu-west-2.amazonaws.com,dynamodb.eu-west-2.amazonaws.com,lambda.eu-west-2.amazonaws.com,s3.eu-west-2.amazonaws.com,sns.eu-west-2.amazonaws.com,sqs.eu-west-2.amazonaws.com to ${local.account}",
        "Allow kms:CreateGrant on * if Bool kms:GrantIsForAWSResource true to ${local.account}",
        "Allow ${local.use} on * if ArnLike kms:EncryptionContext:aws:logs:arn arn:aws:logs:eu-west-2:123456789012:log-group:/aws/apigateway/pillarbox,arn:aws:logs:eu-west-2:123456789012:log-group:/aws/lambda/pillarbox-*,arn:aws:logs:eu-west-2:123456789012:log-group:API-Gateway-Execution-Logs_*,arn:aws:logs:eu-west-2:123456789012:log-group:aws-waf-logs-pillarbox to Service:logs.eu-west-2.amazonaws.com",
        "Allow kms:Decrypt kms:GenerateDataKey on * if StringEquals aws:SourceAccount 123456789012 to Service:${local.publishers}",
      ]
      "queue events" = [
        "Deny sqs:* on ${local.queue} if Bool aws:SecureTransport false to *:*",
      ]
      "queue dead_letters" = [
        "Deny sqs:* on ${local.dead} if Bool aws:SecureTransport false to *:*",
      ]
      "dead_letters_bucket" = [
        "Deny s3:* on ${local.bucket} ${local.bucket}/* if Bool aws:SecureTransport false to *:*",
        "Deny s3:PutObject on ${local.bucket}/* if Null s3:x-amz-server-side-encryption false if StringNotEqualsIfExists s3:x-amz-server-side-encryption-aws-kms-key-id ${var.key} to *:*",
      ]
    },
    { for priority in ["high", "low"] : "topic ${priority}" => [
      "Allow sns:Publish on arn:aws:sns:eu-west-2:123456789012:pillarbox-alarms-${priority} if StringEquals aws:SourceAccount 123456789012 to Service:${local.publishers}",
      "Deny sns:Publish on arn:aws:sns:eu-west-2:123456789012:pillarbox-alarms-${priority} if Bool aws:SecureTransport false to *:*",
    ] },
    { for region in ["eu-west-1", "eu-central-1"] : "replica_key ${region}" => [
      "Allow ${local.admins} on * to ${local.account}",
      "Allow ${local.use} on * if StringEquals kms:ViaService dynamodb.${region}.amazonaws.com to ${local.account}",
      "Allow kms:CreateGrant on * if Bool kms:GrantIsForAWSResource true to ${local.account}",
    ] if contains(var.options, "replicas") },
    { for service in ["dynamodb", "kms", "logs", "s3", "sqs"] : "endpoint ${service}" => [
      "Allow ${service}:* on * if StringEquals aws:PrincipalAccount 123456789012 if StringEquals aws:ResourceAccount 123456789012 to *:*",
    ] if contains(var.options, "vpc") },
    { for service in ["xray"] : "endpoint ${service}" => [
      "Allow xray:* on * if StringEquals aws:PrincipalAccount 123456789012 to *:*",
    ] if contains(var.options, "vpc") },
    { for name in ["allow_list"] : name => [
      "Allow execute-api:Invoke on arn:aws:execute-api:eu-west-2:123456789012:pillarbox/* to *:*",
      "Deny execute-api:Invoke on arn:aws:execute-api:eu-west-2:123456789012:pillarbox/* if NotIpAddress aws:SourceIp 203.0.113.0/24 to *:*",
    ] if contains(var.options, "allow_list") },
  )
}
