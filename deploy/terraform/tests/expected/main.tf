# What the policies and alarms of the stack are meant to be, for tests/wiring_*.tftest.hcl. It is written down and not
# computed from the module: a permission or an alarm that comes or goes has to come or go here as well.
#
# The names are those of a stack "pillarbox" in eu-west-2. Where AWS makes up a part of an ARN, it is what the stand-in
# for the provider makes up.

variable "key" {
  description = "ARN of the key, which nobody can know before"
  type        = string
}

variable "options" {
  description = "What is switched on: allow_list, backup, canary, direct, domain, health_check, pipeline, pool, replicas, vpc, waf"
  type        = set(string)
}

locals {
  queue  = "arn:aws:sqs:eu-west-2:123456789012:pillarbox-events"
  dead   = "arn:aws:sqs:eu-west-2:123456789012:pillarbox-dead-letters"
  table  = "arn:aws:dynamodb:eu-west-2:123456789012:table/pillarbox-events"
  bucket = "arn:aws:s3:::pillarbox-dead-letters-123456789012-eu-west-2"
  vault  = "arn:aws:stub:eu-west-2:123456789012:backup_vault/pillarbox"
}

output "policies" {
  description = "The statements of every policy, as NAME: STATEMENT"
  value = toset(flatten([
    for name, statements in merge(local.functions, local.canary, local.backup, local.others, local.trust, local.resources, local.pipeline) :
    [for statement in statements : "${name}: ${statement}"]
  ]))
}

output "alarms" {
  description = "Every alarm with its priority"
  value       = local.alarms
}
