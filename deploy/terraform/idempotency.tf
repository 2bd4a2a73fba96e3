# The table of idempotency keys: which key came when, and under which id its event is known. It is no store: an item goes a day
# after its key, by the time to live, and is not believed any more before that. A table that is lost makes two events of a
# request that is repeated across the loss, and loses none.

resource "aws_dynamodb_table" "idempotency" {
  count = local.remembers_keys ? 1 : 0

  name         = "${var.name}-idempotency"
  hash_key     = "Key"
  billing_mode = "PAY_PER_REQUEST"

  deletion_protection_enabled = var.protect

  attribute {
    name = "Key"
    type = "S"
  }

  ttl {
    enabled        = true
    attribute_name = "ExpiresAt"
  }

  point_in_time_recovery {
    enabled                 = true
    recovery_period_in_days = 35
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = aws_kms_key.main.arn
  }
}

locals {
  # Without the function nobody looks at keys.
  remembers_keys      = var.idempotency_keys && !var.direct
  idempotency_url     = local.remembers_keys ? "dynamodb://${local.region}/${aws_dynamodb_table.idempotency[0].name}" : ""
  idempotency_arns    = aws_dynamodb_table.idempotency[*].arn
  idempotency_actions = ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"]
  remember_keys       = local.remembers_keys ? [{ sid = "RememberKeys", actions = local.idempotency_actions, resources = local.idempotency_arns }] : []
}
