# What accept asks of requests, where a file of sources says it: the file is packed with the function, and what it refers to
# by ${NAME} is in a secret, of which this module makes the place and never the value. No value is in the state, in a plan or in
# the environment of the function. API keys are an object in the bucket, which the command line writes.
#
# The file is read here too, for what the door has to know of it: whether it has the source of the stack, and what of it can't be
# met with what else was chosen. What is in ${NAME} is not looked at.

locals {
  with_sources = var.sources_file != null
  source_rules = try(yamldecode(file(var.sources_file)).sources, {})
  source_ways  = flatten([for rule in values(local.source_rules) : try(rule.auth, [])])
  own_rules    = try(keys(local.source_rules[var.source_name]), [])

  # The file's name in the zip, beside the binary.
  packed_sources = "sources.yaml"

  api_keys_object = "api-keys.json"
  api_keys_url    = local.with_sources ? "s3://${aws_s3_bucket.dead_letters.bucket}/${local.api_keys_object}?region=${local.region}" : ""
  api_keys_arn    = "${aws_s3_bucket.dead_letters.arn}/${local.api_keys_object}"
}

resource "aws_secretsmanager_secret" "sources" {
  #checkov:skip=CKV2_AWS_57:a secret is what a sender has made; who exchanges it there puts it here
  count = local.with_sources ? 1 : 0

  name        = "${var.name}-sources"
  description = "What the file of sources of ${var.name} refers to: a JSON object of texts by name"
  kms_key_id  = aws_kms_key.main.arn

  # Without a wait, a stack of the same name can be made again at once.
  recovery_window_in_days = var.protect ? 30 : 0
}
