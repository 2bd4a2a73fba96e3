# vpc = true: the functions stand in a network of their own without a way to the internet, and meet each service at an
# endpoint. Nothing else is in it.
#
# An interface endpoint is paid for by the hour and zone, so there is one for what the functions themselves call and reach by
# no gateway: SQS, X-Ray for the traces, and Secrets Manager where sources refer to secrets. None for KMS and logs: SQS, DynamoDB, S3 and Lambda use the key on their side,
# and Lambda carries logs away itself.

locals {
  interfaces = var.vpc ? toset(concat(["sqs", "xray"], local.with_sources ? ["secretsmanager"] : [])) : toset([])
  gateways   = var.vpc ? toset(["dynamodb", "s3"]) : toset([])
  zones      = var.vpc ? { for index, letter in var.vpc_zones : letter => index } : {}
}

resource "aws_vpc" "main" {
  #checkov:skip=CKV2_AWS_12:nothing is in the default group
  #checkov:skip=CKV2_AWS_11:nothing but functions that talk to endpoints is in it
  count = var.vpc ? 1 : 0

  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true # private names of endpoints need it
  tags                 = { Name = var.name }
}

resource "aws_subnet" "private" {
  for_each = local.zones

  vpc_id            = aws_vpc.main[0].id
  availability_zone = "${local.region}${each.key}"
  cidr_block        = cidrsubnet(var.vpc_cidr, 3, each.value)
  tags              = { Name = "${var.name}-${each.key}" }
}

# Its only routes are those of the gateway endpoints.
resource "aws_route_table" "private" {
  count = var.vpc ? 1 : 0

  vpc_id = aws_vpc.main[0].id
  tags   = { Name = var.name }
}

resource "aws_route_table_association" "private" {
  for_each = aws_subnet.private

  subnet_id      = each.value.id
  route_table_id = aws_route_table.private[0].id
}

resource "aws_security_group" "functions" {
  count = var.vpc ? 1 : 0

  name        = "${var.name}-functions"
  description = "The functions: out to the endpoints, nothing in"
  vpc_id      = aws_vpc.main[0].id
  tags        = { Name = "${var.name}-functions" }
}

resource "aws_security_group" "endpoints" {
  count = var.vpc ? 1 : 0

  name        = "${var.name}-endpoints"
  description = "The endpoints: in from the functions, nothing out"
  vpc_id      = aws_vpc.main[0].id
  tags        = { Name = "${var.name}-endpoints" }
}

resource "aws_vpc_security_group_egress_rule" "to_endpoints" {
  count = var.vpc ? 1 : 0

  security_group_id            = aws_security_group.functions[0].id
  description                  = "TLS to the interface endpoints"
  referenced_security_group_id = aws_security_group.endpoints[0].id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "to_gateways" {
  for_each = aws_vpc_endpoint.gateway

  security_group_id = aws_security_group.functions[0].id
  description       = "TLS to ${each.key}"
  prefix_list_id    = each.value.prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_ingress_rule" "from_functions" {
  count = var.vpc ? 1 : 0

  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "TLS from the functions"
  referenced_security_group_id = aws_security_group.functions[0].id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_endpoint" "gateway" {
  for_each = local.gateways

  vpc_id            = aws_vpc.main[0].id
  service_name      = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private[0].id]
  policy            = data.aws_iam_policy_document.endpoint[each.key].json
  tags              = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.interfaces

  vpc_id              = aws_vpc.main[0].id
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = [for subnet in aws_subnet.private : subnet.id]
  security_group_ids  = [aws_security_group.endpoints[0].id]
  policy              = data.aws_iam_policy_document.endpoint[each.key].json
  tags                = { Name = "${var.name}-${each.key}" }
}

# What may pass each endpoint, whoever asks: calls of this account, to this account.
data "aws_iam_policy_document" "endpoint" {
  for_each = setunion(local.interfaces, local.gateways)

  statement {
    sid       = "OfThisAccountToThisAccount"
    actions   = ["${each.key}:*"]
    resources = ["*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalAccount"
      values   = [local.account]
    }
    # X-Ray has no resources that belong to anybody.
    dynamic "condition" {
      for_each = each.key == "xray" ? [] : [1]
      content {
        test     = "StringEquals"
        variable = "aws:ResourceAccount"
        values   = [local.account]
      }
    }
  }
}
