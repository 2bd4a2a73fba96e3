package terraform_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata anew from what the module makes now")

// picture is a part of what the module makes that is written down in testdata, one line for each
// thing, so that a change is read by somebody before it is made.
type picture struct {
	name  string
	kinds []kind
}

// kind says what is told of the resources of one type: paths of attributes, with dots.
type kind struct {
	resource string
	told     []string
}

var pictures = []picture{
	{
		"alarms",
		[]kind{{"aws_cloudwatch_metric_alarm", []string{"namespace", "metric_name", "statistic",
			"extended_statistic", "dimensions", "comparison_operator", "threshold", "threshold_metric_id",
			"period", "datapoints_to_alarm", "evaluation_periods", "treat_missing_data", "metric_query",
			"alarm_actions", "ok_actions", "region"}}},
	},
	{"calls", []kind{
		{
			"aws_api_gateway_integration",
			[]string{"http_method", "type", "integration_http_method", "uri",
				"credentials", "timeout_milliseconds", "content_handling", "passthrough_behavior"},
		},
		{
			"aws_lambda_permission",
			[]string{"action", "function_name", "qualifier", "principal", "source_arn"},
		},
		{"aws_lambda_alias", []string{"name", "function_name"}},
		{"aws_lambda_event_source_mapping", []string{"event_source_arn", "function_name", "enabled",
			"batch_size", "maximum_batching_window_in_seconds", "function_response_types",
			"scaling_config.maximum_concurrency"}},
		{"aws_lambda_provisioned_concurrency_config", []string{"function_name", "qualifier",
			"provisioned_concurrent_executions"}},
		{"aws_api_gateway_authorizer", []string{"type", "identity_source", "provider_arns"}},
		{
			"aws_lambda_function",
			[]string{"handler", "runtime", "architectures", "memory_size", "timeout",
				"reserved_concurrent_executions", "publish", "role", "tracing_config.mode", "logging_config",
				"vpc_config.subnet_ids", "filename"},
		},
	}},
	{"environment", []kind{{"aws_lambda_function", []string{"environment.variables"}}}},
	{"schedules", []kind{
		{"aws_scheduler_schedule", []string{"schedule_expression", "state", "target.arn",
			"target.role_arn", "target.retry_policy", "flexible_time_window.mode"}},
		{
			"aws_lambda_function_event_invoke_config",
			[]string{"function_name", "maximum_retry_attempts"},
		},
		{"aws_backup_plan", []string{"rule"}},
		{"aws_backup_selection", []string{"resources", "iam_role_arn", "plan_id"}},
		{
			"aws_appautoscaling_target",
			[]string{"resource_id", "scalable_dimension", "min_capacity", "max_capacity"},
		},
		{"aws_appautoscaling_policy", []string{"resource_id", "scalable_dimension",
			"target_tracking_scaling_policy_configuration"}},
	}},
	{"told", []kind{
		{
			"aws_sns_topic_subscription",
			[]string{"topic_arn", "protocol", "endpoint", "filter_policy",
				"filter_policy_scope", "region"},
		},
		{"aws_sns_topic", []string{"name", "kms_master_key_id", "region"}},
		{"aws_sns_topic_policy", []string{"arn", "policy"}},
		{"aws_backup_vault_notifications", []string{"sns_topic_arn", "backup_vault_events"}},
		{"aws_budgets_budget", []string{"budget_type", "time_unit", "limit_amount", "limit_unit",
			"cost_filter", "notification"}},
		{"aws_resourcegroups_group", []string{"resource_query"}},
		{"aws_xray_group", []string{"group_name", "filter_expression", "insights_configuration"}},
		{
			"aws_route53_health_check",
			[]string{"type", "fqdn", "port", "resource_path", "request_interval",
				"failure_threshold"},
		},
	}},
	{"kept", []kind{
		{
			"aws_sqs_queue",
			[]string{"name", "message_retention_seconds", "visibility_timeout_seconds",
				"max_message_size", "receive_wait_time_seconds", "kms_master_key_id",
				"kms_data_key_reuse_period_seconds", "redrive_policy"},
		},
		{"aws_sqs_queue_policy", []string{"queue_url", "policy"}},
		{"aws_sqs_queue_redrive_allow_policy", []string{"queue_url", "redrive_allow_policy"}},
		{
			"aws_dynamodb_table",
			[]string{"name", "hash_key", "range_key", "attribute", "billing_mode",
				"read_capacity", "write_capacity", "global_secondary_index", "deletion_protection_enabled",
				"point_in_time_recovery", "server_side_encryption", "stream_enabled", "stream_view_type", "replica"},
		},
		{"aws_s3_bucket", []string{"bucket", "force_destroy"}},
		{"aws_s3_bucket_policy", []string{"bucket", "policy"}},
		{"aws_s3_bucket_public_access_block", []string{"block_public_acls", "block_public_policy",
			"ignore_public_acls", "restrict_public_buckets"}},
		{"aws_s3_bucket_versioning", []string{"versioning_configuration.status"}},
		{"aws_s3_bucket_ownership_controls", []string{"rule.object_ownership"}},
		{"aws_s3_bucket_server_side_encryption_configuration", []string{"rule"}},
		{"aws_s3_bucket_lifecycle_configuration", []string{"rule"}},
		{"aws_backup_vault", []string{"name", "kms_key_arn", "force_destroy"}},
		{
			"aws_backup_vault_lock_configuration",
			[]string{"min_retention_days", "changeable_for_days"},
		},
		{
			"aws_kms_key",
			[]string{"policy", "enable_key_rotation", "deletion_window_in_days", "region"},
		},
		{"aws_kms_alias", []string{"name", "region"}},
		{"aws_cloudwatch_log_group", []string{"name", "retention_in_days", "kms_key_id", "region"}},
	}},
	{"door", []kind{
		{
			"aws_api_gateway_method",
			[]string{"http_method", "authorization", "authorization_scopes", "api_key_required"},
		},
		{"aws_api_gateway_method_settings", []string{"method_path", "settings"}},
		{
			"aws_api_gateway_gateway_response",
			[]string{"response_type", "status_code", "response_parameters",
				"response_templates"},
		},
		{
			"aws_api_gateway_stage",
			[]string{"stage_name", "xray_tracing_enabled", "access_log_settings"},
		},
		{"aws_api_gateway_rest_api", []string{"binary_media_types", "disable_execute_api_endpoint",
			"endpoint_configuration.types"}},
		{"aws_api_gateway_rest_api_policy", []string{"policy"}},
		{"aws_api_gateway_resource", []string{"path_part"}},
		{
			"aws_api_gateway_usage_plan",
			[]string{"name", "api_stages", "throttle_settings", "quota_settings"},
		},
		{"aws_api_gateway_usage_plan_key", []string{"usage_plan_id", "key_id"}},
		{
			"aws_api_gateway_integration_response",
			[]string{"status_code", "selection_pattern", "response_parameters"},
		},
		{
			"aws_api_gateway_domain_name",
			[]string{"domain_name", "security_policy", "endpoint_configuration.types"},
		},
		{"aws_api_gateway_base_path_mapping", []string{"stage_name", "domain_name"}},
		{"aws_route53_record", []string{"zone_id", "name", "type", "alias"}},
		{"aws_acm_certificate", []string{"domain_name", "region"}},
		{
			"aws_cloudfront_distribution",
			[]string{"aliases", "origin", "default_cache_behavior", "web_acl_id",
				"viewer_certificate", "enabled"},
		},
		{"aws_wafv2_web_acl", []string{"scope", "region", "default_action", "rule"}},
		{"aws_wafv2_web_acl_association", []string{"resource_arn", "web_acl_arn"}},
		{
			"aws_wafv2_web_acl_logging_configuration",
			[]string{"logging_filter", "redacted_fields", "region"},
		},
		{
			"aws_vpc_endpoint",
			[]string{"service_name", "vpc_endpoint_type", "private_dns_enabled", "policy"},
		},
		{
			"aws_vpc_security_group_egress_rule",
			[]string{"security_group_id", "referenced_security_group_id",
				"ip_protocol", "from_port", "to_port", "cidr_ipv4"},
		},
		{
			"aws_vpc_security_group_ingress_rule",
			[]string{"security_group_id", "referenced_security_group_id",
				"ip_protocol", "from_port", "to_port", "cidr_ipv4"},
		},
		{"aws_cognito_user_pool_client", []string{"allowed_oauth_flows", "allowed_oauth_scopes",
			"generate_secret", "explicit_auth_flows"}},
	}},
	{"roles", []kind{
		{
			"aws_iam_role",
			[]string{
				"name",
				"path",
				"assume_role_policy",
				"permissions_boundary",
				"max_session_duration",
			},
		},
		{"aws_iam_role_policy", []string{"role", "policy"}},
		{"aws_iam_role_policy_attachment", []string{"role", "policy_arn"}},
		{"aws_iam_policy", []string{"name", "path", "policy"}},
	}},
	{"policies", []kind{{"data.aws_iam_policy_document", []string{"statement"}}}},
}

// lines are what a picture shows of a state.
func (p picture) lines(s state) string {
	var out strings.Builder
	for _, k := range p.kinds {
		for _, address := range s.of(k.resource) {
			if k.resource == "data.aws_iam_policy_document" {
				for _, statement := range statements(s[address]) {
					fmt.Fprintf(
						&out,
						"%s: %s\n",
						strings.TrimPrefix(address, k.resource+"."),
						statement,
					)
				}
				continue
			}
			fmt.Fprintf(&out, "%s:", strings.TrimPrefix(address, "aws_"))
			for _, path := range k.told {
				if value := s.text(address, strings.Split(path, ".")...); value != "" {
					fmt.Fprintf(&out, " %s=%s", path, value)
				}
			}
			out.WriteByte('\n')
		}
	}
	return s.plain(out.String())
}

// plain puts the name of a document in the place of the text of a policy.
func (s state) plain(text string) string {
	for _, address := range s.of("data.aws_iam_policy_document") {
		if document := s.text(address, "json"); document != "" {
			text = strings.ReplaceAll(
				text,
				document,
				"<"+strings.TrimPrefix(address, "data.aws_iam_policy_document.")+">",
			)
		}
	}
	return text
}

// statements writes each statement of a policy on one line.
func statements(document attributes) []string {
	var lines []string
	list, _ := document["statement"].([]any)
	for _, entry := range list {
		lines = append(lines, readStatement(entry).String())
	}
	return lines
}

// statement is one of a policy.
type statement struct {
	effect             string
	actions, resources []string
	conditions         []string // TEST KEY VALUES
	principals         []string // TYPE:IDENTIFIER
}

func readStatement(entry any) statement {
	object := entry.(map[string]any)
	read := statement{effect: shown(object["effect"]), actions: texts(object["actions"]),
		resources: texts(object["resources"])}
	if read.effect == "" {
		read.effect = "Allow"
	}
	conditions, _ := object["condition"].([]any)
	for _, condition := range conditions {
		c := condition.(map[string]any)
		read.conditions = append(read.conditions, fmt.Sprintf("%s %s %s", c["test"], c["variable"],
			strings.Join(texts(c["values"]), ",")))
	}
	principals, _ := object["principals"].([]any)
	for _, principal := range principals {
		p := principal.(map[string]any)
		for _, identifier := range texts(p["identifiers"]) {
			read.principals = append(read.principals, fmt.Sprintf("%s:%s", p["type"], identifier))
		}
	}
	slices.Sort(read.conditions)
	slices.Sort(read.principals)
	return read
}

func texts(value any) []string {
	list, _ := value.([]any)
	out := make([]string, len(list))
	for i, part := range list {
		out[i] = shown(part)
	}
	slices.Sort(out)
	return out
}

func (s statement) String() string {
	line := []string{s.effect, strings.Join(s.actions, " "), "on", strings.Join(s.resources, " ")}
	for _, condition := range s.conditions {
		line = append(line, "if", condition)
	}
	if len(s.principals) > 0 {
		line = append(line, "to", strings.Join(s.principals, " "))
	}
	return strings.Join(line, " ")
}

// file is where a picture of a scenario is kept.
func (p picture) file(name string) string {
	return filepath.Join("testdata", name, p.name+".txt")
}

// differences tells what is in a state and not in the picture of it, and the other way round.
func (p picture) differences(t *testing.T, name string, s state) []string {
	t.Helper()
	got := p.lines(s)
	if *update {
		if err := os.MkdirAll(filepath.Dir(p.file(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p.file(name), []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(p.file(name))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(want, []byte(got)) {
		return nil
	}
	return compare(strings.Split(string(want), "\n"), strings.Split(got, "\n"))
}

func compare(want, got []string) []string {
	count := map[string]int{}
	for _, line := range want {
		count[line]--
	}
	for _, line := range got {
		count[line]++
	}
	var out []string
	for _, line := range slices.Sorted(maps.Keys(count)) {
		switch {
		case count[line] < 0:
			out = append(out, "missing: "+line)
		case count[line] > 0:
			out = append(out, "new: "+line)
		}
	}
	return out
}

// document returns a policy as AWS would get it, to measure it.
func document(entries []statement) string {
	var list []any
	for _, s := range entries {
		one := map[string]any{
			"Sid":      strings.Repeat("s", 30),
			"Effect":   s.effect,
			"Action":   s.actions,
			"Resource": s.resources,
		}
		conditions := map[string]map[string]any{}
		for _, condition := range s.conditions {
			part := strings.SplitN(condition, " ", 3)
			if conditions[part[0]] == nil {
				conditions[part[0]] = map[string]any{}
			}
			conditions[part[0]][part[1]] = strings.Split(part[2], ",")
			if !strings.Contains(part[2], ",") {
				conditions[part[0]][part[1]] = part[2] // as the provider writes one value
			}
		}
		if len(conditions) > 0 {
			one["Condition"] = conditions
		}
		list = append(list, one)
	}
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": list})
	if err != nil {
		panic("pillarbox: bug: " + err.Error())
	}
	return string(text)
}
