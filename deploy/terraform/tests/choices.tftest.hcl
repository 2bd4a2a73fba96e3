# Choices that do not go together. tests/messages sees that each says its own message.

variables {
  functions_zip = "canary/canary.zip"
}

run "reserve" {
  command = plan

  variables {
    dead_letter_reserve_days = 13
    queue_retention_days     = 13
  }

  expect_failures = [terraform_data.choices]
}

run "window" {
  command = plan

  variables {
    deliver_batch_size           = 11
    deliver_batch_window_seconds = 0
  }

  expect_failures = [terraform_data.choices]
}

run "window_in_timeout" {
  command = plan

  variables {
    deliver_batch_window_seconds = 61
  }

  expect_failures = [terraform_data.choices]
}

run "deliver_concurrency" {
  command = plan

  variables {
    deliver_reserved_concurrency = 5
  }

  expect_failures = [terraform_data.choices]
}

run "deadletter_concurrency" {
  command = plan

  variables {
    deadletter_reserved_concurrency = 1
  }

  expect_failures = [terraform_data.choices]
}

run "warm_functions" {
  command = plan

  variables {
    accept_reserved_concurrency    = 5
    accept_provisioned_concurrency = 6
  }

  expect_failures = [terraform_data.choices]
}

run "capacity" {
  command = plan

  variables {
    table_read_min = 10
    table_read_max = 9
  }

  expect_failures = [terraform_data.choices]
}

run "replica_at_home" {
  command = plan

  variables {
    region          = "eu-west-2"
    replica_regions = ["eu-west-2"]
  }

  expect_failures = [terraform_data.choices]
}

run "replica_provisioned" {
  command = plan

  variables {
    table_capacity  = "provisioned"
    replica_regions = ["eu-west-1"]
  }

  expect_failures = [terraform_data.choices]
}

run "zone" {
  command = plan

  variables {
    domain_name = "events.example.com"
  }

  expect_failures = [terraform_data.choices]
}

run "health_check" {
  command = plan

  variables {
    domain_name   = "events.example.com"
    zone_id       = "Z0123456789ABCDEF"
    ip_allow_list = ["203.0.113.0/24"]
    canary        = false
  }

  expect_failures = [terraform_data.choices]
}

run "domain_only" {
  command = plan

  variables {
    domain_only = true
  }

  expect_failures = [terraform_data.choices]
}

run "authorizer_function" {
  command = plan

  variables {
    authorizer = "function"
    canary     = false
  }

  expect_failures = [terraform_data.choices]
}

run "scopes" {
  command = plan

  variables {
    authorizer             = "cognito"
    cognito_user_pool_arns = ["arn:aws:cognito-idp:eu-west-2:123456789012:userpool/eu-west-2_abc"]
    canary                 = false
  }

  expect_failures = [terraform_data.choices]
}

run "canary_token" {
  command = plan

  variables {
    authorizer = "cognito"
  }

  expect_failures = [terraform_data.choices]
}

run "canary_address" {
  command = plan

  variables {
    ip_allow_list = ["203.0.113.0/24"]
  }

  expect_failures = [terraform_data.choices]
}

run "canary_in_time" {
  command = plan

  variables {
    canary_minutes = 1
  }

  expect_failures = [terraform_data.choices]
}

run "cold" {
  command = plan

  variables {
    backup_monthly_days = 100
  }

  expect_failures = [terraform_data.choices]
}

run "thresholds" {
  command = plan

  variables {
    alarm_thresholds = { queue-dept = 1 }
  }

  expect_failures = [terraform_data.choices]
}

run "pipeline" {
  command = plan

  variables {
    pipeline_subjects = { functions = ["repo:you/repo:ref:refs/heads/main"] }
  }

  expect_failures = [terraform_data.choices]
}

run "provider_of_the_pipeline" {
  command = plan

  variables {
    pipeline_subjects = {
      functions      = ["repo:you/repo:ref:refs/heads/main"]
      infrastructure = ["repo:you/repo:environment:production"]
    }
  }

  expect_failures = [terraform_data.choices]
}

run "table_of_another" {
  command = plan

  variables {
    table_name = "pillarbox-prod-events"
  }

  expect_failures = [terraform_data.choices]
}

run "tag_twice" {
  command = plan

  variables {
    tags = { Application = "other" }
  }

  expect_failures = [terraform_data.choices]
}

run "cloudfront_domain_only" {
  command = plan

  variables {
    cloudfront  = true
    domain_name = "events.example.com"
    zone_id     = "Z0123456789ABCDEF"
    domain_only = true
  }

  expect_failures = [terraform_data.choices]
}

run "cloudfront_addresses" {
  command = plan

  variables {
    cloudfront    = true
    ip_allow_list = ["203.0.113.0/24"]
    canary        = false
  }

  expect_failures = [terraform_data.choices]
}

run "cloudfront_certificate" {
  command = plan

  variables {
    cloudfront      = true
    domain_name     = "events.example.com"
    zone_id         = "Z0123456789ABCDEF"
    certificate_arn = "arn:aws:acm:eu-west-2:123456789012:certificate/x"
  }

  expect_failures = [terraform_data.choices]
}

run "sources_without_function" {
  command = plan

  variables {
    sources_file = "tests/sources/open.yaml"
    direct       = true
  }

  expect_failures = [terraform_data.choices]
}

run "sources_largest_body" {
  command = plan

  variables {
    sources_file   = "tests/sources/open.yaml"
    max_body_bytes = 1000
  }

  expect_failures = [terraform_data.choices]
}

run "sources_without_ours" {
  command = plan

  variables {
    sources_file = "tests/sources/other.yaml"
    canary       = false
  }

  expect_failures = [terraform_data.choices]
}

run "sources_ours_elsewhere" {
  command = plan

  variables {
    sources_file = "tests/sources/elsewhere.yaml"
    canary       = false
  }

  expect_failures = [terraform_data.choices]
}

run "sources_keys_of_the_gateway" {
  command = plan

  variables {
    sources_file = "tests/sources/open.yaml"
    api_keys     = ["alice"]
  }

  expect_failures = [terraform_data.choices]
}

run "sources_keys_behind_cloudfront" {
  command = plan

  variables {
    sources_file = "tests/sources/all.yaml"
    cloudfront   = true
    canary       = false
  }

  expect_failures = [terraform_data.choices]
}

run "sources_addresses_behind_cloudfront" {
  command = plan

  variables {
    sources_file = "tests/sources/addresses.yaml"
    cloudfront   = true
    canary       = false
  }

  expect_failures = [terraform_data.choices]
}

run "sources_tokens_without_internet" {
  command = plan

  variables {
    sources_file = "tests/sources/tokens.yaml"
    vpc          = true
    canary       = false
  }

  expect_failures = [terraform_data.choices]
}

run "sources_canary" {
  command = plan

  variables {
    sources_file = "tests/sources/all.yaml"
  }

  expect_failures = [terraform_data.choices]
}
