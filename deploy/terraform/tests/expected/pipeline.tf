# The policies of the two roles of a pipeline. They are written down even where no role has them.

locals {
  code = join(" ", flatten([
    for role in ["accept", "deadletter", "deliver"] : ["arn:aws:lambda:eu-west-2:123456789012:function:pillarbox-${role}", "arn:aws:lambda:eu-west-2:123456789012:function:pillarbox-${role}:*"]
    if role != "accept" || !contains(var.options, "direct")
  ]))

  pipeline = {
    "pipeline_functions" = concat(
      [
        "Allow lambda:GetAlias lambda:GetFunction lambda:GetFunctionConfiguration lambda:ListVersionsByFunction lambda:PublishVersion lambda:UpdateAlias lambda:UpdateFunctionCode on ${local.code}",
        "Allow kms:Decrypt kms:DescribeKey kms:Encrypt kms:GenerateDataKey on ${var.key} if StringEquals kms:ViaService lambda.eu-west-2.amazonaws.com",
        "Allow kms:CreateGrant on ${var.key} if Bool kms:GrantIsForAWSResource true",
      ],
    )
    "infrastructure_keep" = concat(
      [
        "Allow kms:CreateKey kms:ListAliases on *",
        "Allow kms:CancelKeyDeletion kms:CreateAlias kms:CreateGrant kms:Decrypt kms:DeleteAlias kms:DescribeKey kms:DisableKey kms:DisableKeyRotation kms:EnableKey kms:EnableKeyRotation kms:Encrypt kms:GenerateDataKey kms:GenerateDataKeyWithoutPlaintext kms:GetKeyPolicy kms:GetKeyRotationStatus kms:ListGrants kms:ListKeyPolicies kms:ListKeyRotations kms:ListResourceTags kms:PutKeyPolicy kms:ReEncryptFrom kms:ReEncryptTo kms:RetireGrant kms:RevokeGrant kms:RotateKeyOnDemand kms:ScheduleKeyDeletion kms:TagResource kms:UntagResource kms:UpdateAlias kms:UpdateKeyDescription on arn:aws:kms:*:123456789012:key/* if StringEquals aws:ResourceTag/Application pillarbox",
        "Allow kms:CreateAlias kms:DeleteAlias kms:UpdateAlias on arn:aws:kms:*:123456789012:alias/pillarbox",
        "Allow sqs:CreateQueue sqs:DeleteQueue sqs:GetQueueAttributes sqs:GetQueueUrl sqs:ListQueueTags sqs:SetQueueAttributes sqs:TagQueue sqs:UntagQueue on ${local.dead} ${local.queue}",
        "Allow dynamodb:CreateTable dynamodb:CreateTableReplica dynamodb:DeleteTable dynamodb:DeleteTableReplica dynamodb:DescribeContinuousBackups dynamodb:DescribeTable dynamodb:DescribeTimeToLive dynamodb:ListTagsOfResource dynamodb:TagResource dynamodb:UntagResource dynamodb:UpdateContinuousBackups dynamodb:UpdateTable on arn:aws:dynamodb:*:123456789012:table/pillarbox-events",
        "Allow s3:CreateBucket s3:DeleteBucket s3:DeleteBucketPolicy s3:GetAccelerateConfiguration s3:GetBucket* s3:GetEncryptionConfiguration s3:GetLifecycleConfiguration s3:GetReplicationConfiguration s3:ListBucket s3:PutBucketOwnershipControls s3:PutBucketPolicy s3:PutBucketPublicAccessBlock s3:PutBucketTagging s3:PutBucketVersioning s3:PutEncryptionConfiguration s3:PutLifecycleConfiguration on ${local.bucket}",
        "Allow backup:CreateBackupVault backup:DeleteBackupVault backup:DeleteBackupVaultNotifications backup:DescribeBackupVault backup:GetBackupVaultNotifications backup:ListTags backup:PutBackupVaultLockConfiguration backup:PutBackupVaultNotifications backup:TagResource backup:UntagResource on arn:aws:backup:eu-west-2:123456789012:backup-vault:pillarbox",
        "Allow backup-storage:MountCapsule on *",
        "Allow backup:CreateBackupPlan backup:CreateBackupSelection backup:DeleteBackupPlan backup:DeleteBackupSelection backup:GetBackupPlan backup:GetBackupSelection backup:ListTags backup:TagResource backup:UntagResource backup:UpdateBackupPlan on arn:aws:backup:eu-west-2:123456789012:backup-plan:*",
      ],
      [for statement in [
        "Allow s3:DeleteObject s3:GetObject s3:ListBucket s3:PutObject on arn:aws:s3:::state arn:aws:s3:::state/pillarbox/*",
      ] : statement if contains(var.options, "pipeline")],
    )
    "infrastructure_run" = concat(
      [
        "Allow lambda:AddPermission lambda:CreateAlias lambda:CreateFunction lambda:Delete* lambda:Get* lambda:List* lambda:PublishVersion lambda:Put* lambda:RemovePermission lambda:TagResource lambda:UntagResource lambda:Update* on arn:aws:lambda:eu-west-2:123456789012:function:pillarbox-*",
        "Allow lambda:CreateEventSourceMapping lambda:DeleteEventSourceMapping lambda:GetEventSourceMapping lambda:ListTags lambda:TagResource lambda:UntagResource lambda:UpdateEventSourceMapping on * if ArnLikeIfExists lambda:FunctionArn arn:aws:lambda:eu-west-2:123456789012:function:pillarbox-*",
        "Allow iam:GetOpenIDConnectProvider iam:GetPolicy iam:GetPolicyVersion iam:GetRole iam:GetRolePolicy iam:ListAttachedRolePolicies iam:ListInstanceProfilesForRole iam:ListPolicyVersions iam:ListRolePolicies on arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com arn:aws:iam::123456789012:policy/pillarbox* arn:aws:iam::123456789012:role/pillarbox*",
        "Allow iam:CreateRole iam:DeleteRolePolicy iam:PutRolePermissionsBoundary iam:PutRolePolicy on arn:aws:iam::123456789012:role/pillarbox/* if StringEquals iam:PermissionsBoundary arn:aws:iam::123456789012:policy/pillarbox/pillarbox-boundary",
        "Allow iam:DeleteRole iam:TagRole iam:UntagRole iam:UpdateAssumeRolePolicy iam:UpdateRoleDescription on arn:aws:iam::123456789012:role/pillarbox/*",
        "Allow iam:PassRole on arn:aws:iam::123456789012:role/pillarbox/* if StringEquals iam:PassedToService apigateway.amazonaws.com,backup.amazonaws.com,lambda.amazonaws.com,scheduler.amazonaws.com",
        "Allow iam:CreateServiceLinkedRole on arn:aws:iam::123456789012:role/aws-service-role/backup.amazonaws.com/* arn:aws:iam::123456789012:role/aws-service-role/dynamodb.application-autoscaling.amazonaws.com/* arn:aws:iam::123456789012:role/aws-service-role/ops.apigateway.amazonaws.com/* arn:aws:iam::123456789012:role/aws-service-role/replication.dynamodb.amazonaws.com/* if StringEquals iam:AWSServiceName backup.amazonaws.com,dynamodb.application-autoscaling.amazonaws.com,ops.apigateway.amazonaws.com,replication.dynamodb.amazonaws.com",
        "Allow scheduler:CreateSchedule scheduler:DeleteSchedule scheduler:GetSchedule scheduler:UpdateSchedule on arn:aws:scheduler:eu-west-2:123456789012:schedule/default/pillarbox-*",
        "Allow application-autoscaling:DeleteScalingPolicy application-autoscaling:DeregisterScalableTarget application-autoscaling:DescribeScalableTargets application-autoscaling:DescribeScalingPolicies application-autoscaling:ListTagsForResource application-autoscaling:PutScalingPolicy application-autoscaling:RegisterScalableTarget application-autoscaling:TagResource application-autoscaling:UntagResource on * if StringEqualsIfExists application-autoscaling:service-namespace dynamodb",
      ],
      [for statement in [
        "Allow ec2:AssociateRouteTable ec2:AuthorizeSecurityGroup* ec2:CreateRouteTable ec2:CreateSecurityGroup ec2:CreateSubnet ec2:CreateTags ec2:CreateVpc ec2:CreateVpcEndpoint ec2:Describe* ec2:DisassociateRouteTable ec2:ModifySecurityGroupRules ec2:ModifySubnetAttribute ec2:ModifyVpcAttribute ec2:ModifyVpcEndpoint on *",
        "Allow ec2:DeleteRouteTable ec2:DeleteSecurityGroup ec2:DeleteSubnet ec2:DeleteTags ec2:DeleteVpc ec2:DeleteVpcEndpoints ec2:RevokeSecurityGroup* on * if StringEquals aws:ResourceTag/Application pillarbox",
      ] : statement if contains(var.options, "vpc")],
    )
    "infrastructure_watch" = concat(
      [
        "Allow logs:AssociateKmsKey logs:CreateLogGroup logs:DeleteLogGroup logs:DisassociateKmsKey logs:ListTagsForResource logs:PutRetentionPolicy logs:TagResource logs:UntagResource on arn:aws:logs:eu-west-2:123456789012:log-group:/aws/apigateway/pillarbox arn:aws:logs:eu-west-2:123456789012:log-group:/aws/lambda/pillarbox-* arn:aws:logs:eu-west-2:123456789012:log-group:API-Gateway-Execution-Logs_* arn:aws:logs:eu-west-2:123456789012:log-group:aws-waf-logs-pillarbox",
        "Allow logs:CreateLogDelivery logs:DeleteLogDelivery logs:DescribeLogGroups logs:DescribeResourcePolicies logs:GetLogDelivery logs:ListLogDeliveries logs:PutResourcePolicy logs:UpdateLogDelivery on *",
        "Allow cloudwatch:DeleteAlarms cloudwatch:DescribeAlarms cloudwatch:ListTagsForResource cloudwatch:PutMetricAlarm cloudwatch:TagResource cloudwatch:UntagResource on arn:aws:cloudwatch:*:123456789012:alarm:pillarbox-*",
        "Allow cloudwatch:DeleteDashboards cloudwatch:GetDashboard cloudwatch:PutDashboard on arn:aws:cloudwatch::123456789012:dashboard/pillarbox",
        "Allow cloudwatch:DeleteAnomalyDetector cloudwatch:DescribeAnomalyDetectors cloudwatch:PutAnomalyDetector on *",
        "Allow sns:CreateTopic sns:DeleteTopic sns:GetSubscriptionAttributes sns:GetTopicAttributes sns:ListSubscriptionsByTopic sns:ListTagsForResource sns:SetSubscriptionAttributes sns:SetTopicAttributes sns:Subscribe sns:TagResource sns:Unsubscribe sns:UntagResource on arn:aws:sns:*:123456789012:pillarbox-*",
        "Allow budgets:ListTagsForResource budgets:ModifyBudget budgets:TagResource budgets:UntagResource budgets:ViewBudget on arn:aws:budgets::123456789012:budget/pillarbox",
        "Allow resource-groups:CreateGroup resource-groups:DeleteGroup resource-groups:GetGroup resource-groups:GetGroupConfiguration resource-groups:GetGroupQuery resource-groups:GetTags resource-groups:Tag resource-groups:Untag resource-groups:UpdateGroup resource-groups:UpdateGroupQuery on arn:aws:resource-groups:eu-west-2:123456789012:group/pillarbox",
      ],
    )
    "infrastructure_open" = concat(
      [
        "Allow apigateway:DELETE apigateway:GET apigateway:PATCH apigateway:POST apigateway:PUT apigateway:SetWebACL apigateway:UpdateRestApiPolicy on arn:aws:apigateway:eu-west-2::/apikeys arn:aws:apigateway:eu-west-2::/apikeys/* arn:aws:apigateway:eu-west-2::/domainnames arn:aws:apigateway:eu-west-2::/domainnames/* arn:aws:apigateway:eu-west-2::/restapis arn:aws:apigateway:eu-west-2::/restapis/* arn:aws:apigateway:eu-west-2::/tags/* arn:aws:apigateway:eu-west-2::/usageplans arn:aws:apigateway:eu-west-2::/usageplans/*",
        "Allow apigateway:GET on arn:aws:apigateway:eu-west-2::/account",
      ],
      [for statement in [
        "Allow acm:AddTagsToCertificate acm:DeleteCertificate acm:DescribeCertificate acm:ListTagsForCertificate acm:RequestCertificate on arn:aws:acm:eu-west-2:123456789012:certificate/*",
        "Allow route53:ChangeResourceRecordSets route53:GetHostedZone route53:ListResourceRecordSets on arn:aws:route53:::hostedzone/Z0123456789ABCDEF",
        "Allow route53:ChangeTagsForResource route53:CreateHealthCheck route53:DeleteHealthCheck route53:GetChange route53:GetHealthCheck route53:ListTagsForResource route53:UpdateHealthCheck on arn:aws:route53:::change/* arn:aws:route53:::healthcheck arn:aws:route53:::healthcheck/*",
      ] : statement if contains(var.options, "domain")],
      [for statement in [
        "Allow wafv2:AssociateWebACL wafv2:CreateWebACL wafv2:Delete* wafv2:DisassociateWebACL wafv2:Get* wafv2:ListTagsForResource wafv2:PutLoggingConfiguration wafv2:TagResource wafv2:UntagResource wafv2:UpdateWebACL on arn:aws:apigateway:eu-west-2::/restapis/*/stages/* arn:aws:wafv2:eu-west-2:123456789012:regional/managedruleset/* arn:aws:wafv2:eu-west-2:123456789012:regional/webacl/pillarbox/*",
      ] : statement if contains(var.options, "waf")],
      [for statement in [
        "Allow cognito-idp:CreateResourceServer cognito-idp:CreateUserPoolClient cognito-idp:CreateUserPoolDomain cognito-idp:Delete* cognito-idp:Describe* cognito-idp:GetUserPoolMfaConfig cognito-idp:ListTagsForResource cognito-idp:TagResource cognito-idp:UntagResource cognito-idp:Update* on arn:aws:cognito-idp:eu-west-2:123456789012:userpool/* if StringEquals aws:ResourceTag/Application pillarbox",
        "Allow cognito-idp:CreateUserPool cognito-idp:DescribeUserPoolDomain on *",
      ] : statement if contains(var.options, "pool")],
    )
  }
}
