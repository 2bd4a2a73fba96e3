package terraform_test

// scenario is one choice of variables. Together they switch on every option.
type scenario struct {
	name      string
	variables map[string]any
}

const zip = "canary/canary.zip"

var pipeline = map[string]any{
	"functions":      []string{"repo:you/repo:ref:refs/heads/main"},
	"infrastructure": []string{"repo:you/repo:environment:production"},
}

const provider = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"

var scenarios = []scenario{
	{"defaults", map[string]any{"functions_zip": zip, "region": "eu-west-2"}},
	{"options", map[string]any{
		"functions_zip": zip, "region": "eu-west-2", "api_logs": "json", "api_keys": []string{"alice", "bob"},
		"api_key_daily_quota": 1000, "authorizer": "cognito", "ip_allow_list": []string{"203.0.113.0/24"},
		"accept_provisioned_concurrency": 2, "domain_name": "events.example.com",
		"zone_id": "Z0123456789ABCDEF", "domain_only": true, "health_check": false, "waf": true,
		"replica_regions": []string{"eu-west-1", "eu-central-1"}, "backup": true, "vpc": true,
		"canary": false, "max_body_bytes": 65536, "alarm_emails_high": []string{"a@example.com"},
		"alarm_emails_low": []string{"b@example.com"}, "environment": "production",
		"tag_key": "Stack", "pipeline_provider_arn": provider,
		"pipeline_state_bucket_arn": "arn:aws:s3:::state", "pipeline_subjects": pipeline,
		"people": []string{"arn:aws:iam::123456789012:user/alice"},
	}},
	{"direct", map[string]any{
		"functions_zip": zip, "region": "eu-west-2", "direct": true, "table_capacity": "provisioned",
		"api_keys": []string{"alice"}, "domain_name": "events.example.com",
		"zone_id":         "Z0123456789ABCDEF",
		"certificate_arn": "arn:aws:acm:eu-west-2:123456789012:certificate/x",
		"health_check":    true, "alarm_emails_high": []string{"a@example.com"}, "canary": true,
		"canary_minutes": 2, "waf": true, "backup": true, "vpc": true, "api_logs": "clf",
		"table_name": "pillarbox-events.2", "pipeline_provider_arn": provider,
		"pipeline_state_bucket_arn": "arn:aws:s3:::state", "pipeline_subjects": pipeline,
	}},
	{"sources", map[string]any{
		"functions_zip": zip, "region": "eu-west-2", "sources_file": "tests/sources/all.yaml",
		"canary": false, "vpc": true, "pipeline_provider_arn": provider, "pipeline_subjects": pipeline,
		"people": []string{"arn:aws:iam::123456789012:user/alice"},
	}},
	{"cloudfront", map[string]any{
		"functions_zip": zip, "region": "eu-west-2", "cloudfront": true, "waf": true, "time_index": false,
		"budget_monthly_usd": 0, "domain_name": "events.example.com", "zone_id": "Z0123456789ABCDEF",
		"alarm_emails_low": []string{"b@example.com"}, "pipeline_provider_arn": provider,
		"pipeline_subjects": pipeline,
	}},
}
