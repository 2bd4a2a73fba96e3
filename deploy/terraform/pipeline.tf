# pipeline_subjects: two roles that a CI pipeline takes on by OpenID Connect, without a stored secret.
#
#   functions        puts new code into the functions and moves their alias. For every merge.
#   infrastructure   applies this module as long as nothing has to be made or taken away that keeps data, has an id of its
#                    own or is trusted by somebody. For a reviewed change.
#
# What they reach is named in full: no pattern on names, because stack "a" would reach stack "a-prod", and nothing of all of
# an account but lists that AWS gives only whole. What infrastructure therefore can't do, and an administrator does by
# `pillarbox deploy`: switch on an option that makes something new; take anything away that keeps data; change who may take
# on a role, the ceiling of roles, policies of key and bucket, the people's policies, and the two roles here.
#
# What they can do all the same, and nobody should be surprised by: code that they put into a function runs with the role
# of that function, so whoever may merge can read what deliver and deadletter can read. Whoever may apply can write the
# policies of those roles up to the ceiling, change how long data is kept, and silence alarms.

locals {
  pipeline      = length(var.pipeline_subjects) > 0
  pipeline_host = trimprefix(var.pipeline_issuer, "https://")
  pipeline_path = "/${var.name}-pipeline/"

  pipeline_roles = local.pipeline ? toset(["functions", "infrastructure"]) : toset([])

  function_arns = [for role in local.roles : "${local.arn_prefix.lambda}function:${var.name}-${role}"]
  # With the canary, which a pipeline configures and puts no code into.
  all_function_arns = concat(local.function_arns, var.canary ? ["${local.arn_prefix.lambda}function:${var.name}-canary"] : [])

  # The infrastructure role in parts, because one policy holds 6,144 characters.
  infrastructure = merge(
    {
      keep   = data.aws_iam_policy_document.infrastructure_keep.json
      run    = data.aws_iam_policy_document.infrastructure_run.json
      roles  = data.aws_iam_policy_document.infrastructure_roles.json
      watch  = data.aws_iam_policy_document.infrastructure_watch.json
      alarms = data.aws_iam_policy_document.infrastructure_alarms.json
      open   = data.aws_iam_policy_document.infrastructure_open.json
    },
    { for name in ["network"] : name => data.aws_iam_policy_document.infrastructure_network[0].json if var.vpc },
  )

  # The roles of the stack that stand below its ceiling.
  work_roles = concat(
    values(aws_iam_role.function), values(aws_iam_role.backup), aws_iam_role.canary, aws_iam_role.canary_schedule, aws_iam_role.direct,
  )
  work_role_arns = [for role in local.work_roles : "arn:${local.partition}:iam::${local.account}:role${local.role_path}${role.name}"]

  every_role_arn = concat(
    local.work_role_arns,
    [for role in aws_iam_role.pipeline : "arn:${local.partition}:iam::${local.account}:role${local.pipeline_path}${role.name}"],
    [for role in aws_iam_role.people : "arn:${local.partition}:iam::${local.account}:role${local.people_path}${role.name}"],
  )
  every_policy_arn = concat(
    [for name in ["boundary", "operate", "restore"] : "arn:${local.partition}:iam::${local.account}:policy${local.role_path}${var.name}-${name}"],
    [for name in ["keep", "run", "roles", "watch", "alarms", "open", "network"] : "arn:${local.partition}:iam::${local.account}:policy${local.pipeline_path}${var.name}-infrastructure-${name}"],
  )

  # API Gateway names what it keeps by paths, and the tags of something by its ARN as a part of a path.
  api_prefix = "arn:${local.partition}:apigateway:${local.region}::"
  api_paths = concat(
    ["/restapis/${aws_api_gateway_rest_api.front.id}"],
    [for key in concat(values(aws_api_gateway_api_key.client), aws_api_gateway_api_key.canary, aws_api_gateway_api_key.origin) : "/apikeys/${key.id}"],
    [for plan in concat(aws_api_gateway_usage_plan.clients, aws_api_gateway_usage_plan.canary, aws_api_gateway_usage_plan.origin) : "/usageplans/${plan.id}"],
    [for domain in aws_api_gateway_domain_name.front : "/domainnames/${domain.domain_name}"],
  )
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
      identifiers = [var.pipeline_provider_arn]
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
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["lambda.${local.region}.amazonaws.com"]
    }
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

# What keeps data: key, queues, table, bucket, backups, and the state of Terraform. Nothing here reads, makes or deletes any.
data "aws_iam_policy_document" "infrastructure_keep" {
  statement {
    sid = "Key"
    actions = [
      "kms:DescribeKey", "kms:EnableKeyRotation", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListResourceTags", "kms:TagResource",
      "kms:UntagResource", "kms:UpdateKeyDescription",
    ]
    resources = concat([aws_kms_key.main.arn], values(aws_kms_key.replica)[*].arn)
  }

  # Which aliases a key has can only be asked of all.
  statement {
    sid       = "FindTheAlias"
    actions   = ["kms:ListAliases"]
    resources = ["*"]
  }

  statement {
    sid       = "Queues"
    actions   = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListQueueTags", "sqs:SetQueueAttributes", "sqs:TagQueue", "sqs:UntagQueue"]
    resources = [aws_sqs_queue.events.arn, aws_sqs_queue.dead_letters.arn]
  }

  statement {
    sid = "Table"
    actions = [
      "dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:ListTagsOfResource", "dynamodb:TagResource",
      "dynamodb:UntagResource", "dynamodb:UpdateContinuousBackups", "dynamodb:UpdateTable",
    ]
    resources = concat(local.idempotency_arns, [
      for region in concat([local.region], var.replica_regions) :
      "arn:${local.partition}:dynamodb:${region}:${local.account}:table/${aws_dynamodb_table.events.name}"
    ])
  }

  # Its place alone: no value is read or written.
  dynamic "statement" {
    for_each = aws_secretsmanager_secret.sources
    content {
      sid       = "PlaceOfSecrets"
      actions   = ["secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy", "secretsmanager:TagResource", "secretsmanager:UntagResource"]
      resources = [statement.value.arn]
    }
  }

  # No object is read or written: what is in the letters is not the pipeline's business. Nor is who may read them.
  statement {
    sid = "Bucket"
    actions = [
      "s3:GetAccelerateConfiguration", "s3:GetBucket*", "s3:GetEncryptionConfiguration", "s3:GetLifecycleConfiguration", "s3:GetReplicationConfiguration",
      "s3:ListBucket", "s3:PutBucketTagging", "s3:PutLifecycleConfiguration",
    ]
    resources = [aws_s3_bucket.dead_letters.arn]
  }

  dynamic "statement" {
    for_each = aws_backup_vault.main
    content {
      sid       = "Vault"
      actions   = ["backup:DescribeBackupVault", "backup:GetBackupVaultNotifications", "backup:ListTags", "backup:TagResource", "backup:UntagResource"]
      resources = [statement.value.arn]
    }
  }

  dynamic "statement" {
    for_each = aws_backup_plan.table
    content {
      sid       = "BackupPlan"
      actions   = ["backup:GetBackupPlan", "backup:GetBackupSelection", "backup:ListTags", "backup:TagResource", "backup:UntagResource", "backup:UpdateBackupPlan"]
      resources = [statement.value.arn]
    }
  }

  # Below NAME/ alone: the slash is what keeps the state of "a-prod" from "a".
  dynamic "statement" {
    for_each = var.pipeline_state_bucket_arn == "" ? [] : [var.pipeline_state_bucket_arn]
    content {
      sid       = "State"
      actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
      resources = ["${statement.value}/${var.name}/*"]
    }
  }

  dynamic "statement" {
    for_each = var.pipeline_state_bucket_arn == "" ? [] : [var.pipeline_state_bucket_arn]
    content {
      sid       = "FindTheState"
      actions   = ["s3:ListBucket"]
      resources = [statement.value]
    }
  }
}

# What runs: functions, the canary's schedule, scaling.
data "aws_iam_policy_document" "infrastructure_run" {
  statement {
    sid = "Functions"
    actions = [
      "lambda:DeleteFunctionConcurrency", "lambda:Get*", "lambda:List*", "lambda:PublishVersion", "lambda:PutFunctionConcurrency",
      "lambda:PutFunctionEventInvokeConfig", "lambda:PutProvisionedConcurrencyConfig", "lambda:TagResource", "lambda:UntagResource", "lambda:UpdateAlias",
      "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration", "lambda:UpdateFunctionEventInvokeConfig",
    ]
    resources = concat(local.all_function_arns, [for arn in local.all_function_arns : "${arn}:*"])
  }

  statement {
    sid       = "EventSourceMappings"
    actions   = ["lambda:GetEventSourceMapping", "lambda:ListTags", "lambda:TagResource", "lambda:UntagResource"]
    resources = local.mapping_arns
  }

  # And point them at no other function.
  statement {
    sid       = "ChangeEventSourceMappings"
    actions   = ["lambda:UpdateEventSourceMapping"]
    resources = local.mapping_arns
    condition {
      test     = "ArnLike"
      variable = "lambda:FunctionArn"
      values   = concat(local.function_arns, [for arn in local.function_arns : "${arn}:*"])
    }
  }

  # The environment of a function is encrypted with the key. Through other services the key is out of reach.
  statement {
    sid       = "UseTheKeyThroughLambda"
    actions   = ["kms:CreateGrant", "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.main.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["lambda.${local.region}.amazonaws.com"]
    }
  }

  dynamic "statement" {
    for_each = aws_scheduler_schedule.canary
    content {
      sid       = "Schedule"
      actions   = ["scheduler:GetSchedule", "scheduler:UpdateSchedule"]
      resources = ["${local.arn_prefix.scheduler}schedule/default/${statement.value.name}"]
    }
  }

  # What is scaled has an id that AWS makes up, but it bears the tag of the stack. Lists can only be asked of all.
  dynamic "statement" {
    for_each = local.provisioned ? [1] : []
    content {
      sid       = "Scaling"
      actions   = ["application-autoscaling:ListTagsForResource", "application-autoscaling:PutScalingPolicy", "application-autoscaling:RegisterScalableTarget"]
      resources = ["arn:${local.partition}:application-autoscaling:${local.region}:${local.account}:scalable-target/*"]
      condition {
        test     = "StringEquals"
        variable = "aws:ResourceTag/${var.tag_key}"
        values   = [var.name]
      }
    }
  }

  dynamic "statement" {
    for_each = local.provisioned ? [1] : []
    content {
      sid       = "SeeWhatIsScaled"
      actions   = ["application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies"]
      resources = ["*"]
    }
  }
}

# The policies of the roles with which it runs.
data "aws_iam_policy_document" "infrastructure_roles" {
  statement {
    sid       = "ReadRoles"
    actions   = ["iam:GetPolicy", "iam:GetPolicyVersion", "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListPolicyVersions", "iam:ListRolePolicies"]
    resources = concat(local.every_role_arn, local.every_policy_arn)
  }

  # Only below the ceiling. There is no permission to take it off or change it, to make a role, to attach a policy that is
  # not here, or to change who may take on a role: with that, the pipeline could take on the role of deliver itself.
  statement {
    sid       = "PoliciesBelowTheCeiling"
    actions   = ["iam:PutRolePolicy"]
    resources = local.work_role_arns
    condition {
      test     = "StringEquals"
      variable = "iam:PermissionsBoundary"
      values   = ["arn:${local.partition}:iam::${local.account}:policy${local.role_path}${var.name}-boundary"]
    }
  }

  statement {
    sid       = "HandRolesToServices"
    actions   = ["iam:PassRole"]
    resources = local.work_role_arns
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["lambda.amazonaws.com", "scheduler.amazonaws.com"]
    }
  }
}

# The network, where there is one.
data "aws_iam_policy_document" "infrastructure_network" {
  count = var.vpc ? 1 : 0

  # Describe knows no resource.
  statement {
    sid       = "SeeTheNetwork"
    actions   = ["ec2:Describe*"]
    resources = ["*"]
  }

  statement {
    sid = "RulesOfTheNetwork"
    actions = [
      "ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress", "ec2:ModifySecurityGroupRules", "ec2:ModifyVpcEndpoint",
      "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress",
    ]
    resources = concat(
      [for group in concat(aws_security_group.functions, aws_security_group.endpoints) : "${local.arn_prefix.ec2}security-group/${group.id}"],
      [for endpoint in concat(values(aws_vpc_endpoint.gateway), values(aws_vpc_endpoint.interface)) : "${local.arn_prefix.ec2}vpc-endpoint/${endpoint.id}"],
      [for table in aws_route_table.private : "${local.arn_prefix.ec2}route-table/${table.id}"],
      [for subnet in aws_subnet.private : "${local.arn_prefix.ec2}subnet/${subnet.id}"],
    )
  }

  # A new rule of a group has a new id. It gets its tags as it is made, or not at all: nothing that is there is tagged anew.
  statement {
    sid       = "NewRules"
    actions   = ["ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress"]
    resources = ["${local.arn_prefix.ec2}security-group-rule/*"]
    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/${var.tag_key}"
      values   = [var.name]
    }
  }

  # To change a rule is to be asked about it as well as about its group.
  statement {
    sid       = "ItsRules"
    actions   = ["ec2:ModifySecurityGroupRules"]
    resources = ["${local.arn_prefix.ec2}security-group-rule/*"]
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/${var.tag_key}"
      values   = [var.name]
    }
  }

  statement {
    sid       = "TagNewRules"
    actions   = ["ec2:CreateTags"]
    resources = ["${local.arn_prefix.ec2}security-group-rule/*"]
    condition {
      test     = "StringEquals"
      variable = "ec2:CreateAction"
      values   = ["AuthorizeSecurityGroupEgress", "AuthorizeSecurityGroupIngress"]
    }
  }
}

# What watches: logs, topics, dashboard, budget, traces, resource group.
data "aws_iam_policy_document" "infrastructure_watch" {
  statement {
    sid       = "LogGroups"
    actions   = ["logs:ListTagsForResource", "logs:PutRetentionPolicy", "logs:TagResource", "logs:UntagResource"]
    resources = flatten([for group in local.log_groups : ["${local.arn_prefix.logs}log-group:${group}", "${local.arn_prefix.logs}log-group:${group}:*"]])
  }

  # Which of them exist, and what a subscription is like, can only be asked of all.
  statement {
    sid       = "SeeTheAccount"
    actions   = ["logs:DescribeLogGroups", "sns:GetSubscriptionAttributes"]
    resources = ["*"]
  }

  statement {
    sid       = "Dashboard"
    actions   = ["cloudwatch:GetDashboard", "cloudwatch:PutDashboard"]
    resources = ["arn:${local.partition}:cloudwatch::${local.account}:dashboard/${var.name}"]
  }

  statement {
    sid       = "Topics"
    actions   = ["sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic", "sns:ListTagsForResource", "sns:SetTopicAttributes", "sns:Subscribe", "sns:TagResource", "sns:UntagResource"]
    resources = concat(values(aws_sns_topic.alarms)[*].arn, aws_sns_topic.health[*].arn)
  }

  dynamic "statement" {
    for_each = aws_budgets_budget.monthly
    content {
      sid       = "Budget"
      actions   = ["budgets:ListTagsForResource", "budgets:ModifyBudget", "budgets:TagResource", "budgets:UntagResource", "budgets:ViewBudget"]
      resources = ["arn:${local.partition}:budgets::${local.account}:budget/${statement.value.name}"]
    }
  }

  statement {
    sid       = "Traces"
    actions   = ["xray:GetGroup", "xray:ListTagsForResource", "xray:TagResource", "xray:UntagResource", "xray:UpdateGroup"]
    resources = [aws_xray_group.all.arn]
  }

  statement {
    sid       = "ResourceGroup"
    actions   = ["resource-groups:GetGroup", "resource-groups:GetGroupConfiguration", "resource-groups:GetGroupQuery", "resource-groups:GetTags", "resource-groups:Tag", "resource-groups:Untag", "resource-groups:UpdateGroup", "resource-groups:UpdateGroupQuery"]
    resources = ["arn:${local.partition}:resource-groups:${local.region}:${local.account}:group/${var.name}"]
  }
}

# Every alarm by its name. One that is new comes with an administrator's apply, which also names it here.
data "aws_iam_policy_document" "infrastructure_alarms" {
  statement {
    sid       = "Alarms"
    actions   = ["cloudwatch:DescribeAlarms", "cloudwatch:ListTagsForResource", "cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "cloudwatch:UntagResource"]
    resources = concat([for alarm in local.every_alarm : alarm.arn], aws_cloudwatch_metric_alarm.health[*].arn)
  }
}

# What stands open to clients: API, domain, firewall, tokens.
data "aws_iam_policy_document" "infrastructure_open" {
  statement {
    sid       = "Api"
    actions   = ["apigateway:GET", "apigateway:PATCH", "apigateway:UpdateRestApiPolicy"]
    resources = [for path in local.api_paths : "${local.api_prefix}${path}"]
  }

  # What is below them: methods, deployments, the stage, the keys of a plan.
  statement {
    sid       = "BelowIt"
    actions   = ["apigateway:DELETE", "apigateway:GET", "apigateway:PATCH", "apigateway:POST", "apigateway:PUT"]
    resources = [for path in local.api_paths : "${local.api_prefix}${path}/*" if !startswith(path, "/apikeys/")]
  }

  statement {
    sid       = "ItsTags"
    actions   = ["apigateway:DELETE", "apigateway:GET", "apigateway:PUT"]
    resources = [for path in local.api_paths : "${local.api_prefix}/tags/${urlencode("${local.api_prefix}${path}")}"]
  }

  dynamic "statement" {
    for_each = aws_acm_certificate.front
    content {
      sid       = "Certificate"
      actions   = ["acm:AddTagsToCertificate", "acm:DescribeCertificate", "acm:ListTagsForCertificate"]
      resources = [statement.value.arn]
    }
  }

  dynamic "statement" {
    for_each = local.domain ? [1] : []
    content {
      sid       = "SeeTheZone"
      actions   = ["route53:GetHostedZone", "route53:ListResourceRecordSets"]
      resources = ["arn:${local.partition}:route53:::hostedzone/${var.zone_id}"]
    }
  }

  # The names as Route 53 compares them: in lower case, without the dot at the end.
  dynamic "statement" {
    for_each = local.domain ? [1] : []
    content {
      sid       = "ItsRecords"
      actions   = ["route53:ChangeResourceRecordSets"]
      resources = ["arn:${local.partition}:route53:::hostedzone/${var.zone_id}"]
      condition {
        test     = "ForAllValues:StringEquals"
        variable = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
        values   = concat([var.domain_name], [for record in aws_route53_record.certificate : trimsuffix(lower(record.fqdn), ".")])
      }
    }
  }

  dynamic "statement" {
    for_each = local.domain ? [1] : []
    content {
      sid       = "FollowTheChange"
      actions   = ["route53:GetChange"]
      resources = ["arn:${local.partition}:route53:::change/*"]
    }
  }

  dynamic "statement" {
    for_each = aws_route53_health_check.front
    content {
      sid       = "HealthCheck"
      actions   = ["route53:ChangeTagsForResource", "route53:GetHealthCheck", "route53:ListTagsForResource", "route53:UpdateHealthCheck"]
      resources = ["arn:${local.partition}:route53:::healthcheck/${statement.value.id}"]
    }
  }

  # Rules of AWS are named by those who use them.
  dynamic "statement" {
    for_each = var.waf ? [1] : []
    content {
      sid       = "Firewall"
      actions   = ["wafv2:GetLoggingConfiguration", "wafv2:GetWebACL", "wafv2:ListTagsForResource", "wafv2:TagResource", "wafv2:UntagResource", "wafv2:UpdateWebACL"]
      resources = concat([for acl in aws_wafv2_web_acl.front : acl.arn], [for scope in ["${local.region}:${local.account}:regional", "us-east-1:${local.account}:global"] : "arn:${local.partition}:wafv2:${scope}/managedruleset/*"])
    }
  }

  dynamic "statement" {
    for_each = aws_cloudfront_distribution.front
    content {
      sid       = "CloudFront"
      actions   = ["cloudfront:GetDistribution", "cloudfront:ListTagsForResource", "cloudfront:TagResource", "cloudfront:UntagResource", "cloudfront:UpdateDistribution"]
      resources = [statement.value.arn]
    }
  }

  dynamic "statement" {
    for_each = aws_cognito_user_pool.clients
    content {
      sid = "UserPool"
      actions = [
        "cognito-idp:Describe*", "cognito-idp:GetUserPoolMfaConfig", "cognito-idp:ListTagsForResource", "cognito-idp:TagResource", "cognito-idp:UntagResource",
        "cognito-idp:UpdateResourceServer", "cognito-idp:UpdateUserPool", "cognito-idp:UpdateUserPoolClient",
      ]
      resources = [statement.value.arn]
    }
  }

  # Whose domain it is can only be asked of all.
  dynamic "statement" {
    for_each = local.make_pool ? [1] : []
    content {
      sid       = "FindTheDomainOfThePool"
      actions   = ["cognito-idp:DescribeUserPoolDomain"]
      resources = ["*"]
    }
  }
}
