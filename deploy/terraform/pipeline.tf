# pipeline_subjects: two roles that a CI pipeline takes on by OpenID Connect, without a stored secret.
#
#   functions        puts new code into the functions and moves their alias. For every merge.
#   infrastructure   applies this module. For a reviewed change. It is no administrator: it reaches what bears the name
#                    of this stack; roles it makes stand below the boundary; it can change neither the boundary nor the
#                    two roles here nor the role for API logs of the account. Those change by hand.

locals {
  pipeline      = length(var.pipeline_subjects) > 0
  pipeline_host = trimprefix(var.pipeline_issuer, "https://")
  pipeline_path = "/${var.name}-pipeline/"
  provider_arn  = !local.pipeline ? "" : var.pipeline_provider_arn != "" ? var.pipeline_provider_arn : one(aws_iam_openid_connect_provider.pipeline[*].arn)

  pipeline_roles = local.pipeline ? toset(["functions", "infrastructure"]) : toset([])

  function_arns = [for role in local.roles : "${local.arn_prefix.lambda}function:${var.name}-${role}"]

  service_roles = ["backup.amazonaws.com", "dynamodb.application-autoscaling.amazonaws.com", "ops.apigateway.amazonaws.com", "replication.dynamodb.amazonaws.com"]

  # The infrastructure role in parts, because one policy holds 6,144 characters.
  infrastructure = {
    keep  = data.aws_iam_policy_document.infrastructure_keep.json
    run   = data.aws_iam_policy_document.infrastructure_run.json
    watch = data.aws_iam_policy_document.infrastructure_watch.json
    open  = data.aws_iam_policy_document.infrastructure_open.json
  }
}

resource "aws_iam_openid_connect_provider" "pipeline" {
  count = local.pipeline && var.pipeline_provider_arn == "" ? 1 : 0

  url            = var.pipeline_issuer
  client_id_list = [var.pipeline_audience]
}

resource "aws_iam_role" "pipeline" {
  for_each = local.pipeline_roles

  name                 = "${var.name}-pipeline-${each.key}"
  path                 = local.pipeline_path
  assume_role_policy   = data.aws_iam_policy_document.pipeline_trust[each.key].json
  max_session_duration = 3600
}

data "aws_iam_policy_document" "pipeline_trust" {
  for_each = local.pipeline_roles

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [local.provider_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.pipeline_host}:aud"
      values   = [var.pipeline_audience]
    }
    condition {
      test     = "StringLike"
      variable = "${local.pipeline_host}:sub"
      values   = try(var.pipeline_subjects[each.key], [])
    }
  }
}

resource "aws_iam_role_policy" "pipeline_functions" {
  count = local.pipeline ? 1 : 0

  name   = "work"
  role   = aws_iam_role.pipeline["functions"].name
  policy = data.aws_iam_policy_document.pipeline_functions.json
}

data "aws_iam_policy_document" "pipeline_functions" {
  statement {
    sid = "NewCode"
    actions = [
      "lambda:GetAlias", "lambda:GetFunction", "lambda:GetFunctionConfiguration", "lambda:ListVersionsByFunction",
      "lambda:PublishVersion", "lambda:UpdateAlias", "lambda:UpdateFunctionCode",
    ]
    resources = concat(local.function_arns, [for arn in local.function_arns : "${arn}:*"])
  }

  # A version keeps its environment encrypted.
  statement {
    sid       = "UseTheKeyThroughLambda"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["lambda.${local.region}.amazonaws.com"]
    }
  }

  statement {
    sid       = "LetLambdaKeepTheKey"
    actions   = ["kms:CreateGrant"]
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }
}

resource "aws_iam_policy" "infrastructure" {
  for_each = local.pipeline ? local.infrastructure : {}

  name        = "${var.name}-infrastructure-${each.key}"
  path        = local.pipeline_path
  description = "The pipeline may change what ${var.name} is made of: ${each.key}"
  policy      = each.value
}

resource "aws_iam_role_policy_attachment" "infrastructure" {
  for_each = aws_iam_policy.infrastructure

  role       = aws_iam_role.pipeline["infrastructure"].name
  policy_arn = each.value.arn
}

# What keeps data: key, queues, table, bucket, backups, and the state of Terraform.
data "aws_iam_policy_document" "infrastructure_keep" {
  statement {
    sid       = "NewKeys"
    actions   = ["kms:CreateKey", "kms:ListAliases"]
    resources = ["*"]
  }

  # The actions on the key hold RetireGrant: to make a vault takes CreateGrant and RetireGrant.
  statement {
    sid       = "Key"
    actions   = concat(local.key_admin_actions, local.key_use_actions, ["kms:CreateGrant"])
    resources = ["arn:${local.partition}:kms:*:${local.account}:key/*"]
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/Application"
      values   = [var.name]
    }
  }

  statement {
    sid       = "KeyAlias"
    actions   = ["kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias"]
    resources = ["arn:${local.partition}:kms:*:${local.account}:alias/${var.name}"]
  }

  statement {
    sid       = "Queues"
    actions   = ["sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListQueueTags", "sqs:SetQueueAttributes", "sqs:TagQueue", "sqs:UntagQueue"]
    resources = [aws_sqs_queue.events.arn, aws_sqs_queue.dead_letters.arn]
  }

  statement {
    sid = "Table"
    actions = [
      "dynamodb:CreateTable", "dynamodb:CreateTableReplica", "dynamodb:DeleteTable", "dynamodb:DeleteTableReplica", "dynamodb:DescribeContinuousBackups",
      "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:ListTagsOfResource", "dynamodb:TagResource", "dynamodb:UntagResource",
      "dynamodb:UpdateContinuousBackups", "dynamodb:UpdateTable",
    ]
    resources = ["arn:${local.partition}:dynamodb:*:${local.account}:table/${aws_dynamodb_table.events.name}"]
  }

  # No object is read or written: what is in the letters is not the pipeline's business.
  statement {
    sid       = "Bucket"
    actions   = ["s3:CreateBucket", "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:GetAccelerateConfiguration", "s3:GetBucket*", "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration", "s3:GetReplicationConfiguration", "s3:ListBucket", "s3:PutBucketOwnershipControls", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock", "s3:PutBucketTagging", "s3:PutBucketVersioning", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration"]
    resources = [aws_s3_bucket.dead_letters.arn]
  }

  statement {
    sid       = "Vault"
    actions   = ["backup:CreateBackupVault", "backup:DeleteBackupVault", "backup:DeleteBackupVaultNotifications", "backup:DescribeBackupVault", "backup:GetBackupVaultNotifications", "backup:ListTags", "backup:PutBackupVaultLockConfiguration", "backup:PutBackupVaultNotifications", "backup:TagResource", "backup:UntagResource"]
    resources = ["arn:${local.partition}:backup:${local.region}:${local.account}:backup-vault:${var.name}"]
  }

  # How Backup ties a key to a new vault. The action knows no resource, so on an ARN it would allow nothing.
  statement {
    sid       = "GiveTheVaultItsKey"
    actions   = ["backup-storage:MountCapsule"]
    resources = ["*"]
  }

  statement {
    sid       = "BackupPlans"
    actions   = ["backup:CreateBackupPlan", "backup:CreateBackupSelection", "backup:DeleteBackupPlan", "backup:DeleteBackupSelection", "backup:GetBackupPlan", "backup:GetBackupSelection", "backup:ListTags", "backup:TagResource", "backup:UntagResource", "backup:UpdateBackupPlan"]
    resources = ["arn:${local.partition}:backup:${local.region}:${local.account}:backup-plan:*"]
  }

  dynamic "statement" {
    for_each = var.pipeline_state_bucket_arn == "" ? [] : [var.pipeline_state_bucket_arn]
    content {
      sid       = "State"
      actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"]
      resources = [statement.value, "${statement.value}/${var.name}/*"]
    }
  }
}

# What runs: functions, their roles, scaling, the network.
data "aws_iam_policy_document" "infrastructure_run" {
  statement {
    sid       = "Functions"
    actions   = ["lambda:AddPermission", "lambda:CreateAlias", "lambda:CreateFunction", "lambda:Delete*", "lambda:Get*", "lambda:List*", "lambda:PublishVersion", "lambda:Put*", "lambda:RemovePermission", "lambda:TagResource", "lambda:UntagResource", "lambda:Update*"]
    resources = ["${local.arn_prefix.lambda}function:${var.name}-*"]
  }

  statement {
    sid       = "EventSourceMappings"
    actions   = ["lambda:CreateEventSourceMapping", "lambda:DeleteEventSourceMapping", "lambda:GetEventSourceMapping", "lambda:ListTags", "lambda:TagResource", "lambda:UntagResource", "lambda:UpdateEventSourceMapping"]
    resources = ["*"]
    condition {
      test     = "ArnLikeIfExists"
      variable = "lambda:FunctionArn"
      values   = ["${local.arn_prefix.lambda}function:${var.name}-*"]
    }
  }

  statement {
    sid       = "ReadRoles"
    actions   = ["iam:GetOpenIDConnectProvider", "iam:GetPolicy", "iam:GetPolicyVersion", "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole", "iam:ListPolicyVersions", "iam:ListRolePolicies"]
    resources = ["arn:${local.partition}:iam::${local.account}:role/${var.name}*", "arn:${local.partition}:iam::${local.account}:policy/${var.name}*", "arn:${local.partition}:iam::${local.account}:oidc-provider/${local.pipeline_host}"]
  }

  # Only below the boundary. There is no permission to take it off, to change it, or to attach a policy that is not here.
  statement {
    sid       = "RolesBelowTheBoundary"
    actions   = ["iam:CreateRole", "iam:DeleteRolePolicy", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"]
    resources = ["arn:${local.partition}:iam::${local.account}:role${local.role_path}*"]
    condition {
      test     = "StringEquals"
      variable = "iam:PermissionsBoundary"
      values   = ["arn:${local.partition}:iam::${local.account}:policy${local.role_path}${var.name}-boundary"]
    }
  }

  statement {
    sid       = "RolesOfTheStack"
    actions   = ["iam:DeleteRole", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRoleDescription"]
    resources = ["arn:${local.partition}:iam::${local.account}:role${local.role_path}*"]
  }

  statement {
    sid       = "HandRolesToServices"
    actions   = ["iam:PassRole"]
    resources = ["arn:${local.partition}:iam::${local.account}:role${local.role_path}*"]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["apigateway.amazonaws.com", "backup.amazonaws.com", "lambda.amazonaws.com", "scheduler.amazonaws.com"]
    }
  }

  # Roles that belong to a service and can only be taken on by it. An account has each once; the service makes it with
  # the permissions of whoever first makes a replica, a scaled table, a vault or a domain.
  statement {
    sid       = "RolesOfServices"
    actions   = ["iam:CreateServiceLinkedRole"]
    resources = [for service in local.service_roles : "arn:${local.partition}:iam::${local.account}:role/aws-service-role/${service}/*"]
    condition {
      test     = "StringEquals"
      variable = "iam:AWSServiceName"
      values   = local.service_roles
    }
  }

  statement {
    sid       = "Schedule"
    actions   = ["scheduler:CreateSchedule", "scheduler:DeleteSchedule", "scheduler:GetSchedule", "scheduler:UpdateSchedule"]
    resources = ["${local.arn_prefix.scheduler}schedule/default/${var.name}-*"]
  }

  statement {
    sid       = "Scaling"
    actions   = ["application-autoscaling:DeleteScalingPolicy", "application-autoscaling:DeregisterScalableTarget", "application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies", "application-autoscaling:ListTagsForResource", "application-autoscaling:PutScalingPolicy", "application-autoscaling:RegisterScalableTarget", "application-autoscaling:TagResource", "application-autoscaling:UntagResource"]
    resources = ["*"]
    condition {
      test     = "StringEqualsIfExists"
      variable = "application-autoscaling:service-namespace"
      values   = ["dynamodb"]
    }
  }

  dynamic "statement" {
    for_each = var.vpc ? [1] : []
    content {
      sid       = "Network"
      actions   = ["ec2:AssociateRouteTable", "ec2:AuthorizeSecurityGroup*", "ec2:CreateRouteTable", "ec2:CreateSecurityGroup", "ec2:CreateSubnet", "ec2:CreateTags", "ec2:CreateVpc", "ec2:CreateVpcEndpoint", "ec2:Describe*", "ec2:DisassociateRouteTable", "ec2:ModifySubnetAttribute", "ec2:ModifyVpcAttribute", "ec2:ModifyVpcEndpoint", "ec2:ModifySecurityGroupRules"]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = var.vpc ? [1] : []
    content {
      sid       = "TakeTheNetworkAway"
      actions   = ["ec2:DeleteRouteTable", "ec2:DeleteSecurityGroup", "ec2:DeleteSubnet", "ec2:DeleteTags", "ec2:DeleteVpc", "ec2:DeleteVpcEndpoints", "ec2:RevokeSecurityGroup*"]
      resources = ["*"]
      condition {
        test     = "StringEquals"
        variable = "aws:ResourceTag/Application"
        values   = [var.name]
      }
    }
  }
}

# What watches: logs, alarms, topics, dashboard, budget, resource group.
data "aws_iam_policy_document" "infrastructure_watch" {
  statement {
    sid       = "LogGroups"
    actions   = ["logs:AssociateKmsKey", "logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:DisassociateKmsKey", "logs:ListTagsForResource", "logs:PutRetentionPolicy", "logs:TagResource", "logs:UntagResource"]
    resources = [for pattern in local.log_group_patterns : "${local.arn_prefix.logs}log-group:${pattern}"]
  }

  # Which of them exist can only be asked of all. The same goes for the delivery of access logs and of the firewall's.
  statement {
    sid       = "LogsOfTheAccount"
    actions   = ["logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies", "logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery"]
    resources = ["*"]
  }

  statement {
    sid       = "Alarms"
    actions   = ["cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource", "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "cloudwatch:UntagResource"]
    resources = ["arn:${local.partition}:cloudwatch:*:${local.account}:alarm:${var.name}-*"]
  }

  statement {
    sid       = "Dashboard"
    actions   = ["cloudwatch:DeleteDashboards", "cloudwatch:GetDashboard", "cloudwatch:PutDashboard"]
    resources = ["arn:${local.partition}:cloudwatch::${local.account}:dashboard/${var.name}"]
  }

  statement {
    sid       = "AnomalyDetectors"
    actions   = ["cloudwatch:DeleteAnomalyDetector", "cloudwatch:DescribeAnomalyDetectors", "cloudwatch:PutAnomalyDetector"]
    resources = ["*"]
  }

  statement {
    sid       = "Topics"
    actions   = ["sns:CreateTopic", "sns:DeleteTopic", "sns:GetSubscriptionAttributes", "sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic", "sns:ListTagsForResource", "sns:SetSubscriptionAttributes", "sns:SetTopicAttributes", "sns:Subscribe", "sns:TagResource", "sns:Unsubscribe", "sns:UntagResource"]
    resources = ["arn:${local.partition}:sns:*:${local.account}:${var.name}-*"]
  }

  statement {
    sid       = "Budget"
    actions   = ["budgets:ListTagsForResource", "budgets:ModifyBudget", "budgets:TagResource", "budgets:UntagResource", "budgets:ViewBudget"]
    resources = ["arn:${local.partition}:budgets::${local.account}:budget/${var.name}"]
  }

  statement {
    sid       = "ResourceGroup"
    actions   = ["resource-groups:CreateGroup", "resource-groups:DeleteGroup", "resource-groups:GetGroup", "resource-groups:GetGroupConfiguration", "resource-groups:GetGroupQuery", "resource-groups:GetTags", "resource-groups:Tag", "resource-groups:Untag", "resource-groups:UpdateGroup", "resource-groups:UpdateGroupQuery"]
    resources = ["arn:${local.partition}:resource-groups:${local.region}:${local.account}:group/${var.name}"]
  }
}

# What stands open to clients: API, domain, firewall, tokens. API Gateway names its resources by ids that come later.
data "aws_iam_policy_document" "infrastructure_open" {
  statement {
    sid     = "Api"
    actions = ["apigateway:DELETE", "apigateway:GET", "apigateway:PATCH", "apigateway:POST", "apigateway:PUT", "apigateway:UpdateRestApiPolicy", "apigateway:SetWebACL"]
    resources = [
      for path in ["/restapis", "/restapis/*", "/apikeys", "/apikeys/*", "/usageplans", "/usageplans/*", "/tags/*", "/domainnames", "/domainnames/*"] :
      "arn:${local.partition}:apigateway:${local.region}::${path}"
    ]
  }

  statement {
    sid       = "ReadTheAccountOfApis"
    actions   = ["apigateway:GET"]
    resources = ["arn:${local.partition}:apigateway:${local.region}::/account"]
  }

  dynamic "statement" {
    for_each = local.domain ? [1] : []
    content {
      sid       = "Certificate"
      actions   = ["acm:AddTagsToCertificate", "acm:DeleteCertificate", "acm:DescribeCertificate", "acm:ListTagsForCertificate", "acm:RequestCertificate"]
      resources = ["arn:${local.partition}:acm:${local.region}:${local.account}:certificate/*"]
    }
  }

  dynamic "statement" {
    for_each = local.domain ? [1] : []
    content {
      sid       = "Zone"
      actions   = ["route53:ChangeResourceRecordSets", "route53:GetHostedZone", "route53:ListResourceRecordSets"]
      resources = ["arn:${local.partition}:route53:::hostedzone/${var.zone_id}"]
    }
  }

  dynamic "statement" {
    for_each = local.domain ? [1] : []
    content {
      sid       = "HealthCheck"
      actions   = ["route53:ChangeTagsForResource", "route53:CreateHealthCheck", "route53:DeleteHealthCheck", "route53:GetChange", "route53:GetHealthCheck", "route53:ListTagsForResource", "route53:UpdateHealthCheck"]
      resources = ["arn:${local.partition}:route53:::healthcheck", "arn:${local.partition}:route53:::healthcheck/*", "arn:${local.partition}:route53:::change/*"]
    }
  }

  dynamic "statement" {
    for_each = var.waf ? [1] : []
    content {
      sid     = "Firewall"
      actions = ["wafv2:AssociateWebACL", "wafv2:CreateWebACL", "wafv2:Delete*", "wafv2:DisassociateWebACL", "wafv2:Get*", "wafv2:ListTagsForResource", "wafv2:PutLoggingConfiguration", "wafv2:TagResource", "wafv2:UntagResource", "wafv2:UpdateWebACL"]
      resources = [
        "arn:${local.partition}:wafv2:${local.region}:${local.account}:regional/webacl/${var.name}/*",
        "arn:${local.partition}:wafv2:${local.region}:${local.account}:regional/managedruleset/*",
        "arn:${local.partition}:apigateway:${local.region}::/restapis/*/stages/*",
      ]
    }
  }

  dynamic "statement" {
    for_each = local.make_pool ? [1] : []
    content {
      sid       = "UserPool"
      actions   = ["cognito-idp:CreateResourceServer", "cognito-idp:CreateUserPoolClient", "cognito-idp:CreateUserPoolDomain", "cognito-idp:Delete*", "cognito-idp:Describe*", "cognito-idp:GetUserPoolMfaConfig", "cognito-idp:ListTagsForResource", "cognito-idp:TagResource", "cognito-idp:UntagResource", "cognito-idp:Update*"]
      resources = ["arn:${local.partition}:cognito-idp:${local.region}:${local.account}:userpool/*"]
      condition {
        test     = "StringEquals"
        variable = "aws:ResourceTag/Application"
        values   = [var.name]
      }
    }
  }

  dynamic "statement" {
    for_each = local.make_pool ? [1] : []
    content {
      sid       = "NewUserPool"
      actions   = ["cognito-idp:CreateUserPool", "cognito-idp:DescribeUserPoolDomain"]
      resources = ["*"]
    }
  }
}
